"""Polygons of a file as an area of a scene: water, or what is of interest."""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.geo.gdal import known_to_ogr, reason_of
from shipseg.geo.georef import GeoReference
from shipseg.tiling import Window

if TYPE_CHECKING:
    import pyproj

__all__ = ["Area", "Frame", "read_polygons"]


# Reading the polygons of any OGR file into the pixels of a scene.

_POLYGONS = ("Polygon", "MultiPolygon")
_STEPS = 64  # a straight edge is followed at so many places across the scene: it is curved in another projection

_DEGREES_END = 360  # larger coordinates are metres or feet
_LARGEST = 1e30  # of a coordinate in any unit: with larger ones areas overflow
_LONG_NAME = 40  # characters: a definition instead of a code such as EPSG:32631


def read_polygons(path: Path, georef: GeoReference, shape: tuple[int, int]) -> list[BaseGeometry]:
    """Return the valid polygons of a file that touch a scene, in pixel-edge coordinates (column, row).

    A file without a coordinate reference system is understood only beside a scene without one: then its coordinates are
    the scene's map coordinates (pixels, where the scene has no geotransform either).

    Args:
        path: What OGR reads: GeoJSON, GeoPackage, Shapefile and others; of several layers the first with polygons.
        georef: Of the scene.
        shape: (height, width) of the scene.

    Raises:
        DataError: No such file, no polygons, broken ones, no coordinate reference system on one side or one that
            does not lead to the scene's, no overlap.
        MissingExtraError: pyogrio is not installed.
    """
    if not path.exists():
        raise DataError(f"there is no file of polygons {path}: check the path")
    layer, crs, extent = _described(path)
    _refuse_one_sided(path, crs, georef)
    _refuse_unrelated(path, crs, georef)
    bounds = _bounds_in(crs, georef)
    polygons = _in_layer(path, layer, bounds)
    if bounds is not None:
        left, bottom, right, top = bounds
        longest = max(right - left, top - bottom) / _STEPS
        near = shapely.get_parts(shapely.intersection(polygons, shapely.box(*bounds)))
        polygons = shapely.segmentize(near[shapely.get_type_id(near) == shapely.GeometryType.POLYGON], longest)
    pixels = shapely.transform(polygons, lambda xy_n2: georef.pixels(_to_scene(xy_n2, crs, georef)))
    pixels = pixels[np.isfinite(shapely.bounds(pixels)).all(axis=1)]  # empty ones, and those with no place in the scene
    frame = shapely.box(0, 0, shape[1], shape[0])
    seen = [polygon for polygon in shapely.make_valid(pixels) if polygon.intersects(frame)]
    if not seen:
        raise _apart(path, crs, extent, georef, bounds)
    return seen


def _described(path: Path) -> tuple[str, str | None, tuple[float, float, float, float]]:
    """Return the layer with polygons, its coordinate reference system and bounds of all it holds."""
    with needing("geo"):
        import pyogrio
    with _understood(path), known_to_ogr(path) as named:
        layers = pyogrio.list_layers(named)
        if not len(layers):
            raise DataError(f"{path} holds no layer of polygons: choose another file")
        layer = next((name for name, kind in layers if str(kind).startswith(_POLYGONS)), layers[0][0])
        facts = pyogrio.read_info(named, layer=layer, force_total_bounds=True, force_feature_count=True)
    if not facts["features"]:
        raise DataError(f"{path} holds no polygons (layer {layer!r} is empty): choose another file")
    extent = facts["total_bounds"]
    if extent is None or not np.isfinite(extent).all():
        raise DataError(f"{path} holds no polygons (the shapes of layer {layer!r} are empty): choose another file")
    return layer, facts["crs"], extent


def _in_layer(path: Path, layer: str, bounds: tuple[float, float, float, float] | None) -> NDArray[np.object_]:
    """Return the valid polygons of a layer that touch `bounds`, each a Polygon."""
    import pyogrio

    with _understood(path), known_to_ogr(path) as named:
        _, _, wkb, _ = pyogrio.raw.read(named, layer=layer, bbox=bounds, columns=[], force_2d=True)
    try:
        with np.errstate(invalid="ignore"):
            found = shapely.from_wkb([geometry for geometry in wkb if geometry is not None])
    except shapely.errors.GEOSException as error:
        raise _broken(path, str(error).partition(": ")[2]) from error
    largest = np.abs(shapely.get_coordinates(found)).max(initial=0)
    if not largest < _LARGEST:
        raise _broken(path, f"a coordinate of {largest:g}")
    parts = shapely.get_parts(shapely.get_parts(found))  # twice: multipolygons inside collections
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    if len(parts) and not is_polygon.any():
        raise DataError(f"{path} holds no polygons, but {parts[0].geom_type} features: choose another file")
    polygons: NDArray[np.object_] = shapely.get_parts(shapely.make_valid(parts[is_polygon & ~shapely.is_empty(parts)]))
    return polygons


