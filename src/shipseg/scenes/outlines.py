"""Polygons of a scene's pixels, brought to its map or to longitude and latitude."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from shipseg.geo.georef import GeoReference

__all__ = ["LONLAT_DIGITS", "Outline", "in_lonlat", "on_map"]

LONLAT_DIGITS = 7
"""Decimals of a degree that are written: a centimetre, as RFC 7946 advises."""
_FULL_TURN = 360.0

Outline = shapely.Polygon | shapely.MultiPolygon


def on_map(polygon: Outline, georef: GeoReference) -> Outline:
    """Return a polygon in pixels (x right, y down) in the scene's map coordinates.

    Of a scene without any geotransform these are (x, -y): programs show such a picture with its top left corner at
    (0, 0) and rows downwards, so there the polygons lie on it.
    """
    if georef.is_in_pixels:
        return shapely.transform(polygon, lambda points: points * np.array([1.0, -1.0]))
    return shapely.transform(polygon, georef.xy)


def in_lonlat(polygon: Outline, georef: GeoReference) -> Outline | None:
    """Return a polygon in pixels in longitude and latitude (WGS 84), or None where the scene does not say where it is.

    To 7 decimals, rings as RFC 7946 wants them: the outer one counter-clockwise. What crosses longitude 180 is cut
    there, and each part stands on its own side.
    """
    if georef.crs_wkt is None:
        return None

    def lonlat(points_n2: NDArray[np.float64]) -> NDArray[np.float64]:
        found = georef.lonlat(points_n2)
        assert found is not None
        return found

    placed = shapely.transform(polygon, lonlat)
    west, _, east, _ = placed.bounds
    parts = _cut_at_180(placed) if east - west > _FULL_TURN / 2 or east > 180 or west < -180 else [placed]
    polygons = [orient(each) for part in parts for each in shapely.get_parts(part) if each.geom_type == "Polygon"]
    rounded = [shapely.transform(each, lambda points: np.round(points, LONLAT_DIGITS)) for each in polygons]
    return rounded[0] if len(rounded) == 1 else shapely.MultiPolygon(rounded)


def _cut_at_180(placed: Outline) -> list[shapely.Geometry]:
    """Return the parts of a polygon within -180 to 180, of one whose vertices lie on both sides of longitude 180."""
    eastward = shapely.transform(placed, lambda points: np.stack([points[:, 0] % _FULL_TURN, points[:, 1]], axis=1))
    east = shapely.intersection(eastward, shapely.box(0, -90, 180, 90))
    west = shapely.intersection(eastward, shapely.box(180, -90, _FULL_TURN, 90))
    west = shapely.transform(west, lambda points: points - np.array([_FULL_TURN, 0.0]))
    return [part for part in (east, west) if not part.is_empty]
