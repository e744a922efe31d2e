"""Find ships as instances in a probability or a mask, and measure them.

Ships are connected components by hysteresis thresholding: pixels at or above a threshold form components, and those are
kept that have a pixel at or above the peak threshold. The reference is `apply_hysteresis_threshold` of scikit-image,
whose `low` and `high` are `threshold` and `min_peak` here; it compares with `>` and does not join pixels at corners.
Components can be split where ships touch (`split`) and replaced by rectangles (`rectangles`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shipseg.errors import ConfigError
from shipseg.masks.rectangles import Rectangle, fill_rectangles, rectangle_of, rectangle_of_sums
from shipseg.masks.split import split_touching_ships

__all__ = [
    "Components",
    "Rectangle",
    "Ship",
    "find_components",
    "find_ships",
    "keep_confident",
    "rectangle_of_sums",
    "ship_from_mask",
    "ship_pixels",
    "ships_from_mask",
]


_CONNECTIVITY = 8  # pixels that touch at a corner belong together: a thin diagonal ship is one


def ship_pixels(probability_hw: NDArray[np.floating], *, threshold: float) -> NDArray[np.bool_]:
    """Return where `probability_hw` is at least `threshold`: bool (H, W).

    All thresholds in shipseg are applied in this way. Both sides are compared as float32, so that a probability and a
    threshold that were written as the same decimal are equal.

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
    """Connected components; where they became rectangles, mean, peak and kept are of the pixels before that.

    Args:
        labels_hw: int32 (H, W), 0 for background.
        boxes_xywh: int32 (labels, 4), x, y, width and height of each label.
        mean: float64 (labels,), mean probability.
        peak: float32 (labels,), highest probability.
        kept: bool (labels,), whether area and peak reach their minimum; False for background.
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
    """Return the connected components of ship pixels; see `find_ships` for the arguments.

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
    components = _measure_components(np.asarray(labels, np.int32), boxes, probability_hw, min_peak, min_area_px)
    if separate:  # area and peak threshold are applied again, to each of the split ships
        components = _split(components, probability_hw, min_peak=min_peak, min_area_px=min_area_px)
    return _in_rectangles(components) if rectangles else components


