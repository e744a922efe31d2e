"""Ship scores at many thresholds and smallest peaks at once, for choosing them and for showing what they do."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.masks.metrics import AIRBUS_IOU_THRESHOLDS
from shipseg.masks.ships import Ship

__all__ = ["SWEEP_PEAKS", "SWEEP_THRESHOLDS", "DecisionSweep"]

SWEEP_THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""0.05, 0.10 ... 0.95."""
SWEEP_PEAKS: tuple[float, ...] = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
"""Dense at the top: on trial networks 0.97 was near the best."""
_AIRBUS_IOUS = np.array(AIRBUS_IOU_THRESHOLDS)


class DecisionSweep:
    """Sums of ship scores over images, for each pair of a threshold and a smallest peak.

    At each threshold the components are found once; a smallest peak then only selects among them. Their IoUs with the
    true ships come from counting labels under each true ship, so no mask is ever pasted.

    Args:
        thresholds: Thresholds, increasing, each above 0.
        peaks: Smallest peaks; one at or below a threshold keeps every component of that threshold.
        min_area_px: Smaller components are dropped.
    """

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = SWEEP_THRESHOLDS,
        peaks: Sequence[float] = SWEEP_PEAKS,
        min_area_px: int = 1,
    ) -> None:
        self.thresholds = np.asarray(thresholds, np.float64)
        self.peaks = np.asarray(peaks, np.float64)
        self._min_area_px = min_area_px
        self._num_images = 0
        self._num_true = 0
        shape = (len(self.thresholds), len(self.peaks))
        self._airbus = np.zeros(shape)
        self._matched = np.zeros(shape, np.int64)
        self._predicted = np.zeros(shape, np.int64)

    @property
    def num_images(self) -> int:
        """Return how many images were added."""
        return self._num_images

    @property
    def num_true(self) -> int:
        """Return how many true ships the images hold."""
        return self._num_true

    def add(self, probability_hw: NDArray[np.float32], truth: Sequence[Ship]) -> None:
        """Add an image: its probabilities, float32 (H, W), and its true ships."""
        self._num_images += 1
        self._num_true += len(truth)
        nothing = 1.0 if not truth else 0.0
        above = probability_hw >= np.float32(self.thresholds[0])
        if not above.any():
            self._airbus += nothing
            return
        box = _box_of(above)
        crop_hw = probability_hw[box]
        for place, threshold in enumerate(self.thresholds):
            areas_p, peaks_p, iou_tp = _components(crop_hw, (box[0].start, box[1].start), threshold, truth)
            if not len(areas_p):
                self._airbus[place:] += nothing
                return
            large = areas_p >= self._min_area_px
            kept_kp = (peaks_p >= self.peaks[:, None].astype(np.float32)) & large
            predicted_k = kept_kp.sum(axis=1)
            self._predicted[place] += predicted_k
            if truth:
                right_ip = iou_tp.max(axis=0) > _AIRBUS_IOUS[:, None]
                matched_ki = kept_kp.astype(np.int64) @ right_ip.T.astype(np.int64)
                self._matched[place] += matched_ki[:, 0]
                # F2 = 5 TP / (5 TP + 4 FN + FP) = 5 TP / ((TP + FP) + 4 (TP + FN))
                self._airbus[place] += (5 * matched_ki / (predicted_k + 4 * len(truth))[:, None]).mean(axis=1)
            else:
                self._airbus[place] += predicted_k == 0

    @property
    def airbus_score(self) -> NDArray[np.float64]:
        """Return the mean Airbus score of the images, (thresholds, peaks)."""
        return self._airbus / max(self._num_images, 1)

    @property
    def ship_precision(self) -> NDArray[np.float64]:
        """Return the share of predicted ships that are right, (thresholds, peaks); NaN where none is predicted."""
        return np.where(self._predicted > 0, self._matched / np.maximum(self._predicted, 1), np.nan)

    @property
    def ship_recall(self) -> NDArray[np.float64]:
        """Return the share of true ships that are found, (thresholds, peaks); NaN where there is none."""
        return self._matched / self._num_true if self._num_true else np.full(self._matched.shape, np.nan)

    @property
    def ship_f1(self) -> NDArray[np.float64]:
        """Return 2 matched / (true + predicted), (thresholds, peaks); NaN where there are neither."""
        total = self._predicted + self._num_true
        return np.where(total > 0, 2 * self._matched / np.maximum(total, 1), np.nan)


def _box_of(mask_hw: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, cols = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def _components(
    probability_hw: NDArray[np.float32], origin_rc: tuple[int, int], threshold: float, truth: Sequence[Ship]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Return areas (P,), peaks (P,) and IoUs with the true ships (T, P) of the 8-connected components of a crop."""
    mask_hw = probability_hw >= np.float32(threshold)
    count, labels = cv2.connectedComponents(mask_hw.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    labels_hw = np.asarray(labels, np.int32)
    inside = labels_hw[mask_hw]
    areas = np.bincount(inside, minlength=count)[1:]
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, inside, probability_hw[mask_hw])
    iou_tp = np.zeros((len(truth), count - 1))
    for row, ship in enumerate(truth):
        under = _under(labels_hw, origin_rc, ship)
        overlap = np.bincount(under, minlength=count)[1:]
        iou_tp[row] = overlap / (ship.area_px + areas - overlap)
    return areas, peaks[1:], iou_tp


def _under(labels_hw: NDArray[np.int32], origin_rc: tuple[int, int], ship: Ship) -> NDArray[np.int32]:
    """Return the labels at the ship's pixels, as far as they lie on the crop."""
    row0, col0, row1, col1 = ship.mask_box
    top, left = max(row0 - origin_rc[0], 0), max(col0 - origin_rc[1], 0)
    window = labels_hw[top : max(row1 - origin_rc[0], 0), left : max(col1 - origin_rc[1], 0)]
    down, right = top + origin_rc[0] - row0, left + origin_rc[1] - col0
    mask = ship.mask[down : down + window.shape[0], right : right + window.shape[1]]
    return window[mask]
