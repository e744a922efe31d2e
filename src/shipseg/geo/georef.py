"""Georeferencing of a scene: pixels to map coordinates, longitude and latitude, metres on the ground and true north."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from shipseg.extras import needing

if TYPE_CHECKING:
    import pyproj

__all__ = ["IDENTITY", "GeoReference", "Kind", "Transform", "georeference_of"]


Kind = Literal["projected", "geographic", "none"]
Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) as in `affine`: x = a * column + b * row + c, y = d * column + e * row + f."""

IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_LONLAT = "EPSG:4326"
_HALF_PIXEL = 0.5
_IN_PIXELS = "sizes are in pixels unless --metres-per-pixel gives the pixel size"
_STATED = "sizes are in metres by the given pixel size of {:g} m, there are no longitudes and latitudes"
_DATE_LINE = 180.0  # degrees
_POLE = 90.0
_ROUNDING = 1e-9  # degrees, of a pole computed from the scene's opposite edge
_MIN_PIXEL_M = 1e-6  # ten times the resolution of longitude and latitude in float64


@dataclass(frozen=True)
class GeoReference:
    """The georeference of a scene. Points are (column, row) in pixel-edge coordinates: pixel (0, 0) covers 0 to 1.

    Args:
        transform: From (column, row) to map coordinates; the identity if the file has none.
        crs_wkt: The coordinate reference system as WKT; None if there is none that leads to places on Earth.
        kind: Kind of that system. With "none" everything stays in pixels, and `lonlat`, `local_metres` and
            `pixel_size_m` return None.
        shape: (height, width) of the scene in pixels.
        note: One sentence on fitted ground control points or on why the scene has no georeference, or "".
        stated_m: Pixel size in metres given by the user; None if none was given or the scene is georeferenced.

    Example:
        >>> georef = GeoReference.of((2.0, 0, 500_000, 0, -2.0, 5_600_000), "EPSG:32631", (100, 100))
        >>> georef.kind, [round(metres, 3) for metres in georef.pixel_size_m()]
        ('projected', [2.001, 2.001])
    """

    transform: Transform
    crs_wkt: str | None
    kind: Kind
    shape: tuple[int, int]
    note: str = ""
    stated_m: float | None = None

    @classmethod
    def of(cls, transform: Transform, crs: str | None, shape: tuple[int, int], *, note: str = "") -> GeoReference:
        """Return the georeference for a transform and a coordinate reference system (WKT or a code like "EPSG:32631").

        If the system does not lead to places on Earth (a local system, another planet, a transform without area), the
        kind is "none" and the reason replaces `note`.
        """
        transform = _as_floats(transform)
        parsed = None if crs is None else _crs(crs)
        problem = _problem(transform, parsed, shape)
        if parsed is None or problem:
            if not _has_area(transform, shape):
                transform = IDENTITY
            return cls(transform, None, "none", shape, f"{problem}: {_IN_PIXELS}")
        return cls(transform, parsed.to_wkt(), "geographic" if parsed.is_geographic else "projected", shape, note)

    @classmethod
    def without(cls, shape: tuple[int, int], reason: str) -> GeoReference:
        """Return the georeference of a scene that has none: map coordinates are (column, row)."""
        return cls(IDENTITY, None, "none", shape, f"{reason}: {_IN_PIXELS}")

    def with_pixel_size(self, metres: float) -> GeoReference:
        """Return this georeference; if its kind is "none", with this pixel size and a note on it."""
        if self.kind != "none":
            return self
        return replace(self, stated_m=metres, note=self.note.replace(_IN_PIXELS, _STATED.format(metres)))

    @property
    def crs_name(self) -> str:
        """Code and name of the coordinate reference system, such as "EPSG:32631 (WGS 84 / UTM zone 31N)"."""
        if self.crs_wkt is None:
            return "no coordinate reference system"
        crs = _crs(self.crs_wkt)
        code = crs.to_authority()
        return f"{':'.join(code)} ({crs.name})" if code else str(crs.name)

    @property
    def is_in_pixels(self) -> bool:
        """Whether map coordinates are (column, row), because there is no geotransform."""
        return self.transform == IDENTITY

    @property
    def center(self) -> tuple[float, float]:
        """(column, row) of the scene's centre."""
        return self.shape[1] / 2, self.shape[0] / 2

    @property
    def corners(self) -> NDArray[np.float64]:
        """(column, row) of the scene's corners in order around the scene from the upper left, float64 (4, 2)."""
        height, width = self.shape
        return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)

    def xy(self, points_n2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the map coordinates float64 (N, 2) of points (column, row): x east, y north in most systems."""
        a, b, c, d, e, f = self.transform
        col, row = np.asarray(points_n2, np.float64).T
        return np.stack([a * col + b * row + c, d * col + e * row + f], axis=1)

    def pixels(self, xy_n2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the points (column, row), float64 (N, 2), of map coordinates: the inverse of `xy`."""
        a, b, c, d, e, f = self.transform
        x, y = np.asarray(xy_n2, np.float64).T
        determinant = a * e - b * d
        x, y = x - c, y - f
        return np.stack([(e * x - b * y) / determinant, (a * y - d * x) / determinant], axis=1)

    def lonlat(self, points_n2: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """Return (longitude, latitude) in degrees (WGS 84), float64 (N, 2), of points (column, row), or None.

        Longitudes are wrapped to -180 to 180, also where the coordinates of the scene continue across the date line.
        """
        if self.crs_wkt is None:
            return None
        x, y = self.xy(points_n2).T
        lon, lat = _to_lonlat(self.crs_wkt).transform(x, y)
        return np.stack([np.where(np.abs(lon) > _DATE_LINE, (lon + 180) % 360 - 180, lon), lat], axis=1)

    def local_metres(self, col: float, row: float) -> NDArray[np.float64] | None:
        """Return the local Jacobian J (2, 2) from pixels to metres at a point, or None.

        J @ (columns, rows) = (metres east, metres north), on the ellipsoid and relative to true north: scale and
        convergence of the projection are corrected. A point outside the scene gets the matrix of the nearest pixel.
        """
        if self.crs_wkt is None:
            return None
        height, width = self.shape
        col = min(max(col, _HALF_PIXEL), width - _HALF_PIXEL)
        row = min(max(row, _HALF_PIXEL), height - _HALF_PIXEL)
        steps_n2 = np.array([[0, 0], [-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
        lonlat_n2 = self.lonlat(steps_n2 + np.array([col, row]))
        assert lonlat_n2 is not None
        (lon, lat), others_42 = lonlat_n2[0], lonlat_n2[1:]
        azimuth, _, metres = _geod().inv([lon] * 4, [lat] * 4, others_42[:, 0], others_42[:, 1])
        east, north = metres * np.sin(np.radians(azimuth)), metres * np.cos(np.radians(azimuth))
        return np.array([[east[1] - east[0], east[3] - east[2]], [north[1] - north[0], north[3] - north[2]]])

    def pixel_size_m(self) -> tuple[float, float] | None:
        """Return the size in metres of one column step and one row step at the scene's centre, or None."""
        step = self.local_metres(*self.center)
        return None if step is None else (float(np.hypot(*step[:, 0])), float(np.hypot(*step[:, 1])))

    def bounds(self) -> tuple[float, float, float, float]:
        """Return (left, bottom, right, top): the smallest and largest map coordinates of the scene's corners."""
        corners = self.xy(self.corners)
        return (*(float(v) for v in corners.min(axis=0)), *(float(v) for v in corners.max(axis=0)))  # type: ignore[return-value]


def _as_floats(values: Transform) -> Transform:
    a, b, c, d, e, f = (float(value) for value in values)
    return a, b, c, d, e, f


def _has_area(transform: Transform, shape: tuple[int, int]) -> bool:
    """Return whether the transform is finite over the whole scene and invertible."""
    a, b, _, d, e, _ = transform
    with np.errstate(over="ignore", invalid="ignore"):
        corners = GeoReference(transform, None, "none", shape).bounds()
    return bool(np.isfinite(corners).all()) and 0 < abs(a * e - b * d) < float("inf")


def _problem(transform: Transform, crs: pyproj.CRS | None, shape: tuple[int, int]) -> str:
    """Return why pixels cannot be transformed to longitude and latitude, or ""."""
    if crs is None:
        return "the scene has no coordinate reference system"
    if not _has_area(transform, shape):
        return f"the geotransform {transform} has no area"
    if not (crs.is_projected or crs.is_geographic):
        return f"the coordinate reference system {crs.name!r} is neither projected nor geographic"
    from pyproj.exceptions import ProjError

    georef = GeoReference(transform, crs.to_wkt(), "projected", shape)
    center, *corners = georef.xy(np.array([georef.center, *georef.corners]))
    try:
        to_lonlat = _to_lonlat(crs.to_wkt())
        lon, lat = to_lonlat.transform(*center)
        back = to_lonlat.transform(lon, lat, direction="INVERSE")
    except ProjError:
        lon = lat = np.nan
    if not (np.isfinite(lon) and abs(lat) <= _POLE):
        return f"{crs.name!r} gives no longitude and latitude for the scene's centre {_format_point(center)}"
    if crs.is_projected and not np.allclose(back, center, rtol=1e-6, atol=1):
        return f"the scene's centre {_format_point(center)} lies outside the area of use of {crs.name!r}"
    for corner in corners:
        lon, lat = to_lonlat.transform(*corner)
        if not (np.isfinite(lon) and abs(lat) <= _POLE + _ROUNDING):
            return f"{crs.name!r} gives no longitude and latitude for a corner of the scene {_format_point(corner)}"
    size_m = georef.pixel_size_m()
    if size_m is None or not min(size_m) > _MIN_PIXEL_M:
        return f"a pixel of the geotransform {transform} has no size on the ground"
    return ""


def _format_point(xy: NDArray[np.float64]) -> str:
    return f"({xy[0]:g}, {xy[1]:g})"


@functools.lru_cache(maxsize=64)
def _crs(text: str) -> pyproj.CRS:
    with needing("geo"):
        from pyproj import CRS
    return CRS.from_user_input(text)


@functools.lru_cache(maxsize=64)
def _to_lonlat(crs_wkt: str) -> pyproj.Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(_crs(crs_wkt), _LONLAT, always_xy=True)


@functools.lru_cache(maxsize=1)
def _geod() -> pyproj.Geod:
    from pyproj import Geod

    return Geod(ellps="WGS84")


# Georeference of an open raster: its geotransform, else its ground control points.

_MIN_POINTS = 3  # for the six coefficients of a transform


def georeference_of(dataset: Any) -> GeoReference:
    """Return the georeference of an open rasterio dataset.

    A dataset with ground control points and no geotransform gets the least-squares transform, with the residual in the
    note. Rational polynomial coefficients need a height model and are not used, as the note says.
    """
    shape = (dataset.height, dataset.width)
    transform = _transform(dataset.transform)
    points, points_crs = dataset.gcps
    if transform != IDENTITY:
        return GeoReference.of(transform, _wkt(dataset.crs), shape)
    if points:
        return _from_points(points, _wkt(points_crs), shape)
    if dataset.rpcs is not None:
        return GeoReference.without(
            shape,
            "the scene has only rational polynomial coefficients (RPC), which need a height model "
            "(orthorectify it first, for example with gdalwarp -rpc)",
        )
    return GeoReference.without(shape, f"the scene has no {'geotransform' if dataset.crs else 'georeference'}")


def _from_points(points: list[Any], crs_wkt: str | None, shape: tuple[int, int]) -> GeoReference:
    from rasterio.transform import from_gcps

    if crs_wkt is None:
        return GeoReference.without(shape, "the scene's ground control points have no coordinate reference system")
    at_n2 = np.array([(point.col, point.row) for point in points], float)
    if len(points) < _MIN_POINTS or np.linalg.matrix_rank(at_n2 - at_n2[0]) < 2:
        return GeoReference.without(
            shape, f"the scene has {len(points)} ground control points, but needs at least three that are not on a line"
        )
    fitted = GeoReference.of(_transform(from_gcps(points)), crs_wkt, shape)
    if fitted.crs_wkt is None:
        return fitted
    residuals_n2 = fitted.pixels(np.array([(point.x, point.y) for point in points], float)) - at_n2
    steps = [fitted.local_metres(col, row) for col, row in at_n2]
    residuals_m = [
        float(np.hypot(*(step @ residual)))
        for step, residual in zip(steps, residuals_n2, strict=True)
        if step is not None
    ]
    note = (
        f"the transform was fitted to {len(points)} ground control points with a residual of "
        f"{np.sqrt(np.mean(np.square(residuals_m))):.2f} m (root mean square; at most {max(residuals_m):.2f} m)"
    )
    return GeoReference.of(fitted.transform, crs_wkt, shape, note=note)


def _transform(affine: Any) -> Transform:
    a, b, c, d, e, f = affine[:6]
    return float(a), float(b), float(c), float(d), float(e), float(f)


def _wkt(crs: Any) -> str | None:
    return crs.to_wkt(version="WKT2_2019") if crs else None
