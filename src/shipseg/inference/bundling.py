"""Putting a finished model where the models that come with shipseg are kept: as ONNX, and as weights to train on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from shipseg.errors import ConfigError, ModelError
from shipseg.files import all_or_none
from shipseg.inference.export import ExportReport, export_onnx
from shipseg.inference.locate import bundled_folder, find_weights
from shipseg.model.bundle import load_network, save_model
from shipseg.model.card import Card

__all__ = ["MAX_BYTES", "Bundled", "bundle_model"]

MAX_BYTES: Final = 16_000_000
"""No file that comes with shipseg is larger: repositories and package indexes want it so."""
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Bundled:
    """What was put in place."""

    card: Card
    onnx: ExportReport
    """The file that predicts, and how it compares with the weights."""
    weights: Path
    """Folder with the same weights in safetensors, and the card for programs and for people."""
    parameters: int


def bundle_model(model: str | Path, name: str, *, facts: Mapping[str, Any], folder: Path | None = None) -> Bundled:
    """Write `NAME.onnx` and `NAME/` (safetensors, card, README) from a finished model.

    Args:
        model: A run or a model folder.
        name: What it will be called, in lower-case words joined by hyphens.
        facts: Fields of `Card` to fill in or to extend: dictionaries are merged, everything else is replaced.
        folder: Where to write; `bundled_folder()` where None.

    Raises:
        ModelError: There is no such model, its training has not finished, a file would be larger than `MAX_BYTES`, or
            the exported file does not agree with the weights. Then what was there before is left as it was.
        ConfigError: The name is none.
        StorageError: The files cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"a model's name is of lower-case letters, digits and hyphens, got {name!r}")
    network, card = load_network(find_weights(model))
    if card.training.get("finished") is not True:
        raise ModelError(f"the training of {model} has not finished: go on with  shipseg train ... --resume")
    target = bundled_folder() if folder is None else Path(folder)
    with all_or_none(target / name) as weights, all_or_none(target) as exported:
        made = save_model(weights, network, _filled(card, {**facts, "name": name}))
        report = export_onnx(weights, exported / f"{name}.onnx")
        _refuse_large(name, [*weights.iterdir(), *exported.iterdir()])
    return Bundled(
        card=made,
        onnx=replace(report, path=target / f"{name}.onnx"),
        weights=target / name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def _refuse_large(name: str, files: Iterable[Path]) -> None:
    for file in files:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{file.name} of {name} takes {size / 1e6:.1f} MB, 16 MB can be shipped: take less width")


def _filled(card: Card, facts: Mapping[str, Any]) -> Card:
    """Return the card with these fields; its dictionaries keep what they hold."""
    values = card.model_dump(mode="json")
    for key, value in facts.items():
        values[key] = {**values[key], **value} if isinstance(value, Mapping) else value
    start = values["training"].get("recipe", {}).get("train", {})
    if start.get("start_from"):  # another machine has no such path; `started_from` has the hash of what was there
        start["start_from"] = Path(start["start_from"]).name
    return Card.model_validate(values)
