"""Files of ships: all formats have the same ships, scenes without ships give valid files."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.geometry
from pycocotools import mask as pycocotools_mask

from shipseg.errors import ConfigError, StorageError
from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import ships_from_mask
from shipseg.scenes.columns import COLUMNS
from shipseg.scenes.ships import SceneShips, measure_ships
from shipseg.scenes.vectors import FORMATS, check_formats, in_lonlat, on_map, write_geojson

geopandas = pytest.importorskip("geopandas")
features = pytest.importorskip("rasterio.features")

SHAPE = (120, 160)
UTM = GeoReference.of((1.5, 0.0, 500_000.0, 0.0, -1.5, 5_600_000.0), "EPSG:32631", SHAPE)
WITHOUT_GEOREF = GeoReference.without(SHAPE, "a photograph")
AT_180 = GeoReference.of((1e-5, 0.0, 179.9995, 0.0, -1e-5, 10.0), "EPSG:4326", SHAPE)
GEOREFS = {"utm": UTM, "no georeference": WITHOUT_GEOREF, "degrees": AT_180}


def a_mask() -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return ships of every form: plain, with a hole, of parts that touch at a corner, of one pixel."""
    mask_hw = np.zeros(SHAPE, bool)
    mask_hw[10:16, 20:70] = True
    mask_hw[40:50, 10:30] = True
    mask_hw[44:46, 15:20] = False
    mask_hw[80:84, 80:90] = True
    mask_hw[84:88, 90:100] = True
    mask_hw[119, 159] = True
    return mask_hw


def ships_of(georef: GeoReference, *, empty: bool = False) -> SceneShips:
    found = [] if empty else [(ship, ship.mask_box[2] == SHAPE[0]) for ship in ships_from_mask(a_mask())]
    return measure_ships(
        found, georef, scene="harbour", shape=SHAPE, acquired=None if empty else "2021-05-06T07:08:09Z"
    )


def write(folder: Path, name: str, ships: SceneShips) -> Path:
    file_name, writer = FORMATS[name]
    writer(folder / file_name, ships)
    assert [path.name for path in folder.iterdir()] == [file_name]
    return folder / file_name


def test_a_geopackage_is_in_map_coordinates_and_rasterises_to_the_mask(tmp_path: Path) -> None:
    from rasterio import Affine

    path = write(tmp_path, "gpkg", ships_of(UTM))
    frame = geopandas.read_file(path, layer="ships")
    assert frame.crs.to_epsg() == 32631
    assert list(frame.columns) == [*(column.name for column in COLUMNS), "geometry"]
    assert frame.geometry.is_valid.all()
    back_hw = features.rasterize(frame.geometry, out_shape=SHAPE, transform=Affine(*UTM.transform))
    np.testing.assert_array_equal(back_hw == 1, a_mask())
    assert frame["ship"].tolist() == [1, 2, 3, 4]
    assert frame["length_m"][0] == pytest.approx(75.03, abs=0.02)  # 50 px of 1.5 m, 0.9996 in the zone's middle
    assert frame["heading_deg"][0] == pytest.approx(90, abs=0.01)
    assert frame["cut"].tolist() == [False, False, False, True]
    assert frame["acquired"].tolist() == ["2021-05-06T07:08:09Z"] * 4
    boxes = geopandas.read_file(path, layer="boxes")
    assert boxes.geometry[0].symmetric_difference(frame.geometry[0]).area < 0.1


def test_a_geopackage_describes_its_columns(tmp_path: Path) -> None:
    database = sqlite3.connect(write(tmp_path, "gpkg", ships_of(UTM)))
    rows = database.execute("SELECT column_name, description FROM gpkg_data_columns WHERE table_name = 'ships'")
    descriptions = dict(rows.fetchall())
    assert list(descriptions) == [column.name for column in COLUMNS]
    assert "Bow and stern are not distinguished" in descriptions["heading_deg"]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_ships_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    first = write(tmp_path / "1", name, ships_of(UTM))
    second = write(tmp_path / "2", name, ships_of(UTM))
    assert first.read_bytes() == second.read_bytes()


