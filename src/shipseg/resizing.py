"""Resizing pictures and maps, edges to edges."""

from __future__ import annotations

from typing import Any

import cv2
from numpy.typing import NDArray

__all__ = ["resize"]


def resize(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return (H, W) or (H, W, C) values at another shape: area means along a side that shrinks, else bilinear.

    When one side shrinks and the other grows it is done one after the other, so that nothing is left out.
    """
    height, width = shape
    old_height, old_width = values.shape[:2]
    if (old_height, old_width) == shape:
        return values
    if (height < old_height and width > old_width) or (height > old_height and width < old_width):
        smaller = min(height, old_height), min(width, old_width)
        return resize(resize(values, smaller), shape)
    shrinks = height <= old_height and width <= old_width
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
