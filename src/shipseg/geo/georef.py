"""Where on Earth a scene's pixels are: pixel -> map coordinates, longitude and latitude, true metres and true north."""

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
_IN_PIXELS = "sizes are in pixels unless --metres-per-pixel says what one measures"
_STATED = "sizes are in metres by the stated pixel of {:g} m, nothing is in degrees"
_DATE_LINE = 180.0  # degrees
_POLE = 90.0
_ROUNDING = 1e-9  # of a pole computed as so many pixels from the scene's other end
_LEAST_PIXEL_M = 1e-6  # what longitudes and latitudes still tell apart in float64, ten times over


@dataclass(frozen=True)
class GeoReference:
    """Where a scene's pixels are. Points are (column, row) in pixel-edge coordinates: pixel (0, 0) covers 0 to 1.

    Args:
        transform: From (column, row) to map coordinates; the identity where the file states none.
        crs_wkt: The coordinate reference system as WKT; None where there is none that leads to places on Earth.
        kind: Of that system; "none": everything stays in pixels, `lonlat`, `local_metres` and `pixel_size_m` are None.
        shape: (height, width) of the scene in pixels.
        note: One sentence about what is unusual (fitted ground control points, why there is no reference), or "".
        stated_m: What somebody said that a pixel measures; None where nobody did, or where the system says it.

    Example:
        >>> there = GeoReference.of((2.0, 0, 500_000, 0, -2.0, 5_600_000), "EPSG:32631", (100, 100))
        >>> there.kind, [round(metres, 3) for metres in there.pixel_size_m()]
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
        """Return the reference for a transform and a coordinate reference system (WKT or such as "EPSG:32631").

        Where the system does not lead to places on Earth (a local system, another planet, a transform without area) the
        kind is "none" and the note says why, instead of `note`.
        """
        transform = _six(transform)
        parsed = None if crs is None else _crs(crs)
        fault = _fault(transform, parsed, shape)
        if parsed is None or fault:
            if not _has_area(transform, shape):
                transform = cls.nowhere(shape, "").transform
            return cls(transform, None, "none", shape, f"{fault}: {_IN_PIXELS}")
        return cls(transform, parsed.to_wkt(), "geographic" if parsed.is_geographic else "projected", shape, note)

    @classmethod
    def nowhere(cls, shape: tuple[int, int], why: str) -> GeoReference:
        """Return the reference of a scene that has none, with the reason: map coordinates are (column, row)."""
        return cls(IDENTITY, None, "none", shape, f"{why}: {_IN_PIXELS}")

    def with_stated_pixel(self, metres: float) -> GeoReference:
        """Return this reference; of a scene that has no place, with the stated size of a pixel, and a note of it."""
        if self.kind != "none":
            return self
        return replace(self, stated_m=metres, note=self.note.replace(_IN_PIXELS, _STATED.format(metres)))

    @property
    def crs_name(self) -> str:
        """The coordinate reference system in words, such as "EPSG:32631 (WGS 84 / UTM zone 31N)"."""
        if self.crs_wkt is None:
            return "no coordinate reference system"
        crs = _crs(self.crs_wkt)
        code = crs.to_authority()
        return f"{':'.join(code)} ({crs.name})" if code else str(crs.name)

    @property
    def is_in_pixels(self) -> bool:
        """Whether map coordinates are (column, row): there is no geotransform."""
        return self.transform == IDENTITY

    @property
    def center(self) -> tuple[float, float]:
        """(column, row) of the scene's centre."""
        return self.shape[1] / 2, self.shape[0] / 2

    @property
    def corners(self) -> NDArray[np.float64]:
        """(column, row) of the scene's corners, float64 (4, 2), around it from the upper left one."""
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

        Longitudes are from -180 to 180 also where the scene counts on across the date line.
        """
        if self.crs_wkt is None:
            return None
        x, y = self.xy(points_n2).T
        lon, lat = _to_lonlat(self.crs_wkt).transform(x, y)
        return np.stack([np.where(np.abs(lon) > _DATE_LINE, (lon + 180) % 360 - 180, lon), lat], axis=1)

    def local_metres(self, col: float, row: float) -> NDArray[np.float64] | None:
        """Return the matrix J (2, 2) that turns a small pixel vector at a place into metres, or None.

        J @ (columns, rows) = (metres east, metres north): along the ellipsoid and by true north, so the scale and the
        convergence of the projection are taken out. Of a place outside the scene the nearest pixel's is returned.
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
        """Return the metres of a step of one column and of one row at the scene's centre, or None."""
        step = self.local_metres(*self.center)
        return None if step is None else (float(np.hypot(*step[:, 0])), float(np.hypot(*step[:, 1])))

    def bounds(self) -> tuple[float, float, float, float]:
        """Return (left, bottom, right, top): the smallest and largest map coordinates of the scene's corners."""
        corners = self.xy(self.corners)
        return (*(float(v) for v in corners.min(axis=0)), *(float(v) for v in corners.max(axis=0)))  # type: ignore[return-value]


