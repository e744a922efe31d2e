"""`shipseg study` on the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shipseg.cli import run
from shipseg.studies.spec import Study, dump_study, study_names

StudyMaker = Callable[..., Study]


def test_without_arguments_it_lists_the_studies_with_their_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == study_names()
    assert listed["losses"] == "Which loss learns to find ships best?"


def test_a_finished_study_is_printed_as_table_and_as_json(
    finished_study: Path,
    tiny_study: StudyMaker,
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(finished_study, tmp_path / "study")
    (tmp_path / "tiny.yaml").write_text(dump_study(tiny_study()))
    arguments = ["study", str(tmp_path / "tiny.yaml"), str(dataset_folder), str(tmp_path / "study")]
    assert run(arguments) == 0
    output = capsys.readouterr().out
    assert "Does Dice do as well as both?" in output
    assert "report.html" in "".join(output.split())
    assert run([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["variant"] for row in report["rows"]] == ["both", "dice"]
    assert report["failed"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["losses"], "give a dataset and a folder to write: shipseg study losses DATASET OUT"),
        (["loses", "DATASET", "OUT"], "unknown study 'loses', did you mean 'losses'?"),
        (["losses", "DATASET", "DATASET"], "the study cannot be written into the dataset"),
        (["losses", "DATASET", "OUT", "--seeds", "0;1"], "--seeds must be comma-separated whole numbers such as 0,1,2"),
        (["losses", "DATASET", "OUT", "--seeds", "1,1"], "seeds must be different from each other"),
        (["losses", "DATASET", "OUT", "--workers", "0"], "workers must be at least 1, got 0"),
        (["losses", "nowhere", "OUT"], "there is no dataset folder nowhere"),
    ],
)
def test_an_error_is_one_sentence_and_nothing_is_written(
    arguments: list[str],
    sentence: str,
    dataset_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"DATASET": str(dataset_folder), "OUT": str(tmp_path / "out")}
    assert run(["study", *(places.get(word, word) for word in arguments)]) == 1
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()
