"""A worker does what nobody else holds, and goes on where a killed one stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipseg.data.prepared import open_dataset
from shipseg.studies import layout, leases
from shipseg.studies.spec import Study
from shipseg.studies.trials import expand
from shipseg.studies.worker import work

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


def test_killed_in_the_middle_of_a_training_another_one_goes_on_and_the_numbers_are_the_same(
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


def test_a_trial_that_another_machine_holds_is_waited_for(
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