def _measure_components(
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


def _split(
    components: Components, probability_hw: NDArray[np.floating], *, min_peak: float, min_area_px: int
) -> Components:
    """Return the kept components with touching ships split, each ship as a component."""
    labels_hw = np.zeros_like(components.labels_hw)
    boxes = [(0, 0, 0, 0)]  # of the background, not used
    for label in np.flatnonzero(components.kept).tolist():
        col0, row0, width, height = (int(value) for value in components.boxes_xywh[label])
        window = (slice(row0, row0 + height), slice(col0, col0 + width))
        mask = components.labels_hw[window] == label
        ships_hw = split_touching_ships(probability_hw[window], mask)
        labels_hw[window][mask] = ships_hw[mask] + len(boxes) - 1
        for rows, cols in ndimage.find_objects(ships_hw):
            boxes.append((col0 + cols.start, row0 + rows.start, cols.stop - cols.start, rows.stop - rows.start))
    return _measure_components(labels_hw, np.array(boxes), probability_hw, min_peak, min_area_px)


def _in_rectangles(components: Components) -> Components:
    """Return the same components with the pixels of their best rectangles; mean and peak stay."""
    labels_hw = fill_rectangles(components.labels_hw)
    boxes = np.zeros_like(components.boxes_xywh)
    for label, (rows, cols) in enumerate(ndimage.find_objects(labels_hw), start=1):
        boxes[label] = (cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    return replace(components, labels_hw=labels_hw, boxes_xywh=boxes)


@dataclass(frozen=True, eq=False, slots=True)
class Ship:
    """One ship: its pixels, confidence, length, width and heading.

    Positions are in pixel-edge coordinates: pixel (row 0, column 0) covers 0 to 1 both ways, its centre is (0.5, 0.5).

    The oriented rectangle has the same centre, direction and second moments as the pixels' area, so a filled
    rectangle along the axes, down to one pixel, is measured exactly. Measured on 150 rectangles per size from
    6 x 2.5 to 120 x 20 px at random angle and position, cut at half coverage: mean error of the length -0.09 to
    0.00 px (mean absolute error 0.07 to 0.21, largest 1.2), of the width +0.05 to +0.12 (0.05 to 0.18, largest 0.5);
    the minimum-area rectangle around the same pixels is too long by 0.4 to 1.2 px and too wide by 0.9 to 1.3. A hull
    with a bow as long as its beam is measured too short: about 85 to 90 % of its length.

    Args:
        mask_box: (row0, col0, row1, col1), the pixels that hold the ship, half open.
        mask: bool (row1 - row0, col1 - col0), the ship's pixels within `mask_box`.
        area_px: Number of pixels.
        confidence: Mean probability of the ship's pixels (before they became a rectangle); 1 for ships of a mask.
        peak: Highest probability of these pixels; 1 for ships of a mask.
        center_rc: (row, column) of the centre of gravity.
        length_px: Longer side of the oriented rectangle.
        width_px: Its shorter side.
        heading_deg: Direction of the longer side, clockwise from up (north), from 0 to below 180: bow and stern are
            not distinguished, so the ship may head in the opposite direction. 90 when both sides are equal.
        corners_xy: float32 (4, 2), corners of the oriented rectangle as (x right, y down), clockwise on the screen.
            They may lie a little outside the image.
    """

    mask_box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    area_px: int
    confidence: float
    peak: float
    center_rc: tuple[float, float]
    length_px: float
    width_px: float
    heading_deg: float
    corners_xy: NDArray[np.float32]

    @property
    def bbox_xywh(self) -> tuple[int, int, int, int]:
        """Box along the axes as (x, y, width, height) in whole pixels, as in COCO."""
        row0, col0, row1, col1 = self.mask_box
        return col0, row0, col1 - col0, row1 - row0

    def full_mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the ship's pixels in an image of `shape`: bool (H, W).

        Raises:
            ConfigError: The ship does not lie inside such an image.
        """
        row0, col0, row1, col1 = self.mask_box
        if row1 > shape[0] or col1 > shape[1]:
            raise ConfigError(f"a ship in rows {row0}-{row1} and columns {col0}-{col1} does not fit into {shape}")
        mask_hw = np.zeros(shape, bool)
        mask_hw[row0:row1, col0:col1] = self.mask
        return mask_hw


def find_ships(
    probability_hw: NDArray[np.floating],
    *,
    threshold: float,
    min_peak: float = 0.0,
    min_area_px: int = 1,
    separate: bool = False,
    rectangles: bool = False,
    origin: tuple[int, int] = (0, 0),
) -> tuple[Ship, ...]:
    """Return the ships in a probability, in order of decreasing area, then by row and column of their boxes.

    A ship is an 8-connected component of pixels with probability at least `threshold` whose maximum reaches `min_peak`.

    Args:
        probability_hw: Floating point (H, W), 0 to 1.
        threshold: From 0 to 1.
        min_peak: Peak threshold of the hysteresis thresholding: drop ships whose highest probability is below this.
        min_area_px: Drop ships with fewer pixels (before they become rectangles).
        separate: Split ships that touch, see `shipseg.masks.split`.
        rectangles: Replace the pixels of each ship by those of the rectangle with the highest IoU, see
            `shipseg.masks.rectangles`; pixels of other components, also of dropped ones, are not taken.
        origin: (row, column) of the probability's first pixel in a larger image; ships are in pixels of that image. A
            ship that lies inside the part is bit for bit that of the whole image; rectangles may differ, because they
            extend beyond the ship's pixels and are cut at the border of the part.

    Raises:
        ConfigError: The probability is not (H, W) floating point within 0 to 1, or a threshold is not.
    """
    components = find_components(
        probability_hw,
        threshold=threshold,
        min_peak=min_peak,
        min_area_px=min_area_px,
        separate=separate,
        rectangles=rectangles,
    )
    return _sorted([_ship(components, label, origin=origin) for label in np.flatnonzero(components.kept).tolist()])


def keep_confident(
    probability_hw: NDArray[np.floating],
    *,
    threshold: float,
    min_peak: float = 0.0,
    min_area_px: int = 1,
    separate: bool = False,
    rectangles: bool = False,
) -> NDArray[np.bool_]:
    """Return the mask (H, W) of the ships that `find_ships` returns for the same arguments.

    Raises:
        ConfigError: The probability is not (H, W) floating point within 0 to 1, or a threshold is not.
    """
    components = find_components(
        probability_hw,
        threshold=threshold,
        min_peak=min_peak,
        min_area_px=min_area_px,
        separate=separate,
        rectangles=rectangles,
    )
    return components.kept[components.labels_hw]


def ships_from_mask(mask_hw: NDArray[np.bool_]) -> tuple[Ship, ...]:
    """Return the ships in a mask (H, W), one per connected component, in the order of `find_ships`.

    Raises:
        ConfigError: The mask is not two-dimensional.
    """
    _refuse_other_than_mask(mask_hw)
    return find_ships((mask_hw != 0).astype(np.float32), threshold=1.0)


def ship_from_mask(mask_hw: NDArray[np.bool_]) -> Ship:
    """Return all pixels of a mask (H, W) as one ship, whether they touch or not.

    Raises:
        ConfigError: The mask is not two-dimensional or has no ship pixel.
    """
    _refuse_other_than_mask(mask_hw)
    rows = np.flatnonzero(mask_hw.any(axis=1))
    columns = np.flatnonzero(mask_hw.any(axis=0))
    if not len(rows):
        raise ConfigError(f"a mask without a ship pixel (shape {mask_hw.shape}) cannot become a ship")
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return _measure(box, mask_hw[box[0] : box[2], box[1] : box[3]] != 0, confidence=1.0, peak=1.0)


def _refuse_other_than_mask(mask_hw: NDArray[np.bool_]) -> None:
    if mask_hw.ndim != 2:
        raise ConfigError(f"a mask must be two-dimensional (height, width), got an array of shape {mask_hw.shape}")


def _ship(components: Components, label: int, *, origin: tuple[int, int]) -> Ship:
    col0, row0, width, height = (int(value) for value in components.boxes_xywh[label])
    mask = components.labels_hw[row0 : row0 + height, col0 : col0 + width] == label
    row0, col0 = row0 + origin[0], col0 + origin[1]
    box = (row0, col0, row0 + height, col0 + width)
    return _measure(box, mask, confidence=float(components.mean[label]), peak=float(components.peak[label]))


def _sorted(ships: list[Ship]) -> tuple[Ship, ...]:
    return tuple(sorted(ships, key=lambda ship: (-ship.area_px, ship.mask_box)))


def _measure(box: tuple[int, int, int, int], mask: NDArray[np.bool_], *, confidence: float, peak: float) -> Ship:
    rectangle = rectangle_of(mask)
    center = (box[0] + rectangle.center_rc[0], box[1] + rectangle.center_rc[1])
    return Ship(
        mask_box=box,
        mask=mask,
        area_px=int(np.count_nonzero(mask)),
        confidence=confidence,
        peak=peak,
        center_rc=center,
        length_px=rectangle.length_px,
        width_px=rectangle.width_px,
        heading_deg=rectangle.heading_deg,
        corners_xy=_corners_xy(center, rectangle.length_px, rectangle.width_px, rectangle.angle),
    )


def _corners_xy(center_rc: tuple[float, float], length: float, width: float, angle: float) -> NDArray[np.float32]:
    along = np.array([math.cos(angle), math.sin(angle)]) * length / 2
    across = np.array([-math.sin(angle), math.cos(angle)]) * width / 2
    from_center = np.stack([-along - across, along - across, along + across, -along + across])
    return np.asarray(from_center + np.array(center_rc[::-1]), np.float32)
