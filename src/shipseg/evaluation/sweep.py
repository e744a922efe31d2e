"""Scores of ships and pixels at many thresholds and peak thresholds at once, and their curves."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.evaluation.scores import ImageScore, union_mask
from shipseg.masks.metrics import AIRBUS_IOU_THRESHOLDS
from shipseg.masks.pixels import ProbabilityHistogram, shares
from shipseg.masks.rectangles import fill_rectangles
from shipseg.masks.ships import Ship

__all__ = [
    "ALL_IMAGES",
    "SWEEP_PEAKS",
    "SWEEP_SCORES",
    "SWEEP_THRESHOLDS",
    "Curve",
    "CurveTally",
    "Curves",
    "DecisionSweep",
    "sweep_curve",
]


SWEEP_THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""0.05, 0.10 ... 0.95."""
SWEEP_PEAKS: tuple[float, ...] = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
"""Dense near 1: on trial networks 0.97 was near the best."""
SWEEP_SCORES = (
    "airbus_score",
    "ship_precision",
    "ship_recall",
    "ship_f1",
    "false_alarm_images",
    "false_alarms_per_1000km2",
    "pooled_dice",
    "pooled_iou",
    "precision",
    "recall",
)
"""Scores of a sweep, as `shipseg.evaluation.bootstrap` defines them; precision and recall are of pixels."""
_AIRBUS_IOUS = np.array(AIRBUS_IOU_THRESHOLDS)
_SUMS = ("airbus", "matched", "predicted", "alarmed", "false_alarms", "predicted_px", "overlap_px")
_POOLED = ("pooled_dice", "pooled_iou")
_TOTALS = ("images", "empty", "true", "true_px", "km2")


