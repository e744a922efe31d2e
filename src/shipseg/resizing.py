"""Resizing images, probability maps and images with no data, edges to edges."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["resize", "resize_valid"]


def resize(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return values (H, W) or (H, W, C) resized to `shape`: by area when shrinking, else bilinearly.

    If one side shrinks and the other grows, the image is shrunk first and then enlarged, so that every pixel counts.
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


_MIN_VALID_SHARE = 0.5


def resize_valid(
    rgb_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return RGB (h, w, 3) and its valid pixels (h, w) resized to `shape`, ignoring pixels without data.

    A pixel of the result is valid if at least half of it was; its colour is the mean of its valid part.
    """
    if valid_hw.shape == shape:
        return rgb_hwc, valid_hw
    if valid_hw.all():
        return resize(rgb_hwc, shape), np.ones(shape, bool)
    share_hw = resize(valid_hw.astype(np.float32), shape)
    sum_hwc = resize(np.where(valid_hw[..., None], rgb_hwc, 0).astype(np.float32), shape)
    new_valid_hw = share_hw >= _MIN_VALID_SHARE
    mean_hwc = sum_hwc / np.where(new_valid_hw, share_hw, 1)[..., None]
    return np.rint(np.where(new_valid_hw[..., None], mean_hwc, 0)).clip(0, 255).astype(np.uint8), new_valid_hw
