"""Polygons of a file as an area of a scene: water, or what is of interest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shipseg.scenes.georef import GeoReference
from shipseg.tiling import Window

__all__ = ["Area"]


class Area:
    """The part of a scene inside (or outside) of polygons."""

    @classmethod
    def read(cls, path: str | Path, georef: GeoReference, shape: tuple[int, int], *, inside: bool = True) -> Area:
        """Return the area that the polygons of any OGR file cover in a scene.

        Args:
            path: GeoJSON, GeoPackage, Shapefile or what else OGR reads, in any coordinate reference system.
            georef: Of the scene.
            shape: (height, width) of the scene.
            inside: The area is inside the polygons; False: outside them.

        Raises:
            DataError: No such file, no polygons, no coordinate reference system on one side, no overlap.
        """
        raise NotImplementedError

    def touches(self, window: Window) -> bool:
        """Return whether a window may hold a pixel of the area; False is certain."""
        raise NotImplementedError

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels' centres are in the area: bool (h, w)."""
        raise NotImplementedError
