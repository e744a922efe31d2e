"""Ships on the ground: lengths, widths and headings for any pixels, and outlines along pixel edges."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import Ship, ship_from_mask, ships_from_mask
from shipseg.scenes.ships import SceneShip, measure_ship, measure_ships, outline

pyproj = pytest.importorskip("pyproj")
features = pytest.importorskip("rasterio.features")

SHAPE = (2000, 2000)
LENGTH_M, WIDTH_M = 200.0, 32.0


def utm(step: float = 1.0, *, turned_deg: float = 0.0, ratio: float = 1.0) -> GeoReference:
    """Return a georeference far from the zone's middle, where grid north is 2.4 degrees off true north."""
    angle = np.radians(turned_deg)
    a, d = step * np.cos(angle), step * np.sin(angle)
    return GeoReference.of((a, ratio * d, 720_000.0, d, -ratio * a, 5_600_000.0), "EPSG:32631", SHAPE)


GEOREFS = {
    "utm": utm(),
    "oblong pixels": utm(ratio=2.5),
    "turned raster": utm(turned_deg=33.0),
    "turned, oblong": utm(turned_deg=120.0, ratio=0.5),
    "degrees": GeoReference.of((1.4e-5, 0.0, 5.0, 0.0, -0.9e-5, 60.0), "EPSG:4326", SHAPE),
    "web mercator": GeoReference.of((2.0, 0.0, 556_000.0, 0.0, -2.0, 8_399_000.0), "EPSG:3857", SHAPE),
    "south polar": GeoReference.of((1.0, 0.0, 1_000_000.0, 0.0, -1.0, 1_500_000.0), "EPSG:3031", SHAPE),
}


def ship_on_the_ground(georef: GeoReference, *, heading: float) -> Ship:
    """Return the pixels of a rectangle of LENGTH_M x WIDTH_M constructed on the ellipsoid by PROJ."""
    geod = pyproj.Geod(ellps="WGS84")
    lon, lat = _center(georef)
    corners = []
    for along, across in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        azimuth = heading + np.degrees(np.arctan2(across * WIDTH_M, along * LENGTH_M))
        corners.append(geod.fwd(lon, lat, azimuth, np.hypot(LENGTH_M, WIDTH_M) / 2)[:2])
    to_map = pyproj.Transformer.from_crs("EPSG:4326", georef.crs_wkt, always_xy=True)
    xy = np.stack(to_map.transform(*np.array(corners).T), axis=1)
    polygon = shapely.Polygon(georef.pixels(xy))
    return ship_from_mask(features.rasterize([polygon], out_shape=SHAPE) == 1)  # pixels whose centre lies inside


def _center(georef: GeoReference) -> tuple[float, float]:
    lonlat = georef.lonlat(np.array([[1000.0, 1000.0]]))
    assert lonlat is not None
    return float(lonlat[0, 0]), float(lonlat[0, 1])


@pytest.mark.parametrize("heading", [0.0, 27.0, 90.0, 151.0])
@pytest.mark.parametrize("name", GEOREFS)
def test_a_ship_constructed_on_the_ellipsoid_is_measured_with_its_true_size(name: str, heading: float) -> None:
    georef = GEOREFS[name]
    size = georef.pixel_size_m()
    assert size is not None
    found = measure_ship(ship_on_the_ground(georef, heading=heading), georef, number=1, scene="scene")
    assert found.length_m is not None
    assert found.width_m is not None
    assert found.heading_deg is not None
    # A side along the rows is a whole number of pixels, so it can be off by one.
    assert found.length_m == pytest.approx(LENGTH_M, abs=max(size))
    assert found.width_m == pytest.approx(WIDTH_M, abs=max(size))
    assert abs((found.heading_deg - heading + 90) % 180 - 90) < 0.4
    assert found.area_m2 == pytest.approx(found.length_m * found.width_m, rel=0.02)
    lon, lat = _center(georef)
    assert pyproj.Geod(ellps="WGS84").inv(lon, lat, found.lon, found.lat)[2] < max(size)


def test_square_pixels_change_only_the_unit() -> None:
    mask_hw = np.zeros((40, 60), bool)
    mask_hw[10:16, 5:45] = True
    georef = GeoReference.of((2.0, 0.0, 500_000.0, 0.0, -2.0, 0.0), "EPSG:32631", (40, 60))
    found = measure_ship(ship_from_mask(mask_hw), georef, number=7, scene="scene", acquired="2020-01-02", cut=True)
    # On the equator, in the middle of the zone: true metres are map metres / 0.9996, and there is no convergence.
    assert found.length_m == pytest.approx(40 * 2 / 0.9996, rel=1e-4)
    assert found.width_m == pytest.approx(6 * 2 / 0.9996, rel=1e-4)
    assert found.area_m2 == pytest.approx(240 * 4 / 0.9996**2, rel=1e-4)
    assert found.heading_deg == pytest.approx(90, abs=1e-3)
    np.testing.assert_allclose(
        sorted(found.box_px.round(3).tolist()), [[5, 10], [5, 16], [45, 10], [45, 16]], atol=1e-3
    )
    assert (found.id, found.acquired, found.cut, found.confidence, found.peak) == (7, "2020-01-02", True, 1.0, 1.0)


