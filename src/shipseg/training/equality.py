"""Bit-for-bit comparison of two finished runs, times excepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from shipseg.errors import TrainingError
from shipseg.model.bundle import WEIGHTS_FILE
from shipseg.model.card import CARD_FILE
from shipseg.training.checkpoint import find_checkpoint, read_checkpoint
from shipseg.training.history import CLOCK_COLUMNS, HISTORY_FILE, EpochRow, read_history
from shipseg.training.run_folder import MODEL_FOLDER

__all__ = ["run_differences"]

_CARD_KEYS = ("decision", "threshold_curve", "scores", "files")


def run_differences(expected: Path, run: Path) -> list[str]:
    """Return the differences between two finished runs, times excepted; empty if they are bit-for-bit equal.

    Compares the model's weights (the whole file), history.csv, the card's decision rule, threshold curve and scores,
    and every tensor and number in last.ckpt.

    Args:
        expected: Folder of the first run.
        run: Folder of the second run.

    Raises:
        TrainingError: One of the runs has no checkpoint or no history.
        CheckpointError: A checkpoint is damaged.
    """
    folders = (expected, run)
    found = []
    weights = [(folder / MODEL_FOLDER / WEIGHTS_FILE).read_bytes() for folder in folders]
    if weights[0] != weights[1]:
        found.append(WEIGHTS_FILE)
    rows = [[_without_clocks(row) for row in read_history(folder / HISTORY_FILE)] for folder in folders]
    if rows[0] != rows[1]:
        found.append(HISTORY_FILE)
    cards = [json.loads((folder / MODEL_FOLDER / CARD_FILE).read_text(encoding="utf-8")) for folder in folders]
    found += [f"{CARD_FILE}: {key}" for key in _CARD_KEYS if cards[0][key] != cards[1][key]]
    contents = [_checkpoint(folder) for folder in folders]
    return found + [f"checkpoint: {place}" for place in _unequal(contents[0], contents[1], "")]


def _without_clocks(row: EpochRow) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name not in CLOCK_COLUMNS}


def _checkpoint(run: Path) -> dict[str, Any]:
    stored = find_checkpoint(run)
    if stored is None:
        raise TrainingError(f"{run} holds no checkpoint to compare: give the folder of a finished run")
    content = read_checkpoint(stored.data, origin=run / stored.name)
    state = json.loads(content["state"])
    state["history"] = [_without_clocks(EpochRow(**row)) for row in state["history"]]
    del state["train_seconds"]
    return {**content, "state": state}


def _unequal(expected: Any, value: Any, place: str) -> list[str]:
    """Return the places where two nested values differ; tensors are compared byte by byte."""
    if isinstance(expected, torch.Tensor) and isinstance(value, torch.Tensor):
        same = expected.dtype == value.dtype and expected.shape == value.shape and _bytes(expected) == _bytes(value)
        return [] if same else [place]
    if isinstance(expected, dict) and isinstance(value, dict) and expected.keys() == value.keys():
        return [found for key in expected for found in _unequal(expected[key], value[key], f"{place}/{key}")]
    if isinstance(expected, list) and isinstance(value, list) and len(expected) == len(value):
        pairs = enumerate(zip(expected, value, strict=True))
        return [found for index, (one, other) in pairs for found in _unequal(one, other, f"{place}/{index}")]
    same = type(expected) is type(value) and not isinstance(expected, torch.Tensor) and bool(expected == value)
    return [] if same else [place]


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