class DecisionSweep:
    """Sums over images, for each pair of a threshold and a peak threshold.

    At each threshold the components are found once; each peak threshold then selects among them. Their IoUs with the
    true ships come from counting the labels at each true ship's pixels, so that no full masks are made.

    Args:
        thresholds: Thresholds, increasing, each above 0.
        peaks: Peak thresholds, increasing; one at or below a threshold keeps every component of that threshold.
        min_area_px: Smaller components are dropped.
        rectangles: Give components the pixels of their best rectangles, as `find_ships` does.
        metres_per_pixel: Ground sample distance, for the area that false alarms are counted on.

    Attributes:
        sums: airbus, matched, predicted, alarmed (images without ships in which one is predicted), false_alarms
            (predicted ships that touch no true one), predicted_px, overlap_px; each float64 (thresholds, peaks).
        totals: images, empty (images without ships), true (ships), true_px, km2.
    """

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = SWEEP_THRESHOLDS,
        peaks: Sequence[float] = SWEEP_PEAKS,
        min_area_px: int = 1,
        rectangles: bool = False,
        metres_per_pixel: float = 1.5,
    ) -> None:
        self.thresholds = np.asarray(thresholds, np.float64)
        self.peaks = np.asarray(peaks, np.float64)
        self._min_area_px = min_area_px
        self._rectangles = rectangles
        self._metres_per_pixel = metres_per_pixel
        self.sums = {name: np.zeros((len(self.thresholds), len(self.peaks))) for name in _SUMS}
        self.totals = dict.fromkeys(_TOTALS, 0.0)

    def __add__(self, other: DecisionSweep) -> DecisionSweep:
        """Return the sweep over the images of both, which have the same thresholds, peaks and settings."""
        both = DecisionSweep(
            thresholds=self.thresholds.tolist(),
            peaks=self.peaks.tolist(),
            min_area_px=self._min_area_px,
            rectangles=self._rectangles,
            metres_per_pixel=self._metres_per_pixel,
        )
        both.sums = {name: values + other.sums[name] for name, values in self.sums.items()}
        both.totals = {name: value + other.totals[name] for name, value in self.totals.items()}
        return both

    def at(self, row: int, col: int) -> DecisionSweep:
        """Return the sums at one pair of threshold and peak threshold, as a sweep over that pair alone."""
        one = DecisionSweep(
            thresholds=[float(self.thresholds[row])],
            peaks=[float(self.peaks[col])],
            min_area_px=self._min_area_px,
            rectangles=self._rectangles,
            metres_per_pixel=self._metres_per_pixel,
        )
        one.sums = {name: values[row : row + 1, col : col + 1] for name, values in self.sums.items()}
        one.totals = dict(self.totals)
        return one

    def add(self, probability_hw: NDArray[np.float32], truth: Sequence[Ship]) -> None:
        """Add an image: its probabilities, float32 (H, W), and its true ships."""
        true_hw = union_mask(truth, (probability_hw.shape[0], probability_hw.shape[1]))
        km2 = true_hw.size * self._metres_per_pixel**2 / 1e6
        added = (1.0, float(not truth), float(len(truth)), float(np.count_nonzero(true_hw)), km2)
        for name, value in zip(_TOTALS, added, strict=True):
            self.totals[name] += value
        score_of_none = 1.0 if not truth else 0.0  # of an image in which nothing is predicted
        above = probability_hw >= np.float32(self.thresholds[0])
        if not above.any():
            self.sums["airbus"] += score_of_none
            return
        # Rectangles extend beyond the pixels of their components, but not beyond the image.
        box = (slice(0, above.shape[0]), slice(0, above.shape[1])) if self._rectangles else _box_of(above)
        crop = _Crop(probability_hw[box], true_hw[box], (box[0].start, box[1].start))
        for row, threshold in enumerate(self.thresholds):
            components = _components(crop, threshold, truth, rectangles=self._rectangles)
            if not len(components.areas_p):
                self.sums["airbus"][row:] += score_of_none
                return
            self._count(row, components, len(truth))

    def _count(self, row: int, found: _Components, num_true: int) -> None:
        """Add the components of one threshold, selected by each peak threshold."""
        large = found.areas_p >= self._min_area_px
        kept_kp = ((found.peaks_p >= self.peaks[:, None].astype(np.float32)) & large).astype(np.float64)
        predicted_k = kept_kp.sum(axis=1)
        self.sums["predicted"][row] += predicted_k
        self.sums["predicted_px"][row] += kept_kp @ found.pixels_p
        if not num_true:
            self.sums["alarmed"][row] += predicted_k > 0
            self.sums["false_alarms"][row] += predicted_k
            self.sums["airbus"][row] += predicted_k == 0
            return
        best_p = found.iou_tp.max(axis=0)
        # Same as `match_pairs`: components share no pixel, so no true ship has two of them with an IoU above 0.5.
        matched_ki = kept_kp @ (best_p > _AIRBUS_IOUS[:, None]).T
        self.sums["matched"][row] += matched_ki[:, 0]
        self.sums["false_alarms"][row] += kept_kp @ (best_p == 0)
        self.sums["overlap_px"][row] += kept_kp @ found.overlap_p
        # F2 = 5 TP / (5 TP + 4 FN + FP) = 5 TP / ((TP + FP) + 4 (TP + FN))
        self.sums["airbus"][row] += (5 * matched_ki / (predicted_k + 4 * num_true)[:, None]).mean(axis=1)

    def score(self, name: str) -> NDArray[np.float64]:
        """Return one of SWEEP_SCORES, (thresholds, peaks); NaN where there is nothing to count.

        Pooled Dice and IoU are 1 where there is neither truth nor prediction.
        """
        sums, totals = self.sums, self.totals
        pixels = sums["predicted_px"] + totals["true_px"]
        part, whole = {
            "airbus_score": (sums["airbus"], totals["images"]),
            "ship_precision": (sums["matched"], sums["predicted"]),
            "ship_recall": (sums["matched"], totals["true"]),
            "ship_f1": (2 * sums["matched"], sums["predicted"] + totals["true"]),
            "false_alarm_images": (sums["alarmed"], totals["empty"]),
            "false_alarms_per_1000km2": (1000 * sums["false_alarms"], totals["km2"]),
            "pooled_dice": (2 * sums["overlap_px"], pixels),
            "pooled_iou": (sums["overlap_px"], pixels - sums["overlap_px"]),
            "precision": (sums["overlap_px"], sums["predicted_px"]),
            "recall": (sums["overlap_px"], totals["true_px"]),
        }[name]
        return shares(part, np.asarray(whole, np.float64), empty=1.0 if name in _POOLED else np.nan)


class _Crop(NamedTuple):
    """The part of an image in which components are found."""

    probability_hw: NDArray[np.float32]
    true_hw: NDArray[np.bool_]
    """The pixels of all true ships."""
    origin_rc: tuple[int, int]
    """Row and column of its first pixel in the image."""


class _Components(NamedTuple):
    """The 8-connected components of a crop at one threshold; P of them, T true ships."""

    areas_p: NDArray[np.int64]
    peaks_p: NDArray[np.float32]
    pixels_p: NDArray[np.int64]
    """Pixels of each as a ship: those of its rectangle, where it became one, else its area."""
    overlap_p: NDArray[np.int64]
    """Those of them that lie on a true ship."""
    iou_tp: NDArray[np.float64]


