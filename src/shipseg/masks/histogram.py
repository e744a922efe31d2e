"""Scores at every threshold at once, from counts of pixels by probability."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, unknown_name
from shipseg.masks.pixels import PixelCounts

__all__ = ["ProbabilityHistogram", "ThresholdCurve"]

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
