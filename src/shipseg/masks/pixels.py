"""Pixel counts at one threshold and the scores that follow from them; the reference solution's soft Dice.

Where a score divides by 0 it is 1.0 when there is neither truth nor prediction, else 0.0: an image without ships in
which nothing was predicted is perfect; precision without a prediction and recall without truth are 0 when the other
side has some.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, unknown_name

__all__ = [
    "FineHistogram",
    "PixelCounts",
    "ProbabilityHistogram",
    "ThresholdCurve",
    "count_pixels",
    "ratio",
    "seed_protocol_dice",
    "shares",
]


_SEED_BATCH = 16
_SEED_SMOOTH = 1.0


def ratio(part: float, whole: float, *, nothing: bool) -> float:
    """Return part / whole; where whole is 0: 1.0 when there was `nothing` to find and nothing was found, else 0.0."""
    if whole > 0:
        return part / whole
    return 1.0 if nothing else 0.0


def shares(part: NDArray[np.float64], whole: NDArray[np.float64], *, empty: float = math.nan) -> NDArray[np.float64]:
    """Return part / whole element by element, and `empty` where whole is 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), empty)


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
    """Return the soft Dice of the reference solution, only for comparison with its published figures.

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


# Scores at every threshold at once, from counts of pixels by probability.

ThresholdCurve = dict[str, NDArray[np.float64]]
"""Keys threshold, dice, iou, precision, recall; float64 arrays of one length, thresholds ascending."""

_SCORES = ("dice", "iou", "precision", "recall")
_WEIGHT_UNITS = 1 << 24  # a pixel's weight of being ship is counted in whole parts of 2**-24, a float32 mantissa


class ProbabilityHistogram:
    """Counts of pixels by probability and truth, from which every threshold's scores follow at once.

    Thresholds are 0, 1 / bins, ... 1; as everywhere, a pixel is ship when its probability is at least the threshold,
    both as float32. Weights are counted as whole numbers of 2**-24 pixels, so the result is the same to the last bit
    for any order and any split of the pixels over batches and processes, up to 5e11 pixels.

    Args:
        bins: Steps between the thresholds 0 and 1.

    Example:
        >>> histogram = ProbabilityHistogram(bins=10)
        >>> histogram.add(np.array([0.1, 0.7, 0.9], np.float32), np.array([0, 1, 1]))
        >>> histogram.counts(0.8).recall
        0.5
    """

    def __init__(self, bins: int = 1000) -> None:
        if not 1 <= bins <= 1 << 20:  # float32 tells neighbouring thresholds apart up to there
            raise ConfigError(f"a probability histogram needs from 1 to {1 << 20} bins, got {bins}")
        self._bins = bins
        self._edges = self.thresholds.astype(np.float32)
        # Row 0: pixels, row 1: weight of being ship, both in units of 2**-24. Column k: probabilities from threshold k
        # to below the next; the last column: exactly 1.
        self._units = np.zeros((2, bins + 1), np.int64)

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """The thresholds, ascending: float64 (bins + 1,)."""
        return np.arange(self._bins + 1) / self._bins

    @property
    def num_pixels(self) -> int:
        """Pixels added so far."""
        return int(self._units[0].sum()) // _WEIGHT_UNITS

    def add(self, probability: NDArray[np.floating], target: NDArray[np.generic]) -> None:
        """Add pixels.

        Args:
            probability: Floating point, any shape, 0 to 1.
            target: The same shape; bool, or a number from 0 to 1: the pixel's weight of being ship (coverage). A pixel
                of weight w counts as w ship pixels and 1 - w background pixels.

        Raises:
            ConfigError: The shapes differ, or a value is not within 0 to 1 (NaN is not).
        """
        if probability.shape != target.shape:
            raise ConfigError(f"probability and target must have one shape, got {probability.shape} and {target.shape}")
        if not probability.size:
            return
        probabilities = probability.astype(np.float32, copy=False).ravel()
        weights = target.astype(np.float64).ravel()
        for name, values in (("probability", probabilities), ("target", weights)):
            lowest, highest = float(values.min()), float(values.max())
            if not (lowest >= 0 and highest <= 1):  # also true for NaN
                raise ConfigError(f"a {name} must be from 0 to 1, got values from {lowest} to {highest}")
        column = self._columns(probabilities)
        self._units[0] += np.bincount(column, minlength=self._bins + 1) * _WEIGHT_UNITS
        # bincount adds float64: whole numbers below 2**53, exact for up to 2**29 pixels a call.
        ship = np.bincount(column, np.rint(weights * _WEIGHT_UNITS), minlength=self._bins + 1)
        self._units[1] += ship.astype(np.int64)

    def _columns(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return for each probability the last threshold that it reaches."""
        column = (probabilities * np.float32(self._bins)).astype(np.intp)
        # The product is rounded: correct it by at most one step, by the very comparison that a threshold makes.
        column -= probabilities < self._edges[column]
        above = np.minimum(column + 1, self._bins)
        return np.where(probabilities >= self._edges[above], above, column)

    def __add__(self, other: ProbabilityHistogram) -> ProbabilityHistogram:
        """Return the histogram of the pixels of both.

        Raises:
            ConfigError: The numbers of bins differ.
        """
        if self._bins != other._bins:
            raise ConfigError(f"histograms of {self._bins} and {other._bins} bins cannot be added")
        return ProbabilityHistogram.from_array(self._units + other._units)

    def to_array(self) -> NDArray[np.int64]:
        """Return the counts, int64 (2, bins + 1): arrays of several processes may be added up element by element."""
        return self._units.copy()

    @classmethod
    def from_array(cls, array: NDArray[np.integer]) -> ProbabilityHistogram:
        """Return the histogram whose `to_array` gave `array`.

        Raises:
            ConfigError: The array is no histogram.
        """
        if array.ndim != 2 or array.shape[0] != 2 or array.dtype.kind not in "iu":
            raise ConfigError(f"a histogram is an integer array (2, bins + 1), got {array.dtype} of {array.shape}")
        histogram = cls(array.shape[1] - 1)
        histogram._units = array.astype(np.int64)
        return histogram

    def _cumulated(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (all pixels, ship pixels) predicted as ship at each threshold."""
        from_above: NDArray[np.int64] = np.cumsum(self._units[:, ::-1], axis=1)[:, ::-1]
        return from_above[0] / _WEIGHT_UNITS, from_above[1] / _WEIGHT_UNITS

    def counts(self, threshold: float) -> PixelCounts:
        """Return the pixel counts at one of `thresholds`; for another value count the pixels with `count_pixels`.

        Raises:
            ConfigError: `threshold` is not one of `thresholds`.
        """
        index = round(threshold * self._bins) if 0 <= threshold <= 1 else -1
        if index < 0 or not math.isclose(index / self._bins, threshold, abs_tol=1e-9):
            raise ConfigError(
                f"the thresholds of {self._bins} bins are 0, {1 / self._bins:g}, ... 1 and {threshold} is none of them"
            )
        pixels, ships = self._cumulated()
        hit, false_alarm = float(ships[index]), float(pixels[index] - ships[index])
        missed = float(ships[0]) - hit
        return PixelCounts(hit, false_alarm, missed, float(pixels[0]) - hit - false_alarm - missed)

    def curves(self) -> ThresholdCurve:
        """Return the scores at every threshold: threshold, dice, iou, precision, recall, each float64 (bins + 1,)."""
        pixels, hit = self._cumulated()
        total = hit[0]
        nothing = (pixels == 0) & (total == 0)

        def divided(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
            score: NDArray[np.float64] = nothing.astype(np.float64)
            np.divide(part, whole, out=score, where=whole > 0)
            return score

        return {
            "threshold": self.thresholds,
            "dice": divided(2 * hit, pixels + total),
            "iou": divided(hit, pixels + total - hit),
            "precision": divided(hit, pixels),
            "recall": divided(hit, np.full_like(hit, total)),
        }

    def best_threshold(self, metric: str) -> tuple[float, float]:
        """Return (threshold, score) where `metric` (dice, iou, precision or recall) is highest.

        Where neighbouring thresholds share the highest score, the middle of the longest such stretch is returned: the
        farthest from where the score falls.

        Raises:
            ConfigError: The metric is unknown or no pixel was added.
        """
        if metric not in _SCORES:
            raise unknown_name("metric", metric, _SCORES)
        if not self._units.any():
            raise ConfigError("no pixel was added to the histogram, so no threshold is the best")
        score = self.curves()[metric]
        best = np.flatnonzero(score == score.max())
        stretches = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
        longest = max(stretches, key=len)
        index = int(longest[len(longest) // 2])
        return float(self.thresholds[index]), float(score[index])


# Counts of pixels by probability, finer than any threshold or calibration needs, in a fixed amount of memory.

_DROPPED_BITS = 23 - 12
"""Of a float32's 23 bits of mantissa 12 are kept: neighbouring bins differ by 1 in 4096 of the distance to 0 or 1."""
_SMALLEST = np.float32(2.0**-20)
"""All that is nearer to 0 than this shares a bin, and so it is at 1."""
_FIRST = int(_SMALLEST.view(np.int32)) >> _DROPPED_BITS
_LAST = (int(np.float32(0.5).view(np.int32)) >> _DROPPED_BITS) - _FIRST
"""The bin just below 0.5; bins are mirrored there."""
_NUM_BINS = 2 * (_LAST + 1)


class FineHistogram:
    """Counts of pixels and of ship pixels in about 156,000 intervals of probability, narrow near 0 and 1.

    Nearly all pixels have a probability close to 0 and nearly all ship pixels one close to 1, and a network may squeeze
    everything into a corner: so the bins follow the float32's own scale at both ends.
    """

    def __init__(self) -> None:
        self.pixels: NDArray[np.int64] = np.zeros(_NUM_BINS, np.int64)
        self.ships: NDArray[np.int64] = np.zeros(_NUM_BINS, np.int64)

    def add(self, probability_hw: NDArray[np.float32], true_hw: NDArray[np.bool_]) -> None:
        """Add an image: probability, float32 (H, W) in 0..1, and truth, bool (H, W)."""
        bins = _bins_of(probability_hw.ravel())
        self.pixels += np.bincount(bins, minlength=_NUM_BINS)
        self.ships += np.bincount(bins[true_hw.ravel()], minlength=_NUM_BINS)

    def __add__(self, other: FineHistogram) -> FineHistogram:
        """Return the histogram of the pixels of both."""
        both = FineHistogram()
        both.pixels, both.ships = self.pixels + other.pixels, self.ships + other.ships
        return both

    def occupied(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Return of each bin that holds a pixel its middle probability, its pixels and its ship pixels."""
        places = np.flatnonzero(self.pixels)
        edges = np.append(_edges(), 1.0)
        return (edges[places] + edges[places + 1]) / 2, self.pixels[places], self.ships[places]

    def ship_quantiles(self, levels: Sequence[float]) -> NDArray[np.float64]:
        """Return the probabilities below which such shares of the ship pixels lie: lower edges of bins; () if none."""
        cumulated = np.cumsum(self.ships)
        if not cumulated[-1]:
            return np.zeros(0)
        places = np.searchsorted(cumulated, np.asarray(levels) * cumulated[-1], side="right")
        return np.asarray(_edges()[places])

    def curve(self, thresholds: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return pooled_dice, pooled_iou, precision and recall of the pixels at some thresholds.

        A threshold acts at the lower edge of its bin. Dice and IoU are 1 where there is neither truth nor prediction;
        precision without a prediction and recall without truth are NaN.
        """
        places = _bins_of(np.asarray(thresholds, np.float32))
        predicted = np.cumsum(self.pixels[::-1])[::-1][places].astype(np.float64)
        hit = np.cumsum(self.ships[::-1])[::-1][places].astype(np.float64)
        true = float(self.ships.sum())

        def share(part: NDArray[np.float64], whole: NDArray[np.float64], empty: float) -> NDArray[np.float64]:
            return np.where(whole > 0, part / np.maximum(whole, 1), empty)

        return {
            "pooled_dice": share(2 * hit, predicted + true, 1.0),
            "pooled_iou": share(hit, predicted + true - hit, 1.0),
            "precision": share(hit, predicted, np.nan),
            "recall": share(hit, np.full_like(hit, true), np.nan),
        }


def _bins_of(probability: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the bin of each probability: counted from 0 below one half, mirrored above it."""
    is_upper = probability >= np.float32(0.5)
    # 1 - p is exact from 0.5 on. One bit less there, so that each bin holds its lower edge and not its upper one.
    distance = np.where(is_upper, np.float32(1) - probability, probability)
    bits = np.ascontiguousarray(distance, np.float32).view(np.int32) - is_upper
    nearness = np.maximum((bits >> _DROPPED_BITS) - _FIRST + 1, 0)
    return np.asarray(np.where(is_upper, _NUM_BINS - 1 - nearness, nearness))


@functools.cache
def _edges() -> NDArray[np.float64]:
    """Return the smallest float32 of each bin, (bins,), as float64."""
    low = ((np.arange(1, _LAST + 1) + _FIRST - 1) << _DROPPED_BITS).astype(np.int32).view(np.float32).astype(np.float64)
    low = np.concatenate([[0.0], low])
    distance = ((np.arange(_LAST, -1, -1) + _FIRST) << _DROPPED_BITS).astype(np.int32).view(np.float32)
    # float32 from 0.5 to 1 are multiples of 2**-24.
    high = np.ceil((1 - distance.astype(np.float64)) * 2**24) / 2**24
    return np.concatenate([low, high])
