"""`shipseg threshold` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shipseg.cli import run
from shipseg.model.card import read_card


@pytest.fixture(scope="module")
def out(dataset_folder: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("threshold") / "out"
    arguments = ["threshold", str(model_folder), str(dataset_folder), "--out", str(folder), "--split", "train"]
    assert run([*arguments, "--metric", "pooled_dice", "--calibrate", "isotonic", "--max-images", "10"]) == 0
    return folder


def test_it_writes_a_model_a_page_and_tables(out: Path) -> None:
    names = {path.name for path in out.iterdir()}
    assert names == {"model", "report.html", "curves.csv", "thresholds.json"}
    facts = json.loads((out / "thresholds.json").read_text())
    card = read_card(out / "model")
    assert facts["decision"] == card.decision.model_dump()
    assert facts["chosen"]["counts"]["images"] == 10
    assert card.decision.metric == "pooled_dice"
    assert card.choice.data == "dataset, split train"
    assert card.calibration is not None


def test_json_prints_what_the_file_holds(
    out: Path, dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(model_folder), str(dataset_folder), "--out", str(tmp_path), "--split", "train", "--json"]
    assert (
        run(["threshold", *arguments, "--metric", "pooled_dice", "--calibrate", "isotonic", "--max-images", "10"]) == 0
    )
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "thresholds.json").read_text())
    assert (tmp_path / "thresholds.json").read_bytes() == (out / "thresholds.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--precision", "1.5"], "precision must be at most 1, got 1.5 (shipseg threshold)"),
        (["--precision", "0.9", "--false-alarms", "0.1"], "precision and false_alarm_images are two targets: give one"),
        (["--metric", "ship_f1", "--precision", "0.9"], "--metric ship_f1 and a target exclude each other"),
        (["--split", "nowhere"], "unknown split 'nowhere'"),
        (["--max-images", "0"], "max_images must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be at least 0, got -1"),
    ],
)
def test_an_error_is_one_sentence(
    arguments: list[str],
    sentence: str,
    dataset_folder: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["threshold", str(model_folder), str(dataset_folder), "--out", str(tmp_path / "o"), *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_the_model_and_the_data_are_not_written_over(
    out: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["threshold", str(out), str(dataset_folder), "--out", str(out)]) == 1
    assert "would be written over the model" in capsys.readouterr().err
    assert run(["threshold", str(out), str(dataset_folder), "--out", str(dataset_folder)]) == 1
    assert "cannot be written into the data folder" in capsys.readouterr().err


def test_ships_become_rectangles_if_requested(
    dataset_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["threshold", str(model_folder), str(dataset_folder), "--split", "train", "--max-images", "10"]
    assert run([*arguments, "--rectangles", "--pixel-precision", "0.001", "--out", str(tmp_path / "a")]) == 0
    assert "filled rectangles" in capsys.readouterr().out
    assert "filled rectangles" in (tmp_path / "a" / "report.html").read_text()
    assert read_card(tmp_path / "a" / "model").decision.rectangles
    arguments[1] = str(tmp_path / "a" / "model")
    assert run([*arguments, "--out", str(tmp_path / "b")]) == 0  # as in the model's card
    assert read_card(tmp_path / "b" / "model").decision.rectangles
    assert run([*arguments, "--no-rectangles", "--out", str(tmp_path / "c")]) == 0
    assert not read_card(tmp_path / "c" / "model").decision.rectangles
    scores = ["evaluate", str(dataset_folder), str(tmp_path / "s"), "--model", arguments[1], "--json"]
    for flags, expected in (([], True), (["--no-rectangles"], False)):
        capsys.readouterr()
        assert run([*scores, *flags]) == 0
        assert json.loads(capsys.readouterr().out)["rectangles"] is expected
