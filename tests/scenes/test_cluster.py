"""Scenes on a real Ray with two workers, one of which is killed in the middle; the results are the same."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import run_scene
from run_scene import OPTIONS, make_predictor, ships_image, write_scene
from shipseg.errors import ConfigError
from shipseg.inference.predictor import Predictor
from shipseg.scenes.batch import Work, predict_scenes
from shipseg.scenes.cluster import QUIET_RAY, TRIES, predict_on_ray

if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed", allow_module_level=True)
os.environ.update(QUIET_RAY)  # read when Ray is imported, which the fixture below does first
# Ray warns of settings that it sets itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::ResourceWarning")


def slow_network(folder: Path, *, threads: int) -> Predictor:
    """Return a slow network, and create a file named by the process id in a folder."""
    assert threads >= 1
    (folder / str(os.getpid())).touch()
    return make_predictor(0.05)


def deadly_network(folder: Path, *, threads: int) -> Predictor:
    """Return a network that kills its process, as the system does when it is out of memory."""
    predictor = slow_network(folder, threads=threads)
    predictor.backend.run = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment, return-value]
    return predictor


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def modules_that_workers_can_import() -> None:
    from ray import cloudpickle

    for module in (run_scene, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]  # untyped in Ray


def make_work(folder: Path, number: int) -> list[Work]:
    folder.mkdir()
    return [
        Work(str(write_scene(folder / f"s{seed}.tif", ships_image(400, 400, seed))), f"s{seed}")
        for seed in range(number)
    ]


def kill_one_at_work(workers: Path, out: Path, killed: list[int]) -> None:
    """Kill a worker as soon as a scene has two finished rows of tiles."""
    for _ in range(6000):
        if list(out.glob(".*.work/rows/00001.json")) and len(list(workers.iterdir())) >= 2:
            killed.append(int(next(workers.iterdir()).name))
            os.kill(killed[0], signal.SIGKILL)
            return
        time.sleep(0.05)


@pytest.mark.slow  # Ray takes 10 s and more to start
def test_results_survive_a_killed_worker_and_a_bad_scene_does_not_stop_the_rest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = make_work(tmp_path / "in", 4)
    bad = tmp_path / "in" / "bad.tif"
    bad.write_bytes(b"nothing")
    work.insert(2, Work(str(bad), "bad"))
    predict_scenes(work, tmp_path / "expected", make_predictor(), OPTIONS)
    workers, out, killed = tmp_path / "workers", tmp_path / "out", list[int]()
    workers.mkdir()
    killer = threading.Thread(target=kill_one_at_work, args=(workers, out, killed))
    killer.start()
    attempts = predict_on_ray(work, out, functools.partial(slow_network, workers), OPTIONS, workers=2)
    killer.join()
    assert killed
    assert len(list(workers.iterdir())) >= 3  # the two, and the restarted one
    statuses = {attempt.name: attempt.status for attempt in attempts}
    assert statuses == {"s0": "done", "s1": "done", "bad": "failed", "s2": "done", "s3": "done"}
    assert list(statuses) == ["s0", "s1", "bad", "s2", "s3"]
    assert "bad.tif" in attempts[2].message
    assert contents(out) == contents(tmp_path / "expected")
    assert tuple(capfd.readouterr()) == ("", "")
    again = predict_on_ray(work[:2], out, functools.partial(slow_network, workers), OPTIONS, workers=1)
    assert [attempt.status for attempt in again] == ["skipped", "skipped"]
    import ray

    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_scene_that_kills_every_worker_fails(tmp_path: Path) -> None:
    work, workers = make_work(tmp_path / "in", 1), tmp_path / "workers"
    workers.mkdir()
    (attempt,) = predict_on_ray(work, tmp_path / "out", functools.partial(deadly_network, workers), OPTIONS)
    assert attempt.status == "failed"
    assert f"killed {TRIES} times" in attempt.message
    assert len(list(workers.iterdir())) == TRIES + 1
    assert not list((tmp_path / "out").glob(".attempts-*"))


def test_without_scenes_ray_is_not_started(tmp_path: Path) -> None:
    assert predict_on_ray([], tmp_path / "out", functools.partial(slow_network, tmp_path)) == ()
    with pytest.raises(ConfigError, match="workers must be at least 1, got 0"):
        predict_on_ray([Work("a", "a")], tmp_path / "out", functools.partial(slow_network, tmp_path), workers=0)


def test_more_workers_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("shipseg.scenes.cluster.MAX_WORKERS", 1)
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
    work = [Work(name, name) for name in "ab"]
    with pytest.raises(ConfigError, match="workers must be at most 1 on one machine, got 2"):
        predict_on_ray(work, tmp_path / "out", functools.partial(slow_network, tmp_path), workers=10_000)


def test_a_second_process_on_the_same_scene_fails_without_damage(tmp_path: Path) -> None:
    work = make_work(tmp_path / "in", 1)
    other = subprocess.Popen(
        [sys.executable, run_scene.__file__, work[0].path, str(tmp_path / "out"), "0.1"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not list((tmp_path / "out").glob(".s0.work/rows/00000.json")):
        time.sleep(0.02)
        assert other.poll() is None
    (attempt,) = predict_scenes(work, tmp_path / "out", make_predictor(), OPTIONS)
    assert attempt.status == "failed"
    assert "another process is at work on the same scene" in attempt.message
    assert other.wait() == 0
    predict_scenes(work, tmp_path / "expected", make_predictor(), OPTIONS)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