def test_geojson_conforms_to_rfc_7946(tmp_path: Path) -> None:
    collection = json.loads(write(tmp_path, "geojson", ships_of(UTM)).read_text())
    assert "crs" not in collection
    assert [feature["id"] for feature in collection["features"]] == [1, 2, 3, 4]
    for feature, ship in zip(collection["features"], ships_of(UTM).ships, strict=True):
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        for polygon in shapely.get_parts(shape):
            assert polygon.exterior.is_ccw
            assert not any(hole.is_ccw for hole in polygon.interiors)
            assert (
                max(len(f"{v:.10f}".rstrip("0").partition(".")[2]) for v in shapely.get_coordinates(polygon).flat) <= 7
            )
        assert ship.lon == pytest.approx(shape.centroid.x, abs=1e-6)
        assert ship.lat == pytest.approx(shape.centroid.y, abs=1e-6)
        assert list(feature["properties"]) == [column.name for column in COLUMNS]


def test_ships_on_longitude_180_are_cut_there(tmp_path: Path) -> None:
    collection = json.loads(write(tmp_path, "geojson", ships_of(AT_180)).read_text())
    first = shapely.geometry.shape(collection["features"][0]["geometry"])
    # Columns 20 to 70 of 1e-5 degrees from 179.9995 on: 30 columns before 180 and 20 behind it.
    assert sorted(part.bounds for part in shapely.get_parts(first)) == [
        pytest.approx((-180, 9.99984, -179.9998, 9.9999), abs=1e-9),
        pytest.approx((179.9997, 9.99984, 180, 9.9999), abs=1e-9),
    ]
    for feature in collection["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        west, _, east, _ = np.array([part.bounds for part in shapely.get_parts(shape)]).T
        assert ((east - west) < 0.001).all()
        assert (west >= -180).all()
        assert (east <= 180).all()
        assert -180 <= feature["properties"]["lon"] < 180


def test_a_ship_that_only_touches_longitude_180_is_not_cut() -> None:
    georef = GeoReference.of((1e-5, 0.0, 179.9995, 0.0, -1e-5, 10.0), "EPSG:4326", SHAPE)
    for west, east in ((30, 50), (50, 70)):
        transformed = in_lonlat(shapely.box(west, 10, east, 20), georef)
        assert isinstance(transformed, shapely.Polygon)
        assert transformed.area == pytest.approx(200e-10)


def test_geojson_needs_a_georeference(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"harbour has no georeference .* choose gpkg, csv, parquet or coco"):
        check_formats(["csv", "geojson"], WITHOUT_GEOREF, scene="harbour")
    with pytest.raises(ConfigError, match="has no georeference"):
        write_geojson(tmp_path / "ships.geojson", ships_of(WITHOUT_GEOREF))
    check_formats(["csv", "geojson"], UTM, scene="harbour")


def test_unknown_formats_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="unknown format 'gpgk', did you mean 'gpkg'"):
        check_formats(["gpgk"], UTM, scene="harbour")


