"""Polygons of vector files in the pixels of a scene."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import rasterize
from shapely import LineString, MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

from shipseg.errors import DataError
from shipseg.geo.area import Area
from shipseg.geo.georef import GeoReference
from shipseg.tiling import Window, windows

UTM = "EPSG:32631"
SHAPE = (300, 400)
GEOREF = GeoReference.of((2.0, 0, 500_000, 0, -2.0, 6_000_000), UTM, SHAPE)
WHOLE = Window(0, 0, *SHAPE)


def on_map(*polygons_px: BaseGeometry) -> list[BaseGeometry]:
    return [shapely.transform(polygon, GEOREF.xy) for polygon in polygons_px]


def write_polygons(
    path: Path, polygons: list[BaseGeometry], *, crs: str | None = UTM, file_crs: str | None = None
) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "'crs' was not provided"
        frame = geopandas.GeoDataFrame(geometry=polygons, crs=crs)
        (frame if file_crs is None else frame.to_crs(file_crs)).to_file(path)
    return path


def star(center: tuple[float, float], radius: float, points: int) -> Polygon:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    reach = radius * (1 + 0.4 * np.sin(7 * angle))
    return Polygon(np.stack([center[0] + reach * np.cos(angle), center[1] + reach * np.sin(angle)], axis=1))


def rasterised(*polygons_px: BaseGeometry) -> NDArray[np.bool_]:
    drawn_hw: NDArray[np.bool_] = rasterize(polygons_px, out_shape=SHAPE).astype(bool)
    return drawn_hw


STARS = (star((120, 90), 60, 40), star((300, 200), 110, 3000), star((399, 5), 50, 900))


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.fgb"])
@pytest.mark.parametrize("file_crs", [UTM, "EPSG:4326", "EPSG:3857"])
def test_every_file_format_and_system_gives_the_same_pixels(tmp_path: Path, name: str, file_crs: str) -> None:
    file_crs = "EPSG:4326" if name == "a.geojson" else file_crs
    area = Area.read(write_polygons(tmp_path / name, on_map(*STARS), file_crs=file_crs), GEOREF, SHAPE)
    assert (area.mask(WHOLE) != rasterised(*STARS)).sum() <= 2  # a centre exactly on the edge may be on either side


def test_the_masks_of_windows_add_up_to_the_whole_mask() -> None:
    area = Area(list(STARS), SHAPE)
    together = np.zeros(SHAPE, bool)
    for window in windows(*SHAPE, tile=61, overlap=0):
        together[window.slices] = area.mask(window)
        assert area.touches(window) or not together[window.slices].any()
    np.testing.assert_array_equal(together, rasterised(*STARS))


def test_holes_are_outside() -> None:
    ring = Polygon(box(10, 10, 90, 90).exterior, [box(30, 30, 70, 70).exterior])
    mask = Area([ring], SHAPE).mask(WHOLE)
    assert (int(mask.sum()), bool(mask[50, 50]), bool(mask[20, 20])) == (80 * 80 - 40 * 40, False, True)


def test_a_self_intersecting_polygon_is_made_valid(tmp_path: Path) -> None:
    bow_tie = Polygon([(10, 10), (50, 50), (50, 10), (10, 50)])
    mask = Area.read(write_polygons(tmp_path / "a.gpkg", on_map(bow_tie)), GEOREF, SHAPE).mask(WHOLE)
    assert 700 < mask.sum() < 900  # two triangles, half of 40 x 40


def test_a_long_edge_is_straight_in_the_system_of_the_file(tmp_path: Path) -> None:
    # A parallel of latitude, 20 degrees long and stored with its end points only: it is curved in UTM.
    lon, lat = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(500_400, 5_999_700)
    below = box(lon - 10, lat - 5, lon + 10, lat)
    mask = Area.read(write_polygons(tmp_path / "a.geojson", [below], crs="EPSG:4326"), GEOREF, SHAPE).mask(WHOLE)
    assert (int(mask.sum(axis=0).min()), int(mask.sum(axis=0).max())) == (150, 150)


def test_the_polygons_of_multipolygons_and_mixed_geometries_are_read(tmp_path: Path) -> None:
    several = [MultiPolygon([box(0, 0, 10, 10), box(20, 0, 30, 10)]), LineString([(0, 0), (9, 9)]), box(50, 50, 60, 60)]
    path = tmp_path / "a.geojson"
    write_polygons(path, on_map(*several), file_crs="EPSG:4326")
    assert Area.read(path, GEOREF, SHAPE).mask(WHOLE).sum() == pytest.approx(300, abs=3)


def test_touches_agrees_with_testing_each_of_ten_thousand_polygons() -> None:
    places = itertools.product(range(0, 20_000, 200), repeat=2)
    stars: list[BaseGeometry] = [star((x + 100, y + 100), 50, 30) for x, y in places if (x + y) % 12_000 > 2_000]
    area, each = Area(stars, (20_000, 20_000)), np.array(stars)
    tiles = windows(20_000, 20_000, tile=768, overlap=64)
    boxes = [box(w.col0, w.row0, w.col0 + w.width, w.row0 + w.height) for w in tiles]
    expected = [bool(shapely.intersects(each, box_px).any()) for box_px in boxes]
    assert [area.touches(window) for window in tiles] == expected
    assert {True, False} == set(expected)


def test_a_coastline_of_many_points_is_split() -> None:
    coast = star((200, 150), 100, 200_000)  # some of its vertices lie on cuts
    area = Area([coast], SHAPE)
    np.testing.assert_array_equal(area.mask(WHOLE), rasterised(coast))
    assert max(shapely.get_num_coordinates(area._pieces)) < 3000


@pytest.mark.parametrize("file_crs", [UTM, "EPSG:4326"])
def test_polygons_outside_the_scene_are_refused_with_both_extents(tmp_path: Path, file_crs: str) -> None:
    path = write_polygons(tmp_path / "a.gpkg", on_map(box(1000, 1000, 1100, 1100)), file_crs=file_crs)
    with pytest.raises(DataError, match="a.gpkg do not overlap the scene: they lie in x ") as error:
        Area.read(path, GEOREF, SHAPE)
    if file_crs == UTM:
        assert "x 502000 to 502200, y 5997800 to 5998000, the scene in x 499988 to 500812" in str(error.value)
    else:
        assert "y 54.1283 to 54.1301, the scene in x 2.9998 to 3.0124" in str(error.value)
        assert f"of {file_crs}" in str(error.value)


def test_a_polygon_of_which_only_the_bounding_box_overlaps_is_refused(tmp_path: Path) -> None:
    corner = Polygon([(-500, 350), (-500, 1000), (900, 1000), (900, 290), (890, 900)])
    with pytest.raises(DataError, match="do not overlap the scene"):
        Area.read(write_polygons(tmp_path / "a.gpkg", on_map(corner)), GEOREF, SHAPE)


def test_without_any_reference_system_coordinates_are_the_scenes(tmp_path: Path) -> None:
    pixels = GeoReference.without(SHAPE, "no georeference")
    path = write_polygons(tmp_path / "a.gpkg", [box(10, 20, 30, 25)], crs=None)
    assert np.argwhere(Area.read(path, pixels, SHAPE).mask(WHOLE)).min(axis=0).tolist() == [20, 10]


def lines(path: Path) -> None:
    write_polygons(path, on_map(LineString([(0, 0), (9, 9)])))


def nothing(path: Path) -> None:
    geopandas.GeoDataFrame(geometry=[], crs=UTM).to_file(path, geometry_type="Polygon")


def no_vector_file(path: Path) -> None:
    path.write_text("{")


def no_system(path: Path) -> None:
    write_polygons(path, on_map(box(0, 0, 9, 9)), crs=None)


def no_file(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lines, r"a.gpkg holds no polygons, but LineString features"),
        (nothing, r"a.gpkg holds no polygons \(layer 'a' is empty\)"),
        (
            no_vector_file,
            r"a.gpkg cannot be read as polygons \(not recognized as being in a supported file format\): give a Geo",
        ),
        (no_system, r"a.gpkg has no coordinate reference system, .*EPSG:32631 .*ogr2ogr -a_srs"),
        (no_file, r"there is no file of polygons .*a.gpkg"),
    ],
)
def test_files_without_usable_polygons_are_refused_in_one_sentence(
    tmp_path: Path, make: object, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    make(tmp_path / "a.gpkg")
    with pytest.raises(DataError, match=message) as error:
        Area.read(tmp_path / "a.gpkg", GEOREF, SHAPE)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_polygons_with_a_reference_system_are_refused_for_a_scene_without_one(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "a.gpkg", on_map(box(0, 0, 9, 9)))
    with pytest.raises(DataError, match=r"the scene has no georeference, so the polygons of .*a.gpkg \(EPSG:32631\)"):
        Area.read(path, GeoReference.without(SHAPE, "no georeference"), SHAPE)


def test_a_rotated_scene_has_rotated_polygons(tmp_path: Path) -> None:
    turned = GeoReference.of((0.0, 2.0, 500_000, 2.0, 0.0, 6_000_000), UTM, SHAPE)  # columns go north, rows east
    path = write_polygons(tmp_path / "a.gpkg", [box(500_020, 6_000_100, 500_040, 6_000_200)])
    mask = Area.read(path, turned, SHAPE).mask(WHOLE)
    assert (np.argwhere(mask).min(axis=0).tolist(), np.argwhere(mask).max(axis=0).tolist()) == ([10, 50], [19, 99])


def _feature(coordinates: str) -> str:
    shape = f'{{"type": "Polygon", "coordinates": {coordinates}}}' if coordinates else "null"
    return (
        f'{{"type": "FeatureCollection", "features": [{{"type": "Feature", "properties": {{}}, "geometry": {shape}}}]}}'
    )


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ("[[[3, 54.1], [3.005, 54.15]]]", r"\(.*Points of LinearRing do not form a closed linestring\): "),
        ("[[[3, 54.1], [NaN, 54.1], [3.1, 54.2], [3, 54.1]]]", r"an invalid geometry \(a coordinate of nan\)"),
        ("[[[-1e300, -1e300], [1e300, -1e300], [0, 1e300], [-1e300, -1e300]]]", r"a coordinate of 1e\+300"),
        ("[]", r"holds no polygons \(the shapes of layer 'a' are empty\)"),
        ("", r"holds no polygons \(the shapes of layer 'a' are empty\)"),
    ],
)
def test_invalid_geometries_are_refused_in_one_sentence(tmp_path: Path, coordinates: str, message: str) -> None:
    (tmp_path / "a.geojson").write_text(_feature(coordinates))
    with pytest.raises(DataError, match=message):
        Area.read(tmp_path / "a.geojson", GEOREF, SHAPE)


def test_a_reference_system_without_a_transformation_is_refused(tmp_path: Path) -> None:
    harbour = 'ENGCRS["harbour",EDATUM["quay"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    file = write_polygons(tmp_path / "a.gpkg", [box(0, 0, 10, 10)], crs=harbour)
    with pytest.raises(DataError, match=r"there is no transformation between the two"):
        Area.read(file, GEOREF, SHAPE)


@pytest.mark.parametrize("name", ["a!b.gpkg", "tab\t.gpkg", "folder!/a.gpkg"])
def test_files_with_names_unsafe_for_pyogrio_are_read(tmp_path: Path, name: str) -> None:
    file = write_polygons(tmp_path / "plain.gpkg", on_map(box(10, 10, 40, 40)))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    file = file.rename(tmp_path / name)
    assert int(Area.read(file, GEOREF, SHAPE).mask(WHOLE).sum()) == 900
