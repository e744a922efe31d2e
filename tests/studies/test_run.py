"""A study runs each trial once: uninterrupted, killed, shared by coordinators, with failed trials."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.errors import ConfigError, ShipsegError, StorageError
from shipseg.studies import leases
from shipseg.studies.run import run_study
from shipseg.studies.spec import Study, dump_study

StudyMaker = Callable[..., Study]
Numbers = Callable[[Path], dict[str, dict[str, Any]]]
Begun = Callable[[Path], list[str]]
TRIALS = ["both-seed0", "both-seed1", "dice-seed0", "dice-seed1"]


def start(study: Study, dataset: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the command on a study in its own session."""
    file = out.with_suffix(".yaml")
    file.write_text(dump_study(study))
    command = [sys.executable, "-m", "shipseg", "study", str(file), str(dataset), str(out), *options]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(out: Path) -> list[int]:
    """Return the processes that hold a trial."""
    holders = (leases.holder(out / "claims", name) for name in TRIALS)
    return [holder.pid for holder in holders if holder is not None]


def test_a_study_leaves_a_table_a_page_curves_and_a_folder_for_each_trial(
    finished_study: Path, numbers: Numbers, begun: Begun
) -> None:
    assert sorted(path.name for path in (finished_study / "trials").iterdir()) == TRIALS
    for name in TRIALS:
        kept = {path.name for path in (finished_study / "trials" / name).iterdir()}
        assert kept == {"recipe.yaml", "run", "scores", "result.json", "log.txt"}
        # Checkpoints of finished trials, five times as large as the model, are deleted.
        assert not list((finished_study / "trials" / name / "run").glob("*.ckpt"))
    results = numbers(finished_study)
    assert len({result["seed_dice"] for result in results.values()}) == 4
    assert {result["split"] for result in results.values()} == {"val"}
    assert {result["images_seen"] for result in results.values()} == {24}  # 2 epochs of 3 batches of 4
    assert begun(finished_study) == TRIALS
    assert not list((finished_study / "claims").iterdir())
    page = (finished_study / "report.html").read_text()
    assert "Does Dice do as well as both?" in page
    assert "Unfinished" not in page
    for name in ("results.csv", "table.csv", "table.md", "curves.png", "study.yaml"):
        assert (finished_study / name).stat().st_size > 0