def _broken(path: Path, why: str) -> DataError:
    return DataError(f"{path} holds a shape that is broken ({why}): repair the file")


@contextlib.contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Turn what OGR says about a file into one sentence."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dimensions and fields that are not used here
            yield
    except (DataLayerError, DataSourceError, FeatureError, GeometryError) as error:
        reason = reason_of(error, str(path)).partition(".;")[0]
        raise DataError(
            f"{path} cannot be read as polygons ({reason}): give a GeoJSON, GeoPackage or Shapefile"
        ) from error


def _refuse_one_sided(path: Path, crs: str | None, georef: GeoReference) -> None:
    if crs is None and georef.crs_wkt is not None:
        raise DataError(
            f"{path} has no coordinate reference system, so its polygons cannot be placed on the scene "
            f"({georef.crs_name}): assign one, for example with ogr2ogr -a_srs"
        )
    if crs is not None and georef.crs_wkt is None:
        raise DataError(
            f"the scene has no georeference, so the polygons of {path} ({_short(crs)}) cannot be placed on it: "
            "leave them out"
        )


def _refuse_unrelated(path: Path, crs: str | None, georef: GeoReference) -> None:
    from pyproj.exceptions import ProjError

    if crs is None or georef.crs_wkt is None:
        return
    try:
        _transformer(crs, georef.crs_wkt)
    except ProjError as error:
        raise DataError(
            f"the polygons of {path} ({_short(crs)}) cannot be placed on the scene ({georef.crs_name}), no "
            "transformation leads from one to the other: bring them to another coordinate reference system"
        ) from error


def _bounds_in(crs: str | None, georef: GeoReference) -> tuple[float, float, float, float] | None:
    """Return the scene's bounds in another system, a little wider, or None where that is no rectangle."""
    left, bottom, right, top = georef.bounds()
    if crs is not None and georef.crs_wkt is not None:
        transformer = _transformer(georef.crs_wkt, crs)
        left, bottom, right, top = transformer.transform_bounds(left, bottom, right, top, densify_pts=_STEPS)
    if not (np.isfinite((left, bottom, right, top)).all() and left < right and bottom < top):
        return None  # across the date line or a pole
    margin = max(right - left, top - bottom) / _STEPS
    return left - margin, bottom - margin, right + margin, top + margin


def _to_scene(xy_n2: NDArray[np.float64], crs: str | None, georef: GeoReference) -> NDArray[np.float64]:
    if crs is None or georef.crs_wkt is None:
        return xy_n2
    return np.stack(_transformer(crs, georef.crs_wkt).transform(*xy_n2.T), axis=1)


@functools.lru_cache(maxsize=8)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def _apart(
    path: Path,
    crs: str | None,
    extent: tuple[float, float, float, float],
    georef: GeoReference,
    bounds: tuple[float, float, float, float] | None,
) -> DataError:
    if bounds is None:
        polygons, scene = f"{_words(extent)} of {_short(crs)}", f"{_words(georef.bounds())} of {georef.crs_name}"
    else:
        polygons, scene = _words(extent), f"{_words(bounds)} of {_short(crs)}"
    return DataError(
        f"the polygons of {path} do not overlap the scene: they lie in {polygons}, the scene in {scene}: "
        "choose a file of the same place"
    )


def _short(crs: str | None) -> str:
    return "map coordinates" if crs is None else crs if len(crs) < _LONG_NAME else "its coordinate reference system"


def _words(extent: tuple[float, float, float, float]) -> str:
    decimals = 0 if max(abs(value) for value in extent) > _DEGREES_END else 4
    left, bottom, right, top = (f"{value:.{decimals}f}" for value in extent)
    return f"x {left} to {right}, y {bottom} to {top}"


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
