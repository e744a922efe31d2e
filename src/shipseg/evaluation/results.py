"""What an evaluation found, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shipseg.evaluation.bootstrap import INTERVAL_SHARE
from shipseg.evaluation.calibration import ReliabilityBin
from shipseg.evaluation.curves import Curves
from shipseg.evaluation.scores import ImageScore, ShipScore
from shipseg.model.card import Card

__all__ = ["Evaluation", "FailedImage"]

_SUMMARY_COUNTS = {
    "num_images": "images",
    "num_images_with_ships": "images with ships",
    "num_ships": "true ships",
    "num_predicted": "detections",
    "num_failed": "images that could not be scored",
    "threshold": "a pixel is ship from probability",
    "min_peak": "a ship needs a peak probability of",
}
_SUMMARY_SCORES = {
    "airbus_score": "Airbus score",
    "airbus_score_of_predicting_nothing": "Airbus score of predicting nothing",
    "pooled_dice": "pooled Dice",
    "image_dice": "mean Dice of images with ships",
    "ship_precision": "ship precision",
    "ship_recall": "ship recall",
    "ship_f1": "ship F1",
    "false_alarm_images": "share of empty images with a false alarm",
    "false_alarms_per_1000km2": "false alarms per 1000 km2",
}


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be scored."""

    image_id: str
    reason: str
    """In one word: missing, unreadable, truncated, unsupported (the image); labels (its masks)."""
    detail: str
    """In one sentence."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a model did on a set of labelled images."""

    metrics: Mapping[str, Any]
    """What metrics.json holds; `shipseg.evaluation.summary` says what each score is."""
    images: tuple[ImageScore, ...]
    """One for each image that was scored, in the order of the source."""
    ships: tuple[ShipScore, ...]
    """One for each true and each predicted ship."""
    failed: tuple[FailedImage, ...]
    pixel_curves: Curves
    """Scores of pixels at many thresholds; the decision's smallest peak and area play no part in them."""
    ship_curves: Curves
    """Scores of ships at some thresholds, with the decision's smallest peak and area."""
    pixel_reliability: tuple[ReliabilityBin, ...]
    ship_reliability: tuple[ReliabilityBin, ...]
    card: Card
    """The model's card."""
    source: str
    """What it was scored on, in words."""

    @property
    def summary(self) -> dict[str, str | int | float]:
        """Return the main scores for people, each with its 90 % interval; what is not defined is left out."""
        shown: dict[str, str | int | float] = {words: self.metrics[name] for name, words in _SUMMARY_COUNTS.items()}
        if self.metrics["rectangles"]:
            shown["ships become"] = "filled rectangles where one fits"
        label = f"{100 * INTERVAL_SHARE:.0f} % interval"
        for name, words in _SUMMARY_SCORES.items():
            value, interval = self.metrics[name], self.metrics["intervals"][name]
            if value is not None:
                between = f" ({label} {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
                shown[words] = f"{value:.3f}{between}"
        return shown
