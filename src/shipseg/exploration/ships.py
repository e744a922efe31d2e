"""Measures of every ship of the labels: size, shape, heading, position, and whether it touches the border or others.

Masks are not decoded: a run of pixels in a column contributes to area, moments and bounds of a ship in closed form,
which is computed for all runs of all ships at once. Only ships whose bounding boxes are within a pixel of each other
are decoded, each in its own box, to test whether they touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg import progress
from shipseg.extras import needing
from shipseg.masks.ships import rectangle_of_sums

with needing("train"):
    import pandas as pd

__all__ = ["measure_each_ship"]


def measure_each_ship(images: pd.DataFrame, *, assumed_size: tuple[int, int]) -> pd.DataFrame:
    """Return one row per ship of the labels with its measures.

    Columns: ImageId, area_px, length_px, width_px, aspect, heading_deg (clockwise from up, 0 to below 180), center_row,
    center_col, touches_border, touches_other, image_height, image_width; `masks.ships.Ship` explains them. Ships of
    images with malformed masks are left out, and ships that extend beyond an image of the assumed size.

    Args:
        images: One row per image: ImageId, rles, Ships, height, width (0 if not known), malformed.
        assumed_size: Height and width of the images whose size is not known.
    """
    well_formed = images[(images["Ships"] > 0) & ~images["malformed"]]
    image = np.repeat(np.arange(len(well_formed)), well_formed["Ships"])
    known = (well_formed["height"] > 0).to_numpy()
    heights = np.where(known, well_formed["height"], assumed_size[0])[image]
    widths = np.where(known, well_formed["width"], assumed_size[1])[image]
    runs = _column_runs([text for rles in well_formed["rles"] for text in rles], heights)
    boxes, sums = runs.boxes(), runs.sums()
    measures = [rectangle_of_sums(*sums_of_ship) for sums_of_ship in sums.tolist()]
    at_border = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2] == heights) | (boxes[:, 3] == widths)
    ships = pd.DataFrame(
        {
            "ImageId": well_formed["ImageId"].to_numpy()[image],
            "area_px": sums[:, 0],
            "length_px": np.array([ship.length_px for ship in measures], np.float64),
            "width_px": np.array([ship.width_px for ship in measures], np.float64),
            "heading_deg": np.array([ship.heading_deg for ship in measures], np.float64),
            "center_row": np.array([ship.center_rc[0] for ship in measures], np.float64),
            "center_col": np.array([ship.center_rc[1] for ship in measures], np.float64),
            "touches_border": at_border,
            "touches_other": _touching(runs, boxes, image),
            "image_height": heights,
            "image_width": widths,
        }
    )
    ships.insert(4, "aspect", ships["length_px"] / ships["width_px"])
    return ships[boxes[:, 3] <= widths].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class _ColumnRuns:
    """Runs of ship pixels within one column each, ordered by ship.

    Args:
        column: int64 (n,), column of each run.
        row: int64 (n,), first row of each run.
        length: int64 (n,), pixels of each run.
        first: int64 (ships,), index of each ship's first run.
    """

    column: NDArray[np.int64]
    row: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]

    def sums(self) -> NDArray[np.int64]:
        """Return the sums of each ship, int64 (ships, 6), in the order of the arguments of `rectangle_of_sums`."""
        x, n, y0 = self.column, self.length, self.row
        y = n * y0 + n * (n - 1) // 2
        yy = n * y0 * y0 + y0 * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
        columns = np.stack([n, x * n, y, x * x * n, x * y, yy], axis=1)
        return np.add.reduceat(columns, self.first) if len(self.first) else columns

    def boxes(self) -> NDArray[np.int64]:
        """Return the bounding box of each ship, int64 (ships, 4): row0, col0, row1, col1, half open."""
        if not len(self.first):
            return np.zeros((0, 4), np.int64)
        lowest = np.minimum.reduceat(np.stack([self.row, self.column], axis=1), self.first)
        highest = np.maximum.reduceat(np.stack([self.row + self.length, self.column + 1], axis=1), self.first)
        return np.hstack([lowest, highest])

    def mask(self, ship: int, box: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the mask of a ship within its box, bool (h, w)."""
        mask = np.zeros((box[2] - box[0], box[3] - box[1]), bool)
        end = self.first[ship + 1] if ship + 1 < len(self.first) else len(self.row)
        for run in range(self.first[ship], end):
            row = self.row[run] - box[0]
            mask[row : row + self.length[run], self.column[run] - box[1]] = True
        return mask


def _column_runs(texts: Sequence[str], heights: NDArray[np.int64]) -> _ColumnRuns:
    """Return the runs of well-formed run-length texts (one per ship, images of these heights), split at columns."""
    numbers = np.fromstring(" ".join(texts), dtype=np.int64, sep=" ") if texts else np.zeros(0, np.int64)
    num_runs = np.array([len(text.split()) // 2 for text in texts], np.int64)
    start, end = numbers[0::2] - 1, numbers[0::2] - 1 + numbers[1::2]
    height = np.repeat(heights, num_runs)
    first_column, last_column = start // height, (end - 1) // height
    num_columns = last_column - first_column + 1
    run = np.repeat(np.arange(len(start)), num_columns)
    column = first_column[run] + np.arange(len(run)) - np.repeat(np.cumsum(num_columns) - num_columns, num_columns)
    top = np.maximum(start[run], column * height[run])
    bottom = np.minimum(end[run], (column + 1) * height[run])
    runs_of_ship = np.add.reduceat(num_columns, np.cumsum(num_runs) - num_runs) if texts else num_runs
    return _ColumnRuns(column, top - column * height[run], bottom - top, np.cumsum(runs_of_ship) - runs_of_ship)


def _touching(runs: _ColumnRuns, boxes: NDArray[np.int64], image: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each ship touches another one (8-neighbourhood) or overlaps with it."""
    touches = np.zeros(len(image), bool)
    firsts, counts = np.unique(image, return_index=True, return_counts=True)[1:]
    several = counts > 1
    for first, count in progress.track(
        zip(firsts[several].tolist(), counts[several].tolist(), strict=True),
        "finding touching ships",
        total=int(several.sum()),
    ):
        own = boxes[first : first + count]
        # Boxes that are within a pixel of each other.
        near = (own[:, None, :2] <= own[None, :, 2:]).all(axis=2)
        near &= near.T
        for one, other in np.argwhere(np.triu(near, 1)).tolist():
            if not (touches[first + one] and touches[first + other]):
                masks = (runs.mask(first + number, own[number]) for number in (one, other))
                if _masks_touch(own[one], own[other], *masks):
                    touches[[first + one, first + other]] = True
    return touches


def _masks_touch(
    box: NDArray[np.int64], other_box: NDArray[np.int64], mask: NDArray[np.bool_], other_mask: NDArray[np.bool_]
) -> bool:
    row0, col0, row1, col1 = box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1
    top, left = max(row0, other_box[0]), max(col0, other_box[1])
    bottom, right = min(row1, other_box[2]), min(col1, other_box[3])
    grown = cv2.dilate(np.pad(mask.view(np.uint8), 1), np.ones((3, 3), np.uint8)) > 0
    own = grown[top - row0 : bottom - row0, left - col0 : right - col0]
    others = other_mask[top - other_box[0] : bottom - other_box[0], left - other_box[1] : right - other_box[1]]
    return bool((own & others).any())
