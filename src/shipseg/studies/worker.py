"""A process that works through a study's trials, beside others: `python -m shipseg.studies.worker OUT DATASET`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from shipseg.data.prepared import PreparedDataset, open_dataset
from shipseg.errors import ShipsegError, TrainingInterrupted
from shipseg.studies import layout, leases
from shipseg.studies.conduct import conduct, put_away
from shipseg.studies.spec import load_study
from shipseg.studies.trials import Trial, expand
from shipseg.studies.worker_pool import ENDS_THE_STUDY

__all__ = ["main", "work"]

_LOOK_AGAIN_S = 1.0
_PARENT_CHECK_S = 0.5


class _Stopped(BaseException):
    """SIGTERM came outside a training."""


def main(arguments: list[str]) -> int:
    """Work through the trials of the study in the folder OUT on DATASET and return an exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the coordinator, which ends its workers
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    out, dataset = Path(arguments[0]), Path(arguments[1])
    try:
        work(out, dataset)
    except (_Stopped, TrainingInterrupted):
        return 128 + signal.SIGTERM
    except ShipsegError as error:
        sys.stderr.write(f"{error}\n")
        return ENDS_THE_STUDY
    return 0


def work(out: Path, dataset: Path) -> None:
    """Do trials, one after another, until every trial of the study has a result, from here or from elsewhere.

    Raises:
        DataError: The dataset cannot be read.
        StorageError: The disk is full, or the folder cannot be written.
        TrainingInterrupted: SIGTERM stopped a training; a checkpoint was written.
    """
    trials, data = expand(load_study(layout.study_file(out))), open_dataset(dataset)
    while True:
        waiting = [trial for trial in trials if not layout.result_file(out, trial).exists()]
        if not waiting:
            return
        if not any(_done_here(trial, data, out) for trial in waiting):
            time.sleep(_LOOK_AGAIN_S)


def _done_here(trial: Trial, data: PreparedDataset, out: Path) -> bool:
    """Do a trial unless another process holds or has finished it; return whether it was done."""
    claim = leases.take(layout.claims(out), trial.name)
    if claim is None:
        return False
    try:
        with claim.kept():
            if layout.result_file(out, trial).exists():
                return False
            with _logged(layout.log_file(out, trial)):
                result = conduct(trial, data, out)
                if claim.holds():
                    layout.write_result(out, trial, result)
                    put_away(trial, out)
    finally:
        if layout.result_file(out, trial).exists():
            leases.forget(layout.claims(out), trial.name)
    return True


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Append what the library says to a trial's own log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("shipseg")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def _stop(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (the signature of a handler)
    raise _Stopped


def _end_with_parent(parent: int) -> None:
    """Stop as by SIGTERM when the coordinator was killed: nobody would stop this process."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
