"""Where scenes without a plain geotransform lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from georasters import UTM, make_raster
from shipseg.geo.georef import GeoReference
from shipseg.geo.reader import open_scene

GREY = np.zeros((1, 100, 200), "uint8")


def placed(path: Path) -> tuple[GeoReference, tuple[str, ...]]:
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
    georef, notes = placed(path)
    np.testing.assert_allclose(georef.xy(np.array([[33.0, 44.0]])), [rotated(33, 44)], atol=1e-6)
    assert georef.pixel_size_m() == pytest.approx((1.5, 1.5), rel=1e-3)
    assert "fitted to 5 ground control points, which lie 0.00 m off it" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_residual_of_the_fit_is_stated_in_metres(tmp_path: Path) -> None:
    # Four corners of a square, two opposite ones 4 m too far north, the others 4 m too far south: no plane fits better
    # than the flat one, which is 4 m off everywhere.
    points = [
        (col, row, 5e5 + col, 6e6 - row + (4 if (col == 0) == (row == 0) else -4))
        for col in (0, 100)
        for row in (0, 100)
    ]
    georef, notes = placed(with_points(tmp_path / "a.tif", points))
    assert georef.kind == "projected"
    assert "which lie 4.00 m off it (root mean square; at most 4.00 m)" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_in_degrees_have_a_residual_in_metres_too(tmp_path: Path) -> None:
    points = [(col, row, 3 + col * 1e-5, 60 - row * 1e-5) for col, row in CORNERS]
    georef, notes = placed(with_points(tmp_path / "a.tif", points, crs="EPSG:4326"))
    assert georef.kind == "geographic"
    assert "0.00 m off" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("chosen", [CORNERS[:2], [(0, 0), (50, 25), (200, 100)]])
def test_two_points_or_points_in_line_are_too_few(tmp_path: Path, chosen: list[tuple[int, int]]) -> None:
    path = with_points(tmp_path / "a.tif", [(col, row, *rotated(col, row)) for col, row in chosen])
    georef, notes = placed(path)
    assert georef.kind == "none"
    assert f"{len(chosen)} ground control points where three that are not in line are needed" in notes[-1]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rational_polynomials_alone_are_no_place_and_it_is_said(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", GREY, crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        coefficients = [1.0] + [0.0] * 19
        file.rpcs = RPC(0, 100, 52, 1, *[coefficients] * 2, 50, 50, 3, 1, *[coefficients] * 2, 100, 100)
    georef, notes = placed(path)
    assert georef.kind == "none"
    assert "only rational polynomial coefficients (RPC)" in notes[-1]
    assert "gdalwarp -rpc" in notes[-1]


def test_a_rotated_geotransform_is_kept(tmp_path: Path) -> None:
    transform = (1.3, 0.75, 5e5, 0.75, -1.3, 6e6)
    georef, _ = placed(make_raster(tmp_path / "a.tif", GREY, transform=transform))
    assert georef.transform == transform
    assert georef.pixel_size_m() == pytest.approx((1.5, 1.5), rel=2e-3)


def test_degrees_are_geographic(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", GREY, crs="EPSG:4326", transform=(1e-5, 0, 3, 0, -1e-5, 60))
    assert placed(path)[0].kind == "geographic"


@pytest.mark.parametrize(
    ("crs", "transform", "said"),
    [
        (None, (1.5, 0, 5e5, 0, -1.5, 6e6), "the scene has no coordinate reference system: sizes are in pixels"),
        (UTM, None, "the scene has no geotransform: sizes are in pixels"),
        (None, None, "the scene has no georeference: sizes are in pixels"),
    ],
)
def test_a_missing_half_is_named(
    tmp_path: Path, crs: str | None, transform: tuple[float, ...] | None, said: str
) -> None:
    georef, notes = placed(make_raster(tmp_path / "a.tif", GREY, crs=crs, transform=transform))
    assert georef.kind == "none"
    assert said in notes[-1]


def test_map_coordinates_are_kept_where_only_their_name_is_missing(tmp_path: Path) -> None:
    georef, _ = placed(make_raster(tmp_path / "a.tif", GREY, crs=None))
    assert georef.xy(np.array([[2.0, 2.0]])).tolist() == [[500_003.0, 5_999_997.0]]
