"""Texts and table rows of the evaluation report: each score with its meaning, interval, count and baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shipseg.evaluation.calibration import ReliabilityBin
from shipseg.evaluation.scores import SIZE_BINS, ImageScore
from shipseg.evaluation.sweep import Curve, Curves
from shipseg.model.card import Card
from shipseg.number_formats import NONE, counted, number, share
from shipseg.reports.examples import ScoredImage
from shipseg.reports.figures import Estimate, Reliability

__all__ = [
    "ScoreRow",
    "caption",
    "estimates_by_size",
    "group_rows",
    "headline",
    "model_rows",
    "reliability_points",
    "score_rows",
    "titled_groups",
]

_DATA_WORDS = {
    "name": "dataset {}",
    "train_images": "{} images",
    "train_images_with_ships": "{} of them with ships",
    "train_ships": "{} ships",
    "val_images": "validated on {} images",
    "val_images_with_ships": "{} of them with ships",
}
_TRAINING_WORDS = {
    "epochs": "{} epochs",
    "best_epoch": "weights of epoch {}",
    "steps": "{} steps",
    "images_seen": "{} images seen",
    "seed": "seed {}",
    "hours": "{} hours",
    "finished": "finished: {}",
}
_VALIDATION_WORDS = {
    "val_pooled_dice": "pooled Dice {}",
    "val_pooled_iou": "pooled IoU {}",
    "val_image_dice": "mean Dice of images with ships {}",
    "val_loss": "loss {}",
}
"""Without val_threshold, the best threshold at the resolution of training, which is not used."""
_LARGE = ("false_alarms_per_1000km2",)
_SCORES = (
    # Key, name, meaning, and the baseline: the score of predicting nothing.
    (
        "airbus_score",
        "Airbus score",
        (
            "the challenge's own: F2 over ships, averaged over IoU 0.50 … 0.95 and {num_images} images; an image "
            "without ships counts 1 if left empty, else 0"
        ),
        "airbus",
    ),
    (
        "airbus_score_above_nothing",
        "… above predicting nothing",
        "the difference to it, image by image",
        "zero",
    ),
    ("ship_recall", "Ship recall", "share of {num_ships} true ships found with IoU above 0.5", "ships"),
    ("ship_precision", "Ship precision", "share of {num_predicted} detections that are such a ship", "undefined"),
    ("ship_f1", "Ship F1", "harmonic mean of these two", "ships"),
    (
        "image_dice",
        "Image Dice",
        "mean over {num_images_with_ships} images with ships: small ships count as much as large ones",
        "ships",
    ),
    ("pooled_dice", "Pooled Dice", "Dice of the pixels of all images together: large ships dominate", "overlap"),
    ("pooled_iou", "Pooled IoU", "the same as intersection over union", "overlap"),
    (
        "pooled_dice_ship_images",
        "Pooled Dice, ship images",
        "over {num_images_with_ships} images with ships only, as most published figures: too optimistic",
        "ships",
    ),
    (
        "seed_dice",
        "Reference's Dice",
        (
            "as the reference solution to the challenge counted it, for comparison with its figures only: soft Dice "
            "(probabilities instead of a binary mask), pooled over batches of 16 images with ships"
        ),
        "undefined",
    ),
    (
        "false_alarm_images",
        "Images with a false alarm",
        "share of {num_empty} images without ships in which one is predicted; lower is better",
        "alarms",
    ),
    (
        "false_alarms_per_1000km2",
        "False alarms per 1000 km²",
        "detections that touch no true ship, in all images; lower is better",
        "zero",
    ),
)


class ScoreRow(NamedTuple):
    """A line of a table of scores, as text."""

    name: str
    meaning: str
    value: str
    interval: str
    """90 % bootstrap interval."""
    nothing: str
    """The score of a model that never predicts a ship."""


def headline(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the result in three sentences of counts."""
    matched = round((metrics["ship_recall"] or 0) * metrics["num_ships"])
    sentences = [f"It found {matched} of {metrics['num_ships']} ships ({share(metrics['ship_recall'])})."]
    if metrics["num_predicted"]:
        wrong = metrics["num_predicted"] - matched
        sentences.append(
            f"Of its {metrics['num_predicted']} detections {wrong} ({share(wrong / metrics['num_predicted'])}) are not "
            "a ship, or have an IoU with it of 0.5 or less."
        )
    else:
        sentences.append("It detected nothing at all.")
    num_empty = metrics["num_images_by_group"]["none"]
    if num_empty:
        alarmed = round(metrics["false_alarm_images"] * num_empty)
        sentences.append(
            f"In {alarmed} of {num_empty} images without ships ({share(metrics['false_alarm_images'])}) it raised a "
            "false alarm."
        )
    else:
        sentences.append("There was no image without ships, so the rate of false alarms there is unknown.")
    return tuple(sentences)


