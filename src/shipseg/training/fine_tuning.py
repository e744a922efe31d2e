"""Where a training starts: from the recipe's seed, or from the weights of a model that was trained before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from shipseg.config import Recipe
from shipseg.errors import ConfigError
from shipseg.inference.locate import find_weights
from shipseg.model.bundle import WEIGHTS_FILE, load_network
from shipseg.model.card import Card, read_card
from shipseg.model.widening import can_widen, widened

__all__ = ["TO_BE_GIVEN", "Start", "read_start", "recipe_from"]

TO_BE_GIVEN: Final = "?"
"""What train.start_from says in a recipe that makes no sense without a model to start from."""
_NOT_THE_NETWORK: Final = ("encoder_weights",)
"""Where the model's own training started; its weights say what became of that."""
_RULES: Final = {"name", "input", "calibration", "decision", "choice"}


@dataclass(frozen=True, eq=False)
class Start:
    """The weights that a training starts from."""

    tensors: dict[str, Tensor]
    """By the names of the network's own library, as a model folder holds them."""
    facts: dict[str, Any]
    """What a card keeps of the model they are from."""
    rules: dict[str, Any]
    """The part of its card that says how its probabilities become ships, as JSON."""


def recipe_from(recipe: Recipe, model: str | Path) -> Recipe:
    """Return the recipe with the model's network, to be trained from the model's weights.

    Args:
        recipe: What it says about the network, if anything, must be true of the model; but a compact network may be
            wider than the model's (see `shipseg.model.widening`).
        model: A run, a model folder, or the name of a model that comes with shipseg.

    Raises:
        ConfigError: The recipe wants another network, or shows it images at another resolution.
        ModelError: There is no such model, or it has no weights to train on.
    """
    card = read_card(find_weights(model))
    said = recipe.network.model_fields_set if "network" in recipe.model_fields_set else set()
    _check(recipe, card, model, said=said)
    network = card.network.model_copy(update={"encoder_weights": None})
    if "widths" in said and _grows(recipe, card):
        network = network.model_copy(update={"widths": recipe.network.widths})
    train = recipe.train.model_copy(update={"start_from": str(model)})
    return recipe.model_copy(update={"network": network, "train": train})


def read_start(recipe: Recipe) -> Start | None:
    """Return the weights that the recipe starts from; None where it starts from its seed.

    Raises:
        ConfigError: The recipe needs a model and names none, or one of another network.
        ModelError: There is no such model, or its weights are missing or damaged.
    """
    model = recipe.train.start_from
    if model is None:
        return None
    if model == TO_BE_GIVEN:
        raise ConfigError(
            f"recipe {recipe.name} goes on from a model and none is given: name it with  --from MODEL  (a run, a model "
            "folder, or one that comes with shipseg: see `shipseg models`)"
        )
    network, card = load_network(find_weights(model))
    _check(recipe, card, model, said=set(type(recipe.network).model_fields))
    facts = {
        "name": card.name,
        "weights_sha256": card.files.get(WEIGHTS_FILE, ""),
        "data": card.data.get("origin") or card.data.get("name", ""),
        "created": card.created,
    }
    tensors = dict(network.body.state_dict())
    if _grows(recipe, card):
        facts["widths"] = _text(card.network.widths)
        tensors = widened(tensors, card.network.widths, recipe.network.widths, seed=recipe.train.seed)
    return Start(tensors, facts, card.model_dump(mode="json", include=_RULES))


def _grows(recipe: Recipe, card: Card) -> bool:
    """Return whether the model is a compact network and the recipe wants a wider one."""
    found, wanted = card.network.widths, recipe.network.widths
    return card.network.architecture == "compact" and wanted != found and can_widen(found, wanted)


def _check(recipe: Recipe, card: Card, model: str | Path, *, said: set[str]) -> None:
    may_differ = {*_NOT_THE_NETWORK, "widths"} if _grows(recipe, card) else set(_NOT_THE_NETWORK)
    for key in sorted(said - may_differ):
        wanted, found = getattr(recipe.network, key), getattr(card.network, key)
        if wanted != found:
            raise ConfigError(
                f"recipe {recipe.name} wants network.{key} = {_text(wanted)} and {model} has {_text(found)}: leave the "
                "network out of the recipe, as  --recipe fine-tune  does, or start without --from"
            )
    if recipe.input.mode != card.input.mode:
        raise ConfigError(
            f"{model} learnt from images in mode {card.input.mode} and recipe {recipe.name} shows it "
            f"{recipe.input.mode}: give  --input.mode {card.input.mode}"
        )


def _text(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