def test_geoparquet_is_in_longitude_and_latitude_with_described_columns(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = write(tmp_path, "parquet", ships_of(UTM))
    frame = geopandas.read_parquet(path)
    assert frame.crs.to_authority() == ("OGC", "CRS84")
    assert frame["lon"][0] == pytest.approx(frame.geometry[0].centroid.x, abs=1e-6)
    schema = parquet.read_schema(path)
    assert b"Bow and stern" in schema.field("heading_deg").metadata[b"description"]
    assert json.loads(schema.metadata[b"geo"])["version"] == "1.1.0"


def test_without_a_georeference_files_are_in_pixels(tmp_path: Path) -> None:
    ships = ships_of(WITHOUT_GEOREF)
    frame = geopandas.read_file(write(tmp_path / "gpkg", "gpkg", ships), layer="ships")
    assert tuple(frame.geometry[0].bounds) == (20, -16, 70, -10)
    assert frame["length_m"].isna().all()
    assert frame["length_px"][0] == 50
    assert frame["heading_px_deg"][0] == 90
    with sqlite3.connect(tmp_path / "gpkg" / "ships.gpkg") as database:
        assert database.execute("SELECT srs_id FROM gpkg_contents").fetchall() == [(-1,), (-1,)]
        assert (
            "x is the column, y minus the row"
            in database.execute("SELECT description FROM gpkg_contents").fetchone()[0]
        )
    database.close()
    assert geopandas.read_parquet(write(tmp_path / "parquet", "parquet", ships)).crs is None
    with write(tmp_path / "csv", "csv", ships).open() as stream:
        row = next(csv.DictReader(stream))
    assert shapely.from_wkt(row["wkt"]).bounds == (20, 10, 70, 16)
    assert (row["length_m"], row["heading_deg"], row["lon"]) == ("", "", "")


def test_map_units_without_a_reference_system_are_kept() -> None:
    georef = GeoReference.of((2.0, 0.0, 1000.0, 0.0, -2.0, 500.0), None, SHAPE)
    assert on_map(shapely.box(0, 0, 10, 20), georef).bounds == (1000, 460, 1020, 500)


def test_csv_has_a_row_per_ship_with_outline_and_box(tmp_path: Path) -> None:
    with write(tmp_path, "csv", ships_of(UTM)).open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [*(column.name for column in COLUMNS), "wkt", "box_wkt"]
    assert [row["ship"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["cut"] for row in rows] == ["0", "0", "0", "1"]
    outline, box = (shapely.from_wkt(rows[0][name]) for name in ("wkt", "box_wkt"))
    assert outline.symmetric_difference(box).area < 0.02 * outline.area
    assert float(rows[0]["lon"]) == pytest.approx(outline.centroid.x, abs=1e-6)


# pycocotools 2.0 has an __array__ method of numpy 1's form: its decode warns under numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_masks_decode_to_the_mask(tmp_path: Path) -> None:
    coco = json.loads(write(tmp_path, "coco", ships_of(UTM)).read_text())
    masks = [pycocotools_mask.frPyObjects(a["segmentation"], *a["segmentation"]["size"]) for a in coco["annotations"]]
    together = sum(pycocotools_mask.decode(mask).astype(int) for mask in masks)
    np.testing.assert_array_equal(together, a_mask())
    assert [annotation["id"] for annotation in coco["annotations"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("place", GEOREFS)
def test_a_scene_without_ships_gives_valid_files_with_every_column(tmp_path: Path, place: str) -> None:
    ships = ships_of(GEOREFS[place], empty=True)
    names = [column.name for column in COLUMNS]
    frame = geopandas.read_file(write(tmp_path / "gpkg", "gpkg", ships), layer="ships")
    assert (len(frame), list(frame.columns)) == (0, [*names, "geometry"])
    assert (frame.crs is not None and frame.crs.is_engineering) == (place == "no georeference")
    parquet = geopandas.read_parquet(write(tmp_path / "parquet", "parquet", ships))
    full = geopandas.read_parquet(write(tmp_path / "full", "parquet", ships_of(GEOREFS[place])))
    assert len(parquet) == 0
    assert dict(parquet.dtypes) == dict(full.dtypes)
    assert write(tmp_path / "csv", "csv", ships).read_text() == ",".join([*names, "wkt", "box_wkt"]) + "\n"
    assert json.loads(write(tmp_path / "coco", "coco", ships).read_text())["annotations"] == []
    if place != "no georeference":
        assert json.loads(write(tmp_path / "geojson", "geojson", ships).read_text())["features"] == []


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="needs ogrinfo (Debian: gdal-bin)")
@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize(
    ("name", "place"),
    [(n, p) for n in ("gpkg", "geojson", "csv") for p in GEOREFS if (n, p) != ("geojson", "no georeference")],
)
def test_ogrinfo_reads_the_files_without_a_warning(tmp_path: Path, name: str, place: str, empty: bool) -> None:
    path = write(tmp_path, name, ships_of(GEOREFS[place], empty=empty))
    done = subprocess.run(["ogrinfo", "-al", path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "Warning" not in done.stdout
    assert f"Feature Count: {0 if empty else 4}" in done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_in_place_of_the_file_is_reported_in_one_sentence(tmp_path: Path, name: str) -> None:
    file_name, writer = FORMATS[name]
    (tmp_path / file_name / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be written"):
        writer(tmp_path / file_name, ships_of(UTM))
    assert [path.name for path in tmp_path.iterdir()] == [file_name]


@pytest.mark.parametrize("name", ["a!b", "new\nline", "x.zip!y"])
def test_a_geopackage_can_be_written_to_any_folder(tmp_path: Path, name: str) -> None:
    for folder in (name, "plain"):
        (tmp_path / folder).mkdir()
    there, plain = (write(tmp_path / folder, "gpkg", ships_of(UTM)) for folder in (name, "plain"))
    assert there.read_bytes() == plain.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "plain"])
