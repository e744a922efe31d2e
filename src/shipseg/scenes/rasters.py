"""Probability and mask of a scene as cloud-optimised GeoTIFFs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shipseg.geo.cog import RasterContent, RasterRows, growing_cog
from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import Ship
from shipseg.scenes.levels import LEVELS, NO_DATA
from shipseg.scenes.ships import SceneShips
from shipseg.tiling import Window

__all__ = ["MASK_NO_DATA", "probability_raster", "write_mask"]

MASK_NO_DATA: Final = 255
"""In the mask: a pixel without data."""
_PROBABILITY: Final = RasterContent(
    "uint16", NO_DATA, "probability that the pixel belongs to a ship, in steps of 0.0001", "AVERAGE", 1 / LEVELS
)
# Smaller looks keep the values 0 and 1.
_MASK: Final = RasterContent("uint8", MASK_NO_DATA, "1 ship, 0 no ship, 255 no data", "NEAREST")


@contextlib.contextmanager
def probability_raster(path: Path, shape: tuple[int, int], georef: GeoReference) -> Iterator[RasterRows]:
    """Give a raster to add levels of probability to; when the block ends, it becomes the file `path`, else nothing.

    The file is a cloud-optimised GeoTIFF of uint16 in steps of 0.0001, as its scale says; 65535 is no data.

    Args:
        path: File to write.
        shape: Height and width of the scene in pixels.
        georef: Where it lies.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    with growing_cog(Path(path), shape, georef, _PROBABILITY) as raster:
        yield raster


def write_mask(path: Path, blocks: Iterable[tuple[Window, NDArray[np.uint16]]], ships: SceneShips) -> None:
    """Write the mask of a scene's ships as a cloud-optimised GeoTIFF of uint8: 1 ship, 0 no ship, 255 no data.

    Args:
        path: File to write.
        blocks: Windows that cover the scene row by row, with the levels of probability there; only which of them have
            no data matters.
        ships: The ships, which need not be all that has a high probability.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    waiting = sorted((ship.ship for ship in ships.ships), key=lambda ship: ship.mask_box, reverse=True)
    current: list[Ship] = []
    with growing_cog(Path(path), ships.shape, ships.georef, _MASK) as raster:
        for window, levels_hw in blocks:
            while waiting and waiting[-1].mask_box[0] < window.row0 + window.height:
                current.append(waiting.pop())
            current = [ship for ship in current if ship.mask_box[2] > window.row0]
            mask_hw = np.where(levels_hw == NO_DATA, np.uint8(MASK_NO_DATA), np.uint8(0))
            for ship in current:
                _paint(mask_hw, window, ship)
            raster.add(window, mask_hw)


def _paint(mask_hw: NDArray[np.uint8], window: Window, ship: Ship) -> None:
    row0, col0, row1, col1 = ship.mask_box
    top, bottom = max(row0, window.row0), min(row1, window.row0 + window.height)
    left, right = max(col0, window.col0), min(col1, window.col0 + window.width)
    if top < bottom and left < right:
        place = mask_hw[top - window.row0 : bottom - window.row0, left - window.col0 : right - window.col0]
        place[ship.mask[top - row0 : bottom - row0, left - col0 : right - col0]] = 1
