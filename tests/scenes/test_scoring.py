"""Scoring scenes end to end: tables, a report, finished results, errors."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from shipseg.cli import run
from shipseg.config import Decision
from shipseg.errors import DataError
from shipseg.inference.predictor import Predictor
from shipseg.model.card import Card, CardInput
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene
from shipseg.scenes.scores_page import write_scores_page
from shipseg.scenes.scoring import has_truth, labelled_scenes, score_scenes, write_scores

BOXES = ((20, 30, 60, 40), (100, 150, 112, 190), (5, 200, 9, 208))
"""(column, row) to (column, row) of three ships."""
DETECTED = (BOXES[0], BOXES[1], (200, 20, 240, 30))
"""Detections of the network: it misses the boat and has a false alarm."""


TRANSFORM = rasterio.Affine(1.5, 0, 500_000, 0, -1.5, 5_600_000)


class Bright:
    """A network whose probability is brightness."""

    pixels_per_batch = 96 * 96

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        return images_n3hw[:, :1] / np.float32(255)


def make_predictor() -> Predictor:
    card = Card(name="bright", input=CardInput(tile=96, overlap=24), decision=Decision(threshold=0.5))
    return Predictor(card, Bright())


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    image_3hw = np.zeros((3, 240, 300), np.uint8)
    for col0, row0, col1, row1 in DETECTED:
        image_3hw[:, row0:row1, col0:col1] = 250
    path = tmp_path / "data" / "harbour.tif"
    path.parent.mkdir()
    profile = {"driver": "GTiff", "count": 3, "height": 240, "width": 300, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs="EPSG:32631", transform=TRANSFORM) as dataset:
        dataset.write(image_3hw)
    polygons = [shapely.transform(shapely.box(*box), lambda xy: np.stack(TRANSFORM @ xy.T, axis=1)) for box in BOXES]
    facts = {"length_m": [60.0, 60.0, 12.0], "width_m": [15.0, 18.0, 6.0], "heading_deg": [90.0, 180.0, 0.0]}
    frame = geopandas.GeoDataFrame(facts, geometry=polygons, crs="EPSG:32631")
    frame.to_file(path.with_suffix(".ships.gpkg"), driver="GPKG", layer="ships")
    return path


def test_a_scene_is_predicted_matched_and_its_scores_written(scene: Path, tmp_path: Path) -> None:
    assert has_truth(scene)
    assert has_truth(scene.parent)
    scores = score_scenes(labelled_scenes(scene.parent), tmp_path / "predicted", make_predictor())
    assert [record.status for record in scores.records] == ["found", "found", "missed", "false alarm"]
    metrics = scores.metrics
    assert metrics["model"] == "bright"
    assert metrics["by_iou"]["recall"] == metrics["by_iou"]["precision"] == pytest.approx(2 / 3)
    assert metrics["looked_at_km2"] == pytest.approx(240 * 300 * 1.5**2 / 1e6, rel=2e-3)
    assert metrics["false_alarms_per_1000km2"] == pytest.approx(1000 / metrics["looked_at_km2"])
    assert metrics["errors"]["length_m"]["all"]["p95"] < 0.1
    (tmp_path / "scores").mkdir()
    write_scores(scores, tmp_path / "scores")
    with (tmp_path / "scores" / "ships.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["found", "found", "missed", "false alarm"]
    assert float(rows[0]["true_length_m"]) == 60
    assert float(rows[1]["heading_error_deg"]) == pytest.approx(0, abs=1.5)
    assert rows[2]["length_m"] == rows[3]["true_length_m"] == ""
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text())["num_false_alarms"] == 1
    page = write_scores_page(scores, tmp_path / "scores" / "report.html").read_text()
    assert "harbour, ship 3: 12 m, missed" in page
    assert "harbour: false alarm" in page
    assert page.count("data:image/jpeg;base64,") == 5  # the scene, one missed, one false, two found


def test_finished_results_are_scored_without_a_model(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no finished results of a scene"):
        score_scenes([scene], tmp_path / "out", None)
    predict_scene(scene, tmp_path / "out", make_predictor(), SceneOptions(formats=("gpkg",), quicklook=False))
    assert score_scenes([scene], tmp_path / "out", None).metrics["by_iou"]["recall"] == pytest.approx(2 / 3)


def test_the_command_scores_finished_results(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict_scene(scene, tmp_path / "out", make_predictor(), SceneOptions(formats=("gpkg",), quicklook=False))
    assert run(["evaluate", str(scene), str(tmp_path / "s"), "--predicted", str(tmp_path / "out")]) == 0
    assert "66.7 %" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        "metrics.json",
        "ships.csv",
        "failed.csv",
        "report.html",
    }
    results = ["--predicted", str(tmp_path / "out")]
    assert run(["evaluate", str(scene), str(tmp_path / "s"), *results, "--model", "m"]) == 1
    assert "with --model MODEL or with --predicted FOLDER: give only one" in capsys.readouterr().err
    assert run(["evaluate", str(scene), str(tmp_path / "s"), *results, "--threshold", "0.5"]) == 1
    assert "--threshold has no effect on the finished results" in capsys.readouterr().err


def _move_ships(scene: Path, by_m: float, *, rows: slice = slice(None)) -> None:
    """Move true ships east."""
    truth = scene.with_suffix(".ships.gpkg")
    frame = geopandas.read_file(truth)
    frame.loc[frame.index[rows], "geometry"] = frame.geometry[rows].translate(by_m, 0.0)
    truth.unlink()
    frame.to_file(truth, driver="GPKG", layer="ships")


def test_true_ships_outside_the_scene_are_left_out(
    scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _move_ships(scene, 5_000.0, rows=slice(0, 1))
    metrics = score_scenes([scene], tmp_path / "out", make_predictor()).metrics
    assert (metrics["num_ships"], metrics["num_false_alarms"]) == (2, 2)
    assert "1 of the 3 ships in" in caplog.text
    _move_ships(scene, 5_000.0)
    with pytest.raises(DataError, match=r"none of the 3 ships in .* lies on harbour.tif, .* longitude 3.1"):
        score_scenes([scene], tmp_path / "out", make_predictor())


def test_a_scene_that_cannot_be_scored_does_not_stop_the_others(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, far = scene.with_name("broken.tif"), scene.with_name("far.tif")
    for other in (broken, far):
        shutil.copy(scene, other)
        shutil.copy(scene.with_suffix(".ships.gpkg"), other.with_suffix(".ships.gpkg"))
    broken.write_bytes(b"no image")
    _move_ships(far, 5_000.0)
    predict_scene(scene, tmp_path / "out", make_predictor(), SceneOptions(formats=("gpkg",), quicklook=False))
    command = ["evaluate", str(scene.parent), str(tmp_path / "s"), "--predicted", str(tmp_path / "out")]
    assert run(command) == 1
    assert "scenes that could not be scored" in capsys.readouterr().out
    with (tmp_path / "s" / "failed.csv").open(newline="") as file:
        failed = {row["scene"]: row["detail"] for row in csv.DictReader(file)}
    assert list(failed) == ["broken", "far"]
    assert "lies on far.tif" in failed["far"]
    metrics = json.loads((tmp_path / "s" / "metrics.json").read_text())
    assert (metrics["scenes"], metrics["num_ships"], metrics["num_failed"]) == (["harbour"], 3, 2)
    assert "2 scenes could not be scored and are in none" in (tmp_path / "s" / "report.html").read_text()
    scene.unlink()
    assert run(command) == 1
    assert "none of the 2 scenes can be scored, the first:" in capsys.readouterr().err


def test_invalid_true_ships_are_refused_in_one_sentence(scene: Path) -> None:
    truth = scene.with_suffix(".ships.gpkg")
    frame = geopandas.read_file(truth)
    truth.unlink()
    frame.set_crs("EPSG:4326", allow_override=True).to_file(truth, driver="GPKG", layer="ships")
    with pytest.raises(DataError, match=r"lie outside the world of 'WGS 84', the system that the file states"):
        score_scenes([scene], scene.parent, make_predictor())
    frame.loc[1, "geometry"] = shapely.Polygon()
    truth.unlink()
    frame.to_file(truth, driver="GPKG", layer="ships")
    with pytest.raises(DataError, match=r"ship 2 of .* has no shape"):
        score_scenes([scene], scene.parent, make_predictor())


def test_damaged_results_are_refused_in_one_sentence(scene: Path, tmp_path: Path) -> None:
    predict_scene(scene, tmp_path / "out", make_predictor(), SceneOptions(formats=("gpkg",), quicklook=False))
    for text in ("[]", "{}", "nothing"):
        (tmp_path / "out" / "harbour" / "scene.json").write_text(text)
        with pytest.raises(DataError, match="holds no finished results of a scene"):
            score_scenes([scene], tmp_path / "out", None)


def test_a_scene_without_truth_is_refused(scene: Path) -> None:
    scene.with_suffix(".ships.gpkg").unlink()
    with pytest.raises(DataError, match="has no true ships beside it: put them into .*harbour.ships.gpkg"):
        labelled_scenes(scene)
    assert not has_truth(scene.parent)
