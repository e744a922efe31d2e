"""A worker process of a study, which runs trials: `python -m shipseg.studies.worker OUT DATASET`."""

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
from typing import Any, NoReturn

import torch

from shipseg import __version__
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.data.prepared import PreparedDataset, open_dataset
from shipseg.errors import ConfigError, MissingExtraError, ShipsegError, StorageError, TrainingInterrupted
from shipseg.evaluation.evaluate import evaluate
from shipseg.evaluation.labelled import labelled_from_dataset
from shipseg.evaluation.results import write_evaluation
from shipseg.inference.predictor import load_model
from shipseg.studies import layout, leases
from shipseg.studies.spec import METRICS, load_study
from shipseg.studies.trials import Trial, expand, failure, repeat_commands, scored_split
from shipseg.studies.worker_pool import EXIT_FATAL
from shipseg.training.checkpoint import LAST, PREVIOUS
from shipseg.training.history import HISTORY_FILE, read_history
from shipseg.training.run import TrainAndTestModel

__all__ = ["delete_checkpoints", "main", "run_trial", "work"]


_LOG = logging.getLogger("shipseg.studies.worker")  # also when this module runs as __main__
_FATAL_ERRORS = (StorageError, MissingExtraError, TrainingInterrupted)
"""Errors that end the worker; all others become the result of their trial."""
_LEASE_POLL_S = 1.0
_PARENT_POLL_S = 0.5


def run_trial(trial: Trial, data: PreparedDataset, out: Path) -> dict[str, Any]:
    """Run or resume a trial (prepare if needed, train, score) and return its result; its own errors become its result.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
        MissingExtraError: An optional package is not installed.
        TrainingInterrupted: A signal stopped the training; a checkpoint was saved.
    """
    _LOG.info("trial %s begins", trial.name)
    try:
        result = _run_trial_once(trial, data, out)
    except _FATAL_ERRORS:
        raise
    except ShipsegError as error:
        result = failure(trial, str(error))
    _LOG.info("trial %s: %s", trial.name, result["failed"] or "done")
    return result


def _run_trial_once(trial: Trial, study_data: PreparedDataset, out: Path) -> dict[str, Any]:
    data = _dataset_of(trial, study_data, out)
    split = scored_split(data)
    run, scores = layout.run_folder(out, trial), layout.scores_folder(out, trial)
    report = TrainAndTestModel(trial.recipe, data.root, run).train(resume=True)
    predictor = load_model(run)
    evaluation = evaluate(predictor, labelled_from_dataset(data, split))
    write_evaluation(evaluation, scores)
    metrics = evaluation.metrics
    history = read_history(run / HISTORY_FILE)
    return {
        "variant": trial.variant,
        "seed": trial.seed,
        "failed": "",
        **{name: metrics[name] for name in METRICS},
        **{f"recall {size}": value for size, value in metrics["recall_by_size"].items()},
        "split": split,
        "num_images": metrics["num_images"],
        "threshold": metrics["threshold"],
        "min_peak": metrics["min_peak"],
        "minutes": round(sum(row.seconds for row in history) / 60, 3),
        "images_seen": report.steps * trial.recipe.train.batch_size,
        "steps": report.steps,
        "best_epoch": report.best_epoch,
        "parameters": _num_parameters(predictor.backend),
        "threads": torch.get_num_threads(),
        "shipseg": __version__,
        "commands": repeat_commands(trial, study_data, split=split, threads=torch.get_num_threads()),
    }


def delete_checkpoints(trial: Trial, out: Path) -> None:
    """Delete the checkpoints of a finished trial, which are five times as large as its model."""
    for name in (LAST, PREVIOUS):
        (layout.run_folder(out, trial) / name).unlink(missing_ok=True)


def _num_parameters(backend: Any) -> int:
    return sum(parameter.numel() for parameter in backend.network.parameters())


def _dataset_of(trial: Trial, study_data: PreparedDataset, out: Path) -> PreparedDataset:
    """Return the study's dataset, prepared again from its source if the trial has another size."""
    options = study_data.report["options"]
    if trial.size is None or trial.size == options["size"]:
        return study_data
    if options["drop_list_sha256"] is not None:
        raise ConfigError(
            f"{study_data.root} was prepared with a drop list, which it does not store, so it cannot be prepared again "
            f"with size {trial.size}: prepare both datasets yourself and run the study on each"
        )
    target = layout.dataset_folder(out, trial.size)
    same = {name: options[name] for name in ("val_share", "test_share", "seed", "min_kb", "keep_empty", "any_size")}
    source = study_data.report["source"]
    changed = PrepareOptions(size=trial.size, **same, csv=Path(source["csv"]), images=Path(source["images"]), workers=1)
    while (lease := leases.acquire(layout.leases_folder(out), target.name)) is None:
        time.sleep(_LEASE_POLL_S)
    with lease.held():
        prepare(Path(source["root"]), target, changed)
    return open_dataset(target)


class _Stopped(BaseException):
    """SIGTERM came outside a training."""


def main(arguments: list[str]) -> int:
    """Run the trials of the study in the folder OUT on DATASET and return an exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the coordinator, which stops its workers
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    out, dataset = Path(arguments[0]), Path(arguments[1])
    try:
        work(out, dataset)
    except (_Stopped, TrainingInterrupted):
        return 128 + signal.SIGTERM
    except ShipsegError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FATAL
    return 0


def work(out: Path, dataset: Path) -> None:
    """Run trials, one after another, until every trial of the study has a result, from this worker or from others.

    Raises:
        DataError: The dataset cannot be read.
        StorageError: The disk is full, or the folder cannot be written.
        TrainingInterrupted: SIGTERM stopped a training; a checkpoint was saved.
    """
    trials, data = expand(load_study(layout.study_file(out))), open_dataset(dataset)
    while True:
        waiting = [trial for trial in trials if not layout.result_file(out, trial).exists()]
        if not waiting:
            return
        if not any(_run_if_free(trial, data, out) for trial in waiting):
            time.sleep(_LEASE_POLL_S)


def _run_if_free(trial: Trial, data: PreparedDataset, out: Path) -> bool:
    """Run a trial unless another process holds or has finished it; return whether it was run."""
    lease = leases.acquire(layout.leases_folder(out), trial.name)
    if lease is None:
        return False
    try:
        with lease.held():
            if layout.result_file(out, trial).exists():
                return False
            with _logged(layout.log_file(out, trial)):
                result = run_trial(trial, data, out)
                if lease.is_valid():
                    layout.write_result(out, trial, result)
                    delete_checkpoints(trial, out)
    finally:
        if layout.result_file(out, trial).exists():
            leases.remove(layout.leases_folder(out), trial.name)
    return True


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Append the library's log messages to the log file of a trial."""
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
    """Send this process SIGTERM when the coordinator was killed and cannot stop it."""
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
