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
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, unknown_name

__all__ = [
    "PixelCounts",
    "ProbabilityHistogram",
    "ThresholdCurve",
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


def shares(
    part: NDArray[np.float64], whole: NDArray[np.float64], *, empty: float | NDArray[np.float64] = math.nan
) -> NDArray[np.float64]:
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

    As everywhere, a pixel is ship when its probability is at least the threshold, both as float32. Weights are counted
    as whole numbers of 2**-24 pixels, so the result is the same to the last bit for any order and any split of the
    pixels over batches and processes, up to 5e11 pixels.

    Args:
        bins: Steps between the thresholds 0 and 1, all equal. Or `fine`: about 156,000 bins that follow the float32's
            own scale towards 0 and towards 1, because nearly all pixels have a probability close to 0, nearly all ship
            pixels one close to 1, and the output of a network may lie in a narrow range.

    Attributes:
        thresholds: The lower edges of the bins, ascending: float64 (bins + 1,), or (bins,) where they are fine.

    Example:
        >>> histogram = ProbabilityHistogram(bins=10)
        >>> histogram.add(np.array([0.1, 0.7, 0.9], np.float32), np.array([0, 1, 1]))
        >>> histogram.counts(0.8).recall
        0.5
    """

    def __init__(self, bins: int | Literal["fine"] = 1000) -> None:
        if bins != "fine" and not 1 <= bins <= 1 << 20:  # float32 tells neighbouring thresholds apart up to there
            raise ConfigError(f"a probability histogram needs from 1 to {1 << 20} bins, got {bins}")
        self._bins = bins
        self.thresholds: NDArray[np.float64] = _fine_edges() if bins == "fine" else np.arange(bins + 1) / bins
        self._edges = self.thresholds.astype(np.float32)
        # Row 0: pixels, row 1: weight of being ship, both in units of 2**-24. Column k: probabilities from threshold k
        # to below the next; the last column: up to 1.
        self._units = np.zeros((2, len(self._edges)), np.int64)

    @property
    def num_pixels(self) -> int:
        """Pixels added so far."""
        return int(self._units[0].sum()) // _WEIGHT_UNITS

    @property
    def num_ship_pixels(self) -> int:
        """Ship pixels among them, parts of pixels added up, rounded down."""
        return int(self._units[1].sum()) // _WEIGHT_UNITS

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
        probabilities, weights = probability.astype(np.float32, copy=False).ravel(), target.ravel()
        for name, values in (("probability", probabilities), ("target", weights)):
            lowest, highest = float(values.min()), float(values.max())
            if not (lowest >= 0 and highest <= 1):  # also true for NaN
                raise ConfigError(f"a {name} must be from 0 to 1, got values from {lowest} to {highest}")
        column = _fine_bins(probabilities) if self._bins == "fine" else _equal_bins(probabilities, self._edges)
        self._units[0] += np.bincount(column, minlength=len(self._edges)) * _WEIGHT_UNITS
        if weights.dtype == np.bool_:
            self._units[1] += np.bincount(column[weights], minlength=len(self._edges)) * _WEIGHT_UNITS
        else:
            # bincount adds float64: whole numbers below 2**53, exact for up to 2**29 pixels a call.
            units = np.rint(weights.astype(np.float64) * _WEIGHT_UNITS)
            self._units[1] += np.bincount(column, units, minlength=len(self._edges)).astype(np.int64)

    def __add__(self, other: ProbabilityHistogram) -> ProbabilityHistogram:
        """Return the histogram of the pixels of both.

        Raises:
            ConfigError: The bins differ.
        """
        if self._bins != other._bins:
            raise ConfigError(f"histograms of {self._bins} and {other._bins} bins cannot be added")
        both = ProbabilityHistogram(self._bins)
        both._units = self._units + other._units
        return both

    def to_array(self) -> NDArray[np.int64]:
        """Return the counts, int64 (2, bins + 1): arrays of several processes may be added up element by element."""
        return self._units.copy()

    @classmethod
    def from_array(cls, array: NDArray[np.integer]) -> ProbabilityHistogram:
        """Return the histogram of equal bins whose `to_array` gave `array`.

        Raises:
            ConfigError: The array is no histogram.
        """
        if array.ndim != 2 or array.shape[0] != 2 or array.dtype.kind not in "iu":
            raise ConfigError(f"a histogram is an integer array (2, bins + 1), got {array.dtype} of {array.shape}")
        histogram = cls(array.shape[1] - 1)
        histogram._units = array.astype(np.int64)
        return histogram

    def occupied(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Return of each bin that holds a pixel its middle probability, its pixels and its ship pixels."""
        places = np.flatnonzero(self._units[0])
        edges = np.append(self.thresholds, 1.0)
        pixels, ships = self._units[:, places] // _WEIGHT_UNITS
        return (edges[places] + edges[places + 1]) / 2, pixels, ships

    def ship_quantiles(self, levels: Sequence[float]) -> NDArray[np.float64]:
        """Return the quantiles of the probabilities of ship pixels, as lower edges of bins; empty if none."""
        cumulated = np.cumsum(self._units[1])
        if not cumulated[-1]:
            return np.zeros(0)
        places = np.searchsorted(cumulated, np.asarray(levels) * cumulated[-1], side="right")
        return np.asarray(self.thresholds[places])

    def _cumulated(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (all pixels, ship pixels) predicted as ship at each threshold."""
        from_above: NDArray[np.int64] = np.cumsum(self._units[:, ::-1], axis=1)[:, ::-1]
        return from_above[0] / _WEIGHT_UNITS, from_above[1] / _WEIGHT_UNITS

    def counts(self, threshold: float) -> PixelCounts:
        """Return the pixel counts at one of `thresholds`.

        Raises:
            ConfigError: `threshold` is not one of `thresholds`.
        """
        index = int(np.abs(self.thresholds - threshold).argmin())
        if not math.isclose(self.thresholds[index], threshold, abs_tol=1e-9):
            raise ConfigError(f"{threshold} is not a threshold of a histogram of {self._bins} bins between 0 and 1")
        pixels, ships = self._cumulated()
        hit, false_alarm = float(ships[index]), float(pixels[index] - ships[index])
        missed = float(ships[0]) - hit
        return PixelCounts(hit, false_alarm, missed, float(pixels[0]) - hit - false_alarm - missed)

    def curves(self) -> ThresholdCurve:
        """Return the scores at every threshold: threshold, dice, iou, precision, recall, each a float64 array."""
        predicted, hit = self._cumulated()
        nothing = ((predicted == 0) & (hit[0] == 0)).astype(np.float64)
        return {"threshold": self.thresholds, **_scores(predicted, hit, true=hit[0], undefined=nothing)}

    def scores_at(self, thresholds: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return dice, iou, precision and recall at some thresholds; each acts at the lower edge of its bin.

        Dice and IoU are 1 where there is neither truth nor prediction; precision without a prediction and recall
        without truth are NaN.
        """
        edges = thresholds.astype(np.float32)
        places = _fine_bins(edges) if self._bins == "fine" else _equal_bins(edges, self._edges)
        predicted, hit = self._cumulated()
        return _scores(predicted[places], hit[places], true=hit[0], undefined=np.nan)

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


def _scores(
    predicted: NDArray[np.float64],
    hit: NDArray[np.float64],
    *,
    true: float,
    undefined: float | NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return the scores from predicted ship pixels, those that are right, and all true ones.

    Dice and IoU are 1 where there is neither truth nor prediction; `undefined` stands for precision without a
    prediction and recall without truth.
    """
    return {
        "dice": shares(2 * hit, predicted + true, empty=1.0),
        "iou": shares(hit, predicted + true - hit, empty=1.0),
        "precision": shares(hit, predicted, empty=undefined),
        "recall": shares(hit, np.full_like(hit, true), empty=undefined),
    }


def _equal_bins(probability: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return for each probability the last edge that it reaches, of edges that are equally far apart."""
    last = len(edges) - 1
    column = (probability * np.float32(last)).astype(np.intp)
    # The product is rounded: correct it by at most one step, by the very comparison that a threshold makes.
    column -= probability < edges[column]
    above = np.minimum(column + 1, last)
    return np.where(probability >= edges[above], above, column)


_DROPPED_BITS = 23 - 12
"""Of a float32's 23 bits of mantissa 12 are kept: neighbouring bins differ by 1 in 4096 of the distance to 0 or 1."""
_SMALLEST = np.float32(2.0**-20)
"""All that is nearer to 0 than this shares a bin, and so it is at 1."""
_FIRST = int(_SMALLEST.view(np.int32)) >> _DROPPED_BITS
_LAST = (int(np.float32(0.5).view(np.int32)) >> _DROPPED_BITS) - _FIRST
"""The bin just below 0.5; bins are mirrored there."""


def _fine_bins(probability: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the fine bin of each probability: counted from 0 below one half, mirrored above it.

    The same as a search in `_fine_edges`, which takes a hundred times as long.
    """
    is_upper = probability >= np.float32(0.5)
    # 1 - p is exact from 0.5 on. One bit less there, so that each bin holds its lower edge and not its upper one.
    distance = np.where(is_upper, np.float32(1) - probability, probability)
    bits = np.ascontiguousarray(distance, np.float32).view(np.int32) - is_upper
    nearness = np.maximum((bits >> _DROPPED_BITS) - _FIRST + 1, 0)
    return np.asarray(np.where(is_upper, 2 * _LAST + 1 - nearness, nearness))


@functools.cache
def _fine_edges() -> NDArray[np.float64]:
    """Return the smallest float32 of each fine bin, (bins,), as float64."""
    low = ((np.arange(1, _LAST + 1) + _FIRST - 1) << _DROPPED_BITS).astype(np.int32).view(np.float32).astype(np.float64)
    low = np.concatenate([[0.0], low])
    distance = ((np.arange(_LAST, -1, -1) + _FIRST) << _DROPPED_BITS).astype(np.int32).view(np.float32)
    # float32 from 0.5 to 1 are multiples of 2**-24.
    high = np.ceil((1 - distance.astype(np.float64)) * 2**24) / 2**24
    return np.concatenate([low, high])
