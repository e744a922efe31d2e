"""A run's folder: who may write it, and what stands in it.

`last.ckpt` holds the whole truth. Everything else (recipe.yaml, history.csv, curves.png, model/) follows from a
checkpoint, is written after it, and is written again when a run goes on: so a kill between any two files costs nothing.
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
from shipseg.model.card import Card, CardInput, read_card
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
    "card_of",
    "locked",
    "publish",
    "save",
    "save_best_model",
]


# The card of a trained model, written from what the run knows.


def card_of(
    state: RunState,
    data: PreparedDataset,
    *,
    multiple: int,
    choice: Choice,
    finished: bool,
) -> Card:
    """Return the card of a run's best weights.

    Args:
        state: The run; it has a best validation.
        data: What it was trained on.
        multiple: What height and width given to the network are multiples of.
        choice: From probabilities to ships, and why so.
        finished: Whether the run has come to its end.
    """
    recipe, best = state.recipe, state.best
    assert best is not None
    resized = recipe.input.mode == "resized"
    card = Card(
        name=recipe.name,
        network=recipe.network,
        input=CardInput(mode=recipe.input.mode, scale=data.scale if resized else 1.0, multiple=multiple,
                        tile=_tile(multiple)),
        data={"fingerprint": data.fingerprint, "name": data.root.resolve().name, **_counts(data)},
        training={
            "recipe": state.current_recipe().model_dump(mode="json"),
            "finished": finished,
            "epochs": state.epoch,
            "best_epoch": best.epoch,
            "steps": best.step,
            "images_seen": best.step * recipe.train.batch_size,
            "seed": recipe.train.seed,
            "processes": state.world_size,
            "hours": round(sum(row.seconds for row in state.history) / 3600, 4),
            **({"started_from": state.started_from} if state.started_from else {}),
        },
        scores={f"val_{name}": value for name, value in vars(best.scores).items()},
        versions={"shipseg": __version__, "torch": torch.__version__, "python": platform.python_version()},
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )  # fmt: skip
    return choice.on(card)


def _tile(multiple: int) -> int:
    """Return the card's usual tile, as a multiple of what the network needs."""
    usual = int(CardInput().tile)
    return max(usual // multiple, 1) * multiple


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


RECIPE_FILE = "recipe.yaml"
MODEL_FOLDER = "model"
_LOCK_FILE = ".lock"


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep every other process from training in the folder; the lock goes with the process, however it ends.

    Raises:
        TrainingError: Another process trains in it.
        StorageError: The folder cannot be written.
    """
    taken = TrainingError(f"another process is training in {run}: wait for it, stop it, or choose another folder")
    with files.locked(files.ensure_folder(run) / _LOCK_FILE, taken=taken):
        yield


def begin(run: Path, *, resume: bool) -> StoredCheckpoint | None:
    """Return the checkpoint to go on from, or None for a new run.

    Raises:
        TrainingError: The folder holds a run, and nobody said that it shall go on.
        CheckpointError: The run's checkpoints are damaged.
    """
    for place in (run, run / MODEL_FOLDER):
        files.remove_leftovers(place, alone=True)
    in_the_way = [name for name in (RECIPE_FILE, HISTORY_FILE) if (run / name).exists()]
    if not resume and (in_the_way or holds_checkpoint(run)):
        raise TrainingError(f"{run} already holds a run: go on with it (--resume), or choose another folder")
    return find_checkpoint(run)


def save(run: Path, assembly: Assembly, state: RunState) -> None:
    """Write a checkpoint, in the first process only.

    Raises:
        StorageError: It cannot be written; the one before is whole.
    """
    if assembly.processes.is_first:
        note_stage("checkpoint", step=state.step)
        save_checkpoint(run, {"state": state.to_json(), **assembly.tensors()})
        note_stage("saved", step=state.step)


def publish(run: Path, assembly: Assembly, state: RunState, data: PreparedDataset) -> None:
    """Write what follows from the state for people, in the first process only.

    The best model gets the threshold with the highest pooled Dice at the resolution of training; the final choice, at
    full resolution, is made once, at the end.

    Args:
        run: The run's folder.
        assembly: Holds the best weights.
        state: As in the last checkpoint.
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
    """Return whether the model folder holds the weights of this validation, with their card, whole."""
    try:
        card = read_card(run / MODEL_FOLDER)
        whole = all(_sha256(run / MODEL_FOLDER / name) == digest for name, digest in card.files.items())
    except (ModelError, OSError):
        return False
    return whole and bool(card.files) and card.training.get("best_epoch") == best.epoch


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
    card = card_of(state, data, multiple=network.multiple, choice=choice, finished=finished)
    save_model(run / MODEL_FOLDER, network, card)
    note_stage("saved", step=state.step)


def best_network(assembly: Assembly) -> ShipNetwork:
    """Return a network with the best weights, where the run's own network is."""
    if assembly.best is None:
        raise TrainingError("the run has no best weights yet: let it finish an epoch")
    network = copy.deepcopy(assembly.judged)
    network.load_state_dict(assembly.best)
    return network.eval()
