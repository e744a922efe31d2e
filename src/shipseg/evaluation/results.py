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
