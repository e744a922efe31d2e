"""Scores of one image: counts of its pixels and ships, and whether each ship is matched."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shipseg.masks import rle
from shipseg.masks.metrics import airbus_score_from_iou, match_pairs, ship_iou_matrix
from shipseg.masks.pixels import ratio
from shipseg.masks.ships import Ship, ship_from_mask

__all__ = [
    "SIZE_BINS",
    "SIZE_EDGES_PX",
    "ImageScore",
    "Scored",
    "ShipScore",
    "Stratum",
    "named_bins",
    "score_image",
    "size_bin",
    "true_ships",
    "union_mask",
]

Stratum = Literal["none", "single", "multiple"]


def named_bins(edges: Sequence[float], unit: str = "") -> dict[str, tuple[float, float]]:
    """Return bins by name, each from an edge (inclusive) to the next (exclusive), the last without an upper limit.

    The names are keys and columns of output files.

    Args:
        edges: Increasing, the first is 0.
        unit: Appended to the names, which are then phrases such as `20 to 50 m`.

    Example:
        >>> [*named_bins((0, 100, 1000))], [*named_bins((0, 20, 50), "m")]
        (['<100', '100-1000', '>=1000'], ['below 20 m', '20 to 50 m', 'from 50 m'])
    """
    names = [f"{low:g} to {high:g} {unit}" if unit else f"{low:g}-{high:g}" for low, high in itertools.pairwise(edges)]
    names[0] = f"below {edges[1]:g} {unit}" if unit else f"<{edges[1]:g}"
    names.append(f"from {edges[-1]:g} {unit}" if unit else f">={edges[-1]:g}")
    return dict(zip(names, itertools.pairwise((*edges, math.inf)), strict=True))


SIZE_EDGES_PX = (0, 100, 1000)
SIZE_BINS = named_bins(SIZE_EDGES_PX)
"""Areas of ships in pixels of the image: `<100`, `100-1000`, `>=1000`."""


@dataclass(frozen=True)
class ImageScore:
    """Counts of one image, from which all scores are computed."""

    image_id: str
    group: str | None
    """Name of the group of overlapping images that it belongs to; None where not known."""
    height: int
    width: int
    num_true: int
    num_predicted: int
    matched: int
    """Predicted ships that have an IoU above 0.5 with a true ship, each true ship counted once."""
    false_alarms: int
    """Predicted ships that share no pixel with any true ship."""
    true_px: int
    predicted_px: int
    overlap_px: int
    """Pixels that are ship in both."""
    airbus: float
    """The challenge's score of this image."""
    probability_sum: float
    """Sum of the probabilities of all pixels."""
    probability_on_ships: float
    """Sum of the probabilities of the true ships' pixels."""
    max_probability: float
    true_by_size: tuple[int, ...]
    """True ships in each of SIZE_BINS."""
    found_by_size: tuple[int, ...]
    """Matched true ships in each of SIZE_BINS."""
    predicted_by_size: tuple[int, ...]
    """Predicted ships in each of SIZE_BINS."""
    right_by_size: tuple[int, ...]
    """Matched predicted ships in each of SIZE_BINS."""

    @property
    def stratum(self) -> Stratum:
        """Return whether the image holds no, one or several true ships."""
        return "none" if self.num_true == 0 else "single" if self.num_true == 1 else "multiple"

    @property
    def dice(self) -> float:
        """Return 2 overlap / (true + predicted) in pixels; 1.0 where both are empty."""
        return ratio(2 * self.overlap_px, self.true_px + self.predicted_px, nothing=True)

    @property
    def iou(self) -> float:
        """Return overlap / union in pixels; 1.0 where both are empty."""
        return ratio(self.overlap_px, self.true_px + self.predicted_px - self.overlap_px, nothing=True)


@dataclass(frozen=True)
class ShipScore:
    """One ship, true or predicted, and whether it is matched."""

    image_id: str
    kind: Literal["true", "predicted"]
    row: float
    """Centre, in pixels from the top."""
    col: float
    """Centre, in pixels from the left."""
    area_px: int
    length_px: float
    best_iou: float
    """Highest IoU with a ship of the other kind; 0 where it overlaps none."""
    matched: bool
    """Whether it has a one-to-one match with a ship of the other kind, with an IoU above 0.5."""
    confidence: float | None
    """Predicted ships only."""
    peak: float | None
    """Predicted ships only: their highest probability."""


