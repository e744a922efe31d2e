"""Choosing the rules that turn probabilities into ships, on validation images, for a named score."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision, ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.scores import true_ships, union_mask
from shipseg.evaluation.sources import Labelled
from shipseg.evaluation.sweep import DecisionSweep
from shipseg.masks.metrics import ProbabilityHistogram
from shipseg.progress import track

__all__ = ["choose_decision", "draw_images", "middle_of_best"]

_LOG = logging.getLogger(__name__)

PIXEL_THRESHOLDS = np.arange(1, 100) / 100
"""Thresholds that a pixel score is looked at: 0.01 ... 0.99."""
_TIE = 1e-12
"""Scores this close are equal: they differ by rounding."""


def choose_decision(
    predictor: GivesProbability, images: Iterable[Labelled], *, config: ThresholdConfig, seed: int = 0
) -> tuple[Decision, dict[str, list[float]]]:
    """Return the decision that gives the best score on labelled images, at full resolution, and the curve behind it.

    For `pooled_dice` and `pooled_iou` the threshold alone is chosen, from 0.01 to 0.99. For `airbus_score` and
    `ship_f1` threshold and smallest peak are chosen together: components whose highest probability is low are most of
    the false alarms. Where several choices are equally good, the one in their middle is taken; where all are, the
    threshold is 0.5 and there is no smallest peak.

    Without an image or without a ship in any of them there is nothing to choose by: the default decision (threshold
    0.5, metric `none`) comes back, with a warning.

    Args:
        predictor: The model.
        images: Validation images; at most `config.max_images` of them are drawn, with the shares of images with no, one
            and several ships kept. Images that cannot be read are left out with a warning.
        config: Which score, how many images.
        seed: Decides the draw.

    Returns:
        The decision, and columns of equal length: threshold, pooled_dice, pooled_iou, precision, recall; for ship
        scores also airbus_score, ship_f1 and min_peak (the best one at that threshold).
    """
    drawn = draw_images(tuple(images), at_most=config.max_images, seed=seed)
    by_ships = config.metric in ("airbus_score", "ship_f1")
    histogram, sweep = ProbabilityHistogram(), DecisionSweep()
    num_ships = 0
    for labelled in track(drawn, "choosing the threshold"):
        try:
            image_hwc = labelled.read()
            truth = true_ships(labelled.rles, (image_hwc.shape[0], image_hwc.shape[1]))
        except DataError as error:
            _LOG.warning("%s plays no part in choosing the threshold: %s", labelled.image_id, error)
            continue
        probability_hw = predictor.probability(image_hwc)
        num_ships += len(truth)
        histogram.add(probability_hw, union_mask(truth, (image_hwc.shape[0], image_hwc.shape[1])))
        if by_ships:
            sweep.add(probability_hw, truth)
    if not num_ships:
        _LOG.warning(
            "no threshold can be chosen for %s: the %d validation images hold no ship; the default of 0.5 is kept",
            config.metric,
            len(drawn),
        )
        return Decision(), {}
    return _best_for_ships(sweep, histogram, config.metric) if by_ships else _best_for_pixels(histogram, config.metric)


def draw_images(images: Sequence[Labelled], *, at_most: int, seed: int) -> tuple[Labelled, ...]:
    """Return at most so many images, in their order, with the shares of no, one and several ships kept.

    Quotas are rounded by largest remainder; a stratum that has images keeps at least one where the number allows.
    """
    if len(images) <= at_most:
        return tuple(images)
    stratum = np.array([min(len(image.rles), 2) for image in images])
    sizes = np.bincount(stratum, minlength=3)
    exact = sizes * at_most / len(images)
    quota = np.maximum(np.floor(exact), sizes > 0).astype(np.int64)
    while quota.sum() < at_most:
        quota[np.argmax(np.where(quota < sizes, exact - quota, -np.inf))] += 1
    while quota.sum() > at_most:
        can_give = quota > 1 if (quota > 1).any() else quota > 0
        quota[np.argmax(np.where(can_give, quota - exact, -np.inf))] -= 1
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(stratum == name), quota[name], replace=False) for name in range(3)]
    return tuple(images[place] for place in np.sort(np.concatenate(chosen)).tolist())


def middle_of_best(scores: NDArray[np.float64], *, allowed: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
    """Return the position of the highest score; of several equal ones, that nearest to the middle of them all.

    Args:
        scores: Of any shape; NaN is below every number.
        allowed: Same shape: which positions may be taken; None allows all.
    """
    usable = np.where(np.isnan(scores), -np.inf, scores)
    if allowed is not None:
        usable = np.where(allowed, usable, -np.inf)
    best_nd = np.argwhere(usable >= usable.max() - _TIE)
    from_middle = np.square(best_nd - best_nd.mean(axis=0)).sum(axis=1)
    return tuple(int(place) for place in best_nd[from_middle.argmin()])


def _pixel_columns(histogram: ProbabilityHistogram, thresholds: NDArray[np.float64]) -> dict[str, list[float]]:
    curves = histogram.curves()
    rows = np.abs(curves["threshold"][:, None] - thresholds).argmin(axis=0)
    names = {"pooled_dice": "dice", "pooled_iou": "iou", "precision": "precision", "recall": "recall"}
    columns = {name: curves[column][rows] for name, column in names.items()}
    return {"threshold": thresholds.tolist(), **{name: values.tolist() for name, values in columns.items()}}


def _best_for_pixels(histogram: ProbabilityHistogram, metric: str) -> tuple[Decision, dict[str, list[float]]]:
    columns = _pixel_columns(histogram, PIXEL_THRESHOLDS)
    (place,) = middle_of_best(np.array(columns[metric]))
    return Decision(threshold=columns["threshold"][place], metric=metric), columns


def _best_for_ships(
    sweep: DecisionSweep, histogram: ProbabilityHistogram, metric: str
) -> tuple[Decision, dict[str, list[float]]]:
    scores = sweep.airbus_score if metric == "airbus_score" else sweep.ship_f1
    # A smallest peak at or below the threshold is no rule at all: only 0 stands for that, so that it counts once.
    differs = (sweep.peaks == 0) | (sweep.peaks > sweep.thresholds[:, None])
    row, col = middle_of_best(scores, allowed=differs)
    if np.ptp(scores) <= _TIE:
        row, col = int(np.abs(sweep.thresholds - Decision().threshold).argmin()), int(np.argmin(sweep.peaks))
    decision = Decision(threshold=float(sweep.thresholds[row]), min_peak=float(sweep.peaks[col]), metric=metric)
    best_peak = np.where(differs, scores, -np.inf).argmax(axis=1)
    at_best = (np.arange(len(best_peak)), best_peak)
    return decision, {
        **_pixel_columns(histogram, sweep.thresholds),
        "airbus_score": sweep.airbus_score[at_best].tolist(),
        "ship_f1": sweep.ship_f1[at_best].tolist(),
        "min_peak": sweep.peaks[best_peak].tolist(),
    }
