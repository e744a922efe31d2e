"""The worker processes of one coordinator: started, watched, replaced when they die, stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shipseg.errors import ShipsegError
from shipseg.studies import layout, leases
from shipseg.studies.trials import Trial, failure

__all__ = ["ENDS_THE_STUDY", "WorkerPool", "worker_pool"]

_LOG = logging.getLogger(__name__)
ENDS_THE_STUDY = 3
"""A worker's exit status for an error that would meet every trial; its sentence is the last line on standard error."""
_LOOK_EVERY_S = 0.3
_PATIENCE_S = 60.0
"""How long a worker may take to write its checkpoint when it is stopped."""
_TRIES = 2
"""How often a trial is begun whose process dies."""


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def last_words(self) -> str:
        """Return the last line that it wrote on standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class WorkerPool:
    """Worker processes on one study.

    Args:
        out: The study's folder.
        dataset: What it trains on.
        threads: Threads of each worker.
    """

    def __init__(self, out: Path, dataset: Path, *, threads: int) -> None:
        self._out, self._dataset, self._threads = out, dataset, threads
        self._workers: list[_Worker] = []
        self._deaths: Counter[str] = Counter()

    def start(self) -> None:
        """Start one more worker."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the worker)
        command = [sys.executable, "-m", "shipseg.studies.worker", str(self._out), str(self._dataset)]
        # Before torch is imported there: set later, threads that exist already stay.
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads)}
        process = subprocess.Popen(  # noqa: S603  (our own module)
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the coordinator alone
        )
        self._workers.append(_Worker(process, errors))

    def finished(self, waiting: Sequence[Trial]) -> Iterator[Trial]:
        """Yield trials as they get their results, from these workers or from elsewhere, until all have one.

        Raises:
            ShipsegError: A worker met what would meet every trial, or workers die before they begin one.
        """
        left = list(waiting)
        while left:
            for trial in [each for each in left if layout.result_file(self._out, each).exists()]:
                left.remove(trial)
                yield trial
            for worker in [each for each in self._workers if each.process.poll() is not None]:
                self._workers.remove(worker)
                if left:
                    self._replace(worker, left)
            time.sleep(_LOOK_EVERY_S if left else 0)
        for worker in self._workers:  # they see it themselves, and have things to put away
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(_PATIENCE_S)

    def stop(self) -> None:
        """End all workers; each writes a checkpoint first."""
        for worker in self._workers:
            worker.process.terminate()
        deadline_s = time.monotonic() + _PATIENCE_S
        try:
            for worker in self._workers:
                worker.process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            _LOG.warning("a worker did not end within %.0f s of being asked and is killed", _PATIENCE_S)
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
                worker.errors.close()

    def _replace(self, worker: _Worker, left: Sequence[Trial]) -> None:
        """Start another worker for one that ended before the study did."""
        status, words = worker.process.returncode, worker.last_words()
        worker.errors.close()
        if status == ENDS_THE_STUDY:
            raise ShipsegError(words)
        if status:
            self._note_death(worker.process.pid, _how(status, words), left)
        self.start()

    def _note_death(self, pid: int, how: str, left: Sequence[Trial]) -> None:
        place = layout.leases(self._out)
        here = leases.Holder.this_process().machine
        holders = ((trial, leases.holder(place, trial.name)) for trial in left)
        held = next((trial for trial, by in holders if by is not None and (by.pid, by.machine) == (pid, here)), None)
        name = "" if held is None else held.name
        self._deaths[name] += 1
        _LOG.warning("a worker %s%s", how, f" during trial {name}" if name else "")
        if self._deaths[name] < _TRIES:
            return
        if held is None:
            raise ShipsegError(f"workers of the study die before they begin a trial: the last one {how}")
        lease = leases.take(place, name)
        if lease is not None:
            with lease.kept():
                layout.write_result(self._out, held, failure(held, f"its process {how}, {_TRIES} times"))
            leases.forget(place, name)


@contextlib.contextmanager
def worker_pool(out: Path, dataset: Path, *, workers: int, threads: int) -> Iterator[WorkerPool]:
    """Give running workers, which are stopped at the end of the block, however it ends."""
    running = WorkerPool(out, dataset, threads=threads)
    try:
        for _ in range(workers):
            running.start()
        yield running
    finally:
        running.stop()


def _how(status: int, words: str) -> str:
    if status < 0:
        return f"was killed by signal {-status}" + (", probably because memory ran out" if status == -9 else "")
    return f"ended with status {status}" + (f" ({words})" if words else "")
