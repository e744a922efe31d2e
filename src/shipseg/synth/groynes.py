"""Groynes: walls of rocks or piles from a beach into the water, alone or in a row. To a beginner, moored boats."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import Rng, chance, log_uniform, pick, shaded, tinted, uniform
from shipseg.synth.paint.canvas import ByteArray, oriented_box, paint_polygon
from shipseg.synth.paint.fields import FloatArray

__all__ = ["draw_groynes"]

ROW_SHARE = 0.45
BAYS_PX = 12.0
"""Smaller bays do not turn a groyne."""
SLOPE_PX = 4


def draw_groynes(rng: Rng, rgb: ByteArray, alpha: ByteArray, field_hw: FloatArray) -> None:
    """Draw a groyne, or up to six at even distances along the shore, in place; nothing where there is no shore.

    Args:
        rng: Source of randomness.
        rgb: (H, W, 3) uint8 ground, which is laid over the water where `alpha` says so.
        alpha: (H, W) uint8, 255 where there is land.
        field_hw: (H, W) float32, positive on land, negative on water, steep enough to be within 1 at the shore only.
    """
    shore_xy = np.argwhere(np.abs(field_hw) < 1.0)[:, ::-1]
    if len(shore_xy) == 0:
        return
    smooth = np.asarray(cv2.GaussianBlur(field_hw, (0, 0), BAYS_PX), np.float32)
    reach, wide = log_uniform(rng, 10, 70), log_uniform(rng, 1.5, 6)
    stones = tinted(rng, pick(rng, ((70, 66, 60), (104, 98, 88), (140, 132, 120), (52, 48, 44))), 12)
    count = int(rng.integers(2, 7)) if chance(rng, ROW_SHARE) else 1
    for x, y in _row_of_roots(rng, shore_xy, count):
        seaward = _seaward(smooth, y, x)
        if seaward is not None:
            turn = seaward + rng.normal(0, 0.12)
            long = reach * math.exp(rng.normal(0, 0.15))
            _draw_groyne(rng, rgb, alpha, (x, y), turn, (long, wide), stones)


def _row_of_roots(rng: Rng, shore_xy: NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """Return up to `count` points of the shore, each about as far from the one before, never turning back."""
    gap = uniform(rng, 25, 90)
    roots = [shore_xy[int(rng.integers(len(shore_xy)))]]
    while len(roots) < count:
        step = shore_xy - roots[-1]
        distance = np.hypot(*step.T)
        ahead = np.abs(distance - gap) < 0.2 * gap
        if len(roots) > 1:
            ahead &= step @ (roots[-1] - roots[-2]) > 0
        if not ahead.any():
            break
        places = np.flatnonzero(ahead)
        roots.append(shore_xy[places[np.abs(distance[places] - gap).argmin()]])
    return [(int(x), int(y)) for x, y in roots]


def _seaward(smooth: FloatArray, row: int, col: int) -> float | None:
    """Return the direction in which the field falls, in radians, or None at the border and on level ground."""
    height, width = smooth.shape
    step = SLOPE_PX
    if not (step <= row < height - step and step <= col < width - step):
        return None
    down = smooth[row + step, col] - smooth[row - step, col]
    right = smooth[row, col + step] - smooth[row, col - step]
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
