"""Puts a network that was trained on synthetic images alone where the models that come with shipseg are kept.

    python benchmarks/bundle.py WORK NAME [--out FOLDER]

The last step of scripts/train-bundled, which made the folder WORK: `run/`; `choose/`, the synthetic images on which
threshold and calibration were chosen, and `chosen/model/`, the model with them; `unseen/` and `scores/`, synthetic
images and the scores on them; `commit` and `command`, those of the training; `synth/synth.json`, what the training
images were made with.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from shipseg.errors import ShipsegError
from shipseg.files import size_in_words
from shipseg.inference.bundling import Bundled, bundle_model
from shipseg.model.card import read_card

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
"""Keys of metrics.json that the card keeps."""


def collect_facts(work: Path) -> dict[str, Any]:
    """Return the fields of the card that the run itself does not know."""
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
    """Return in a few lines what was put in place."""
    weights = (bundled.weights / "model.safetensors").stat().st_size
    return (
        f"{bundled.onnx.path}: {size_in_words(1e6 * bundled.onnx.size_mb)}, {bundled.parameters:,} parameters; "
        f"differs from the weights by {bundled.onnx.max_difference:.1e} in probability at most\n"
        f"{bundled.weights}: {size_in_words(weights)} of weights, card, README"
    )


def main() -> None:
    """Bundle, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("name")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model = given.work / "chosen" / "model"
    try:
        read_card(model)  # a clear sentence where the steps before are missing
        bundled = bundle_model(model, given.name, facts=collect_facts(given.work), folder=given.out)
    except (ShipsegError, OSError) as error:
        sys.exit(f"bundle: {error}")
    print(describe(bundled))


if __name__ == "__main__":
    main()
