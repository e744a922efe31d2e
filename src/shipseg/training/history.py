"""A run's history: history.csv with one row per epoch, and TensorBoard scalars."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from shipseg import files
from shipseg.errors import TrainingError
from shipseg.extras import needing

__all__ = ["CLOCK_COLUMNS", "COLUMNS", "HISTORY_FILE", "EpochRow", "Scalars", "read_history", "write_history"]

HISTORY_FILE = "history.csv"


@dataclass(frozen=True)
class EpochRow:
    """One finished epoch."""

    epoch: int
    """Counted from 1."""
    phase: int
    """Counted from 1."""
    step: int
    """Steps taken since the run began."""
    lr: float
    """Learning rate of the epoch's last step."""
    train_loss: float
    """Mean over the epoch's batches, on augmented images, while the weights change."""
    val_loss: float
    val_pooled_dice: float
    """At the threshold that maximises it."""
    val_pooled_iou: float
    """At the threshold that maximises it."""
    val_image_dice: float
    """Mean over images with ships, at threshold 0.5."""
    best: int
    """1 if these weights are the best so far, else 0."""
    seconds: float
    """Training and validation of the epoch."""
    images_per_s: float
    """Of the training part."""


COLUMNS = tuple(field.name for field in fields(EpochRow))
CLOCK_COLUMNS = ("seconds", "images_per_s")
"""Columns of times, which differ between equal runs."""


def write_history(path: Path, rows: Sequence[EpochRow]) -> None:
    """Write the rows as CSV, floats with all their digits, whole or not at all."""
    files.write_text(path, files.csv_text(COLUMNS, map(astuple, rows)))


def read_history(path: Path) -> list[EpochRow]:
    """Return the rows of a history.csv.

    Raises:
        TrainingError: The file does not exist, or is no history of a run.
    """
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        return [EpochRow(**{f.name: _KINDS[str(f.type)](row[f.name]) for f in fields(EpochRow)}) for row in rows]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is not the history of a run ({error}): give the folder of a run that has finished an epoch"
        ) from error


_KINDS = {"int": int, "float": float}


class Scalars:
    """Writer of a run's TensorBoard scalars.

    Args:
        folder: The run's tensorboard folder; None writes nothing.
        step: Steps taken so far; scalars that an interrupted run wrote for later steps are purged.
    """

    def __init__(self, folder: Path | None, *, step: int) -> None:
        self._folder = folder
        self._writer = None
        if folder is not None:
            with needing("train"):
                from torch.utils.tensorboard import SummaryWriter
            with files.storage_errors(folder):
                self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, values: Mapping[str, float], *, step: int) -> None:
        """Write the values after `step` steps."""
        if self._writer is not None and self._folder is not None:
            with files.storage_errors(self._folder):
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close; a full disk raises no second error here."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()
