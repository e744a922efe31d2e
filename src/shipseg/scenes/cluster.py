"""Predicting many scenes on Ray Data, one scene per worker at a time, on one machine or on a cluster.

A worker that is killed is restarted with the same scene, which resumes from its checkpoint. A scene whose workers are
killed repeatedly fails, and the others continue.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from shipseg import files
from shipseg.config import MAX_WORKERS
from shipseg.errors import ConfigError
from shipseg.extras import needing
from shipseg.inference.predictor import Predictor
from shipseg.processes import usable_cores
from shipseg.progress import track
from shipseg.scenes.batch import SceneAttempt, Work, attempt_scene
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.ships import SceneResult, Seconds

__all__ = ["QUIET_RAY", "predict_on_ray"]

TRIES: Final = 3
"""Attempts at a scene whose worker is killed each time."""
_STARTS: Final = 3
"""Attempts to start Ray: on a busy machine its processes can take longer than its timeout of 30 s."""
QUIET_RAY: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # messages of the raylet about killed workers, which our table has
}
"""Environment variables that Ray reads when it is imported: no usage statistics and no output."""


def predict_on_ray(
    work: Sequence[Work],
    out: Path,
    load: Callable[..., Predictor],
    options: SceneOptions | None = None,
    *,
    workers: int | None = None,
) -> tuple[SceneAttempt, ...]:
    """Predict scenes on Ray and return the outcome of each, in the given order.

    If RAY_ADDRESS names a cluster it is used: all its machines must see the same paths for scenes, `out` and the
    model. Else Ray is started on this machine and stopped afterwards.

    Args:
        work: Scenes and the names of their folders.
        out: Folder with a folder of results for each scene.
        load: Returns the model, given the number of `threads`; called once by each worker.
        options: Options for all scenes.
        workers: Scenes predicted in parallel; None takes one per GPU, or without GPUs one per two cores.

    Raises:
        ConfigError: `workers` is below 1, or Ray cannot be started or reached.
        MissingExtraError: Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    if not work:
        return ()
    for name, value in QUIET_RAY.items():
        os.environ.setdefault(name, value)
    with needing("cluster"):
        import ray
        import ray.data
    workers = workers and min(workers, len(work))  # Ray starts a process for each, whether needed or not
    with _ray_running(workers), _attempt_counts(out) as counts:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # untyped in Ray
        share = _Share.of(resources, workers, len(work))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a failed scene does not stop the others
        rows = [{"index": index, **dataclasses.asdict(item)} for index, item in enumerate(work)]
        outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,  # type: ignore[arg-type]  # Ray's annotations allow functions only
            fn_constructor_args=(functools.partial(load, threads=share.threads), out.resolve(), counts, options),
            compute=ray.data.ActorPoolStrategy(size=share.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=share.num_cpus,
            num_gpus=share.num_gpus,
        )
        attempts: dict[int, SceneAttempt] = {}
        for row in track(outcomes.iter_rows(), "predicting scenes", total=len(work)):
            attempts[int(row["index"])] = _from_json(row["attempt"])
    return tuple(attempts.get(index) or _killed_too_often(item) for index, item in enumerate(work))


