"""Foam on the water, drawn on a strip behind a bow and then warped into the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from shipseg.synth.distributions import Rng, chance
from shipseg.synth.paint.board import Pose
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import FloatArray

__all__ = ["FOAM_RGB", "Strip", "lay_foam", "open_strip"]

FOAM_RGB = (232.0, 236.0, 236.0)


@dataclass(frozen=True)
class Strip:
    """Coordinates of a strip behind a bow.

    Args:
        astern: Distance behind the bow, (n, m) in pixels.
        aside: Distance from the keel line, signed, (n, m) in pixels.
        length: Length of the hull in pixels.
        beam: Beam of the hull in pixels.
        reach: Length of the foam behind the hull in pixels.
        wide: Columns on each side of the keel line.
    """

    astern: FloatArray
    aside: FloatArray
    length: float
    beam: float
    reach: float
    wide: int


def open_strip(rng: Rng, *, length: float, beam: float, reach: float) -> Strip:
    """Return the strip of a hull, sometimes curved for a turning ship."""
    wide = math.ceil(beam * 1.5 + 4 + (length + reach) * 0.34)
    rows = math.ceil(length + 1.6 * reach) + 4
    aside, astern = np.meshgrid(
        np.arange(-wide, wide + 1, dtype=np.float32), np.arange(-2, rows, dtype=np.float32), copy=False
    )
    return Strip(astern, _curved(rng, astern, aside, length, reach), length, beam, reach, wide)


def _curved(rng: Rng, astern: FloatArray, aside: FloatArray, length: float, reach: float) -> FloatArray:
    bend = rng.normal(0.0, 0.25) / (length + reach) if chance(rng, 0.35) else 0.0
    back = np.maximum(astern - np.float32(length), 0.0)
    return np.asarray(aside - np.float32(bend) * back * back, np.float32)


def lay_foam(
    canvas: Canvas, pose: Pose, strip: Strip, light: FloatArray, waves: FloatArray | None, *, foam_rgb: FloatArray
) -> None:
    """Warp a strip into the image and blend its foam.

    Args:
        canvas: Painted in place.
        pose: Centre and heading of the ship.
        strip: The strip behind its bow.
        light: Share of foam on the strip, 0 to 1.
        waves: Grey levels to add, or None.
        foam_rgb: Colour of thick foam.
    """
    back_x, back_y = -math.cos(pose.heading_rad), -math.sin(pose.heading_rad)
    bow_x, bow_y = pose.x - back_x * strip.length / 2, pose.y - back_y * strip.length / 2
    rows = light.shape[0]
    bow = np.array([bow_x, bow_y])
    sides = (-strip.wide, strip.wide)
    ends = np.array([(a * back_x - s * back_y, a * back_y + s * back_x) for a in (-3, rows) for s in sides])
    low, high = ends.min(axis=0) + bow, ends.max(axis=0) + bow
    height, width = canvas.shape
    col0, row0 = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
    col1, row1 = min(width, math.ceil(high[0])), min(height, math.ceil(high[1]))
    if col1 <= col0 or row1 <= row0:
        return
    # From image to strip: strip column = aside + wide, strip row = astern + 2; pixel centres at + 0.5.
    dx, dy = col0 + 0.5 - bow_x, row0 + 0.5 - bow_y
    matrix = np.array(
        [
            [-back_y, back_x, -back_y * dx + back_x * dy + strip.wide],
            [back_x, back_y, back_x * dx + back_y * dy + 2.0],
        ],
        np.float64,
    )
    size = (col1 - col0, row1 - row0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    alpha = cv2.warpAffine(light, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)[..., None]
    view = canvas.rgb_hwc[row0:row1, col0:col1]
    if waves is not None:
        view += cv2.warpAffine(waves, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)[..., None]
    # Thin foam has the hue of the water, thick foam is white.
    tint = foam_rgb * (0.75 + 0.25 * alpha) + 0.25 * (1.0 - alpha) * canvas.sea_rgb
    view += (tint - view) * alpha
