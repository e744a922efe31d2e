"""A copy of a model with another card: other rules, another calibration, the same weights."""

from __future__ import annotations

from pathlib import Path

from shipseg.errors import ConfigError
from shipseg.files import ensure_folder, remove_leftovers, write_json, write_text
from shipseg.inference.export import copy_onnx
from shipseg.inference.locate import ONNX_FILE, find_model
from shipseg.model.bundle import README_FILE, WEIGHTS_FILE, load_network, save_model
from shipseg.model.card import CARD_FILE, Card
from shipseg.model.card_page import describe_card

__all__ = ["copy_model", "copy_target"]


def copy_target(model: str | Path, out: Path) -> Path:
    """Return where `copy_model` writes: `out/model`, or `out/model.onnx` for an ONNX file.

    Raises:
        ModelError: There is no such model.
        ConfigError: That is the model itself.
    """
    source = find_model(model)
    target = Path(out) / (ONNX_FILE if source.is_file() else "model")
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target} would be written over the model {model} itself: choose another folder")
    return target


def copy_model(model: str | Path, out: Path, card: Card) -> Path:
    """Write the model with another card into `out` and return its path; the card comes last.

    Args:
        model: A run, a model folder, an ONNX file made by shipseg, or a bundled name.
        out: Folder that gets `model/`, or `model.onnx` for an ONNX file.
        card: Of the same weights.

    Raises:
        ModelError: There is no such model.
        ConfigError: The copy would be written over the model itself.
        StorageError: It cannot be written.
    """
    source, target = find_model(model), copy_target(model, out)
    if source.is_file():
        copy_onnx(source, target, card)
        return target
    remove_leftovers(ensure_folder(target))
    if (source / WEIGHTS_FILE).is_file():
        card = save_model(target, load_network(source)[0], card)
    if (source / ONNX_FILE).is_file():
        copy_onnx(source / ONNX_FILE, target / ONNX_FILE, card)
    write_text(target / README_FILE, describe_card(card))
    write_json(target / CARD_FILE, card.model_dump(mode="json"))
    return target