def test_a_finished_study_run_again_does_nothing(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_study, tmp_path / "study")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    report = run_study(tiny_study(), dataset_folder, tmp_path / "study")
    assert report.ok
    assert [row["variant"] for row in report.rows] == ["both", "dice"]
    assert report.page == tmp_path / "study" / "report.html"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "other"}, "holds the study tiny, not other: choose another folder"),
        ({"recipe": "demo"}, "holds a study tiny with recipe = base, now demo"),
        ({"variants": [{"name": "both"}]}, r'with variants = \["both", "dice"\], now \["both"\]'),
        (
            {"variants": [{"name": "both"}, {"name": "dice"}]},
            r"with variants\.dice\.set\.loss\.weights.* = .*, now none",
        ),
        ({"set": {"train.epochs": 1}}, r"with set\.train\.epochs = "),
    ],
)
def test_another_study_in_the_folder_is_refused(
    changes: dict[str, object], sentence: str, finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        run_study(tiny_study(**changes), dataset_folder, finished_study)


def test_a_recipe_that_was_changed_since_the_start_is_refused(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_study, tmp_path / "study")
    recipe = tmp_path / "study/trials/both-seed0/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("epochs: 2", "epochs: 3"))
    with pytest.raises(ConfigError, match="differs from the recipe base, which was changed since the study started"):
        run_study(tiny_study(), dataset_folder, tmp_path / "study")


def test_a_recipe_from_before_a_key_was_known_is_the_same_recipe(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_study, tmp_path / "study")
    recipe = tmp_path / "study/trials/both-seed0/recipe.yaml"
    before = recipe.read_text()
    assert "  start_from: null\n" in before
    recipe.write_text(before.replace("  start_from: null\n", ""))
    run_study(tiny_study(), dataset_folder, tmp_path / "study")
    assert recipe.read_text() == before


def test_the_same_study_on_another_dataset_is_refused(
    finished_study: Path, tiny_study: StudyMaker, airbus_folder: Path, tmp_path: Path
) -> None:
    from shipseg.data.prepare import PrepareOptions, prepare

    prepare(airbus_folder, tmp_path / "other", PrepareOptions(size=32, workers=1))
    with pytest.raises(ConfigError, match="holds the study on another dataset"):
        run_study(tiny_study(), tmp_path / "other", finished_study)


def test_a_dataset_without_cached_images_is_refused_before_every_trial_fails(
    tiny_study: StudyMaker, airbus_folder: Path, tmp_path: Path
) -> None:
    prepare(airbus_folder, tmp_path / "native", PrepareOptions(size="native", workers=1))
    with pytest.raises(ConfigError, match="variant both of study tiny needs cached images, .* --size 256"):
        run_study(tiny_study(), tmp_path / "native", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused(tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").touch()
    with pytest.raises(StorageError, match=r"is not empty and holds no study \(found: diary.txt\)"):
        run_study(tiny_study(), dataset_folder, tmp_path)


@pytest.mark.slow
def test_a_study_killed_with_its_workers_resumes_and_has_the_same_results(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers, begun: Begun
) -> None:
    out = tmp_path / "study"
    killed = start(tiny_study(), dataset_folder, out)
    wait_for(lambda: len(list(out.glob("trials/*/result.json"))) == 1 and len(begun(out)) == 2)
    (worker,) = workers_of(out)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())  # it stops by itself, after its coordinator
    done = start(tiny_study(), dataset_folder, out)
    done.communicate(timeout=120)
    assert done.returncode == 0
    assert numbers(out) == numbers(finished_study)
    assert sorted(set(begun(out))) == TRIALS
    assert len(begun(out)) in (4, 5)  # the one that was killed, once more


@pytest.mark.slow
def test_sigterm_stops_the_workers_and_the_study_can_be_resumed(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers, begun: Begun
) -> None:
    out = tmp_path / "study"
    stopped = start(tiny_study(), dataset_folder, out, "--workers", "2")
    wait_for(lambda: len(begun(out)) == 2)
    workers = workers_of(out)
    stopped.terminate()
    output = stopped.communicate(timeout=90)[0].decode()
    assert stopped.returncode == 128 + signal.SIGTERM
    assert "run the same command again to resume" in output
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    run_study(tiny_study(), dataset_folder, out, workers=2)
    assert numbers(out) == numbers(finished_study)


@pytest.mark.slow
def test_two_coordinators_on_one_folder_run_each_trial_once(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers, begun: Begun
) -> None:
    out = tmp_path / "study"
    for process in [start(tiny_study(), dataset_folder, out) for _ in range(2)]:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert begun(out) == TRIALS
    assert numbers(out) == numbers(finished_study)


@pytest.mark.slow
def test_a_trial_that_diverges_is_listed_with_its_reason_and_the_others_run(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers
) -> None:
    wild = {"train.lr": 100, "train.optimizer": "sgd", "train.clip_norm": None, "loss.weights": {"bce": 1e30}}
    study = tiny_study(seeds=[0], variants=[{"name": "wild", "set": wild}, {"name": "both"}])
    process = start(study, dataset_folder, tmp_path / "study")
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1
    results = numbers(tmp_path / "study")
    assert "became infinite or NaN" in str(results["wild-seed0"]["failed"])
    assert results["both-seed0"]["failed"] == ""
    assert "wild, seed 0:" in " ".join(output.split())
    page = (tmp_path / "study" / "report.html").read_text()
    assert "1 of 2 trials failed" in page
    assert "failed: seed 0" in page


@pytest.mark.slow
def test_a_trial_whose_process_dies_twice_is_recorded_and_the_others_run(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers, begun: Begun
) -> None:
    out = tmp_path / "study"
    process = start(tiny_study(seeds=[0]), dataset_folder, out)
    for times in (1, 2):
        wait_for(lambda times=times: begun(out).count("both-seed0") == times)  # type: ignore[misc]
        (worker,) = workers_of(out)
        os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 1
    results = numbers(out)
    assert results["both-seed0"]["failed"] == (
        "its process was killed by signal 9, probably because memory ran out, 2 times"
    )
    assert results["dice-seed0"]["failed"] == ""


@pytest.mark.slow
def test_an_error_of_every_trial_ends_the_study_with_its_message(
    tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path, numbers: Numbers
) -> None:
    out = tmp_path / "study"
    with pytest.raises(ConfigError, match="holds the study tiny, not other"):
        run_study(tiny_study(seeds=[0]), dataset_folder, out)
        run_study(tiny_study(name="other"), dataset_folder, out)
    shutil.rmtree(out / "claims")
    (out / "claims").write_text("in the way")
    with pytest.raises(ShipsegError, match="claims cannot be written, a file or folder of another kind is in the way"):
        run_study(tiny_study(), dataset_folder, out)
    assert len(numbers(out)) == 2


@pytest.mark.slow
def test_more_seeds_may_be_added_to_a_finished_study(
    finished_study: Path, tiny_study: StudyMaker, dataset_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_study, tmp_path / "study")

    def made_at() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in (tmp_path / "study").glob("trials/*/result.json")}

    before = made_at()
    report = run_study(tiny_study(), dataset_folder, tmp_path / "study", seeds=(2,))
    assert [row["seeds"] for row in report.rows] == [3, 3]
    assert len(made_at()) == 6
    assert before.items() <= made_at().items()
