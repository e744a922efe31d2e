"""Ships of a scene from near by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.scenes.quicklook import NO_DATA_COLOR, SHIP_COLOR
from shipseg.scenes.ships import SceneShip, SceneShips
from shipseg.tiling import Window

__all__ = ["read_close_ups"]

_MOST: Final = 100
"""Each costs a read of the scene; of more ships the longest are shown."""
_SIDE_PX: Final = 144
_AROUND: Final = 1.5  # of the ship's extent, the side of what is shown,
_LEAST_PX: Final = 40  # and this many pixels of the scene at least

Read = Callable[[Window], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Gives uint8 RGB (h, w, 3) of a window of the scene, and where it has data (h, w)."""


def read_close_ups(read: Read, ships: SceneShips) -> dict[int, NDArray[np.uint8]]:
    """Return squares around the longest ships with their rectangles, by id: uint8 (144, 144, 3) RGB.

    Raises:
        DataError: The scene cannot be read there.
    """
    longest = sorted(ships.ships, key=lambda ship: -ship.ship.length_px)[:_MOST]
    # In the order of the scene's rows: neighbours share the blocks that the file stores together.
    return {ship.id: _close_up(read, ship, ships.shape) for ship in sorted(longest, key=lambda ship: ship.id)}


def _close_up(read: Read, ship: SceneShip, shape: tuple[int, int]) -> NDArray[np.uint8]:
    row0, col0, row1, col1 = ship.ship.mask_box
    side = max(_LEAST_PX, round(_AROUND * max(row1 - row0, col1 - col0)))
    top, left = (row0 + row1 - side) // 2, (col0 + col1 - side) // 2
    window = _inside(top, left, side, shape)
    square_hwc = np.full((side, side, 3), NO_DATA_COLOR, np.uint8)
    place = (
        slice(window.row0 - top, window.row0 - top + window.height),
        slice(window.col0 - left, window.col0 - left + window.width),
    )
    image_hwc, valid_hw = read(window)
    square_hwc[place][valid_hw] = image_hwc[valid_hw]
    interpolation = cv2.INTER_AREA if side > _SIDE_PX else cv2.INTER_CUBIC
    shown_hwc = np.asarray(cv2.resize(square_hwc, (_SIDE_PX, _SIDE_PX), interpolation=interpolation), np.uint8)
    corners = (ship.box_px - np.array([left, top])) * (_SIDE_PX / side) - 0.5
    # At 16ths of a pixel.
    cv2.polylines(shown_hwc, [np.round(corners * 16).astype(np.int32)], True, SHIP_COLOR, 1, cv2.LINE_AA, 4)  # noqa: FBT003
    return shown_hwc


def _inside(top: int, left: int, side: int, shape: tuple[int, int]) -> Window:
    row0, col0 = max(0, top), max(0, left)
    return Window(row0, col0, min(top + side, shape[0]) - row0, min(left + side, shape[1]) - col0)
