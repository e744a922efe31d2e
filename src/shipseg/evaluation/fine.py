"""Counts of pixels by probability, finer than any threshold or calibration needs, in a fixed amount of memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FineHistogram"]

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
