"""The fine texture of an image's nine sub-tiles: what overlapping tiles share and unrelated ones do not.

The challenge's tiles were cut at a stride of a third of their side, so two overlapping ones share whole sub-tiles, and
the means of 8 x 8 px blocks survive JPEG compression (they are what it keeps best). Subtracting their surroundings and
dividing by the local contrast makes faint waves count as much as bright land: on real tiles, copies of a sub-tile then
correlate above 0.88 and unrelated ones below 0.23.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CELLS", "MIN_CELLS", "SUBTILES", "describe_texture", "num_informative"]

SUBTILES = 3
"""Sub-tiles along each side of an image."""
CELLS = 32
"""Cells along each side of a sub-tile: 8 px for the challenge's 768 px tiles."""
MIN_CELLS = 24
"""A sub-tile with fewer informative cells of 1,024 is left out: black, white and blue no-data, flat clouds."""

_SURROUNDINGS = 5  # cells: side of the mean that is subtracted; gradients of light and haze go with it
_CONTRAST = 9  # cells: side of the neighbourhood whose contrast a cell is divided by
_FAINTEST = 0.25  # grey levels: local contrast below this is not amplified any further
_UNITS = 32  # of the int8 values in one local standard deviation: 127 is about 4
_INFORMATIVE = 4  # of these units
_FLAT_VARIANCE = 0.05  # squared grey levels within a cell: no-data and clipped sea
_EDGE_REACH = 7  # cells: side of the neighbourhood of a flat cell that its edge can leak into
_EDGE_STEP = 4.0  # grey levels: beside a flat cell, more than this is the edge of no-data, alike in unrelated scenes


def describe_texture(image_hwc: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the texture of an image's sub-tiles, row by row: int8 (9, CELLS, CELLS), 0 where there is none.

    Args:
        image_hwc: uint8 (H, W, 3) RGB.
    """
    grey_hw = cv2.cvtColor(image_hwc, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey_hw.shape[0] // SUBTILES, grey_hw.shape[1] // SUBTILES
    textures = np.zeros((SUBTILES * SUBTILES, CELLS, CELLS), np.int8)
    if min(height, width) == 0:
        return textures
    for number in range(SUBTILES * SUBTILES):
        row, column = divmod(number, SUBTILES)
        subtile = grey_hw[row * height : (row + 1) * height, column * width : (column + 1) * width]
        textures[number] = _describe(np.ascontiguousarray(subtile))
    return textures


def _describe(grey_hw: NDArray[np.float32]) -> NDArray[np.int8]:
    size = (CELLS, CELLS)
    mean = cv2.resize(grey_hw, size, interpolation=cv2.INTER_AREA)
    flat = cv2.resize(grey_hw * grey_hw, size, interpolation=cv2.INTER_AREA) - mean * mean < _FLAT_VARIANCE
    # Continued beyond its edges as it runs towards them: a plain reflection would turn every slope into a bright rim.
    margin = _SURROUNDINGS // 2
    continued = np.pad(mean, margin, mode="reflect", reflect_type="odd")
    around = cv2.blur(continued, (_SURROUNDINGS, _SURROUNDINGS))[margin:-margin, margin:-margin]
    detail = mean - around
    near_flat = cv2.dilate(flat.astype(np.uint8), np.ones((_EDGE_REACH, _EDGE_REACH), np.uint8)) > 0
    detail[near_flat & (np.abs(detail) > _EDGE_STEP)] = 0
    power = np.maximum(cv2.blur(detail * detail, (_CONTRAST, _CONTRAST)), 0)  # blurring can leave -1e-12
    relative = detail / np.maximum(np.sqrt(power), _FAINTEST)
    return np.clip(np.rint(relative * _UNITS), -127, 127).astype(np.int8)


def num_informative(textures: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the number of cells with a texture, of each sub-tile: int64 (...) for textures (..., CELLS, CELLS)."""
    return np.asarray((np.abs(textures) >= _INFORMATIVE).sum(axis=(-2, -1)), np.int64)