@contextlib.contextmanager
def _ray_running(workers: int | None) -> Iterator[None]:
    """Use the running Ray, the cluster that RAY_ADDRESS names, or start one on this machine.

    Raises:
        ConfigError: Ray cannot be started or reached.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        _start(workers)
        yield
    finally:
        ray.shutdown()


def _start(workers: int | None) -> None:
    """Connect to the cluster that RAY_ADDRESS names, or start Ray on this machine.

    Raises:
        ConfigError: Both failed, or there are too many workers for one machine.
    """
    import ray

    address, settings = os.environ.get("RAY_ADDRESS"), dict[str, Any]()
    if not address:
        if workers is not None and workers > MAX_WORKERS:
            raise ConfigError(f"workers must be at most {MAX_WORKERS} on one machine, got {workers}")
        # Workers often wait for the disk or a GPU: there may be more of them than cores.
        cores = max(usable_cores(), workers or 1)
        settings = {"address": "local", "include_dashboard": False, "num_cpus": cores}
    for tries_left in reversed(range(1 if address else _STARTS)):
        try:
            with _silent_stderr():
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **settings)
        except Exception as error:  # Ray raises a plain Exception when one of its processes times out
            ray.shutdown()
            if not tries_left:
                where, reason = address or "this machine", " ".join(str(error).split())
                raise ConfigError(
                    f"Ray cannot be started on {where} ({reason}): use --engine local, or --shard"
                ) from error
        else:
            return


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard standard error of the process: Ray's core reports there that its logging is reduced."""
    sys.stderr.flush()
    stderr, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(devnull)


class _Share(NamedTuple):
    """The number of workers and the resources of each."""

    workers: int
    threads: int
    num_cpus: float
    num_gpus: float | None

    @classmethod
    def of(cls, resources: dict[str, float], workers: int | None, num_scenes: int) -> _Share:
        """Return the share for the resources of a cluster."""
        gpus, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
        pool = min(workers or gpus or max(1, cores // 2), num_scenes)
        threads = max(1, cores // pool)
        return cls(pool, threads, min(float(threads), cores / pool), min(1.0, gpus / pool) if gpus else None)


@contextlib.contextmanager
def _attempt_counts(out: Path) -> Iterator[Path]:
    """Yield a folder in which workers count the attempts at each scene, since counts in memory are lost with a worker.

    Raises:
        StorageError: The folder cannot be created.
    """
    files.ensure_folder(out)
    with files.storage_errors(out):
        folder = Path(tempfile.mkdtemp(prefix=".attempts-", dir=out.resolve()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """Predicts scenes one after the other in a process that Ray restarts when it is killed."""

    def __init__(self, load: Callable[[], Predictor], out: Path, counts: Path, options: SceneOptions | None) -> None:
        self._predictor, self._out, self._counts, self._options = load(), out, counts, options

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        work = Work(row["path"], row["name"])
        try:
            if self._count_attempt(int(row["index"])) > TRIES:
                attempt = _killed_too_often(work)
            else:
                attempt = attempt_scene(work, self._out, self._predictor, self._options)
        except Exception as error:  # noqa: BLE001  (any error concerns this scene only: the others continue)
            attempt = SceneAttempt(work.name, work.path, None, f"{type(error).__name__}: {error}")
        return {"index": row["index"], "attempt": _to_json(attempt)}

    def _count_attempt(self, index: int) -> int:
        """Return the number of attempts at a scene, including this one."""
        count = self._counts / str(index)
        with count.open("ab") as stream:
            stream.write(b".")
        return count.stat().st_size


def _to_json(attempt: SceneAttempt) -> str:
    """Return an outcome as JSON, without the ships, which are in the files."""
    facts = {"name": attempt.name, "path": attempt.path, "message": attempt.message, "result": None}
    if attempt.result is None:
        return json.dumps(facts)
    result = attempt.result
    fields = {"status": result.status, "folder": str(result.folder), "facts": dict(result.facts)}
    return json.dumps(facts | {"result": fields | {"seconds": dataclasses.asdict(result.seconds)}})


def _from_json(text: str) -> SceneAttempt:
    facts = json.loads(text)
    fields = facts["result"]
    result = fields and SceneResult(
        facts["name"],
        facts["path"],
        Path(fields["folder"]),
        fields["status"],
        fields["facts"],
        None,
        Seconds(**fields["seconds"]),
    )
    return SceneAttempt(facts["name"], facts["path"], result, facts["message"])


def _killed_too_often(item: Work) -> SceneAttempt:
    return SceneAttempt(
        item.name,
        item.path,
        None,
        f"its workers were killed {TRIES} times, most likely for lack of memory: run again with fewer --workers",
    )
