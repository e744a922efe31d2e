"""Whether probabilities mean what they say: of the pixels given 0.8, are 80 % ship?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.evaluation.scores import ShipScore

__all__ = [
    "PIXEL_EDGES",
    "SHIP_EDGES",
    "PixelReliability",
    "ReliabilityBin",
    "calibration_error",
    "pixel_reliability",
    "ship_reliability",
]

PIXEL_EDGES: tuple[float, ...] = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
"""Narrow at both ends: nearly all pixels have a probability close to 0, nearly all ship pixels one close to 1."""
SHIP_EDGES: tuple[float, ...] = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)


@dataclass(frozen=True)
class ReliabilityBin:
    """What was predicted, and what was true, in one interval of predicted probability."""

    low: float
    high: float
    count: int
    """Pixels (or predicted ships) in it."""
    mean_predicted: float
    """Their mean probability (or confidence)."""
    observed: float
    """Share of them that is ship (or that matches a true ship)."""


class PixelReliability:
    """Sums of probability and truth of all pixels, by interval of probability."""

    def __init__(self) -> None:
        self._count = np.zeros(len(PIXEL_EDGES) - 1)
        self._predicted = np.zeros_like(self._count)
        self._true = np.zeros_like(self._count)

    def add(self, probability_hw: NDArray[np.float32], true_hw: NDArray[np.bool_]) -> None:
        """Add an image: probability, float32 (H, W) in 0..1, and truth, bool (H, W)."""
        probability, truth = probability_hw.ravel(), true_hw.ravel()
        # Nearly all pixels lie in the first interval: sorting only the others into theirs is ten times as fast.
        likely = probability >= np.float32(PIXEL_EDGES[1])
        bins = np.digitize(probability[likely], np.asarray(PIXEL_EDGES[1:-1], np.float32))
        size = len(self._count)
        self._count += np.bincount(bins, minlength=size)
        self._predicted += np.bincount(bins, weights=probability[likely], minlength=size)
        self._true += np.bincount(bins, weights=truth[likely], minlength=size)
        self._count[0] += probability.size - len(bins)
        self._predicted[0] += probability[~likely].sum(dtype=np.float64)
        self._true[0] += np.count_nonzero(truth[~likely])

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return the intervals that hold a pixel."""
        return _bins(PIXEL_EDGES, self._count, self._predicted, self._true)


def pixel_reliability(
    probability: NDArray[np.float64], num: NDArray[np.int64], ships: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    """Return the intervals of pixels that are known by counts.

    Args:
        probability: Of each kind of pixel, (N,).
        num: How many there are of it, (N,).
        ships: How many of these are ship, (N,).
    """
    bins, size = np.digitize(probability, PIXEL_EDGES[1:-1]), len(PIXEL_EDGES) - 1
    return _bins(
        PIXEL_EDGES,
        np.bincount(bins, weights=num, minlength=size),
        np.bincount(bins, weights=num * probability, minlength=size).astype(np.float64),
        np.bincount(bins, weights=ships, minlength=size).astype(np.float64),
    )


def ship_reliability(ships: Iterable[ShipScore]) -> tuple[ReliabilityBin, ...]:
    """Return, by interval of confidence, how many of the predicted ships match a true one (IoU above 0.5)."""
    predicted = [(ship.confidence, ship.matched) for ship in ships if ship.confidence is not None]
    confidence = np.array([value for value, _ in predicted], np.float64)
    matched = np.array([hit for _, hit in predicted], np.float64)
    bins, size = np.digitize(confidence, SHIP_EDGES[1:-1]), len(SHIP_EDGES) - 1
    return _bins(
        SHIP_EDGES,
        np.bincount(bins, minlength=size),
        np.bincount(bins, weights=confidence, minlength=size).astype(np.float64),  # of no ship: whole numbers
        np.bincount(bins, weights=matched, minlength=size).astype(np.float64),
    )


def calibration_error(bins: Iterable[ReliabilityBin], *, from_probability: float = 0.0) -> float | None:
    """Return the expected calibration error: mean of |predicted - observed| over the intervals, weighted by count.

    Args:
        bins: The intervals.
        from_probability: Leave out intervals that begin below: the sea, which would drown everything else.
    """
    used = [interval for interval in bins if interval.low >= from_probability]
    total = sum(interval.count for interval in used)
    if not total:
        return None
    return sum(interval.count * abs(interval.mean_predicted - interval.observed) for interval in used) / total


def _bins(
    edges: tuple[float, ...],
    count: NDArray[np.generic],
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
) -> tuple[ReliabilityBin, ...]:
    numbers = np.asarray(count, np.float64)
    return tuple(
        ReliabilityBin(
            float(edges[k]), float(edges[k + 1]), int(numbers[k]), predicted[k] / numbers[k], true[k] / numbers[k]
        )
        for k in np.flatnonzero(numbers).tolist()
    )
