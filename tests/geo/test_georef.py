"""Pixels to metres and to true north, against geodesics computed in the opposite direction."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from georasters import UTM, make_raster
from shipseg.geo.georef import GeoReference, Transform
from shipseg.geo.reader import open_scene

SHAPE = (4000, 5000)
SHIP_M = 200.0
HEADINGS = (0.0, 23.0, 90.0, 131.0, 179.0)
# Coordinate reference system, longitude and latitude of the upper left corner, coefficients (a, b, d, e).
PLACES: dict[str, tuple[str, float, float, tuple[float, float, float, float]]] = {
    "at the edge of a UTM zone": ("EPSG:32631", 5.95, 60.0, (1.5, 0, 0, -1.5)),
    "south of the equator": ("EPSG:32733", 12.1, -33.0, (0.5, 0, 0, -0.5)),
    "Web Mercator at 60 N": ("EPSG:3857", 10.0, 60.0, (3.0, 0, 0, -3.0)),
    "degrees at 60 N": ("EPSG:4326", 10.0, 60.0, (2e-5, 0, 0, -1e-5)),
    "degrees across the date line": ("EPSG:4326", 179.98, 50.0, (2e-5, 0, 0, -1e-5)),
    "polar stereographic": ("EPSG:3413", 30.0, 78.0, (1.5, 0, 0, -1.5)),
    "rotated": ("EPSG:32631", 3.0, 52.0, (1.3, 0.75, 0.75, -1.3)),
    "sheared and unequal": ("EPSG:32631", 3.0, 52.0, (0.9, 0.2, 0.1, -2.1)),
    "row 0 in the south": ("EPSG:32631", 3.0, 52.0, (1.5, 0, 0, 1.5)),
    "feet": ("EPSG:2263", -73.9, 40.6, (4.9, 0, 0, -4.9)),
}


def reference_at(place: str) -> GeoReference:
    crs, lon, lat, (a, b, d, e) = PLACES[place]
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    return GeoReference.of((a, b, x, d, e, y), crs, SHAPE)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("center", [(2500.0, 2000.0), (150.0, 3800.0)])
def test_length_and_true_heading_of_a_ship_are_recovered(
    place: str, heading: float, center: tuple[float, float]
) -> None:
    georef = reference_at(place)
    crs = PLACES[place][0]
    lonlat = georef.lonlat(np.array([center]))
    assert lonlat is not None
    lon, lat = lonlat[0]
    # The ship is constructed on the ellipsoid and transformed to pixels by pyproj and numpy alone.
    bow = Geod(ellps="WGS84").fwd(lon, lat, heading, SHIP_M / 2)[:2]
    stern = Geod(ellps="WGS84").fwd(lon, lat, heading + 180, SHIP_M / 2)[:2]
    to_map = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    a, b, c, d, e, f = georef.transform
    forward = np.array([[a, b, c], [d, e, f], [0, 0, 1]])
    ends_px = []
    for end_lon, end_lat in (bow, stern):
        x, y = to_map.transform(end_lon, end_lat)
        if crs == "EPSG:4326" and x < 0:
            x += 360  # longitudes of this scene continue beyond 180 degrees
        ends_px.append(np.linalg.solve(forward, [x, y, 1])[:2])
    step = georef.local_metres(*center)
    assert step is not None
    east, north = step @ (ends_px[0] - ends_px[1])
    assert np.hypot(east, north) == pytest.approx(SHIP_M, rel=1e-3)
    off = (np.degrees(np.arctan2(east, north)) - heading + 180) % 360 - 180
    assert abs(off) < 0.05


def test_web_mercator_at_60_north_has_half_its_nominal_pixel_size() -> None:
    size = reference_at("Web Mercator at 60 N").pixel_size_m()
    assert size is not None
    assert size == pytest.approx((1.5, 1.5), rel=0.01)


def test_degrees_at_60_north_are_half_as_wide_as_high() -> None:
    size = reference_at("degrees at 60 N").pixel_size_m()  # 2e-5 degrees wide, 1e-5 high
    assert size is not None
    assert size == pytest.approx((1.116, 1.114), rel=0.003)


def test_column_and_row_steps_may_differ() -> None:
    georef = GeoReference.of((2.0, 0, 500_000, 0, -1.0, 5_600_000), "EPSG:32631", SHAPE)
    assert georef.pixel_size_m() == pytest.approx((2.0, 1.0), rel=1e-3)


def test_longitude_comes_first_whatever_the_axis_order_of_the_system() -> None:
    lonlat = GeoReference.of((1e-5, 0, 10.0, 0, -1e-5, 60.0), "EPSG:4326", SHAPE).lonlat(np.array([[0.0, 0.0]]))
    assert lonlat is not None
    assert lonlat.tolist() == [[10.0, 60.0]]


def test_longitudes_beyond_the_date_line_are_wrapped() -> None:
    lonlat = GeoReference.of((1e-3, 0, 179.999, 0, -1e-3, 60.0), "EPSG:4326", SHAPE).lonlat(np.array([[2.0, 0.0]]))
    assert lonlat is not None
    np.testing.assert_allclose(lonlat, [[-179.999, 60.0]])


@given(
    st.tuples(*[st.floats(-5, 5) for _ in range(2)], st.floats(-1e6, 1e6)),
    st.tuples(*[st.floats(-5, 5) for _ in range(2)], st.floats(-1e6, 1e6)),
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=5),
)
def test_pixels_is_the_inverse_of_xy(
    row_a: tuple[float, float, float], row_d: tuple[float, float, float], points: list[tuple[float, float]]
) -> None:
    transform: Transform = (*row_a, *row_d)
    if abs(row_a[0] * row_d[1] - row_a[1] * row_d[0]) < 0.1:
        return
    georef = GeoReference(transform, None, "none", SHAPE)
    points_n2 = np.array(points)
    np.testing.assert_allclose(georef.pixels(georef.xy(points_n2)), points_n2, atol=1e-3)


def test_bounds_of_a_rotated_scene_come_from_its_corners() -> None:
    georef = GeoReference.of((0.0, 2.0, 500_000, 1.0, 0.0, 5_600_000), "EPSG:32631", (10, 20))
    assert georef.bounds() == (500_000, 5_600_000, 500_020, 5_600_020)


def test_a_point_outside_the_scene_has_the_scale_of_the_nearest_pixel() -> None:
    georef = reference_at("degrees at 60 N")
    corner, beyond = georef.local_metres(0.5, 0.5), georef.local_metres(-30, -900)
    assert corner is not None
    assert beyond is not None
    assert corner.tolist() == beyond.tolist()


def test_a_pixel_at_the_pole_has_a_finite_size() -> None:
    step = GeoReference.of((1.0, 0, -180, 0, -1.0, 90), "EPSG:4326", (180, 360)).local_metres(100, 0)
    assert step is not None
    assert np.isfinite(step).all()


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        ((1.5, 0, 5e5, 0, -1.5, 6e6), None, "no coordinate reference system"),
        ((1.5, 0, 5e5, 0, 0, 6e6), "EPSG:32631", "has no area"),
        ((float("nan"), 0, 5e5, 0, 1.5, 6e6), "EPSG:32631", "has no area"),
        ((1.5, 0, 5e5, 0, -1.5, 6e6), 'LOCAL_CS["harbour grid",UNIT["metre",1]]', "'harbour grid' is neither"),
        ((1.5, 0, 5e5, 0, -1.5, 6e9), "EPSG:32631", "outside the area of use of"),
        ((1.5, 0, 5e5, 0, -1.5, 6e6), "EPSG:4326", "gives no longitude and latitude"),
        ((1e308, 0, 5e5, 0, -1e308, 6e6), "EPSG:32631", "has no area"),
        ((1e-5, 0, 10, 0, -1e-5, 90.01), "EPSG:4326", "for a corner of the scene"),
        ((1e-12, 0, 10, 0, -1e-12, 50), "EPSG:4326", "no size on the ground"),
        ((1.5, 0, 10, 0, -1.5, 40), "+proj=longlat +R=1737400 +no_defs", "gives no longitude and latitude"),
    ],
)
def test_unusable_georeferences_are_none_with_the_reason(transform: Transform, crs: str | None, message: str) -> None:
    georef = GeoReference.of(transform, crs, SHAPE)
    assert (georef.kind, georef.crs_wkt) == ("none", None)
    assert message in georef.note
    assert georef.lonlat(np.zeros((1, 2))) is None
    assert georef.local_metres(0, 0) is None
    assert georef.pixel_size_m() is None


def test_without_a_georeference_map_coordinates_are_pixels() -> None:
    georef = GeoReference.without(SHAPE, "why")
    assert georef.xy(np.array([[3.0, 4.5]])).tolist() == [[3.0, 4.5]]
    assert georef.crs_name == "no coordinate reference system"


def test_a_georeference_can_be_pickled() -> None:
    georef = reference_at("rotated")
    assert pickle.loads(pickle.dumps(georef)) == georef
    assert georef.crs_name == "EPSG:32631 (WGS 84 / UTM zone 31N)"


def test_a_transform_that_is_not_invertible_is_replaced_by_pixels() -> None:
    for transform in [(1e308, 0, 0, 0, 1e308, 0), (1.0, 1, 0, 1, 1, 0), (float("nan"), 0, 0, 0, 1, 0)]:
        georef = GeoReference.of(transform, "EPSG:32631", SHAPE)
        assert georef.bounds() == (0, 0, SHAPE[1], SHAPE[0])


GREY = np.zeros((1, 100, 200), "uint8")


def read_georef(path: Path) -> tuple[GeoReference, tuple[str, ...]]:
    with open_scene(path) as scene:
        return scene.georef, scene.notes


def with_points(path: Path, points: Sequence[tuple[float, float, float, float]], crs: str = UTM) -> Path:
    """Write a scene with ground control points (column, row, x, y) and no geotransform."""
    gcps = [GroundControlPoint(row=row, col=col, x=x, y=y) for col, row, x, y in points]
    make_raster(path, GREY, crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.gcps = (gcps, rasterio.CRS.from_string(crs))
    return path


def rotated(col: float, row: float) -> tuple[float, float]:
    turn = math.radians(30)
    x, y = 1.5 * col, -1.5 * row
    return 5e5 + math.cos(turn) * x - math.sin(turn) * y, 6e6 + math.sin(turn) * x + math.cos(turn) * y


CORNERS = [(0, 0), (200, 0), (200, 100), (0, 100), (90, 40)]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_are_fitted(tmp_path: Path) -> None:
    path = with_points(tmp_path / "a.tif", [(col, row, *rotated(col, row)) for col, row in CORNERS])
    georef, notes = read_georef(path)
    np.testing.assert_allclose(georef.xy(np.array([[33.0, 44.0]])), [rotated(33, 44)], atol=1e-6)
    assert georef.pixel_size_m() == pytest.approx((1.5, 1.5), rel=1e-3)
    assert "fitted to 5 ground control points with a residual of 0.00 m" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_residual_of_the_fit_is_stated_in_metres(tmp_path: Path) -> None:
    # Four corners of a square, two opposite ones 4 m too far north, the others 4 m too far south: the best fit has a
    # residual of 4 m at each.
    points = [
        (col, row, 5e5 + col, 6e6 - row + (4 if (col == 0) == (row == 0) else -4))
        for col in (0, 100)
        for row in (0, 100)
    ]
    georef, notes = read_georef(with_points(tmp_path / "a.tif", points))
    assert georef.kind == "projected"
    assert "with a residual of 4.00 m (root mean square; at most 4.00 m)" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_in_degrees_have_a_residual_in_metres_too(tmp_path: Path) -> None:
    points = [(col, row, 3 + col * 1e-5, 60 - row * 1e-5) for col, row in CORNERS]
    georef, notes = read_georef(with_points(tmp_path / "a.tif", points, crs="EPSG:4326"))
    assert georef.kind == "geographic"
    assert "a residual of 0.00 m" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("chosen", [CORNERS[:2], [(0, 0), (50, 25), (200, 100)]])
def test_two_points_or_points_on_a_line_are_too_few(tmp_path: Path, chosen: list[tuple[int, int]]) -> None:
    path = with_points(tmp_path / "a.tif", [(col, row, *rotated(col, row)) for col, row in chosen])
    georef, notes = read_georef(path)
    assert georef.kind == "none"
    assert f"{len(chosen)} ground control points, but needs at least three that are not on a line" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rational_polynomials_alone_give_no_georeference_with_the_reason(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", GREY, crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        coefficients = [1.0] + [0.0] * 19
        file.rpcs = RPC(0, 100, 52, 1, *[coefficients] * 2, 50, 50, 3, 1, *[coefficients] * 2, 100, 100)
    georef, notes = read_georef(path)
    assert georef.kind == "none"
    assert "only rational polynomial coefficients (RPC)" in notes[-1]
    assert "gdalwarp -rpc" in notes[-1]


def test_a_rotated_geotransform_is_kept(tmp_path: Path) -> None:
    transform = (1.3, 0.75, 5e5, 0.75, -1.3, 6e6)
    georef, _ = read_georef(make_raster(tmp_path / "a.tif", GREY, transform=transform))
    assert georef.transform == transform
    assert georef.pixel_size_m() == pytest.approx((1.5, 1.5), rel=2e-3)


def test_degrees_are_geographic(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", GREY, crs="EPSG:4326", transform=(1e-5, 0, 3, 0, -1e-5, 60))
    assert read_georef(path)[0].kind == "geographic"


@pytest.mark.parametrize(
    ("crs", "transform", "message"),
    [
        (None, (1.5, 0, 5e5, 0, -1.5, 6e6), "the scene has no coordinate reference system: sizes are in pixels"),
        (UTM, None, "the scene has no geotransform: sizes are in pixels"),
        (None, None, "the scene has no georeference: sizes are in pixels"),
    ],
)
def test_a_missing_transform_or_reference_system_is_named(
    tmp_path: Path, crs: str | None, transform: tuple[float, ...] | None, message: str
) -> None:
    georef, notes = read_georef(make_raster(tmp_path / "a.tif", GREY, crs=crs, transform=transform))
    assert georef.kind == "none"
    assert message in notes[-1]


def test_map_coordinates_are_kept_if_only_the_reference_system_is_missing(tmp_path: Path) -> None:
    georef, _ = read_georef(make_raster(tmp_path / "a.tif", GREY, crs=None))
    assert georef.xy(np.array([[2.0, 2.0]])).tolist() == [[500_003.0, 5_999_997.0]]
