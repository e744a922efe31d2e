"""All scores behind one door: counts first, scores last.

Pixels at one threshold (`pixels`), at all thresholds at once (`histogram`), ships as instances (`instances`).

Where a score divides by 0 it is 1.0 when there is neither truth nor prediction, else 0.0: an image without ships in
which nothing was predicted is perfect; precision without a prediction and recall without truth are 0 when the other
side has some.
"""

from __future__ import annotations

from shipseg.masks.histogram import ProbabilityHistogram, ThresholdCurve
from shipseg.masks.instances import (
    AIRBUS_IOU_THRESHOLDS,
    SIZE_BINS_PX,
    ShipCounts,
    airbus_score,
    airbus_score_from_iou,
    count_ships,
    iou_matrix,
    match_at,
    ship_iou_matrix,
)
from shipseg.masks.pixels import PixelCounts, count_pixels, seed_protocol_dice

__all__ = [
    "AIRBUS_IOU_THRESHOLDS",
    "SIZE_BINS_PX",
    "PixelCounts",
    "ProbabilityHistogram",
    "ShipCounts",
    "ThresholdCurve",
    "airbus_score",
    "airbus_score_from_iou",
    "count_pixels",
    "count_ships",
    "iou_matrix",
    "match_at",
    "seed_protocol_dice",
    "ship_iou_matrix",
]
