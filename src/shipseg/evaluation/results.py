"""What an evaluation found, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.evaluation.calibration import ReliabilityBin
from shipseg.evaluation.scores import ImageScore, ShipScore
from shipseg.model.card import Card

__all__ = ["Curve", "Evaluation", "FailedImage"]

Curve = Mapping[str, NDArray[np.float64]]
"""Columns of equal length, `threshold` among them."""


_SUMMARY_COUNTS = ("num_images", "num_images_with_ships", "num_ships", "num_failed", "threshold", "min_peak")
_SUMMARY_SCORES = (
    "airbus_score",
    "airbus_score_of_predicting_nothing",
    "pooled_dice",
    "image_dice",
    "ship_precision",
    "ship_recall",
    "ship_f1",
    "false_alarm_images",
    "false_alarms_per_1000km2",
)


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
    pixel_curve: Curve
    """Pixel scores at every threshold; the decision's smallest peak and area play no part in them."""
    ship_curve: Curve
    """Ship scores at some thresholds, with the decision's smallest peak and area."""
    pixel_reliability: tuple[ReliabilityBin, ...]
    ship_reliability: tuple[ReliabilityBin, ...]
    card: Card
    """The model's card."""
    source: str
    """What it was scored on, in words."""

    @property
    def summary(self) -> dict[str, str | int | float]:
        """Return the main scores for people, each with its 90 % interval; what is not defined is left out."""
        shown: dict[str, str | int | float] = {name: self.metrics[name] for name in _SUMMARY_COUNTS}
        for name in _SUMMARY_SCORES:
            value, interval = self.metrics[name], self.metrics["intervals"][name]
            if value is not None:
                shown[name] = f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
        return shown
