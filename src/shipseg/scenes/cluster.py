"""Many scenes on many processors: Ray Data, one scene at a time for each worker, on one machine or on a cluster.

A worker that is killed is started again and given the same scene, which goes on where it stopped; a scene that kills
its workers again and again is given up, and the others go on.
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
from shipseg.scenes.batch import Attempt, Work, attempt_scene
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.ships import SceneResult, Seconds

__all__ = ["QUIET_RAY", "predict_on_ray"]

TRIES: Final = 3
"""How often a scene is begun whose worker is killed each time."""
_STARTS: Final = 3
"""On a busy machine Ray's own processes can be later than the 30 s that it waits for them."""
QUIET_RAY: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # of the raylet, about workers that are killed: our table says it
}
"""Ray reads these when it is imported: it is to report nothing to anybody, and to print nothing."""


def predict_on_ray(
    work: Sequence[Work],
    out: Path,
    load: Callable[..., Predictor],
    options: SceneOptions | None = None,
    *,
    workers: int | None = None,
) -> tuple[Attempt, ...]:
    """Look for ships in scenes on Ray, and return what became of each, in the order given.

    Where RAY_ADDRESS names a cluster, that one is used: paths, `out` and what `load` reads must be there for all its
    machines. Else a Ray is started on this machine, and ended afterwards.

    Args:
        work: Scenes, and the names of their folders.
        out: Folder with a folder of results for each scene.
        load: Returns the model, for a number of `threads`; called once by each worker.
        options: For all of them.
        workers: How many scenes are looked at side by side; None takes one for each GPU, or where there is none one for
            each two cores.

    Raises:
        ConfigError: There are fewer than one worker, or Ray cannot be started or reached.
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
    workers = workers and min(workers, len(work))  # Ray starts a process for each, needed or not
    with _ray_running(workers), _marks(out) as marks:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray leaves it out
        share = _Share.of(resources, workers, len(work))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a scene that is given up is no reason to stop
        rows = [{"place": place, **dataclasses.asdict(item)} for place, item in enumerate(work)]
        looked_at = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,  # type: ignore[arg-type]  # Ray's types know functions only
            fn_constructor_args=(functools.partial(load, threads=share.threads), out.resolve(), marks, options),
            compute=ray.data.ActorPoolStrategy(size=share.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=share.num_cpus,
            num_gpus=share.num_gpus,
        )
        attempts: dict[int, Attempt] = {}
        for row in track(looked_at.iter_rows(), "looking at scenes", total=len(work)):
            attempts[int(row["place"])] = _from_text(row["attempt"])
    return tuple(attempts.get(place) or _given_up(item) for place, item in enumerate(work))


@contextlib.contextmanager
def _ray_running(workers: int | None) -> Iterator[None]:
    """Use the Ray that runs already, the cluster that RAY_ADDRESS names, or one of our own.

    Raises:
        ConfigError: None can be had.
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
    """Reach the cluster that RAY_ADDRESS names, or start a Ray on this machine.

    Raises:
        ConfigError: Neither, or there are more workers than a machine can have.
    """
    import ray

    address, settings = os.environ.get("RAY_ADDRESS"), dict[str, Any]()
    if not address:
        if workers is not None and workers > MAX_WORKERS:
            raise ConfigError(f"workers must be at most {MAX_WORKERS} on one machine, got {workers}")
        # Workers that wait for the disk or a GPU take no core each: there may be more of them than cores.
        cores = max(usable_cores(), workers or 1)
        settings = {"address": "local", "include_dashboard": False, "num_cpus": cores}
    for tries_left in reversed(range(1 if address else _STARTS)):
        try:
            with _nothing_on_standard_error():
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **settings)
        except Exception as error:  # Ray raises Exception itself when a process of its own is late
            ray.shutdown()
            if not tries_left:
                where, reason = address or "this machine", " ".join(str(error).split())
                raise ConfigError(
                    f"Ray cannot be started on {where} ({reason}): use --engine local, or --shard"
                ) from error
        else:
            return


@contextlib.contextmanager
def _nothing_on_standard_error() -> Iterator[None]:
    """Send what the process writes to standard error nowhere: Ray's core tells there that it was told to be quiet."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _Share(NamedTuple):
    """How many workers there are, and what each gets."""

    workers: int
    threads: int
    num_cpus: float
    num_gpus: float | None

    @classmethod
    def of(cls, resources: dict[str, float], workers: int | None, num_scenes: int) -> _Share:
        """Return the share for what a cluster has."""
        gpus, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
        pool = min(workers or gpus or max(1, cores // 2), num_scenes)
        threads = max(1, cores // pool)
        return cls(pool, threads, min(float(threads), cores / pool), min(1.0, gpus / pool) if gpus else None)


@contextlib.contextmanager
def _marks(out: Path) -> Iterator[Path]:
    """Give a folder in which workers mark each beginning of a scene: what they remember themselves goes with them.

    Raises:
        StorageError: It cannot be made.
    """
    files.ensure_folder(out)
    with files.storage_errors(out):
        folder = Path(tempfile.mkdtemp(prefix=".begun-", dir=out.resolve()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """Looks at one scene after the other, in a process of its own that Ray starts again when it is killed."""

    def __init__(self, load: Callable[[], Predictor], out: Path, marks: Path, options: SceneOptions | None) -> None:
        self._predictor, self._out, self._marks, self._options = load(), out, marks, options

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        work = Work(row["path"], row["name"])
        try:
            is_hopeless = self._begun(int(row["place"])) > TRIES
            attempt = _given_up(work) if is_hopeless else attempt_scene(work, self._out, self._predictor, self._options)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is about this scene: the others go on)
            attempt = Attempt(work.name, work.path, None, f"{type(error).__name__}: {error}")
        return {"place": row["place"], "attempt": _to_text(attempt)}

    def _begun(self, place: int) -> int:
        """Return how often a scene has been begun, this time included."""
        mark = self._marks / str(place)
        with mark.open("ab") as stream:
            stream.write(b".")
        return mark.stat().st_size


def _to_text(attempt: Attempt) -> str:
    """Return an attempt as JSON, without the ships, which are in the files."""
    facts = {"name": attempt.name, "path": attempt.path, "message": attempt.message, "result": None}
    if attempt.result is None:
        return json.dumps(facts)
    result = attempt.result
    told = {"status": result.status, "folder": str(result.folder), "facts": dict(result.facts)}
    return json.dumps(facts | {"result": told | {"seconds": dataclasses.asdict(result.seconds)}})


def _from_text(text: str) -> Attempt:
    facts = json.loads(text)
    told = facts["result"]
    result = told and SceneResult(
        facts["name"],
        facts["path"],
        Path(told["folder"]),
        told["status"],
        told["facts"],
        None,
        Seconds(**told["seconds"]),
    )
    return Attempt(facts["name"], facts["path"], result, facts["message"])


def _given_up(item: Work) -> Attempt:
    return Attempt(
        item.name,
        item.path,
        None,
        f"the workers that looked at it were killed {TRIES} times, most likely for lack of memory: run again with "
        "fewer --workers",
    )
