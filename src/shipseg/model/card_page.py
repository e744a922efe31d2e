"""The README of a model: its card as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shipseg.config import Recipe, validated
from shipseg.errors import ConfigError
from shipseg.model.card import Card
from shipseg.recipes import dump_recipe

__all__ = ["describe_card"]

_FOLDER = "THIS_FOLDER"
_WORDS = {
    "airbus_score": "score of the Airbus challenge",
    "airbus_score_of_predicting_nothing": "the same for predicting nothing",
    "pooled_dice": "pooled Dice, all images",
    "pooled_dice_ship_images": "pooled Dice, images with ships",
    "pooled_iou": "pooled IoU",
    "image_dice": "mean Dice of images with ships",
    "ship_f1": "F1 of ships",
    "ship_precision": "precision of ships",
    "ship_recall": "recall of ships",
    "false_alarm_images": "share of images without ships that get a false alarm",
    "false_alarms_per_1000km2": "false alarms per 1000 km2",
    "pooled_dice_at_half": "pooled Dice at threshold 0.5",
    "pooled_iou_at_half": "pooled IoU at threshold 0.5",
    "threshold": "threshold with the highest pooled Dice",
    "images_seen": "images seen",
    "best_epoch": "weights of epoch",
}


def describe_card(card: Card, *, model: str | None = None) -> str:
    """Return the card as a page for people, in Markdown: what it is, how to use it, how good it is, its limits.

    Args:
        card: A model's card.
        model: What the commands on the page call the model; None for the model folder that the page is in.
    """
    network, entry = card.network, card.input
    is_ours = network.architecture == "compact"
    what = "compact U-Net" if is_ours else f"{network.architecture} on the encoder {network.encoder}"
    made = [f"with shipseg {card.versions['shipseg']}"] if "shipseg" in card.versions else []
    made += [f"on {card.created}"] if card.created else []
    lines = [
        f"# {card.name}",
        "",
        f"Detects ships in optical images of about {entry.metres_per_pixel:g} m per pixel; a {what}.",
        *([f"Made {' '.join(made)}."] if made else []),
        *([f"Licence: {card.license}."] if card.license else []),
        *([f"Meant for: {card.intended_use}"] if card.intended_use else []),
        *_use(model or _FOLDER, is_smp=not is_ours and model is None),
        *_section("Input", _input_lines(card)),
        *_section("Decision rule", _decision_lines(card)),
        *_section("Scores on validation images", _score_lines(card)),
        *_section("Scores on test images", _tested_lines(card)),
        *_section("Training data", _data_lines(card)),
        *_section("Training", _training_lines(card)),
        *_section("Limits", _limits(card, model or _FOLDER)),
        *_section("Files", [f"- `{name}`: SHA-256 `{digest}`" for name, digest in card.files.items()]),
    ]
    return "\n".join(lines) + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    """Return a heading and its lines; nothing if there are no lines."""
    body = list(lines)
    return ["", f"## {title}", "", *body] if body else []


def _use(model: str, *, is_smp: bool) -> list[str]:
    lines = ["", "## Use", "", "```bash", f"shipseg predict IMAGES --model {model} --out OUT", "```", ""]
    lines += [
        "```python",
        "import shipseg",
        "",
        f'for ship in shipseg.load_model("{model}").predict("image.jpg").ships:',
        "    print(ship.center_rc, ship.length_px, ship.confidence)",
        "```",
    ]
    if is_smp:
        lines += ["", f'`segmentation_models_pytorch.from_pretrained("{model}")` reads all but the normalisation.']
    return lines


def _input_lines(card: Card) -> list[str]:
    entry = card.input
    scaled = "at its own resolution" if entry.scale == 1 else f"scaled by {entry.scale:.4g}"
    return [
        f"- RGB, 0-255, any size; the network's input is the image {scaled}.",
        f"- Inputs larger than {entry.tile} px are split into tiles that overlap by {entry.overlap} px.",
        *([f"- Test-time augmentation: the mean over {entry.views} TTA views."] if entry.views > 1 else []),
        f"- Sides are padded to multiples of {entry.multiple} px, colours normalised (`{card.network.normalization}`).",
        "",
        "shipseg does all of this automatically.",
    ]


def _decision_lines(card: Card) -> list[str]:
    decision, lines = card.decision, []
    why = "a default" if decision.metric == "none" else f"chosen for: {_words(decision.metric)}"
    lines.append(f"- Threshold: pixels with a probability of at least {decision.threshold:.4g} are ship ({why}).")
    if decision.min_peak:
        lines.append(f"- Peak threshold: a ship has a pixel with a probability of at least {decision.min_peak:.4g}.")
    if decision.min_area_px > 1:
        lines.append(f"- A ship has at least {decision.min_area_px} pixels.")
    if decision.separate:
        lines.append("- Touching ships are split where that is clear.")
    if decision.rectangles:
        lines.append("- Ships in images become filled rectangles where one fits; those in scenes keep their outlines.")
    counts = card.choice.counts
    if counts.images:
        images = f"{_number(counts.images)} images, {_number(counts.images_without_ships)} without ships"
        lines.append(f"- Chosen on {_text(card.choice.data or 'labelled images')}: {images}.")
    if card.calibration is not None:
        errors = card.calibration.errors
        error = (
            ""
            if errors is None
            else f"; error {errors.before:.2g} before, {errors.after:.2g} after, on held-out images"
        )
        how = "isotonic"
        if card.calibration.method == "temperature":
            how = f"temperature {card.calibration.temperature:.4g}"
        lines.append(f"- Probabilities are calibrated ({how}{error}).")
    if card.gate is not None:
        gate = card.gate
        lines.append(
            f"- Tiles of scenes with a contrast below {gate.threshold:.4g} grey values are skipped: "
            f"{100 * gate.lost_recall:.2g} % of {gate.num_ships:,} ships were lost (at most "
            f"{100 * gate.lost_recall_at_most:.2g} %), {100 * gate.skipped_share:.2g} % of the empty tiles skipped, on "
            f"{_text(gate.measured_on)}. With `--no-gate` every tile is predicted."
        )
    return lines


def _score_lines(card: Card) -> list[str]:
    named = [(name.removeprefix("val_"), value) for name, value in card.scores.items()]
    at_choice = {name: value for name, value in card.choice.scores.items() if value is not None}
    title = "Score on its validation images, at the resolution of training"
    lines = _table((title, "Value"), [(_words(name), f"{value:.4f}") for name, value in named])
    if at_choice:
        data = _text(card.choice.data or "labelled images")
        title = f"Score on the images on which the decision rule was chosen ({data}), at full resolution"
        rows = [(_words(name), f"{value:.4f}") for name, value in at_choice.items()]
        lines += [""] * bool(lines) + _table((title, "Value"), rows)
    return lines


def _tested_lines(card: Card) -> list[str]:
    lines: list[str] = []
    for images, scores in card.tested.items():
        given = scores.model_dump(mode="json")
        rows = [(_words(name), _score(value)) for name, value in given.items() if value is not None]
        lines += [""] * bool(lines) + _table((f"Score on {images}", "Value"), rows)
    return lines


def _score(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else _text(value)


def _data_lines(card: Card) -> list[str]:
    rest, lines = card.data.model_dump(mode="json"), []
    for split, what in (("train", "for training"), ("val", "for validation")):
        names = [f"{split}_{key}" for key in ("images", "images_with_ships", "ships")]
        if all(name in rest for name in names):
            images, with_ships, ships = (_number(rest.pop(name)) for name in names)
            lines.append(f"- {images} images {what}: {with_ships} with ships, {ships} ships in all.")
    return lines + [f"- {_capital(_words(key))}: {_text(value)}" for key, value in rest.items()]


def _training_lines(card: Card) -> list[str]:
    rest = card.training.model_dump(mode="json")
    recipe = rest.pop("recipe", None)
    rest |= {f"started from: {key}": value for key, value in rest.pop("started_from", {}).items() if value}
    lines = _table(("", ""), [(_capital(_words(key)), _text(value)) for key, value in rest.items()])
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items() if name != "shipseg")
    if versions:
        lines += [""] * bool(lines) + [f"With {versions}."]
    if isinstance(recipe, Mapping):
        lines += [""] * bool(lines) + ["The recipe, as `shipseg train --recipe FILE` reads it:", "", "```yaml"]
        lines += [*_yaml(recipe).splitlines(), "```"]
    return lines


def _yaml(recipe: Mapping[str, Any]) -> str:
    try:
        return dump_recipe(validated(Recipe, recipe, "card"))
    except ConfigError:  # of another version of shipseg
        return "\n".join(f"{key}: {_text(value)}" for key, value in recipe.items())


def _limits(card: Card, model: str) -> list[str]:
    metres = card.input.metres_per_pixel
    touching = "may come out as one" if card.decision.separate else "come out as one"
    lines = [
        f"- It knows images like those above; on others, score it: `shipseg evaluate DATA SCORES --model {model}`.",
        f"- Scale images of another resolution to {metres:g} m per pixel before.",
        f"- Vessels that touch {touching}; bow and stern are not distinguished.",
        *(f"- {limit}" for limit in card.limits),
    ]
    if card.training.finished is False:
        lines.append("- Its training had not finished when it was saved: the threshold is preliminary.")
    return lines


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    return ["| {} | {} |".format(*head), "|---|---|", *("| {} | {} |".format(*row) for row in rows)] if rows else []


def _words(key: str) -> str:
    return _WORDS.get(key, key.replace("_", " "))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _text(value: Any) -> str:
    """Return a value as one line of Markdown; integers with commas, booleans as yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    shown = _number(value) if isinstance(value, int | float) else " ".join(str(value).split())
    return shown.replace("|", "\\|")
