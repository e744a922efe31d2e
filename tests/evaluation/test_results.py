"""The files of an evaluation hold its scores."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.errors import ImageError, StorageError
from shipseg.evaluation.evaluate import GivesProbability, evaluate, write_evaluation
from shipseg.evaluation.labelled import Labelled

PROMISED = [
    "num_images",
    "threshold",
    "airbus_score",
    "pooled_dice",
    "pooled_iou",
    "image_dice",
    "seed_dice",
    "ship_precision",
    "ship_recall",
    "ship_f1",
    "recall_by_size",
    "false_alarm_images",
    "false_alarms_per_1000km2",
    "dice_by_group",
    "airbus_score_of_predicting_nothing",
    "pooled_dice_ship_images",
    "num_ships",
    "num_images_with_ships",
    "num_failed",
    "min_peak",
    "intervals",
]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def written(tmp_path: Path, red_model: Callable[..., GivesProbability], four_images: list[Labelled]) -> Path:
    def fail() -> NDArray[np.uint8]:
        raise ImageError("x.jpg, the third, ends too early", reason="truncated")

    write_evaluation(evaluate(red_model(), [*four_images, Labelled("x.jpg", fail, ())]), tmp_path / "out")
    return tmp_path / "out"


def test_metrics_json_has_the_documented_keys_and_plain_numbers(written: Path) -> None:
    metrics: dict[str, Any] = json.loads((written / "metrics.json").read_text())
    assert [key for key in PROMISED if key not in metrics] == []
    assert metrics["airbus_score"] == pytest.approx(0.525)
    low, high = metrics["intervals"]["airbus_score"]
    assert low <= 0.525 <= high
    assert metrics["intervals"]["recall_by_size"].keys() == metrics["recall_by_size"].keys()


def test_images_csv_has_a_row_for_each_image(written: Path) -> None:
    table = rows(written / "images.csv")
    assert [(row["image_id"], row["stratum"], row["matched"], row["true <100"]) for row in table] == [
        ("a_empty", "none", "0", "0"),
        ("b_alarm", "none", "0", "0"),
        ("c_single", "single", "1", "1"),
        ("d_several", "multiple", "1", "2"),
    ]
    assert float(table[2]["dice"]) == pytest.approx(16 / 18, abs=1e-6)


def test_ships_csv_has_a_row_for_each_ship_and_no_confidence_for_true_ones(written: Path) -> None:
    table = rows(written / "ships.csv")
    assert [(row["image_id"], row["kind"], row["matched"], row["confidence"]) for row in table][:3] == [
        ("b_alarm", "predicted", "no", "1"),
        ("c_single", "true", "yes", ""),
        ("c_single", "predicted", "yes", "0.8"),
    ]


def test_failed_csv_holds_the_reason_and_the_error(written: Path) -> None:
    assert rows(written / "failed.csv") == [
        {"image_id": "x.jpg", "reason": "truncated", "detail": "x.jpg, the third, ends too early"}
    ]


def test_the_curves_have_a_row_for_each_threshold_and_kind_of_images(written: Path) -> None:
    for name, score, value in (("threshold", "pooled_dice", 40 / 51), ("ship", "airbus_score", 0.525)):
        table = rows(written / f"{name}_curve.csv")
        halves = {row["images"]: row for row in table if row["threshold"] == "0.5"}
        assert list(halves) == ["all", "none", "single", "multiple"]
        assert float(halves["all"][score]) == pytest.approx(value, abs=1e-5)
        assert len(table) == 4 * len({row["threshold"] for row in table})
    assert halves["none"]["ship_recall"] == ""
    assert float(halves["none"]["false_alarm_images"]) == 0.5


def test_calibration_csv_holds_pixels_and_ships(written: Path) -> None:
    assert [(row["of"], row["count"]) for row in rows(written / "calibration.csv")] == [
        ("pixels", "375"),
        ("pixels", "8"),
        ("pixels", "17"),
        ("ships", "1"),
        ("ships", "3"),
    ]


def test_tables_without_rows_have_a_header(
    tmp_path: Path, red_model: Callable[..., GivesProbability], labelled: Callable[..., Labelled]
) -> None:
    files = write_evaluation(evaluate(red_model(), [labelled("empty")]), tmp_path)
    assert files["failed.csv"].read_text() == "image_id,reason,detail\n"
    assert files["ships.csv"].read_text().startswith("image_id,kind,")
    assert json.loads(files["metrics.json"].read_text())["ship_recall"] is None


def test_a_file_in_place_of_the_folder_is_an_error(
    tmp_path: Path, red_model: Callable[..., GivesProbability], labelled: Callable[..., Labelled]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="in the way"):
        write_evaluation(evaluate(red_model(), [labelled("empty")]), tmp_path / "file")
