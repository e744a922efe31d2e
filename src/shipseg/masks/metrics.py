"""Scores of ships as instances: IoU between ships, matching, the Airbus score; and the scores of pixels (`pixels`).

Where a score divides by 0 it is 1.0 when there is neither truth nor prediction, else 0.0: an image without ships in
which nothing was predicted is perfect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shipseg import extras
from shipseg.errors import ConfigError
from shipseg.masks.pixels import (
    PixelCounts,
    ProbabilityHistogram,
    ThresholdCurve,
    seed_protocol_dice,
)
from shipseg.masks.ships import Ship

__all__ = [
    "AIRBUS_IOU_THRESHOLDS",
    "MATCH_IOU",
    "PixelCounts",
    "ProbabilityHistogram",
    "ThresholdCurve",
    "airbus_score",
    "airbus_score_from_iou",
    "iou_matrix",
    "match_at",
    "match_pairs",
    "seed_protocol_dice",
    "ship_iou_matrix",
]


AIRBUS_IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""0.50, 0.55 ... 0.95."""

MATCH_IOU = 0.5
"""A predicted ship matches a true one when their IoU is above this, in images and in scenes."""

_F2_BETA_SQUARED = 4


def iou_matrix(
    true_masks: Sequence[NDArray[np.bool_]], predicted_masks: Sequence[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Return the IoU of each true ship with each predicted one: float64 (T, P), by pycocotools.

    Args:
        true_masks: T masks bool (H, W), one per ship.
        predicted_masks: P masks of the same shape.

    Raises:
        ConfigError: Masks are not all (H, W) of one shape.
        MissingExtraError: pycocotools is not installed.
    """
    shapes = {np.shape(mask) for mask in (*true_masks, *predicted_masks)}
    if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
        raise ConfigError(f"masks of one image must all have the same shape (H, W), got {sorted(shapes)}")
    if not len(true_masks) or not len(predicted_masks):
        return np.zeros((len(true_masks), len(predicted_masks)))
    with extras.needing("train"):
        from pycocotools import mask as coco
    true, predicted = (
        [coco.encode(np.asfortranarray(np.asarray(mask) != 0).view(np.uint8)) for mask in masks]
        for masks in (true_masks, predicted_masks)
    )
    # No crowds: the plain IoU of every pair.
    return np.asarray(coco.iou(predicted, true, [0] * len(true)), np.float64).T


def ship_iou_matrix(true_ships: Sequence[Ship], predicted_ships: Sequence[Ship]) -> NDArray[np.float64]:
    """Return the IoU of each true ship with each predicted one: float64 (T, P), from their crops alone.

    The same as `iou_matrix` on their full masks, without making those.
    """
    iou_tp = np.zeros((len(true_ships), len(predicted_ships)))
    if not iou_tp.size:
        return iou_tp
    boxes_t1, boxes_1p = np.array([s.mask_box for s in true_ships]), np.array([s.mask_box for s in predicted_ships])
    starts = np.maximum(boxes_t1[:, None, :2], boxes_1p[None, :, :2])
    ends = np.minimum(boxes_t1[:, None, 2:], boxes_1p[None, :, 2:])
    for t, p in np.argwhere((starts < ends).all(axis=2)).tolist():
        true, predicted = true_ships[t], predicted_ships[p]
        row0, col0 = (int(place) for place in starts[t, p])
        row1, col1 = (int(place) for place in ends[t, p])
        shared = np.count_nonzero(_cut(true, row0, col0, row1, col1) & _cut(predicted, row0, col0, row1, col1))
        iou_tp[t, p] = shared / (true.area_px + predicted.area_px - shared)
    return iou_tp


def _cut(ship: Ship, row0: int, col0: int, row1: int, col1: int) -> NDArray[np.bool_]:
    top, left = ship.mask_box[:2]
    return ship.mask[row0 - top : row1 - top, col0 - left : col1 - left]


def match_pairs(
    scores: NDArray[np.float64] | Mapping[tuple[int, int], float], *, above: float = MATCH_IOU
) -> dict[int, int]:
    """Return the predicted ship that each matched true ship is paired with, by their positions.

    Pairs are made by falling score, each ship at most once; of equal scores the first ships come first. Where the ships
    of one side share no pixel, each ship of the other side has at most one partner with an IoU above 0.5, so that any
    other order gives the same counts.

    Args:
        scores: The IoU of each true with each predicted ship, float (T, P), or by (true, predicted) of those pairs
            alone that overlap. Any other score works as well, such as a distance with its sign changed.
        above: A pair needs a score above this, not at it.
    """
    if isinstance(scores, np.ndarray):
        scores = {(t, p): float(scores[t, p]) for t, p in np.argwhere(scores > above).tolist()}
    by_score = sorted((-score, pair) for pair, score in scores.items() if score > above)
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, (true, predicted) in by_score:
        if true not in pairs and predicted not in taken:
            pairs[true] = predicted
            taken.add(predicted)
    return pairs


def match_at(iou_tp: NDArray[np.float64], threshold: float) -> tuple[int, int, int]:
    """Return (true positives, false positives, false negatives) of ships at an IoU threshold: see `match_pairs`.

    Args:
        iou_tp: float (T, P), IoU of each true with each predicted ship.
        threshold: From 0 to below 1.
    """
    hits = len(match_pairs(iou_tp, above=threshold))
    return hits, iou_tp.shape[1] - hits, iou_tp.shape[0] - hits


def airbus_score_from_iou(iou_tp: NDArray[np.float64]) -> float:
    """Return the Airbus score of one image from the IoU (T, P) of its ships: see `airbus_score`."""
    if not iou_tp.size:
        return float(iou_tp.shape == (0, 0))
    scores = []
    for threshold in AIRBUS_IOU_THRESHOLDS:
        hits, false_alarms, missed = match_at(iou_tp, threshold)
        weighted = (1 + _F2_BETA_SQUARED) * hits
        scores.append(weighted / (weighted + _F2_BETA_SQUARED * missed + false_alarms))
    return float(np.mean(scores))


def airbus_score(true_masks: Sequence[NDArray[np.bool_]], predicted_masks: Sequence[NDArray[np.bool_]]) -> float:
    """Return the score of one image in the Airbus challenge, from 0 to 1.

    The F2 score of its ships (a missed ship weighs four times a false alarm) at the IoU thresholds 0.50, 0.55 ... 0.95,
    averaged. No ship and none predicted is 1; ships on one side only are 0. The score of a dataset is the mean over its
    images.

    Args:
        true_masks: One bool mask (H, W) per true ship.
        predicted_masks: One bool mask (H, W) per predicted ship.

    Raises:
        ConfigError: Masks are not all (H, W) of one shape.
        MissingExtraError: pycocotools is not installed.

    Source: the evaluation page of the Kaggle Airbus Ship Detection Challenge.

    Example:
        >>> ship = np.zeros((8, 8), bool)
        >>> ship[2:4, 2:6] = True
        >>> airbus_score([ship], [ship]), airbus_score([], []), airbus_score([ship], [])
        (1.0, 1.0, 0.0)
    """
    return airbus_score_from_iou(iou_matrix(true_masks, predicted_masks))
