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
from shipseg.studies.worker_pool import ENDS_THE_STUDY
from shipseg.training.checkpoint import LAST, PREVIOUS
from shipseg.training.history import HISTORY_FILE, read_history
from shipseg.training.run import TrainAndTestModel

__all__ = ["delete_checkpoints", "main", "run_trial", "work"]


# One trial from its recipe to its result: prepare where needed, train, score at full resolution.

_LOG = logging.getLogger("shipseg.studies.worker")  # also when this module runs as __main__
_MEETS_EVERY_TRIAL = (StorageError, MissingExtraError, TrainingInterrupted)
_LOOK_AGAIN_S = 1.0


def run_trial(trial: Trial, data: PreparedDataset, out: Path) -> dict[str, Any]:
    """Do a trial, or go on with it, and return its result; what goes wrong with it alone becomes its result.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
        MissingExtraError: An optional package is not installed.
        TrainingInterrupted: A signal stopped the training; a checkpoint was written.
    """
    _LOG.info("trial %s begins", trial.name)
    try:
        result = _run_trial_once(trial, data, out)
    except _MEETS_EVERY_TRIAL:
        raise
    except ShipsegError as error:
        result = failure(trial, str(error))
    _LOG.info("trial %s: %s", trial.name, result["failed"] or "done")
    return result


def _run_trial_once(trial: Trial, given: PreparedDataset, out: Path) -> dict[str, Any]:
    used = _at_its_size(trial, given, out)
    split = scored_split(used)
    run, scores = layout.run_folder(out, trial), layout.scores_folder(out, trial)
    report = TrainAndTestModel(trial.recipe, used.root, run).train(resume=True)
    predictor = load_model(run)
    evaluation = evaluate(predictor, labelled_from_dataset(used, split))
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
        "commands": repeat_commands(trial, given, split=split, threads=torch.get_num_threads()),
    }


def delete_checkpoints(trial: Trial, out: Path) -> None:
    """Remove the checkpoints of a finished trial: five times as large as its model, they are of no more use."""
    for name in (LAST, PREVIOUS):
        (layout.run_folder(out, trial) / name).unlink(missing_ok=True)


def _num_parameters(backend: Any) -> int:
    return sum(parameter.numel() for parameter in backend.network.parameters())


def _at_its_size(trial: Trial, given: PreparedDataset, out: Path) -> PreparedDataset:
    """Return the dataset, prepared anew from its source where the trial wants another size."""
    options = given.report["options"]
    if trial.size is None or trial.size == options["size"]:
        return given
    if options["drop_list_sha256"] is not None:
        raise ConfigError(
            f"{given.root} was prepared with a drop list, which it does not keep, so it cannot be prepared anew with "
            f"size {trial.size}: prepare both datasets yourself and run the study on each"
        )
    target = layout.prepared(out, trial.size)
    kept = {name: options[name] for name in ("val_share", "test_share", "seed", "min_kb", "keep_empty", "any_size")}
    source = given.report["source"]
    chosen = PrepareOptions(size=trial.size, **kept, csv=Path(source["csv"]), images=Path(source["images"]), workers=1)
    while (lease := leases.take(layout.leases(out), target.name)) is None:
        time.sleep(_LOOK_AGAIN_S)
    with lease.kept():
        prepare(Path(source["root"]), target, chosen)
    return open_dataset(target)


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
    lease = leases.take(layout.leases(out), trial.name)
    if lease is None:
        return False
    try:
        with lease.kept():
            if layout.result_file(out, trial).exists():
                return False
            with _logged(layout.log_file(out, trial)):
                result = run_trial(trial, data, out)
                if lease.holds():
                    layout.write_result(out, trial, result)
                    delete_checkpoints(trial, out)
    finally:
        if layout.result_file(out, trial).exists():
            leases.forget(layout.leases(out), trial.name)
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