def _six(values: Transform) -> Transform:
    a, b, c, d, e, f = (float(value) for value in values)
    return a, b, c, d, e, f


def _has_area(transform: Transform, shape: tuple[int, int]) -> bool:
    """Return whether map coordinates of the whole scene can be computed, and pixels of them."""
    a, b, _, d, e, _ = transform
    with np.errstate(over="ignore", invalid="ignore"):
        corners = GeoReference(transform, None, "none", shape).bounds()
    return bool(np.isfinite(corners).all()) and 0 < abs(a * e - b * d) < float("inf")


def _fault(transform: Transform, crs: pyproj.CRS | None, shape: tuple[int, int]) -> str:
    """Return why pixels cannot be brought to longitude and latitude, or ""."""
    if crs is None:
        return "the scene has no coordinate reference system"
    if not _has_area(transform, shape):
        return f"the geotransform {transform} has no area"
    if not (crs.is_projected or crs.is_geographic):
        return f"the coordinate reference system {crs.name!r} is neither projected nor geographic"
    from pyproj.exceptions import ProjError

    there = GeoReference(transform, crs.to_wkt(), "projected", shape)
    center, *corners = there.xy(np.array([there.center, *there.corners]))
    try:
        to_lonlat = _to_lonlat(crs.to_wkt())
        lon, lat = to_lonlat.transform(*center)
        back = to_lonlat.transform(lon, lat, direction="INVERSE")
    except ProjError:
        lon = lat = np.nan
    if not (np.isfinite(lon) and abs(lat) <= _POLE):
        return f"{crs.name!r} gives no longitude and latitude for the scene's centre {_pair(center)}"
    if crs.is_projected and not np.allclose(back, center, rtol=1e-6, atol=1):
        return f"the scene's centre {_pair(center)} lies outside the world of {crs.name!r}"
    for corner in corners:
        lon, lat = to_lonlat.transform(*corner)
        if not (np.isfinite(lon) and abs(lat) <= _POLE + _ROUNDING):
            return f"{crs.name!r} gives no longitude and latitude for a corner of the scene {_pair(corner)}"
    size_m = there.pixel_size_m()
    if size_m is None or not min(size_m) > _LEAST_PIXEL_M:
        return f"a pixel of the geotransform {transform} has no size on the ground"
    return ""


def _pair(xy: NDArray[np.float64]) -> str:
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


# Where an open raster lies: its geotransform, else its ground control points, else nowhere, with the reason said.

_POINTS_NEEDED = 3  # for a transform of six numbers


def georeference_of(dataset: Any) -> GeoReference:
    """Return where the pixels of an open rasterio dataset are.

    A dataset with ground control points and no geotransform gets the transform that fits them best; the note states
    the residual. Rational polynomial coefficients need a model of heights and are not used, which the note says.
    """
    shape = (dataset.height, dataset.width)
    transform = _transform(dataset.transform)
    points, points_crs = dataset.gcps
    if transform != IDENTITY:
        return GeoReference.of(transform, _wkt(dataset.crs), shape)
    if points:
        return _from_points(points, _wkt(points_crs), shape)
    if dataset.rpcs is not None:
        return GeoReference.nowhere(
            shape,
            "the scene has only rational polynomial coefficients (RPC), which need a height model "
            "(orthorectify it first, for example with gdalwarp -rpc)",
        )
    return GeoReference.nowhere(shape, f"the scene has no {'geotransform' if dataset.crs else 'georeference'}")


def _from_points(points: list[Any], crs_wkt: str | None, shape: tuple[int, int]) -> GeoReference:
    from rasterio.transform import from_gcps

    if crs_wkt is None:
        return GeoReference.nowhere(shape, "the scene's ground control points have no coordinate reference system")
    at_n2 = np.array([(point.col, point.row) for point in points], float)
    if len(points) < _POINTS_NEEDED or np.linalg.matrix_rank(at_n2 - at_n2[0]) < 2:
        return GeoReference.nowhere(
            shape, f"the scene has {len(points)} ground control points where three that are not in line are needed"
        )
    fitted = GeoReference.of(_transform(from_gcps(points)), crs_wkt, shape)
    if fitted.crs_wkt is None:
        return fitted
    away_n2 = fitted.pixels(np.array([(point.x, point.y) for point in points], float)) - at_n2
    steps = [fitted.local_metres(col, row) for col, row in at_n2]
    away_m = [float(np.hypot(*(step @ away))) for step, away in zip(steps, away_n2, strict=True) if step is not None]
    note = (
        f"the transform was fitted to {len(points)} ground control points, which lie "
        f"{np.sqrt(np.mean(np.square(away_m))):.2f} m off it (root mean square; at most {max(away_m):.2f} m)"
    )
    return GeoReference.of(fitted.transform, crs_wkt, shape, note=note)


def _transform(affine: Any) -> Transform:
    a, b, c, d, e, f = affine[:6]
    return float(a), float(b), float(c), float(d), float(e), float(f)


def _wkt(crs: Any) -> str | None:
    return crs.to_wkt(version="WKT2_2019") if crs else None
