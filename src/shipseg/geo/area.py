"""Polygons of a vector file in the pixels of a scene: a water mask or an area of interest."""

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
from shipseg.geo.gdal import ogr_path, reason_of
from shipseg.geo.georef import GeoReference
from shipseg.tiling import Window

if TYPE_CHECKING:
    import pyproj

__all__ = ["Area", "Frame", "read_polygons"]


_POLYGONS = ("Polygon", "MultiPolygon")
_STEPS = 64  # segments of a straight edge across the scene: the edge is curved in another projection

_MAX_DEGREES = 360  # larger coordinates are metres or feet
_MAX_COORDINATE = 1e30  # in any unit; areas overflow with larger ones
_MAX_CRS_NAME = 40  # characters; a longer text is a definition, not a code such as EPSG:32631


def read_polygons(path: Path, georef: GeoReference, shape: tuple[int, int]) -> list[BaseGeometry]:
    """Return the valid polygons of a file that intersect a scene, in pixel-edge coordinates (column, row).

    A file without a coordinate reference system is accepted only for a scene without one. Its coordinates are then the
    scene's map coordinates, which are pixels if the scene has no geotransform either.

    Args:
        path: GeoJSON, GeoPackage, Shapefile or another format of OGR. Of several layers the first with polygons is
            read.
        georef: Georeference of the scene.
        shape: (height, width) of the scene.

    Raises:
        DataError: The file is missing, has no polygons or invalid ones; only the file or only the scene has a
            coordinate reference system; there is no transformation between the two; or the polygons do not overlap
            the scene.
        MissingExtraError: pyogrio is not installed.
    """
    if not path.exists():
        raise DataError(f"there is no file of polygons {path}: check the path")
    layer, crs, extent = _layer_info(path)
    _check_both_have_crs(path, crs, georef)
    _check_transformable(path, crs, georef)
    bounds = _bounds_in(crs, georef)
    polygons = _read_layer(path, layer, bounds)
    if bounds is not None:
        left, bottom, right, top = bounds
        longest = max(right - left, top - bottom) / _STEPS
        near = shapely.get_parts(shapely.intersection(polygons, shapely.box(*bounds)))
        polygons = shapely.segmentize(near[shapely.get_type_id(near) == shapely.GeometryType.POLYGON], longest)
    pixels = shapely.transform(polygons, lambda xy_n2: georef.pixels(_to_scene(xy_n2, crs, georef)))
    pixels = pixels[np.isfinite(shapely.bounds(pixels)).all(axis=1)]  # drops empty and untransformable polygons
    frame = shapely.box(0, 0, shape[1], shape[0])
    inside = [polygon for polygon in shapely.make_valid(pixels) if polygon.intersects(frame)]
    if not inside:
        raise _no_overlap_error(path, crs, extent, georef, bounds)
    return inside


def _layer_info(path: Path) -> tuple[str, str | None, tuple[float, float, float, float]]:
    """Return the name of the polygon layer, its coordinate reference system and its total bounds."""
    with needing("geo"):
        import pyogrio
    with _ogr_errors(path), ogr_path(path) as named:
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


def _read_layer(path: Path, layer: str, bounds: tuple[float, float, float, float] | None) -> NDArray[np.object_]:
    """Return the valid polygons of a layer that intersect `bounds`, each a Polygon."""
    import pyogrio

    with _ogr_errors(path), ogr_path(path) as named:
        _, _, wkb, _ = pyogrio.raw.read(named, layer=layer, bbox=bounds, columns=[], force_2d=True)
    try:
        with np.errstate(invalid="ignore"):
            found = shapely.from_wkb([geometry for geometry in wkb if geometry is not None])
    except shapely.errors.GEOSException as error:
        raise _invalid_geometry_error(path, str(error).partition(": ")[2]) from error
    largest = np.abs(shapely.get_coordinates(found)).max(initial=0)
    if not largest < _MAX_COORDINATE:
        raise _invalid_geometry_error(path, f"a coordinate of {largest:g}")
    parts = shapely.get_parts(shapely.get_parts(found))  # twice: multipolygons inside collections
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    if len(parts) and not is_polygon.any():
        raise DataError(f"{path} holds no polygons, but {parts[0].geom_type} features: choose another file")
    polygons: NDArray[np.object_] = shapely.get_parts(shapely.make_valid(parts[is_polygon & ~shapely.is_empty(parts)]))
    return polygons


def _invalid_geometry_error(path: Path, why: str) -> DataError:
    return DataError(f"{path} holds an invalid geometry ({why}): repair the file")


