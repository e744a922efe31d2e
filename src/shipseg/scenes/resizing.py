"""Resizing pictures that hold no data in places, edges to edges, by the convention of `Predictor`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shipseg.resizing import resize

__all__ = ["resize_valid"]

_HALF = 0.5


def resize_valid(
    rgb_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return RGB (h, w, 3) and where it is data (h, w) at another shape, without mixing in what is no data.

    A pixel of the result is data where at least half of it was; its colour is the mean of the data in it.
    """
    if valid_hw.shape == shape:
        return rgb_hwc, valid_hw
    if valid_hw.all():
        return resize(rgb_hwc, shape), np.ones(shape, bool)
    share_hw = resize(valid_hw.astype(np.float32), shape)
    sum_hwc = resize(np.where(valid_hw[..., None], rgb_hwc, 0).astype(np.float32), shape)
    new_valid_hw = share_hw >= _HALF
    mean_hwc = sum_hwc / np.where(new_valid_hw, share_hw, 1)[..., None]
    return np.rint(np.where(new_valid_hw[..., None], mean_hwc, 0)).clip(0, 255).astype(np.uint8), new_valid_hw
