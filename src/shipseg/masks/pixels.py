"""Pixel counts at one threshold and the scores that follow from them; the reference solution's soft Dice.

Where a score divides by 0 it is 1.0 when there is neither truth nor prediction, else 0.0: an image without ships in
which nothing was predicted is perfect; precision without a prediction and recall without truth are 0 when the other
side has some.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError

__all__ = ["PixelCounts", "count_pixels", "ratio", "seed_protocol_dice"]

_SEED_BATCH = 16
_SEED_SMOOTH = 1.0


def ratio(part: float, whole: float, *, nothing: bool) -> float:
    """Return part / whole; where whole is 0: 1.0 when there was `nothing` to find and nothing was found, else 0.0."""
    if whole > 0:
        return part / whole
    return 1.0 if nothing else 0.0


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Pixels by truth and prediction, of one image or of many added up with `+`. Parts of pixels are allowed.

    Args:
        true_positive: Ship predicted as ship.
        false_positive: Background predicted as ship.
        false_negative: Ship predicted as background.
        true_negative: Background predicted as background.
    """

    true_positive: float = 0
    false_positive: float = 0
    false_negative: float = 0
    true_negative: float = 0

    def __add__(self, other: PixelCounts) -> PixelCounts:
        """Return the counts of both."""
        return PixelCounts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def _nothing(self) -> bool:
        return self.true_positive + self.false_positive + self.false_negative == 0

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        both = 2 * self.true_positive
        return ratio(both, both + self.false_positive + self.false_negative, nothing=self._nothing)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        union = self.true_positive + self.false_positive + self.false_negative
        return ratio(self.true_positive, union, nothing=self._nothing)

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return ratio(self.true_positive, self.true_positive + self.false_positive, nothing=self._nothing)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return ratio(self.true_positive, self.true_positive + self.false_negative, nothing=self._nothing)


def count_pixels(true_hw: NDArray[np.bool_], predicted_hw: NDArray[np.bool_]) -> PixelCounts:
    """Return the pixel counts of two masks of one shape, as whole numbers.

    Raises:
        ConfigError: The shapes differ or a mask is not boolean.
    """
    if true_hw.shape != predicted_hw.shape:
        raise ConfigError(f"truth and prediction must have one shape, got {true_hw.shape} and {predicted_hw.shape}")
    if true_hw.dtype != np.bool_ or predicted_hw.dtype != np.bool_:
        raise ConfigError(f"truth and prediction must be boolean, got {true_hw.dtype} and {predicted_hw.dtype}")
    both = int(np.count_nonzero(true_hw & predicted_hw))
    true, predicted = int(np.count_nonzero(true_hw)), int(np.count_nonzero(predicted_hw))
    return PixelCounts(both, predicted - both, true - both, true_hw.size - true - predicted + both)


def seed_protocol_dice(probabilities: Iterable[NDArray[np.floating]], targets: Iterable[NDArray[np.generic]]) -> float:
    """Return the soft Dice as the reference solution measured it, to compare with its figures and for nothing else.

    Images whose target has no ship are left out; the others are taken in batches of 16 in their order, the last may be
    smaller. A batch scores (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) over all its pixels, without a threshold; the
    result is the mean over batches, NaN when no image has a ship. Sums are float64.

    Args:
        probabilities: One array per image, 0 to 1.
        targets: One array per image of the same shape, 0 to 1.

    Raises:
        ConfigError: The shapes of an image differ.
    """
    sums = [
        found
        for probability, target in zip(probabilities, targets, strict=True)
        if (found := _soft_sums(probability, target))[2] > 0
    ]
    if not sums:
        return math.nan
    scores = []
    for first in range(0, len(sums), _SEED_BATCH):
        shared, predicted, true = np.sum(sums[first : first + _SEED_BATCH], axis=0)
        scores.append((2 * shared + _SEED_SMOOTH) / (predicted + true + _SEED_SMOOTH))
    return float(np.mean(scores))


def _soft_sums(probability: NDArray[np.floating], target: NDArray[np.generic]) -> tuple[float, float, float]:
    if probability.shape != target.shape:
        raise ConfigError(f"probability and target must have one shape, got {probability.shape} and {target.shape}")
    p, t = probability.astype(np.float64), target.astype(np.float64)
    return float((p * t).sum()), float(p.sum()), float(t.sum())
