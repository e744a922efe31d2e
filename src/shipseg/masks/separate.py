"""Ships that touch, told apart: one component of ship pixels -> one part for each ship."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shipseg.masks.rectangles import rectangle_of

__all__ = ["separate_ships"]

_SMALLEST_PART_PX = 6
"""Smaller parts are no ships: they join the nearest."""
_SMALLEST_SHARE = 0.02
"""Nor are smaller shares of the component."""
_PROBABILITY_LEVELS = 9
_DISTANCE_LEVELS = 7
_HIGH = 0.8
"""A part is as high as this quantile of its probabilities: a single bright pixel is no summit."""
_VALLEY = 0.2
"""How clear a cut must be: the share by which the probability on it lies below the lower of the two parts, and ..."""
_FIT_WEIGHT = 0.1
"""... this for every pixel of the smaller part by which the parts fit their rectangles better than the whole fits its
own. Chosen on synthetic ships, checked on real label masks: see docs/results.md."""
_ROUNDING_PX = 0.25
"""A pixel's centre may lie this far outside a rectangle and still belong to it."""
_EIGHT = np.ones((3, 3), bool)


def separate_ships(probability_hw: NDArray[np.floating], mask_hw: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the ships in one component of ship pixels: int32 (H, W), 0 outside the component, its ships from 1 on.

    Two ships that touch leave a valley in the probability on the line between them. Lines are looked for by raising
    the level at which pixels count, of the probability and of the distance to the component's edge, until the component
    falls apart; each remaining pixel goes to the nearest piece. A line is a cut when the probability is clearly lower
    on it than on both sides; when both sides fit their rectangles better than the whole does, a shallower valley is
    enough, when they fit worse it must be deeper. Then each side is looked at again.

    What comes out depends on the component alone, not on where in an image it lies.

    Args:
        probability_hw: (H, W), 0 to 1; only the component's pixels are looked at.
        mask_hw: (H, W), one component of pixels that touch at sides or corners.
    """
    labels_hw = np.zeros(mask_hw.shape, np.int32)
    for number, part in enumerate(_parts(np.asarray(probability_hw, np.float32), mask_hw), start=1):
        labels_hw[part.box][part.mask] = number
    return labels_hw


class _Part(NamedTuple):
    box: tuple[slice, slice]
    mask: NDArray[np.bool_]


def _parts(probability_hw: NDArray[np.float32], mask_hw: NDArray[np.bool_]) -> Iterator[_Part]:
    """Yield the ships of a component, from the top and from the left of their boxes' corners, side by side."""
    waiting = _pieces(mask_hw)
    while waiting:
        box, mask = part = waiting.pop()
        side = _best_cut(probability_hw[box], mask)
        if side is None:
            yield part
            continue
        for piece in (*_pieces(mask & ~side), *_pieces(side)):
            waiting.append(_Part(_shifted(piece.box, box), piece.mask))


def _pieces(mask_hw: NDArray[np.bool_]) -> list[_Part]:
    labels_hw, _ = ndimage.label(mask_hw, _EIGHT)
    boxes = ndimage.find_objects(labels_hw)
    return [_Part((box[0], box[1]), labels_hw[box] == number) for number, box in enumerate(boxes, start=1)]


def _shifted(inner: tuple[slice, slice], outer: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, cols = (
        slice(part.start + whole.start, part.stop + whole.start) for part, whole in zip(inner, outer, strict=True)
    )
    return rows, cols


def _best_cut(probability_hw: NDArray[np.float32], mask_hw: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return one side of the clearest cut through a component, or None where none is clear."""
    smallest = max(_SMALLEST_PART_PX, int(np.ceil(_SMALLEST_SHARE * np.count_nonzero(mask_hw))))
    whole_misfit = None
    best, clearest = None, _VALLEY
    for cores_hw in _cores(probability_hw, mask_hw):
        labels_hw, count = _spread(cores_hw, mask_hw, smallest)
        for number in range(1, count + 1 if count > 2 else count):  # of two sides one is enough
            side = labels_hw == number
            if whole_misfit is None:
                whole_misfit = _misfit(mask_hw)
            clear = _clearness(probability_hw, side, mask_hw & ~side, whole_misfit)
            if clear > clearest:
                best, clearest = side, clear
    return best


def _cores(probability_hw: NDArray[np.float32], mask_hw: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Yield what is left of a component at rising levels of probability and of distance to its edge."""
    inside = probability_hw[mask_hw]
    for level in np.linspace(inside.min(), inside.max(), _PROBABILITY_LEVELS + 1, dtype=np.float32)[1:-1]:
        yield mask_hw & (probability_hw >= level)
    edge = np.pad(mask_hw, 1).view(np.uint8)
    distance_hw = cv2.distanceTransform(edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    for level in np.linspace(1, distance_hw.max(), _DISTANCE_LEVELS + 1, dtype=np.float32)[:-1]:
        yield np.asarray(distance_hw > level)


def _spread(cores_hw: NDArray[np.bool_], mask_hw: NDArray[np.bool_], smallest: int) -> tuple[NDArray[np.int32], int]:
    """Return the component's pixels by the nearest core, int32 (H, W) from 1 on, and how many there are.

    Cores that gather fewer than `smallest` pixels are given up. Below two cores there is nothing to part: 0 of them.
    """
    cores, count = ndimage.label(cores_hw, _EIGHT)
    if count < 2:
        return np.zeros(mask_hw.shape, np.int32), 0
    labels_hw = _nearest(cores, mask_hw)
    large = np.bincount(labels_hw.ravel(), minlength=count + 1) >= smallest
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
    """Return how clear the cut between two sides of a component is; see `separate_ships`."""
    size = (3, 3)
    touching = (ndimage.maximum_filter(one, size) & other) | (ndimage.maximum_filter(other, size) & one)
    high = min(float(np.quantile(probability_hw[side], _HIGH)) for side in (one, other))
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
    held = int(np.count_nonzero(inside))
    return len(rows) - held + max(rectangle.length_px * rectangle.width_px - held, 0.0)
