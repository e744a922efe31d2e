"""The worker processes of a study on one machine: start, monitor, replace and stop them."""

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

__all__ = ["EXIT_FATAL", "WorkerPool", "worker_pool"]

_LOG = logging.getLogger(__name__)
EXIT_FATAL = 3
"""A worker's exit status for an error that every trial would raise; the last line on standard error is its message."""
_POLL_S = 0.3
_STOP_TIMEOUT_S = 60.0
"""Time for a worker to save its checkpoint when it is stopped."""
_MAX_ATTEMPTS = 2
"""Number of times that a trial is run if its process dies."""


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def last_error_line(self) -> str:
        """Return the last line that the worker wrote to standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class WorkerPool:
    """Worker processes of one study.

    Args:
        out: The study's folder.
        dataset: Folder of the dataset.
        threads: Number of threads of each worker.
    """

    def __init__(self, out: Path, dataset: Path, *, threads: int) -> None:
        self._out, self._dataset, self._threads = out, dataset, threads
        self._workers: list[_Worker] = []
        self._crashes: Counter[str] = Counter()

    def start(self) -> None:
        """Start one more worker."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the worker runs)
        command = [sys.executable, "-m", "shipseg.studies.worker", str(self._out), str(self._dataset)]
        # Must be set before the worker imports torch, which starts its threads.
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads)}
        process = subprocess.Popen(  # noqa: S603  (our own module)
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C goes to the coordinator only
        )
        self._workers.append(_Worker(process, errors))

    def finished(self, waiting: Sequence[Trial]) -> Iterator[Trial]:
        """Yield trials as they get their results, from these workers or from others, until all have one.

        Raises:
            ShipsegError: A worker raised an error that every trial would raise, or workers die before they start one.
        """
        unfinished = list(waiting)
        while unfinished:
            for trial in [each for each in unfinished if layout.result_file(self._out, each).exists()]:
                unfinished.remove(trial)
                yield trial
            for worker in [each for each in self._workers if each.process.poll() is not None]:
                self._workers.remove(worker)
                if unfinished:
                    self._replace(worker, unfinished)
            time.sleep(_POLL_S if unfinished else 0)
        for worker in self._workers:  # they end by themselves, after they deleted checkpoints and leases
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(_STOP_TIMEOUT_S)

    def stop(self) -> None:
        """Stop all workers; each saves a checkpoint first."""
        for worker in self._workers:
            worker.process.terminate()
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        try:
            for worker in self._workers:
                worker.process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            _LOG.warning("a worker did not stop within %.0f s and is killed", _STOP_TIMEOUT_S)
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
                worker.errors.close()

    def _replace(self, worker: _Worker, unfinished: Sequence[Trial]) -> None:
        """Start another worker for one that ended before the study was finished."""
        status, message = worker.process.returncode, worker.last_error_line()
        worker.errors.close()
        if status == EXIT_FATAL:
            raise ShipsegError(message)
        if status:
            self._record_crash(worker.process.pid, _cause(status, message), unfinished)
        self.start()

    def _record_crash(self, pid: int, cause: str, unfinished: Sequence[Trial]) -> None:
        folder = layout.leases_folder(self._out)
        machine = leases.Holder.this_process().machine
        holders = ((trial, leases.holder(folder, trial.name)) for trial in unfinished)
        held = next((trial for trial, by in holders if by is not None and (by.pid, by.machine) == (pid, machine)), None)
        name = "" if held is None else held.name
        self._crashes[name] += 1
        _LOG.warning("a worker %s%s", cause, f" during trial {name}" if name else "")
        if self._crashes[name] < _MAX_ATTEMPTS:
            return
        if held is None:
            raise ShipsegError(f"workers of the study die before they start a trial: the last one {cause}")
        lease = leases.acquire(folder, name)
        if lease is not None:
            with lease.held():
                layout.write_result(self._out, held, failure(held, f"its process {cause}, {_MAX_ATTEMPTS} times"))
            leases.remove(folder, name)


@contextlib.contextmanager
def worker_pool(out: Path, dataset: Path, *, workers: int, threads: int) -> Iterator[WorkerPool]:
    """Yield a pool of running workers, and stop them at the end of the block."""
    pool = WorkerPool(out, dataset, threads=threads)
    try:
        for _ in range(workers):
            pool.start()
        yield pool
    finally:
        pool.stop()


def _cause(status: int, message: str) -> str:
    if status < 0:
        return f"was killed by signal {-status}" + (", probably because memory ran out" if status == -9 else "")
    return f"ended with status {status}" + (f" ({message})" if message else "")
