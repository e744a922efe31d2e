"""Split touching ships: one component of ship pixels into one component for each ship."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shipseg.masks.rectangles import rectangle_of

__all__ = ["split_touching_ships"]

_MIN_AREA_PX = 6
"""Smaller regions are no ships: they are merged with the nearest."""
_MIN_SHARE = 0.02
"""The same for regions with a smaller share of the component's pixels."""
_PROBABILITY_LEVELS = 9
_DISTANCE_LEVELS = 7
_HIGH_QUANTILE = 0.8
"""The height of a side is this quantile of its probabilities, which a single bright pixel does not change."""
_MIN_CLEARNESS = 0.2
"""Least clearness of a cut: the share by which the probability on it lies below the lower of the two sides, plus
_FIT_WEIGHT times the gain in fit. Chosen on synthetic ships, checked on real label masks: see docs/results.md."""
_FIT_WEIGHT = 0.1
"""Weight of the gain in fit: by how many pixels the two sides fit their rectangles better than the component fits its
rectangle, per pixel of the smaller side."""
_ROUNDING_PX = 0.25
"""A pixel's centre may lie this far outside a rectangle and still belong to it."""
_EIGHT_CONNECTED = np.ones((3, 3), bool)


def split_touching_ships(probability_hw: NDArray[np.floating], mask_hw: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the labels of the ships in one component: int32 (H, W), 0 outside the component, ships from 1 on.

    Between two touching ships the probability is lower. As in a watershed, the component is thresholded at rising
    levels, of the probability and of the distance to its edge, until it breaks into several cores; each other pixel is
    assigned to the nearest core. A cut is accepted when the probability on it is clearly lower than on both sides. When
    both sides fit their rectangles better than the component does, a smaller difference is enough; when they fit worse,
    a larger one is required. Each side is then split again.

    The result depends on the component alone, not on its place in the image.

    Args:
        probability_hw: (H, W), 0 to 1; only the component's pixels are read.
        mask_hw: (H, W), one component of pixels that touch at sides or corners.
    """
    labels_hw = np.zeros(mask_hw.shape, np.int32)
    for number, ship in enumerate(_ships(np.asarray(probability_hw, np.float32), mask_hw), start=1):
        labels_hw[ship.box][ship.mask] = number
    return labels_hw


class _Region(NamedTuple):
    box: tuple[slice, slice]
    mask: NDArray[np.bool_]


def _ships(probability_hw: NDArray[np.float32], mask_hw: NDArray[np.bool_]) -> Iterator[_Region]:
    """Yield the ships of a component, split depth first, in an order that depends on the component alone."""
    remaining = _connected_regions(mask_hw)
    while remaining:
        box, mask = region = remaining.pop()
        side = _best_cut(probability_hw[box], mask)
        if side is None:
            yield region
            continue
        for part in (*_connected_regions(mask & ~side), *_connected_regions(side)):
            remaining.append(_Region(_shifted(part.box, box), part.mask))


def _connected_regions(mask_hw: NDArray[np.bool_]) -> list[_Region]:
    labels_hw, _ = ndimage.label(mask_hw, _EIGHT_CONNECTED)
    boxes = ndimage.find_objects(labels_hw)
    return [_Region((box[0], box[1]), labels_hw[box] == number) for number, box in enumerate(boxes, start=1)]


def _shifted(inner: tuple[slice, slice], outer: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, cols = (
        slice(part.start + whole.start, part.stop + whole.start) for part, whole in zip(inner, outer, strict=True)
    )
    return rows, cols


def _best_cut(probability_hw: NDArray[np.float32], mask_hw: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return one side of the clearest cut through a component, or None where no cut is clear enough."""
    min_area_px = max(_MIN_AREA_PX, int(np.ceil(_MIN_SHARE * np.count_nonzero(mask_hw))))
    whole_misfit = None
    best, clearest = None, _MIN_CLEARNESS
    for cores_hw in _cores(probability_hw, mask_hw):
        labels_hw, count = _assign_pixels(cores_hw, mask_hw, min_area_px)
        for number in range(1, count + 1 if count > 2 else count):  # for two sides the cut is the same
            side = labels_hw == number
            if whole_misfit is None:
                whole_misfit = _misfit(mask_hw)
            clear = _clearness(probability_hw, side, mask_hw & ~side, whole_misfit)
            if clear > clearest:
                best, clearest = side, clear
    return best


def _cores(probability_hw: NDArray[np.float32], mask_hw: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Yield the pixels of a component above rising levels of probability, then of distance to its edge."""
    inside = probability_hw[mask_hw]
    for level in np.linspace(inside.min(), inside.max(), _PROBABILITY_LEVELS + 1, dtype=np.float32)[1:-1]:
        yield mask_hw & (probability_hw >= level)
    edge = np.pad(mask_hw, 1).view(np.uint8)
    distance_hw = cv2.distanceTransform(edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    for level in np.linspace(1, distance_hw.max(), _DISTANCE_LEVELS + 1, dtype=np.float32)[:-1]:
        yield np.asarray(distance_hw > level)


def _assign_pixels(
    cores_hw: NDArray[np.bool_], mask_hw: NDArray[np.bool_], min_area_px: int
) -> tuple[NDArray[np.int32], int]:
    """Return the number of the nearest core of each pixel, int32 (H, W) from 1 on, and the number of cores.

    Cores with fewer than `min_area_px` pixels are merged with the nearest. With fewer than two cores both are 0.
    """
    cores, count = ndimage.label(cores_hw, _EIGHT_CONNECTED)
    if count < 2:
        return np.zeros(mask_hw.shape, np.int32), 0
    labels_hw = _nearest(cores, mask_hw)
    large = np.bincount(labels_hw.ravel(), minlength=count + 1) >= min_area_px
    large[0] = False
    remaining = int(np.count_nonzero(large))
    if remaining < 2:
        return np.zeros(mask_hw.shape, np.int32), 0
    if remaining < count:
        labels_hw = _nearest(np.where(large, np.cumsum(large), 0)[labels_hw], mask_hw)
    return labels_hw, remaining


def _nearest(labels_hw: NDArray[np.integer], mask_hw: NDArray[np.bool_]) -> NDArray[np.int32]:
    rows, cols = ndimage.distance_transform_edt(labels_hw == 0, return_distances=False, return_indices=True)
    return np.where(mask_hw, labels_hw[rows, cols], 0).astype(np.int32)


def _clearness(
    probability_hw: NDArray[np.float32], one: NDArray[np.bool_], other: NDArray[np.bool_], whole_misfit: float
) -> float:
    """Return how clear the cut between two sides of a component is; see `split_touching_ships`."""
    size = (3, 3)
    touching = (ndimage.maximum_filter(one, size) & other) | (ndimage.maximum_filter(other, size) & one)
    high = min(float(np.quantile(probability_hw[side], _HIGH_QUANTILE)) for side in (one, other))
    height = float(probability_hw[touching].mean(dtype=np.float64)) / high
    smaller = min(np.count_nonzero(one), np.count_nonzero(other))
    gain = (whole_misfit - _misfit(one) - _misfit(other)) / smaller
    return 1 - height + _FIT_WEIGHT * min(max(gain, -1.0), 1.0)


def _misfit(mask_hw: NDArray[np.bool_]) -> float:
    """Return by how many pixels a mask and its rectangle differ."""
    rectangle = rectangle_of(mask_hw)
    rows, cols = np.nonzero(mask_hw)
    down, right = rows + 0.5 - rectangle.center_rc[0], cols + 0.5 - rectangle.center_rc[1]
    cosine, sine = np.cos(rectangle.angle), np.sin(rectangle.angle)
    along, across = np.abs(right * cosine + down * sine), np.abs(down * cosine - right * sine)
    inside = (along <= rectangle.length_px / 2 + _ROUNDING_PX) & (across <= rectangle.width_px / 2 + _ROUNDING_PX)
    covered = int(np.count_nonzero(inside))
    return len(rows) - covered + max(rectangle.length_px * rectangle.width_px - covered, 0.0)
