"""Scores against the threshold, of all images and by the number of ships in them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.evaluation.fine import FineHistogram
from shipseg.evaluation.scores import ImageScore
from shipseg.evaluation.sweep import SWEEP_PEAKS, SWEEP_SCORES, SWEEP_THRESHOLDS, DecisionSweep
from shipseg.masks.ships import Ship

__all__ = ["ALL_IMAGES", "Curve", "CurveTally", "Curves", "sweep_curve"]

Curve = Mapping[str, NDArray[np.float64]]
"""Columns of equal length, `threshold` among them; NaN where a score has nothing to count."""
Curves = Mapping[str, Curve]
"""By images: `all`, and where there are such `none`, `single`, `multiple` (ships)."""

Tally = TypeVar("Tally", FineHistogram, DecisionSweep)

ALL_IMAGES = "all"
_ORDER = ("none", "single", "multiple")
_TAIL = (1e-6, 1e-5, 1e-4, 2e-4, 5e-4)
_SHIP_TAIL = (0.001, 0.002, 0.005, 0.01, 0.02)
"""Also tried for ships, and mirrored at the other end: badly scaled networks have their best threshold there."""
_PIXEL_THRESHOLDS = np.unique(np.concatenate([_TAIL, np.arange(1001) / 1000, 1 - np.array(_TAIL)]))


class CurveTally:
    """Gathers, image by image, what the curves are made of; its size does not grow with the number of images.

    Args:
        decision: Its smallest peak and area hold for the ship scores, and whether ships are rectangles.
        metres_per_pixel: Ground sample distance of the images.
    """

    def __init__(self, decision: Decision, *, metres_per_pixel: float) -> None:
        self._decision = decision
        tails = {*_SHIP_TAIL, *(1 - value for value in _SHIP_TAIL)}
        self._settings: dict[str, Any] = {
            "thresholds": sorted({*SWEEP_THRESHOLDS, *tails, decision.threshold}),
            "peaks": sorted({*SWEEP_PEAKS, decision.min_peak}),
            "min_area_px": decision.min_area_px,
            "rectangles": decision.rectangles,
            "metres_per_pixel": metres_per_pixel,
        }
        self._pixels: dict[str, FineHistogram] = {}
        self._sweeps: dict[str, DecisionSweep] = {}

    def add(
        self,
        image: ImageScore,
        probability_hw: NDArray[np.float32],
        true_hw: NDArray[np.bool_],
        truth: Sequence[Ship],
    ) -> None:
        """Add an image: its counts, probabilities, true pixels and true ships."""
        self._pixels.setdefault(image.stratum, FineHistogram()).add(probability_hw, true_hw)
        self._sweeps.setdefault(image.stratum, DecisionSweep(**self._settings)).add(probability_hw, truth)

    def pixel_curves(self, images: Sequence[ImageScore]) -> dict[str, Curve]:
        """Return scores of pixels at many thresholds, cut at the threshold alone.

        Args:
            images: The counts of all images that were added.

        Returns:
            Columns threshold, pooled_dice, pooled_iou, precision, recall, left_empty (share of the images without ships
            of which no pixel reaches the threshold).
        """
        curves: dict[str, Curve] = {}
        for name, pixels in _with_all(self._pixels).items():
            highest = np.sort([i.max_probability for i in images if i.num_true == 0 and name in (ALL_IMAGES, "none")])
            below = np.searchsorted(highest, _PIXEL_THRESHOLDS.astype(np.float32), side="left")
            left_empty = below / len(highest) if len(highest) else np.full(len(_PIXEL_THRESHOLDS), np.nan)
            curves[name] = {"threshold": _PIXEL_THRESHOLDS, **pixels.curve(_PIXEL_THRESHOLDS), "left_empty": left_empty}
        return curves

    def ship_curves(self) -> dict[str, Curve]:
        """Return scores of ships at some thresholds, with the decision's smallest peak and area.

        Returns:
            Columns threshold, min_peak, and SWEEP_SCORES.
        """
        sweeps = _with_all(self._sweeps)
        peaks = np.full(len(sweeps[ALL_IMAGES].thresholds), self._decision.min_peak)
        return {name: sweep_curve(sweep, min_peaks=peaks) for name, sweep in sweeps.items()}

    def in_hindsight(self) -> dict[str, Any]:
        """Return the best Airbus score that any threshold and smallest peak would have given on these very images."""
        sweep = _with_all(self._sweeps)[ALL_IMAGES]
        scores = sweep.score("airbus_score")
        row, col = np.unravel_index(int(scores.argmax()), scores.shape)
        return {
            "airbus_score": float(scores[row, col]),
            "threshold": float(sweep.thresholds[row]),
            "min_peak": float(sweep.peaks[col]),
        }


def sweep_curve(sweep: DecisionSweep, *, min_peaks: NDArray[np.float64]) -> Curve:
    """Return the scores of a sweep against the threshold.

    Args:
        sweep: Of the images.
        min_peaks: The smallest peak at each of its thresholds, one of the sweep's own.
    """
    at = (np.arange(len(sweep.thresholds)), np.searchsorted(sweep.peaks, min_peaks))
    scores = {name: sweep.score(name)[at] for name in SWEEP_SCORES}
    return {"threshold": sweep.thresholds, "min_peak": min_peaks, **scores}


def _with_all(by_stratum: Mapping[str, Tally]) -> dict[str, Tally]:
    """Return the tallies with that of all images before them."""
    first, *others = by_stratum.values()
    whole = functools.reduce(operator.add, others, first)
    return {ALL_IMAGES: whole, **{name: by_stratum[name] for name in _ORDER if name in by_stratum}}