def score_rows(metrics: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """Return the headline table."""
    has_ships, num_empty = metrics["num_ships"] > 0, metrics["num_images_by_group"]["none"]
    nothing = {
        "airbus": metrics["airbus_score_of_predicting_nothing"],
        "overlap": 0.0 if has_ships else 1.0,
        "ships": 0.0 if has_ships else None,
        "alarms": 0.0 if num_empty else None,
        "zero": 0.0,
        "undefined": None,
    }
    return tuple(
        _row(metrics, key, name, meaning.format(num_empty=num_empty, **metrics), nothing[baseline])
        for key, name, meaning, baseline in _SCORES
    )


def _row(metrics: Mapping[str, Any], key: str, name: str, meaning: str, nothing: float | None) -> ScoreRow:
    digits = 1 if key in _LARGE else 3
    interval = metrics["intervals"].get(key)
    shown = f"{interval[0]:.{digits}f} … {interval[1]:.{digits}f}" if interval else ""
    return ScoreRow(name, meaning, number(metrics[key], digits), shown, number(nothing, digits))


def group_rows(metrics: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """Return mean Dice of images with no, one and several ships."""
    meanings = {
        "none": ("No ship", "share left empty (the Dice of empty and empty is 1)", "1.000"),
        "single": ("One ship", "mean Dice of", "0.000"),
        "multiple": ("Several ships", "mean Dice of", "0.000"),
    }
    rows = []
    for key, (name, meaning, nothing) in meanings.items():
        count = metrics["num_images_by_group"][key]
        interval = metrics["intervals"]["dice_by_group"][key]
        shown = f"{interval[0]:.3f} … {interval[1]:.3f}" if interval else ""
        said = f"{meaning} {count} images" if key != "none" else f"{meaning}, of {count} images"
        rows.append(ScoreRow(name, said, number(metrics["dice_by_group"][key]), shown, nothing if count else NONE))
    return tuple(rows)


def estimates_by_size(metrics: Mapping[str, Any], images: Sequence[ImageScore], kind: str) -> dict[str, Estimate]:
    """Return recall (of true ships) or precision (of predicted ones) by size, with intervals and counts.

    Args:
        metrics: Of the evaluation.
        images: The scores of all images.
        kind: recall or precision.
    """
    found = {}
    for place, name in enumerate(SIZE_BINS):
        low, high = metrics["intervals"][f"{kind}_by_size"][name] or (None, None)
        counts = (image.true_by_size if kind == "recall" else image.predicted_by_size for image in images)
        found[name] = Estimate(metrics[f"{kind}_by_size"][name], low, high, sum(count[place] for count in counts))
    return found


def caption(example: ScoredImage) -> str:
    """Return the caption of an example image: its Dice and its detections."""
    score = example.score
    if not score.num_true:
        found = counted(score.num_predicted, "detection") if score.num_predicted else "left empty"
        return f"no ship in it, {found}"
    wrong = score.num_predicted - score.matched
    extra = f", {counted(wrong, 'wrong detection')}" if wrong else ""
    return f"Dice {score.dice:.3f}, found {score.matched} of {counted(score.num_true, 'ship')}{extra}"


def titled_groups(curves: Curves) -> dict[str, Curve]:
    """Return curves by title of the group."""
    titles = {"none": "Images without ships", "single": "Images with one ship", "multiple": "Images with several ships"}
    return {title: curves[name] for name, title in titles.items() if name in curves}


def reliability_points(kinds: Mapping[str, Sequence[ReliabilityBin]]) -> dict[str, list[Reliability]]:
    """Return reliability bins as points of a reliability diagram."""
    return {
        name: [Reliability(each.mean_predicted, each.observed, each.count) for each in bins]
        for name, bins in kinds.items()
    }


def model_rows(card: Card) -> tuple[tuple[str, str], ...]:
    """Return the rows of the table about the model, from its card."""
    given, network = card.input, card.network
    shown = "images at their own resolution" if given.scale == 1 else f"images scaled by {given.scale:.4g}"
    encoder = "" if network.architecture == "compact" else f"/ {network.encoder}"
    rows = (
        ("name", card.name),
        ("network", " ".join(filter(None, (network.architecture, encoder)))),
        ("input", f"{shown}, {given.metres_per_pixel:g} m per pixel"),
        ("trained on", _words_of(card.data.model_dump(), _DATA_WORDS)),
        ("training", _words_of(card.training.model_dump(), _TRAINING_WORDS)),
        ("scores in training", _words_of(card.scores, _VALIDATION_WORDS, digits=3)),
        ("calibration", _calibration_words(card)),
        ("decision rule chosen on", _choice_words(card)),
        ("made", ", ".join(filter(None, (card.created, *(f"{k} {v}" for k, v in card.versions.items()))))),
    )
    return tuple((name, text) for name, text in rows if text)


def _words_of(values: Mapping[str, Any], words: Mapping[str, str], *, digits: int | None = None) -> str:
    """Return the values that have a text, in the order of the texts."""
    shown = []
    for key, text in words.items():
        if key in values:
            value = values[key]
            said = "yes" if value is True else "no" if value is False else value
            shown.append(text.format(said if digits is None else f"{value:.{digits}f}"))
    return ", ".join(shown)


def _calibration_words(card: Card) -> str:
    calibration = card.calibration
    if calibration is None:
        return "none: the network's own probabilities"
    how = f"temperature {calibration.temperature:g}" if calibration.method == "temperature" else "isotonic"
    errors = calibration.errors
    if errors is None:
        return how
    change = f"{errors.before:.2g} before and {errors.after:.2g} after"
    return f"{how}; mean error of a pixel's probability {change}, on groups it was not fitted on"


def _choice_words(card: Card) -> str:
    counts = card.choice.counts
    if not counts.images:
        return ""
    where = card.choice.data or "labelled images"
    return f"{where}: {counts.images} images, {counts.images_without_ships} of them without ships"
