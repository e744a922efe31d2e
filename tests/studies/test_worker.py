"""A worker runs trials that no other worker holds, and resumes those of killed workers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipseg.data.prepared import open_dataset
from shipseg.errors import StorageError
from shipseg.studies import layout, leases
from shipseg.studies.spec import Study
from shipseg.studies.trials import expand
from shipseg.studies.worker import run_trial, work
from shipseg.training.run import TrainAndTestModel

StudyMaker = Callable[..., Study]
Numbers = Callable[[Path], dict[str, dict[str, Any]]]
Begun = Callable[[Path], list[str]]


def begin(study: Study, dataset: Path, out: Path) -> None:
    layout.begin(out, study, expand(study), open_dataset(dataset))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_trial_of_a_killed_worker_is_resumed_with_the_same_results(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers, begun: Begun
) -> None:
    out = tmp_path / "study"
    begin(tiny_study(), dataset_folder, out)
    command = [sys.executable, "-m", "shipseg.studies.worker", str(out), str(dataset_folder)]
    worker = subprocess.Popen(command)
    wait_for((out / "trials/dice-seed0/run/last.ckpt").exists)
    worker.kill()
    worker.wait()
    assert not (out / "trials/dice-seed0/result.json").exists()
    first = (out / "trials/both-seed0/result.json").stat().st_mtime_ns
    work(out, dataset_folder)
    assert numbers(out) == numbers(finished_study)
    assert begun(out) == ["both-seed0", "both-seed1", "dice-seed0", "dice-seed0", "dice-seed1"]
    assert (out / "trials/both-seed0/result.json").stat().st_mtime_ns == first


def test_a_worker_waits_for_a_trial_that_another_machine_holds(
    finished_study: Path,
    tiny_study: StudyMaker,
    dataset_folder: Path,
    tmp_path: Path,
    begun: Begun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, study = tmp_path / "study", tiny_study(seeds=[0])
    begin(study, dataset_folder, out)
    (out / "claims").mkdir()
    elsewhere = leases.Holder("another machine", 1, "1")
    (out / "claims/both-seed0.0").write_text(json.dumps(vars(elsewhere)))

    def it_finishes(_: float) -> None:
        result = json.loads((finished_study / "trials/both-seed0/result.json").read_text())
        layout.write_result(out, expand(study)[0], result)

    monkeypatch.setattr(time, "sleep", it_finishes)
    work(out, dataset_folder)
    assert begun(out) == ["dice-seed0"]


def test_a_variant_of_another_size_is_prepared_again_and_scored_on_the_same_images(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    variants = [{"name": "both"}, {"name": "small", "prepare": {"size": 32}}]
    both, small = expand(tiny_study(seeds=[0], variants=variants))
    data = open_dataset(dataset_folder)
    results = [run_trial(trial, data, tmp_path) for trial in (both, small)]
    assert [result["failed"] for result in results] == ["", ""]
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["size-32"]
    made = open_dataset(tmp_path / "datasets/size-32")
    assert made.index[["ImageId", "split"]].equals(data.index[["ImageId", "split"]])
    assert made.canvas == (32, 32)
    assert {result["num_images"] for result in results} == {len(data.rows("val"))}
    assert [len(result["commands"]) for result in results] == [2, 3]


def test_a_loss_that_becomes_infinite_is_the_trials_result(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    wild = {"train.optimizer": "sgd", "train.lr": 100, "train.clip_norm": None, "loss.weights": {"bce": 1e30}}
    (trial,) = expand(tiny_study(seeds=[0], baseline="wild", variants=[{"name": "wild", "set": wild}]))
    result = run_trial(trial, open_dataset(dataset_folder), tmp_path)
    assert (result["variant"], result["seed"]) == ("wild", 0)
    assert "became infinite or NaN at step 1" in result["failed"]


def test_a_full_disk_is_not_the_trials_own_failure(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(TrainAndTestModel, "train", full)
    (trial,) = expand(tiny_study(seeds=[0], variants=[{"name": "both"}]))
    with pytest.raises(StorageError, match="no space left"):
        run_trial(trial, open_dataset(dataset_folder), tmp_path)


def test_a_dataset_with_a_drop_list_cannot_be_prepared_at_another_size(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset_folder, tmp_path / "dataset")
    report = json.loads((dataset_folder / "report.json").read_text())
    report["options"]["drop_list_sha256"] = "0" * 64
    (tmp_path / "dataset/report.json").write_text(json.dumps(report))
    (trial,) = expand(tiny_study(seeds=[0], variants=[{"name": "both", "prepare": {"size": 32}}]))
    result = run_trial(trial, open_dataset(tmp_path / "dataset"), tmp_path / "study")
    assert "was prepared with a drop list, which it does not store" in result["failed"]
