"""The card of a trained model, written from what the run knows."""

from __future__ import annotations

import datetime as dt
import platform

import torch

from shipseg import __version__
from shipseg.data.prepared import PreparedDataset
from shipseg.evaluation.thresholds import Choice
from shipseg.model.card import Card, CardInput
from shipseg.training.state import RunState

__all__ = ["card_of"]


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
