"""A run's folder: its lock, its checkpoints, the files derived from them, and the model with its card.

All other files (recipe.yaml, history.csv, curves.png, model/) are derived from the last checkpoint, are written after
it, and are written again on a resume, so a kill between two files loses nothing.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import hashlib
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from shipseg import __version__, files
from shipseg.config import Decision
from shipseg.data.prepared import PreparedDataset
from shipseg.errors import ModelError, TrainingError
from shipseg.evaluation.thresholds import Choice
from shipseg.model.bundle import save_model
from shipseg.model.card import Card, CardData, CardInput, CardTraining, read_card
from shipseg.model.network import ShipNetwork
from shipseg.recipes import dump_recipe
from shipseg.training.assembly import Assembly
from shipseg.training.checkpoint import (
    StoredCheckpoint,
    find_checkpoint,
    holds_checkpoint,
    save_checkpoint,
)
from shipseg.training.history import HISTORY_FILE, write_history
from shipseg.training.signals import note_stage
from shipseg.training.state import Best, RunState

__all__ = [
    "MODEL_FOLDER",
    "RECIPE_FILE",
    "begin",
    "best_network",
    "build_card",
    "locked",
    "publish",
    "save",
    "save_best_model",
]

RECIPE_FILE = "recipe.yaml"
MODEL_FOLDER = "model"
_LOCK_FILE = ".lock"


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Lock the folder against other training processes; the lock is released when the process ends.

    Raises:
        TrainingError: Another process is training in it.
        StorageError: The folder cannot be written.
    """
    taken = TrainingError(f"another process is training in {run}: wait for it, stop it, or choose another folder")
    with files.locked(files.ensure_folder(run) / _LOCK_FILE, taken=taken):
        yield


def begin(run: Path, *, resume: bool) -> StoredCheckpoint | None:
    """Return the checkpoint to resume from, or None for a new run.

    Raises:
        TrainingError: The folder holds a run, and `resume` is false.
        CheckpointError: The run's checkpoints are damaged.
    """
    for place in (run, run / MODEL_FOLDER):
        files.remove_leftovers(place, alone=True)
    has_files = any((run / name).exists() for name in (RECIPE_FILE, HISTORY_FILE))
    if not resume and (has_files or holds_checkpoint(run)):
        raise TrainingError(f"{run} already holds a run: resume it with --resume, or choose another folder")
    return find_checkpoint(run)


def save(run: Path, assembly: Assembly, state: RunState) -> None:
    """Write a checkpoint, in the first process only.

    Raises:
        StorageError: It cannot be written; the one before it is complete.
    """
    if assembly.processes.is_first:
        note_stage("checkpoint", step=state.step)
        save_checkpoint(run, {"state": state.to_json(), **assembly.state_dict()})
        note_stage("saved", step=state.step)


def publish(run: Path, assembly: Assembly, state: RunState, data: PreparedDataset) -> None:
    """Write the files derived from the state, in the first process only.

    The best model gets the threshold with the highest pooled Dice at the resolution of training; the final threshold is
    chosen once, at the end, at full resolution.

    Args:
        run: The run's folder.
        assembly: The parts of the run, with the best weights.
        state: The state in the last checkpoint.
        data: The dataset, for the model's card.
    """
    if not assembly.processes.is_first:
        return
    files.write_text(run / RECIPE_FILE, dump_recipe(state.current_recipe()))
    write_history(run / HISTORY_FILE, state.history)
    if state.best is not None and not _holds_model_of(run, state.best):
        threshold = min(max(state.best.scores.threshold, 0.01), 0.99)
        choice = Choice(Decision(threshold=threshold, metric="pooled_dice"))
        save_best_model(run, assembly, state, data, choice=choice, finished=False)


def _holds_model_of(run: Path, best: Best) -> bool:
    """Return whether the model folder holds the complete weights and card of this validation."""
    try:
        card = read_card(run / MODEL_FOLDER)
        complete = all(_sha256(run / MODEL_FOLDER / name) == digest for name, digest in card.files.items())
    except (ModelError, OSError):
        return False
    return complete and bool(card.files) and card.training.best_epoch == best.epoch


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_best_model(
    run: Path,
    assembly: Assembly,
    state: RunState,
    data: PreparedDataset,
    *,
    choice: Choice,
    finished: bool,
) -> None:
    """Write the best weights with their card to the run's model folder.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    note_stage("model", step=state.step)
    network = best_network(assembly)
    card = build_card(state, data, multiple=network.multiple, choice=choice, finished=finished)
    save_model(run / MODEL_FOLDER, network, card)
    note_stage("saved", step=state.step)


def best_network(assembly: Assembly) -> ShipNetwork:
    """Return a network with the best weights, on the device of the run."""
    if assembly.best is None:
        raise TrainingError("the run has no best weights yet: let it finish an epoch")
    network = copy.deepcopy(assembly.eval_network)
    network.load_state_dict(assembly.best)
    return network.eval()


def build_card(
    state: RunState,
    data: PreparedDataset,
    *,
    multiple: int,
    choice: Choice,
    finished: bool,
) -> Card:
    """Return the card of a run's best weights.

    Args:
        state: State of the run, with a best validation.
        data: The dataset of the run.
        multiple: Height and width of the network's input are multiples of this.
        choice: The decision rule and how it was chosen.
        finished: Whether the run is finished.
    """
    recipe, best = state.recipe, state.best
    assert best is not None
    resized = recipe.input.mode == "resized"
    card = Card(
        name=recipe.name,
        network=recipe.network,
        input=CardInput(mode=recipe.input.mode, scale=data.scale if resized else 1.0, multiple=multiple,
                        tile=_tile(multiple)),
        data=CardData(fingerprint=data.fingerprint, name=data.root.resolve().name, **_counts(data)),
        training=CardTraining(
            recipe=state.current_recipe().model_dump(mode="json"),
            finished=finished,
            epochs=state.epoch,
            best_epoch=best.epoch,
            steps=best.step,
            images_seen=best.step * recipe.train.batch_size,
            seed=recipe.train.seed,
            processes=state.world_size,
            hours=round(sum(row.seconds for row in state.history) / 3600, 4),
            **({"started_from": state.started_from} if state.started_from else {}),
        ),
        scores={f"val_{name}": value for name, value in vars(best.scores).items()},
        versions={"shipseg": __version__, "torch": torch.__version__, "python": platform.python_version()},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )  # fmt: skip
    return choice.on(card)


def _tile(multiple: int) -> int:
    """Return the default tile size, rounded down to a multiple of `multiple`."""
    default = int(CardInput().tile)
    return max(default // multiple, 1) * multiple


def _counts(data: PreparedDataset) -> dict[str, int]:
    counts: dict[str, int] = {}
    for split in ("train", "val"):
        ships = data.rows(split)["Ships"]
        counts |= {
            f"{split}_images": len(ships),
            f"{split}_images_with_ships": int((ships > 0).sum()),
            f"{split}_ships": int(ships.sum()),
        }
    return counts
