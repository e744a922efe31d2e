"""Groynes: walls of rocks or piles from a beach into the water, alone or in a row. To a beginner, moored boats."""

from __future__ import annotations

import math

import cv2
import numpy as np

from shipseg.synth.canvas import ByteArray, oriented_box, paint_polygon
from shipseg.synth.distributions import Rng, chance, log_uniform, pick, shaded, tinted, uniform
from shipseg.synth.fields import FloatArray

__all__ = ["draw_groynes"]


def draw_groynes(rng: Rng, rgb: ByteArray, alpha: ByteArray, field_hw: FloatArray) -> None:
    """Draw one to six groynes across the shore, in place.

    Args:
        rng: Source of randomness.
        rgb: (H, W, 3) uint8 ground, which is laid over the water where `alpha` says so.
        alpha: (H, W) uint8, 255 where there is land.
        field_hw: (H, W) float32, positive on land, about the distance to the shore in pixels.
    """
    rows, cols = np.nonzero(np.abs(field_hw) < 1.0)
    if len(rows) == 0:
        return
    smooth = cv2.GaussianBlur(field_hw, (0, 0), 12.0)
    first = int(rng.integers(len(rows)))
    gap = uniform(rng, 25, 90)
    reach, wide = log_uniform(rng, 10, 70), log_uniform(rng, 1.5, 6)
    stones = tinted(rng, pick(rng, ((70, 66, 60), (104, 98, 88), (140, 132, 120), (52, 48, 44))), 12)
    distances = np.hypot(rows - rows[first], cols - cols[first])
    for k in range(int(rng.integers(1, 7)) if chance(rng, 0.5) else 1):
        at = int(np.abs(distances - k * gap).argmin())
        row, col = int(rows[at]), int(cols[at])
        seaward = _seaward(smooth, row, col)
        if abs(distances[at] - k * gap) < 4 and seaward is not None:
            turn = seaward + rng.normal(0, 0.12)
            long = reach * math.exp(rng.normal(0, 0.15))
            _draw_groyne(rng, rgb, alpha, (col, row), turn, (long, wide), stones)


def _seaward(smooth: FloatArray, row: int, col: int) -> float | None:
    """Return the direction in which the field falls, in radians, or None at the border and on level ground."""
    height, width = smooth.shape
    if not (4 <= row < height - 4 and 4 <= col < width - 4):
        return None
    down, right = smooth[row + 4, col] - smooth[row - 4, col], smooth[row, col + 4] - smooth[row, col - 4]
    return math.atan2(-down, -right) if down or right else None


def _draw_groyne(
    rng: Rng,
    rgb: ByteArray,
    alpha: ByteArray,
    root: tuple[float, float],
    turn: float,
    size: tuple[float, float],
    stones: tuple[float, float, float],
) -> None:
    """Draw heaped stones from a little inland (40 % of the length) to the head, which is a bit wider."""
    long, wide = size
    for u in np.arange(-0.4 * long, long, max(0.7, wide * 0.3)):
        spread = wide * (0.7 if u > 0.85 * long else 0.45)
        for _ in range(2):
            v = rng.normal(0, spread * 0.5)
            x = root[0] + u * math.cos(turn) - v * math.sin(turn)
            y = root[1] + u * math.sin(turn) + v * math.cos(turn)
            side = uniform(rng, 0.5, 0.9) * wide * 0.6 + 0.5
            box = oriented_box((x, y), side * uniform(rng, 1, 1.6), side, uniform(rng, 0, math.pi))
            paint_polygon(rgb, box, shaded(tinted(rng, stones, 10), uniform(rng, 0.5, 1.45)))
            paint_polygon(alpha, box, 255)
