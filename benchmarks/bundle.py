"""Adds a network that was trained on synthetic images alone to the models bundled with shipseg.

    python benchmarks/bundle.py WORK NAME [--out FOLDER]

The last step of scripts/train-bundled, which made the folder WORK: `run/`; `choose/`, the synthetic images on which
threshold and calibration were chosen, and `chosen/model/`, the model with them; `unseen/` and `scores/`, synthetic
images and the scores on them; `commit` and `command` of the training; `synth/synth.json`, the options of the training
images.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from shipseg.errors import ConfigError, ModelError, ShipsegError
from shipseg.files import all_or_none, size_in_words
from shipseg.inference.export import ExportReport, export_onnx
from shipseg.inference.locate import bundled_folder, find_weights
from shipseg.model.bundle import load_network, save_model
from shipseg.model.card import Card, read_card

__all__ = ["MAX_BYTES", "Bundled", "bundle_model"]

MAX_BYTES: Final = 16_000_000
"""Maximum size of a bundled file, for repositories and package indexes."""
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Bundled:
    """The bundled files."""

    card: Card
    onnx: ExportReport
    """The file, and how it compares with the network that was trained."""
    parameters: int


def bundle_model(model: str | Path, name: str, *, facts: Mapping[str, Any], folder: Path | None = None) -> Bundled:
    """Write `NAME.onnx`, which predicts and can be trained on, from a finished model.

    Args:
        model: A run or a model folder.
        name: Name of the model: lower-case words joined by hyphens.
        facts: Fields of `Card` to fill in or to extend: dictionaries are merged, everything else is replaced.
        folder: Output folder; `bundled_folder()` if None.

    Raises:
        ModelError: There is no such model, its training has not finished, the file would be larger than `MAX_BYTES`,
            does not agree with the network, or its weights cannot be read back. Then what was there before is left as
            it was.
        ConfigError: The name is invalid.
        StorageError: The files cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"the name must consist of lower-case letters, digits and single hyphens, got {name!r}")
    network, card = load_network(find_weights(model))
    if card.training.finished is not True:
        raise ModelError(f"the training of {model} has not finished: run  shipseg train ... --resume")
    target = bundled_folder() if folder is None else Path(folder)
    with TemporaryDirectory() as folder_with_card, all_or_none(target) as exported:
        save_model(Path(folder_with_card), network, _filled(card, {**facts, "name": name}))
        report = export_onnx(folder_with_card, exported / f"{name}.onnx")
        if report.path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{name}.onnx takes {report.size_mb:.1f} MB, 16 MB can be shipped: take less width")
        network, card = load_network(find_weights(report.path))
    return Bundled(
        card=card,
        onnx=replace(report, path=target / f"{name}.onnx"),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def _filled(card: Card, facts: Mapping[str, Any]) -> Card:
    """Return the card with these fields; dictionaries are merged."""
    values = card.model_dump(mode="json")
    for key, value in facts.items():
        values[key] = {**values[key], **value} if isinstance(value, Mapping) else value
    start = values["training"].get("recipe", {}).get("train", {})
    if start.get("start_from"):  # a path of this machine only; `started_from` has the hash of the weights
        start["start_from"] = Path(start["start_from"]).name
    return Card.model_validate(values)


ORIGIN = "synthetic: every image is drawn by shipseg's own procedural world (shipseg synth); no real pixel was used"
INTENDED_USE = (
    "finding and outlining ships in optical satellite images of about 1.5 m per pixel (SPOT, the Airbus challenge), as "
    "a first look or a start for fine-tuning; where a miss or a false alarm does harm, a person must look."
)
LIMITS = (
    "It never saw a real image: what the procedural world lacks, it does not know.",
    "Boats below about 100 pixels (20 m) are nearly all missed; where one is found, part of its wake comes with it.",
    "Breakwaters, piers, caissons, surf on rocks, roofs and whitecaps can look like ships to it.",
    "Its threshold and calibration were chosen on synthetic images: shipseg threshold chooses them anew for others.",
    "It knows red, green and blue of 8 bits; neither radar nor infrared.",
)
SCORES = (
    "airbus_score",
    "airbus_score_of_predicting_nothing",
    "pooled_dice",
    "pooled_dice_ship_images",
    "image_dice",
    "ship_f1",
    "ship_precision",
    "ship_recall",
    "false_alarm_images",
    "false_alarms_per_1000km2",
)
"""Keys of metrics.json that are copied to the card."""


def collect_facts(work: Path) -> dict[str, Any]:
    """Return the fields of the card that the run does not have."""
    made, unseen = (_read(work / name / "synth.json") for name in ("synth", "unseen"))
    tested = f"{unseen['images']} unseen synthetic images of {unseen['size'][0]} px (seed {unseen['seed']})"
    commit, command = ((work / name).read_text(encoding="utf-8").strip() for name in ("commit", "command"))
    return {
        "license": "Apache-2.0",
        "intended_use": INTENDED_USE,
        "limits": LIMITS,
        "data": {"origin": ORIGIN, "synth": made},
        "training": {"commit": commit, "command": command},
        "tested": {tested: _scores(_read(work / "scores" / "metrics.json"))},
    }


def _scores(metrics: dict[str, Any]) -> dict[str, Any]:
    chosen = {name: metrics[name] for name in SCORES}
    return chosen | {f"recall {size} px": value for size, value in metrics["recall_by_size"].items()}


def _read(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def describe(bundled: Bundled) -> str:
    """Return the bundled file and its size, on one line."""
    return (
        f"{bundled.onnx.path}: {size_in_words(1e6 * bundled.onnx.size_mb)}, {bundled.parameters:,} parameters; "
        f"differs from the network by {bundled.onnx.max_difference:.1e} in probability at most"
    )


def main() -> None:
    """Bundle the model and print the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = given.work / "chosen" / "model"
    try:
        read_card(model)  # a clear error if earlier steps are missing
        bundled = bundle_model(model, given.name, facts=collect_facts(given.work), folder=given.out)
    except (ShipsegError, OSError) as error:
        sys.exit(f"bundle: {error}")
    print(describe(bundled))


if __name__ == "__main__":
    main()
