"""Polygons of a file as an area of a scene: water, or what is of interest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from shipseg.geo.georef import GeoReference
from shipseg.scenes.polygons import read_polygons
from shipseg.tiling import Window

__all__ = ["Area", "Frame"]

Frame = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels."""

_MOST_POINTS = 256  # of one piece: a coastline of a million points is cut up once, not looked through for every window


class Area:
    """The part of a scene inside of polygons.

    Args:
        polygons_px: Valid polygons in pixel-edge coordinates (column, row).
        shape: (height, width) of the scene.

    Example:
        >>> area = Area([shapely.box(0, 0, 10, 4)], (100, 100))
        >>> area.touches(Window(0, 0, 8, 8)), area.touches(Window(50, 50, 8, 8))
        (True, False)
        >>> int(area.mask(Window(0, 8, 8, 8)).sum())
        8
    """

    def __init__(self, polygons_px: list[BaseGeometry], shape: tuple[int, int]) -> None:
        height, width = shape
        self.shape = shape
        frame = (0, 0, width, height)
        pieces = [
            piece
            for polygon in polygons_px
            for piece in _pieces(shapely.intersection(polygon, shapely.box(*frame)), frame)
        ]
        self._pieces: NDArray[np.object_] = np.array(pieces, dtype=object)
        self._tree = shapely.STRtree(pieces)

    @classmethod
    def read(cls, path: str | Path, georef: GeoReference, shape: tuple[int, int]) -> Area:
        """Return the area that the polygons of any OGR file cover in a scene.

        Args:
            path: GeoJSON, GeoPackage, Shapefile or what else OGR reads, in any coordinate reference system.
            georef: Of the scene.
            shape: (height, width) of the scene.

        Raises:
            DataError: No such file, no polygons, no coordinate reference system on one side; or the polygons do not
                overlap the scene.
            MissingExtraError: pyogrio is not installed.
        """
        return cls(read_polygons(Path(path), georef, shape), shape)

    def touches(self, window: Window) -> bool:
        """Return whether a window may hold a pixel of the area; False is certain."""
        return bool(len(self._within(window)))

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels' centres are in the area: bool (h, w)."""
        covered_hw = np.zeros((window.height, window.width), np.uint8)
        found = self._within(window)
        if len(found):
            from rasterio.features import rasterize
            from rasterio.transform import Affine

            shift = Affine.translation(window.col0, window.row0)
            rasterize(list(self._pieces[found]), out=covered_hw, transform=shift, default_value=1)
        return covered_hw.astype(bool)

    def _within(self, window: Window) -> NDArray[np.int64]:
        place = shapely.box(window.col0, window.row0, window.col0 + window.width, window.row0 + window.height)
        return self._tree.query(place, predicate="intersects")


def _pieces(geometry: BaseGeometry, frame: Frame) -> Iterator[BaseGeometry]:
    """Yield a polygon in pieces of few points, halved along pixel edges, where no pixel's centre can lie."""
    for part in shapely.get_parts(geometry):
        if part.geom_type != "Polygon" or part.is_empty:
            continue
        left, top, right, bottom = frame
        if shapely.get_num_coordinates(part) <= _MOST_POINTS or max(right - left, bottom - top) <= 1:
            yield part
            continue
        if right - left >= bottom - top:
            middle = (left + right) // 2
            frames = ((left, top, middle, bottom), (middle, top, right, bottom))
        else:
            middle = (top + bottom) // 2
            frames = ((left, top, right, middle), (left, middle, right, bottom))
        for half, its_frame in zip(_halves(part, frames), frames, strict=True):
            yield from _pieces(half, its_frame)


def _halves(polygon: BaseGeometry, frames: tuple[Frame, Frame]) -> list[BaseGeometry]:
    # Cutting by a rectangle is four times as fast as by a polygon, but wrong for some that have a point on the cut.
    halves = [shapely.clip_by_rect(polygon, *frame) for frame in frames]
    if math.isclose(sum(half.area for half in halves), polygon.area, rel_tol=1e-9):
        return halves
    return [shapely.intersection(polygon, shapely.box(*frame)) for frame in frames]