@dataclass(frozen=True)
class Scored:
    """The scores of one image and of the ships in it."""

    image: ImageScore
    ships: tuple[ShipScore, ...]


def true_ships(rles: Sequence[str], shape: tuple[int, int]) -> tuple[Ship, ...]:
    """Return the true ships of an image, one for each run-length text, in that order.

    Args:
        rles: Run-length texts, one per ship.
        shape: Height and width of the image.

    Raises:
        RleError: A text is malformed or reaches beyond the image.
    """
    return tuple(ship_from_mask(rle.decode(text, shape)) for text in rles)


def size_bin(area_px: int) -> int:
    """Return the position in SIZE_BINS of the bin that an area belongs to."""
    return next(index for index, (low, high) in enumerate(SIZE_BINS.values()) if low <= area_px < high)


def _by_size(ships: Sequence[Ship], counted: Sequence[bool] | None = None) -> tuple[int, ...]:
    bins = [size_bin(ship.area_px) for index, ship in enumerate(ships) if counted is None or counted[index]]
    return tuple(bins.count(index) for index in range(len(SIZE_BINS)))


def union_mask(ships: Sequence[Ship], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of all ships together, bool (H, W)."""
    mask_hw = np.zeros(shape, bool)
    for ship in ships:
        row0, col0, row1, col1 = ship.mask_box
        mask_hw[row0:row1, col0:col1] |= ship.mask
    return mask_hw


def score_image(
    image_id: str,
    *,
    group: str | None,
    probability_hw: NDArray[np.float32],
    truth: Sequence[Ship],
    predicted: Sequence[Ship],
) -> Scored:
    """Return the scores of one image.

    Args:
        image_id: Its name.
        group: Its group of overlapping images, or None.
        probability_hw: Predicted probability of ship, float32 (H, W) in 0..1.
        truth: The true ships.
        predicted: The predicted ships, as `find_ships` returns them for `probability_hw`.
    """
    shape = (probability_hw.shape[0], probability_hw.shape[1])
    iou_tp = ship_iou_matrix(truth, predicted)
    pairs = match_pairs(iou_tp)
    found = [index in pairs for index in range(len(truth))]
    right = [index in pairs.values() for index in range(len(predicted))]
    true_hw, predicted_hw = union_mask(truth, shape), union_mask(predicted, shape)
    overlaps = iou_tp.max(axis=0, initial=0.0) > 0
    image = ImageScore(
        image_id=image_id,
        group=group,
        height=shape[0],
        width=shape[1],
        num_true=len(truth),
        num_predicted=len(predicted),
        matched=len(pairs),
        false_alarms=int((~overlaps).sum()),
        true_px=int(np.count_nonzero(true_hw)),
        predicted_px=int(np.count_nonzero(predicted_hw)),
        overlap_px=int(np.count_nonzero(true_hw & predicted_hw)),
        airbus=airbus_score_from_iou(iou_tp),
        probability_sum=float(probability_hw.sum(dtype=np.float64)),
        probability_on_ships=float(probability_hw[true_hw].sum(dtype=np.float64)),
        max_probability=float(probability_hw.max()),
        true_by_size=_by_size(truth),
        found_by_size=_by_size(truth, found),
        predicted_by_size=_by_size(predicted),
        right_by_size=_by_size(predicted, right),
    )
    true_rows = [
        _ship_score(image_id, "true", ship, best, matched=hit)
        for ship, best, hit in zip(truth, iou_tp.max(axis=1, initial=0.0), found, strict=True)
    ]
    predicted_rows = [
        _ship_score(image_id, "predicted", ship, best, matched=hit)
        for ship, best, hit in zip(predicted, iou_tp.max(axis=0, initial=0.0), right, strict=True)
    ]
    return Scored(image, (*true_rows, *predicted_rows))


def _ship_score(
    image_id: str, kind: Literal["true", "predicted"], ship: Ship, best_iou: float, *, matched: bool
) -> ShipScore:
    predicted = kind == "predicted"
    return ShipScore(
        image_id=image_id,
        kind=kind,
        row=round(ship.center_rc[0], 2),
        col=round(ship.center_rc[1], 2),
        area_px=ship.area_px,
        length_px=round(ship.length_px, 2),
        best_iou=float(best_iou),
        matched=matched,
        confidence=float(ship.confidence) if predicted else None,
        peak=float(ship.peak) if predicted else None,
    )
