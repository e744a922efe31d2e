"""The oriented rectangle of some pixels, by their moments."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Rectangle", "rectangle_of", "rectangle_of_sums"]


class Rectangle(NamedTuple):
    """The oriented rectangle of a ship's pixels; see `Ship` for what its measures mean."""

    center_rc: tuple[float, float]
    length_px: float
    width_px: float
    angle: float
    """Of the longer side, in radians clockwise from right."""

    @property
    def heading_deg(self) -> float:
        """Direction of the longer side, clockwise from up, from 0 to below 180."""
        heading = (90 + math.degrees(self.angle)) % 180
        return 0.0 if heading == 180 else heading  # the remainder of a tiny negative number is rounded up to 180


def rectangle_of_sums(area: int, x: int, y: int, xx: int, xy: int, yy: int) -> Rectangle:
    """Return the rectangle with the centre, direction and second moments of the area that some pixels cover.

    Args:
        area: Number of pixels.
        x: Sum of their columns, counted from 0.
        y: Sum of their rows.
        xx: Sum of the squares of their columns.
        xy: Sum of row times column.
        yy: Sum of the squares of their rows.
    """
    # 12 times the second moments: the square of a rectangle's side. A pixel is a unit square, not a point: 1 more.
    square_x = (12 * (area * xx - x * x) + area**2) / area**2
    square_y = (12 * (area * yy - y * y) + area**2) / area**2
    mixed = 12 * (area * xy - x * y) / area**2
    angle = 0.5 * math.atan2(2 * mixed, square_x - square_y)
    middle, spread = (square_x + square_y) / 2, math.hypot((square_x - square_y) / 2, mixed)
    length, width = math.sqrt(middle + spread), math.sqrt(middle - spread)
    return Rectangle((y / area + 0.5, x / area + 0.5), length, width, angle)


def rectangle_of(mask_hw: NDArray[np.bool_]) -> Rectangle:
    """Return the rectangle of the pixels of a mask (H, W) with at least one, in the mask's own coordinates."""
    # Sums of whole numbers, as Python integers: no rounding, so that ships along the axes are measured exactly.
    sums = cv2.moments(np.ascontiguousarray(mask_hw).view(np.uint8), binaryImage=True)
    area, x, y, xx, xy, yy = (int(sums[name]) for name in ("m00", "m10", "m01", "m20", "m11", "m02"))
    return rectangle_of_sums(area, x, y, xx, xy, yy)
