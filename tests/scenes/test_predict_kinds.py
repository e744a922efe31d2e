"""Scenes of every kind end to end: in degrees, without a georeference, 16 bits, rotated, at a URL."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from georasters import make_raster
from run_scene import OPTIONS, TILE, make_predictor, ships_image, write_scene
from serving import serving
from shipseg.errors import ConfigError, DataError
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene
from shipseg.scenes.ships import SceneResult

BARE = SceneOptions(formats=("csv",), quicklook=False)


def bar(height: int, width: int, *, rows: slice, columns: slice, value: float = 250) -> NDArray[np.uint8]:
    values_nhw = np.full((3, height, width), 10, np.uint8)
    values_nhw[:, rows, columns] = value
    return values_nhw


def predict(path: Path | str, out: Path, options: SceneOptions = BARE) -> SceneResult:
    return predict_scene(path, out, make_predictor(), options)


def test_pixels_in_degrees_are_measured_in_metres_and_resampled_to_squares(tmp_path: Path) -> None:
    # At 60 degrees north a degree of longitude is half as long: a column step is 0.75 m, a row step 1.5 m.
    step = 1.5 / 111_412
    values_nhw = bar(300, 700, rows=slice(100, 110), columns=slice(300, 380))
    path = make_raster(tmp_path / "a.tif", values_nhw, crs="EPSG:4326", transform=(step, 0, 5.0, 0, -step, 60.0))
    result = predict(path, tmp_path / "out")
    (ship,) = result.ships or ()
    assert (ship.ship.length_px, ship.length_m, ship.width_m) == pytest.approx((80, 60, 15), rel=0.03)
    assert ship.heading_deg == pytest.approx(90, abs=0.5)
    assert ship.lon == pytest.approx(5 + 340 * step, abs=step)
    assert result.facts["tiles"]["network"] < 40, "tiles have twice as many columns"


def test_without_a_georeference_ships_are_in_pixels_with_a_note(tmp_path: Path) -> None:
    values_nhw = bar(200, 300, rows=slice(50, 60), columns=slice(100, 140))
    path = make_raster(tmp_path / "a.tif", values_nhw, crs=None, transform=None)
    result = predict(path, tmp_path / "out", OPTIONS_WITHOUT_GEOREF)
    (ship,) = result.ships or ()
    assert ship.ship.length_px == pytest.approx(40, abs=0.5)
    assert (ship.length_m, ship.lon) == (None, None)
    assert result.facts["looked_at_km2"] is None
    assert any("no georeference" in note for note in result.facts["scene"]["notes"])
    with pytest.raises(ConfigError, match="geojson"):
        predict(path, tmp_path / "other", dataclasses.replace(BARE, formats=("geojson",)))
    assert not (tmp_path / "other" / "a").exists()


OPTIONS_WITHOUT_GEOREF = dataclasses.replace(BARE, formats=("gpkg", "csv", "coco"), mask=True, quicklook=True)


def test_a_rotated_scene_gives_headings_from_true_north(tmp_path: Path) -> None:
    turn = math.radians(30)  # clockwise
    across, down = 1.5 * math.cos(turn), 1.5 * math.sin(turn)
    values_nhw = bar(200, 300, rows=slice(50, 60), columns=slice(100, 160))
    transform = (across, -down, 500_000.0, -down, -across, 6_000_000.0)
    result = predict(make_raster(tmp_path / "a.tif", values_nhw, transform=transform), tmp_path / "out")
    (ship,) = result.ships or ()
    assert ship.heading_deg == pytest.approx(120, abs=0.3)
    assert ship.length_m == pytest.approx(90, rel=0.02)


def test_one_16_bit_band_is_stretched_as_requested_with_a_note(tmp_path: Path) -> None:
    values_nhw = (bar(150, 200, rows=slice(50, 60), columns=slice(100, 140))[:1].astype(np.uint16)) * 12
    path = make_raster(tmp_path / "a.tif", values_nhw)
    result = predict(path, tmp_path / "out", dataclasses.replace(BARE, stretch="0,3060"))
    assert [ship.ship.mask_box for ship in result.ships or ()] == [(50, 100, 60, 140)]
    assert "3060" in " ".join(result.facts["scene"]["notes"]).replace(",", "")


def test_open_sea_gives_empty_valid_files(tmp_path: Path) -> None:
    image_hwc = np.full((150, 200, 3), 20, np.uint8)
    options = dataclasses.replace(OPTIONS, formats=("gpkg", "geojson", "parquet", "coco", "csv"))
    result = predict(write_scene(tmp_path / "a.tif", image_hwc), tmp_path / "out", options)
    import geopandas

    assert result.num_ships == 0
    assert len(geopandas.read_file(result.folder / "ships.gpkg", layer="ships")) == 0
    assert json.loads((result.folder / "ships.geojson").read_text())["features"] == []
    assert set(result.facts["files"]) == {path.name for path in result.folder.iterdir()}


def test_a_scene_at_a_url_gives_the_results_of_the_file(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(TILE * 3, TILE * 4, seed=5))
    local = predict(scene, tmp_path / "local")
    with serving(tmp_path) as server:
        remote = predict(server.url("a.tif"), tmp_path / "remote")
        assert predict(server.url("a.tif"), tmp_path / "remote").status == "skipped"
    assert remote.num_ships == local.num_ships > 0
    for name in ("ships.csv", "probability.tif"):
        assert (remote.folder / name).read_bytes() == (local.folder / name).read_bytes()


def test_a_lost_connection_is_one_sentence_and_leaves_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    write_scene(tmp_path / "a.tif", ships_image(TILE * 6, TILE * 6, seed=5))
    with serving(tmp_path) as server:
        url = server.url("a.tif")

        class Losing:
            """Breaks the connection after some tiles."""

            pixels_per_batch = TILE * TILE

            def __init__(self) -> None:
                self.num_tiles = 0

            def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
                self.num_tiles += 1
                if self.num_tiles == 2:
                    server.broken_answers = 10_000
                return images_n3hw[:, :1] / np.float32(255)

        predictor = make_predictor()
        predictor.backend = Losing()
        with pytest.raises(DataError, match="cannot be read in rows .* the connection was lost"):
            predict_scene(url, tmp_path / "out", predictor, BARE)
        assert not (tmp_path / "out" / "a").exists()
        server.broken_answers = 0
        assert predict(url, tmp_path / "out").status == "done"
