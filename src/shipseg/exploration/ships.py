"""Every ship of the labels measured: size, shape, direction, place, and what it touches.

No mask is painted for it: a run of pixels down a column adds to a ship's area, sums and bounds in closed form, all runs
of all ships at once. Only ships whose bounds come within a pixel of each other are painted, each in its own window, to
see whether they touch.
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
    center_col, touches_border, touches_other, image_height, image_width; see `masks.ships.Ship` for what they mean.
    Ships of images with malformed masks are left out, and those that do not lie inside an image of the assumed size.

    Args:
        images: One row per image: ImageId, rles, height, width (0 when not known), malformed.
        assumed_size: Height and width of the images whose size is not known.
    """
    sound = images[(images["Ships"] > 0) & ~images["malformed"]]
    image = np.repeat(np.arange(len(sound)), sound["Ships"])
    known = (sound["height"] > 0).to_numpy()
    heights = np.where(known, sound["height"], assumed_size[0])[image]
    widths = np.where(known, sound["width"], assumed_size[1])[image]
    pieces = _cut([text for rles in sound["rles"] for text in rles], heights)
    boxes, sums = pieces.boxes(), pieces.sums()
    measures = [rectangle_of_sums(*sums_of_ship) for sums_of_ship in sums.tolist()]
    at_border = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2] == heights) | (boxes[:, 3] == widths)
    ships = pd.DataFrame(
        {
            "ImageId": sound["ImageId"].to_numpy()[image],
            "area_px": sums[:, 0],
            "length_px": np.array([ship.length_px for ship in measures], np.float64),
            "width_px": np.array([ship.width_px for ship in measures], np.float64),
            "heading_deg": np.array([ship.heading_deg for ship in measures], np.float64),
            "center_row": np.array([ship.center_rc[0] for ship in measures], np.float64),
            "center_col": np.array([ship.center_rc[1] for ship in measures], np.float64),
            "touches_border": at_border,
            "touches_other": _touching(pieces, boxes, image),
            "image_height": heights,
            "image_width": widths,
        }
    )
    ships.insert(4, "aspect", ships["length_px"] / ships["width_px"])
    return ships[boxes[:, 3] <= widths].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Runs of ship pixels, cut where they go on in the next column; those of a ship stand together.

    Args:
        column: Of each piece.
        row: Its uppermost.
        length: Its pixels.
        first: Place of each ship's first piece.
    """

    column: NDArray[np.int64]
    row: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]

    def sums(self) -> NDArray[np.int64]:
        """Return for each ship, (n, 6), what `rectangle_of_sums` takes."""
        x, n, y0 = self.column, self.length, self.row
        y = n * y0 + n * (n - 1) // 2
        yy = n * y0 * y0 + y0 * n * (n - 1) + (n - 1) * n * (2 * n - 1) // 6
        columns = np.stack([n, x * n, y, x * x * n, x * y, yy], axis=1)
        return np.add.reduceat(columns, self.first) if len(self.first) else columns

    def boxes(self) -> NDArray[np.int64]:
        """Return the bounds of each ship, (n, 4): row0, col0, row1, col1, half open."""
        if not len(self.first):
            return np.zeros((0, 4), np.int64)
        lowest = np.minimum.reduceat(np.stack([self.row, self.column], axis=1), self.first)
        highest = np.maximum.reduceat(np.stack([self.row + self.length, self.column + 1], axis=1), self.first)
        return np.hstack([lowest, highest])

    def mask(self, ship: int, box: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the pixels of a ship within its box."""
        mask = np.zeros((box[2] - box[0], box[3] - box[1]), bool)
        end = self.first[ship + 1] if ship + 1 < len(self.first) else len(self.row)
        for piece in range(self.first[ship], end):
            row = self.row[piece] - box[0]
            mask[row : row + self.length[piece], self.column[piece] - box[1]] = True
        return mask


def _cut(texts: Sequence[str], heights: NDArray[np.int64]) -> _Pieces:
    """Return the pieces of well-formed run-length texts, one for each ship, of images of these heights."""
    numbers = np.fromstring(" ".join(texts), dtype=np.int64, sep=" ") if texts else np.zeros(0, np.int64)
    num_runs = np.array([len(text.split()) // 2 for text in texts], np.int64)
    start, end = numbers[0::2] - 1, numbers[0::2] - 1 + numbers[1::2]
    height = np.repeat(heights, num_runs)
    first_column, last_column = start // height, (end - 1) // height
    num_pieces = last_column - first_column + 1
    run = np.repeat(np.arange(len(start)), num_pieces)
    column = first_column[run] + np.arange(len(run)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    top = np.maximum(start[run], column * height[run])
    bottom = np.minimum(end[run], (column + 1) * height[run])
    pieces_of_ship = np.add.reduceat(num_pieces, np.cumsum(num_runs) - num_runs) if texts else num_runs
    return _Pieces(column, top - column * height[run], bottom - top, np.cumsum(pieces_of_ship) - pieces_of_ship)


def _touching(pieces: _Pieces, boxes: NDArray[np.int64], image: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each ship whether one of its pixels touches another's, at a side or a corner, or is another's too."""
    touches = np.zeros(len(image), bool)
    firsts, counts = np.unique(image, return_index=True, return_counts=True)[1:]
    several = counts > 1
    for first, count in progress.track(
        zip(firsts[several].tolist(), counts[several].tolist(), strict=True),
        "looking for touching ships",
        total=int(several.sum()),
    ):
        own = boxes[first : first + count]
        # Bounds that come within a pixel of each other.
        near = (own[:, None, :2] <= own[None, :, 2:]).all(axis=2)
        near &= near.T
        for one, other in np.argwhere(np.triu(near, 1)).tolist():
            if not (touches[first + one] and touches[first + other]):
                masks = (pieces.mask(first + number, own[number]) for number in (one, other))
                if _meet(own[one], own[other], *masks):
                    touches[[first + one, first + other]] = True
    return touches


def _meet(
    box: NDArray[np.int64], other_box: NDArray[np.int64], mask: NDArray[np.bool_], other_mask: NDArray[np.bool_]
) -> bool:
    row0, col0, row1, col1 = box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1
    top, left = max(row0, other_box[0]), max(col0, other_box[1])
    bottom, right = min(row1, other_box[2]), min(col1, other_box[3])
    grown = cv2.dilate(np.pad(mask.view(np.uint8), 1), np.ones((3, 3), np.uint8)) > 0
    own = grown[top - row0 : bottom - row0, left - col0 : right - col0]
    others = other_mask[top - other_box[0] : bottom - other_box[0], left - other_box[1] : right - other_box[1]]
    return bool((own & others).any())