@contextlib.contextmanager
def _ogr_errors(path: Path) -> Iterator[None]:
    """Raise errors of OGR as one DataError."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about dimensions and fields that are not read
            yield
    except (DataLayerError, DataSourceError, FeatureError, GeometryError) as error:
        reason = reason_of(error, str(path)).partition(".;")[0]
        raise DataError(
            f"{path} cannot be read as polygons ({reason}): give a GeoJSON, GeoPackage or Shapefile"
        ) from error


def _check_both_have_crs(path: Path, crs: str | None, georef: GeoReference) -> None:
    if crs is None and georef.crs_wkt is not None:
        raise DataError(
            f"{path} has no coordinate reference system, so its polygons cannot be placed on the scene "
            f"({georef.crs_name}): assign one, for example with ogr2ogr -a_srs"
        )
    if crs is not None and georef.crs_wkt is None:
        raise DataError(
            f"the scene has no georeference, so the polygons of {path} ({_crs_label(crs)}) cannot be placed on it: "
            "leave them out"
        )


def _check_transformable(path: Path, crs: str | None, georef: GeoReference) -> None:
    from pyproj.exceptions import ProjError

    if crs is None or georef.crs_wkt is None:
        return
    try:
        _transformer(crs, georef.crs_wkt)
    except ProjError as error:
        raise DataError(
            f"the polygons of {path} ({_crs_label(crs)}) cannot be placed on the scene ({georef.crs_name}), there is "
            "no transformation between the two: reproject them to another coordinate reference system"
        ) from error


def _bounds_in(crs: str | None, georef: GeoReference) -> tuple[float, float, float, float] | None:
    """Return the scene's bounds with a margin in another system; None if they form no rectangle there."""
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


def _no_overlap_error(
    path: Path,
    crs: str | None,
    extent: tuple[float, float, float, float],
    georef: GeoReference,
    bounds: tuple[float, float, float, float] | None,
) -> DataError:
    if bounds is None:
        polygons = f"{_format_extent(extent)} of {_crs_label(crs)}"
        scene = f"{_format_extent(georef.bounds())} of {georef.crs_name}"
    else:
        polygons, scene = _format_extent(extent), f"{_format_extent(bounds)} of {_crs_label(crs)}"
    return DataError(
        f"the polygons of {path} do not overlap the scene: they lie in {polygons}, the scene in {scene}: "
        "give a file that covers the scene"
    )


def _crs_label(crs: str | None) -> str:
    return "map coordinates" if crs is None else crs if len(crs) < _MAX_CRS_NAME else "its coordinate reference system"


def _format_extent(extent: tuple[float, float, float, float]) -> str:
    decimals = 0 if max(abs(value) for value in extent) > _MAX_DEGREES else 4
    left, bottom, right, top = (f"{value:.{decimals}f}" for value in extent)
    return f"x {left} to {right}, y {bottom} to {top}"


Frame = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels."""

_MAX_POINTS = 256  # of one piece: a coastline of a million points is split once, not searched for every window


class Area:
    """The pixels of a scene inside polygons.

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
        """Return the area that the polygons of a file cover in a scene.

        Args:
            path: GeoJSON, GeoPackage, Shapefile or another format of OGR, in any coordinate reference system.
            georef: Georeference of the scene.
            shape: (height, width) of the scene.

        Raises:
            DataError: The file is missing or has no polygons; only the file or only the scene has a coordinate
                reference system; or the polygons do not overlap the scene.
            MissingExtraError: pyogrio is not installed.
        """
        return cls(read_polygons(Path(path), georef, shape), shape)

    def touches(self, window: Window) -> bool:
        """Return whether a window may contain a pixel of the area; False is definite."""
        return bool(len(self._intersecting(window)))

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels whose centres are in the area: bool (h, w)."""
        covered_hw = np.zeros((window.height, window.width), np.uint8)
        indices = self._intersecting(window)
        if len(indices):
            from rasterio.features import rasterize
            from rasterio.transform import Affine

            shift = Affine.translation(window.col0, window.row0)
            rasterize(list(self._pieces[indices]), out=covered_hw, transform=shift, default_value=1)
        return covered_hw.astype(bool)

    def _intersecting(self, window: Window) -> NDArray[np.int64]:
        box = shapely.box(window.col0, window.row0, window.col0 + window.width, window.row0 + window.height)
        return self._tree.query(box, predicate="intersects")


def _pieces(geometry: BaseGeometry, frame: Frame) -> Iterator[BaseGeometry]:
    """Yield a polygon split into pieces of few points.

    The cuts run along pixel edges, so no pixel centre lies on a cut.
    """
    for part in shapely.get_parts(geometry):
        if part.geom_type != "Polygon" or part.is_empty:
            continue
        left, top, right, bottom = frame
        if shapely.get_num_coordinates(part) <= _MAX_POINTS or max(right - left, bottom - top) <= 1:
            yield part
            continue
        if right - left >= bottom - top:
            middle = (left + right) // 2
            frames = ((left, top, middle, bottom), (middle, top, right, bottom))
        else:
            middle = (top + bottom) // 2
            frames = ((left, top, right, middle), (left, middle, right, bottom))
        for half, half_frame in zip(_halves(part, frames), frames, strict=True):
            yield from _pieces(half, half_frame)


def _halves(polygon: BaseGeometry, frames: tuple[Frame, Frame]) -> list[BaseGeometry]:
    # Clipping by a rectangle is four times as fast as intersecting, but wrong for some polygons with a vertex on the
    # cut.
    halves = [shapely.clip_by_rect(polygon, *frame) for frame in frames]
    if math.isclose(sum(half.area for half in halves), polygon.area, rel_tol=1e-9):
        return halves
    return [shapely.intersection(polygon, shapely.box(*frame)) for frame in frames]
