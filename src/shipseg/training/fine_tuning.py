"""Initial weights of a training: random, or those of an existing model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from shipseg.config import Recipe
from shipseg.errors import ConfigError
from shipseg.inference.locate import find_weights
from shipseg.model.bundle import WEIGHTS_FILE, load_network
from shipseg.model.card import Card, CardStart, read_card
from shipseg.model.widening import can_widen, widened

__all__ = ["MODEL_REQUIRED", "Start", "read_start", "recipe_from"]

MODEL_REQUIRED: Final = "?"
"""Value of train.start_from in a recipe that needs a model to start from."""
_INITIAL_KEYS: Final = ("encoder_weights",)
"""Keys of the network that only set its initial weights; they may differ from the model's."""
_DECISION_FIELDS: Final = {"name", "input", "calibration", "decision", "choice"}


@dataclass(frozen=True, eq=False)
class Start:
    """The model that a training starts from."""

    tensors: dict[str, Tensor]
    """Its state dict, named as in a model folder."""
    facts: CardStart
    """Its name, weights file, data and date, for the card of the new model."""
    decision_rule: dict[str, Any]
    """The fields of its card that make up the decision rule, as JSON."""


def recipe_from(recipe: Recipe, model: str | Path) -> Recipe:
    """Return the recipe with the network of a model, to be trained from its weights.

    Args:
        recipe: The network keys it sets, if any, must equal the model's; but a compact network may be wider than the
            model's (see `shipseg.model.widening`).
        model: A run, a model folder, an ONNX file or the name of a bundled model.

    Raises:
        ConfigError: The recipe sets another network or another input mode.
        ModelError: There is no such model, or it has no weights to train from.
    """
    card = read_card(find_weights(model))
    given = recipe.network.model_fields_set if "network" in recipe.model_fields_set else set()
    _check(recipe, card, model, given=given)
    network = card.network.model_copy(update={"encoder_weights": None})
    if "widths" in given and _widens(recipe, card):
        network = network.model_copy(update={"widths": recipe.network.widths})
    train = recipe.train.model_copy(update={"start_from": str(model)})
    return recipe.model_copy(update={"network": network, "train": train})


def read_start(recipe: Recipe) -> Start | None:
    """Return the model that the recipe starts from; None if it starts from random weights.

    Raises:
        ConfigError: The recipe needs a model and names none, or one with another network.
        ModelError: There is no such model, or its weights are missing or damaged.
    """
    model = recipe.train.start_from
    if model is None:
        return None
    if model == MODEL_REQUIRED:
        raise ConfigError(
            f"recipe {recipe.name} starts from a model, and none is given: add  --from MODEL  (a run, a model folder "
            "or a bundled model: see `shipseg models`)"
        )
    network, card = load_network(find_weights(model))
    _check(recipe, card, model, given=set(type(recipe.network).model_fields))
    facts = CardStart(
        name=card.name,
        weights_sha256=card.files.get(WEIGHTS_FILE, ""),
        data=card.data.origin or card.data.name,
        created=card.created,
    )
    tensors = dict(network.body.state_dict())
    if _widens(recipe, card):
        facts = facts.model_copy(update={"widths": _text(card.network.widths)})
        tensors = widened(tensors, card.network.widths, recipe.network.widths, seed=recipe.train.seed)
    return Start(tensors, facts, card.model_dump(mode="json", include=_DECISION_FIELDS))


def _widens(recipe: Recipe, card: Card) -> bool:
    """Return whether the model is a compact network and the recipe sets larger widths."""
    widths, new_widths = card.network.widths, recipe.network.widths
    return card.network.architecture == "compact" and new_widths != widths and can_widen(widths, new_widths)


def _check(recipe: Recipe, card: Card, model: str | Path, *, given: set[str]) -> None:
    may_differ = {*_INITIAL_KEYS, "widths"} if _widens(recipe, card) else set(_INITIAL_KEYS)
    for key in sorted(given - may_differ):
        value, of_model = getattr(recipe.network, key), getattr(card.network, key)
        if value != of_model:
            raise ConfigError(
                f"recipe {recipe.name} sets network.{key} = {_text(value)}, and {model} has {_text(of_model)}: leave "
                "the network out of the recipe, as  --recipe fine-tune  does, or train without --from"
            )
    if recipe.input.mode != card.input.mode:
        raise ConfigError(
            f"{model} was trained with input.mode {card.input.mode}, and recipe {recipe.name} has {recipe.input.mode}: "
            f"give  --input.mode {card.input.mode}"
        )


def _text(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