def test_the_box_is_right_angled_on_the_ground() -> None:
    georef = GEOREFS["turned, oblong"]
    found = measure_ship(ship_on_the_ground(georef, heading=27.0), georef, number=1, scene="scene")
    metres = georef.local_metres(1000, 1000)
    assert metres is not None
    sides = np.diff([*found.box_px, found.box_px[0]], axis=0) @ metres.T
    assert np.abs(np.sum(sides[0] * sides[1])) < 1e-3
    assert np.hypot(*sides[0]) == pytest.approx(found.length_m, rel=1e-4)
    assert np.hypot(*sides[1]) == pytest.approx(found.width_m, rel=1e-4)


def test_without_a_georeference_ships_are_in_pixels_only() -> None:
    mask_hw = np.zeros((40, 60), bool)
    mask_hw[10:16, 5:45] = True
    ship = ship_from_mask(mask_hw)
    found = measure_ship(ship, GeoReference.without((40, 60), "a photograph"), number=1, scene="scene")
    on_the_ground = (found.lon, found.lat, found.length_m, found.width_m, found.area_m2, found.heading_deg)
    assert on_the_ground == (None,) * 6
    np.testing.assert_array_equal(found.box_px, ship.corners_xy)


def test_without_a_georeference_sizes_follow_from_a_given_pixel_size() -> None:
    mask_hw = np.zeros((40, 60), bool)
    mask_hw[10:16, 5:45] = True
    georef = GeoReference.without((40, 60), "a photograph").with_pixel_size(0.5)
    found = measure_ship(ship_from_mask(mask_hw), georef, number=1, scene="scene")
    assert (found.length_m, found.width_m, found.area_m2) == pytest.approx((20.0, 3.0, 60.0))
    assert (found.lon, found.lat, found.heading_deg) == (None,) * 3


def test_longitude_stays_below_180() -> None:
    georef = GeoReference.of((1e-5, 0.0, 179.9999, 0.0, -1e-5, 10.0), "EPSG:4326", (40, 60))
    mask_hw = np.zeros((40, 60), bool)
    mask_hw[10:16, 20:50] = True
    found = measure_ship(ship_from_mask(mask_hw), georef, number=1, scene="scene")
    assert found.lon == pytest.approx(-179.99975)
    assert found.length_m == pytest.approx(30 * 1e-5 * 111_320 * np.cos(np.radians(10)), rel=2e-3)


def test_ships_are_numbered_from_the_top_then_from_the_left() -> None:
    mask_hw = np.zeros((100, 100), bool)
    for row, column in ((50, 10), (5, 60), (5, 20), (80, 40)):
        mask_hw[row : row + 3, column : column + 8] = True
    georef = GeoReference.without((100, 100), "")
    ships = measure_ships([(s, False) for s in ships_from_mask(mask_hw)], georef, scene="scene", shape=(100, 100))
    places = [(ship.id, ship.ship.mask_box[:2]) for ship in ships.ships]
    assert places == [(1, (5, 20)), (2, (5, 60)), (3, (50, 10)), (4, (80, 40))]


@given(mask=arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_is_valid_and_rasterises_to_the_ship(mask: NDArray[np.bool_]) -> None:
    mask = mask.copy()
    mask[0, 0] = True
    ship = ship_from_mask(np.pad(mask, ((3, 0), (5, 0))))
    polygon = outline(ship)
    assert shapely.is_valid(polygon)
    assert polygon.area == ship.area_px
    back_hw = features.rasterize([polygon], out_shape=(3 + mask.shape[0], 5 + mask.shape[1]))
    np.testing.assert_array_equal(back_hw == 1, ship.full_mask(back_hw.shape))


def test_holes_are_kept_and_parts_that_touch_at_corners_are_separate() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    polygon = outline(ship_from_mask(ring))
    assert isinstance(polygon, shapely.Polygon)
    assert len(polygon.interiors) == 1
    two = outline(ship_from_mask(np.eye(2, dtype=bool)))
    assert isinstance(two, shapely.MultiPolygon)
    assert len(two.geoms) == 2


def test_a_ship_can_be_pickled() -> None:
    import pickle

    found = measure_ship(ship_from_mask(np.ones((3, 9), bool)), utm(), number=1, scene="scene")
    again: SceneShip = pickle.loads(pickle.dumps(found))
    assert again.polygon_px == found.polygon_px
    assert again.length_m == found.length_m