def _box_of(mask_hw: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, cols = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def _components(crop: _Crop, threshold: float, truth: Sequence[Ship], *, rectangles: bool) -> _Components:
    """Return the components of a crop at a threshold."""
    mask_hw = crop.probability_hw >= np.float32(threshold)
    count, labels = cv2.connectedComponents(mask_hw.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels_hw = np.asarray(labels, np.int32)
    inside = labels_hw[mask_hw]
    areas = np.bincount(inside, minlength=count)[1:]
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, inside, crop.probability_hw[mask_hw])
    pixels = areas
    if rectangles:
        labels_hw = fill_rectangles(labels_hw)
        pixels = np.bincount(labels_hw.ravel(), minlength=count)[1:]
    iou_tp = np.zeros((len(truth), count - 1))
    for row, ship in enumerate(truth):
        labels_at_ship = _labels_at(labels_hw, crop.origin_rc, ship)
        overlap = np.bincount(labels_at_ship, minlength=count)[1:]
        iou_tp[row] = overlap / (ship.area_px + pixels - overlap)
    on_ships = np.bincount(labels_hw[crop.true_hw], minlength=count)[1:]
    return _Components(areas, peaks[1:], pixels, on_ships, iou_tp)


def _labels_at(labels_hw: NDArray[np.int32], origin_rc: tuple[int, int], ship: Ship) -> NDArray[np.int32]:
    """Return the labels at the pixels of a ship that lie inside the crop."""
    row0, col0, row1, col1 = ship.mask_box
    top, left = max(row0 - origin_rc[0], 0), max(col0 - origin_rc[1], 0)
    window = labels_hw[top : max(row1 - origin_rc[0], 0), left : max(col1 - origin_rc[1], 0)]
    down, right = top + origin_rc[0] - row0, left + origin_rc[1] - col0
    mask = ship.mask[down : down + window.shape[0], right : right + window.shape[1]]
    return window[mask]


# Scores against the threshold, of all images and by the number of ships in them.

Curve = Mapping[str, NDArray[np.float64]]
"""Columns of equal length, `threshold` among them; NaN where a score has nothing to count."""
Curves = Mapping[str, Curve]
"""By kind of images: `all`, and those of `none`, `single`, `multiple` (ships) that occur."""

Tally = TypeVar("Tally", ProbabilityHistogram, DecisionSweep)

ALL_IMAGES = "all"
_ORDER = ("none", "single", "multiple")
_TAIL = (1e-6, 1e-5, 1e-4, 2e-4, 5e-4)
_SHIP_TAIL = (0.001, 0.002, 0.005, 0.01, 0.02)
"""Also swept for ships, and mirrored near 1: badly scaled networks have their best threshold there."""
_PIXEL_THRESHOLDS = np.unique(np.concatenate([_TAIL, np.arange(1001) / 1000, 1 - np.array(_TAIL)]))


class CurveTally:
    """Accumulates the counts behind the curves, image by image; its size does not grow with the number of images.

    Args:
        decision: Its peak threshold, minimum area and rectangles apply to the ship scores.
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
        self._pixels: dict[str, ProbabilityHistogram] = {}
        self._sweeps: dict[str, DecisionSweep] = {}

    def add(
        self,
        image: ImageScore,
        probability_hw: NDArray[np.float32],
        true_hw: NDArray[np.bool_],
        truth: Sequence[Ship],
    ) -> None:
        """Add an image: its counts, probabilities, true pixels and true ships."""
        self._pixels.setdefault(image.stratum, ProbabilityHistogram("fine")).add(probability_hw, true_hw)
        self._sweeps.setdefault(image.stratum, DecisionSweep(**self._settings)).add(probability_hw, truth)

    def pixel_curves(self, images: Sequence[ImageScore]) -> dict[str, Curve]:
        """Return scores of pixels at many thresholds; peak threshold and minimum area are not applied.

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
            scores = pixels.scores_at(_PIXEL_THRESHOLDS)
            curves[name] = {
                "threshold": _PIXEL_THRESHOLDS,
                "pooled_dice": scores["dice"],
                "pooled_iou": scores["iou"],
                "precision": scores["precision"],
                "recall": scores["recall"],
                "left_empty": left_empty,
            }
        return curves

    def ship_curves(self) -> dict[str, Curve]:
        """Return scores of ships at some thresholds, with the decision's peak threshold and minimum area.

        Returns:
            Columns threshold, min_peak, and SWEEP_SCORES.
        """
        sweeps = _with_all(self._sweeps)
        peaks = np.full(len(sweeps[ALL_IMAGES].thresholds), self._decision.min_peak)
        return {name: sweep_curve(sweep, min_peaks=peaks) for name, sweep in sweeps.items()}

    def in_hindsight(self) -> dict[str, Any]:
        """Return the best Airbus score that any threshold and peak threshold give on these same images."""
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
        min_peaks: The peak threshold at each of its thresholds, one of the sweep's own.
    """
    at = (np.arange(len(sweep.thresholds)), np.searchsorted(sweep.peaks, min_peaks))
    scores = {name: sweep.score(name)[at] for name in SWEEP_SCORES}
    return {"threshold": sweep.thresholds, "min_peak": min_peaks, **scores}


def _with_all(by_stratum: Mapping[str, Tally]) -> dict[str, Tally]:
    """Return the tallies by kind of images, preceded by that of all images."""
    first, *others = by_stratum.values()
    whole = functools.reduce(operator.add, others, first)
    return {ALL_IMAGES: whole, **{name: by_stratum[name] for name in _ORDER if name in by_stratum}}
