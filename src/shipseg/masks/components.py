"""Groups of ship pixels that touch, with how sure the network was of each; parted or made rectangles on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shipseg.errors import ConfigError
from shipseg.masks.fitted import fill_rectangles
from shipseg.masks.separate import separate_ships

__all__ = ["Components", "find_components", "ship_pixels"]

_CONNECTIVITY = 8  # pixels that touch at a corner belong together: a thin diagonal ship is one


def ship_pixels(probability_hw: NDArray[np.floating], *, threshold: float) -> NDArray[np.bool_]:
    """Return where `probability_hw` is at least `threshold`: bool (H, W).

    This is what a threshold means everywhere in shipseg. Both sides are compared as float32, so that a probability and
    a threshold that were written as the same decimal are equal.

    Raises:
        ConfigError: The probability is not (H, W) floating point within 0 to 1 (NaN is not), or the threshold is not
            from 0 to 1.
    """
    if probability_hw.ndim != 2 or probability_hw.dtype.kind != "f":
        raise ConfigError(
            f"a probability must be a floating-point array (height, width), got {probability_hw.dtype} of shape "
            f"{probability_hw.shape}"
        )
    _refuse_outside("threshold", threshold, threshold)
    if probability_hw.size:
        _refuse_outside("a probability", float(probability_hw.min()), float(probability_hw.max()))
    return probability_hw.astype(np.float32, copy=False) >= np.float32(threshold)


def _refuse_outside(what: str, lowest: float, highest: float) -> None:
    if not (lowest >= 0 and highest <= 1):  # also true for NaN
        wrong = highest if lowest >= 0 else lowest
        raise ConfigError(f"{what} must be from 0 to 1, got {wrong}")


@dataclass(frozen=True, eq=False, slots=True)
class Components:
    """Connected components, perhaps as rectangles; what is said of them is of their pixels before that.

    Args:
        labels_hw: int32 (H, W), 0 for background.
        boxes_xywh: int32 (labels, 4), x, y, width and height of each label.
        mean: float64 (labels,), mean probability.
        peak: float32 (labels,), highest probability.
        kept: bool (labels,), large and sure enough; False for background.
    """

    labels_hw: NDArray[np.int32]
    boxes_xywh: NDArray[np.int32]
    mean: NDArray[np.float64]
    peak: NDArray[np.float32]
    kept: NDArray[np.bool_]


def find_components(
    probability_hw: NDArray[np.floating],
    *,
    threshold: float,
    min_peak: float = 0.0,
    min_area_px: int = 1,
    separate: bool = False,
    rectangles: bool = False,
) -> Components:
    """Return the groups of ship pixels; see `shipseg.masks.ships.find_ships` for the arguments.

    Raises:
        ConfigError: The probability is not (H, W) floating point within 0 to 1, or a threshold is not.
    """
    _refuse_outside("min_peak", min_peak, min_peak)
    ship_hw = ship_pixels(probability_hw, threshold=threshold)
    if not ship_hw.size:
        raise ConfigError(f"a probability needs at least 1 pixel, got shape {ship_hw.shape}")
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(ship_hw).view(np.uint8), connectivity=_CONNECTIVITY, ltype=cv2.CV_32S
    )
    boxes = np.asarray(statistics, np.int32)[:, :4]
    found = _weighed(np.asarray(labels, np.int32), boxes, probability_hw, min_peak, min_area_px)
    if separate:  # a part may be too small or unsure to be a ship
        found = _separated(found, probability_hw, min_peak=min_peak, min_area_px=min_area_px)
    return _in_rectangles(found) if rectangles else found


def _weighed(
    labels_hw: NDArray[np.int32],
    boxes_xywh: NDArray[np.integer],
    probability_hw: NDArray[np.floating],
    min_peak: float,
    min_area_px: int,
) -> Components:
    count = len(boxes_xywh)
    ship_hw = labels_hw > 0
    labels_of_pixels = labels_hw[ship_hw]
    probabilities = probability_hw[ship_hw].astype(np.float32, copy=False)
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, labels_of_pixels, probabilities)
    areas = np.bincount(labels_of_pixels, minlength=count)
    mean = np.bincount(labels_of_pixels, probabilities, minlength=count) / np.maximum(areas, 1)
    kept = (areas >= max(min_area_px, 1)) & (peak >= np.float32(min_peak))
    return Components(labels_hw, np.asarray(boxes_xywh, np.int32), mean, peak, kept)


def _separated(
    found: Components, probability_hw: NDArray[np.floating], *, min_peak: float, min_area_px: int
) -> Components:
    """Return the ships of the components that were kept, each as a component of its own."""
    labels_hw = np.zeros_like(found.labels_hw)
    boxes = [(0, 0, 0, 0)]  # of the background, which nobody asks for
    for label in np.flatnonzero(found.kept).tolist():
        col0, row0, width, height = (int(value) for value in found.boxes_xywh[label])
        window = (slice(row0, row0 + height), slice(col0, col0 + width))
        mask = found.labels_hw[window] == label
        parts_hw = separate_ships(probability_hw[window], mask)
        labels_hw[window][mask] = parts_hw[mask] + len(boxes) - 1
        for rows, cols in ndimage.find_objects(parts_hw):
            boxes.append((col0 + cols.start, row0 + rows.start, cols.stop - cols.start, rows.stop - rows.start))
    return _weighed(labels_hw, np.array(boxes), probability_hw, min_peak, min_area_px)


def _in_rectangles(found: Components) -> Components:
    """Return the same components, as sure as they were, with the pixels of their best rectangles."""
    labels_hw = fill_rectangles(found.labels_hw)
    boxes = np.zeros_like(found.boxes_xywh)
    for label, (rows, cols) in enumerate(ndimage.find_objects(labels_hw), start=1):
        boxes[label] = (cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    return replace(found, labels_hw=labels_hw, boxes_xywh=boxes)
