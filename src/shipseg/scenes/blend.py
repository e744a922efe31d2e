"""Blending tiles that come row by row, and letting go of every pixel as soon as no later tile reaches it.

The sums are those of `tiling.Accumulator`, float32 in the same order, so the result is the same bit for bit. What is
held is one tile's width of the row at work. The rows that the next row of tiles shares with this one, their sums
and weights, go through a file, block by block (`Carry`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.scenes.tiles import TilePlan
from shipseg.tiling import Window

__all__ = ["Block", "Carry", "RowBlender"]

Carry = NDArray[np.float32] | None
"""Sums and weights (2, rows, columns) of a block's pixels that the next row of tiles shares; None where all are 0."""


class Block(NamedTuple):
    """Pixels of a scene that are final. Blocks come row by row, and together they are the scene."""

    window: Window
    levels_hw: NDArray[np.uint16]
    """See `levels`."""


class RowBlender:
    """Blends one row of tiles, from the left.

    Args:
        plan: The scene's tiles.
        row: Which row of tiles.
        carried: What `add` gave for the row above, in order; not asked for the first row.

    Example:
        >>> from shipseg.model.card import CardInput
        >>> from shipseg.scenes.tiles import plan_tiles
        >>> plan = plan_tiles((40, 90), CardInput(tile=64, overlap=8), None)
        >>> blender = RowBlender(plan, 0, iter(()))
        >>> [blender.add(np.ones((40, 64), np.float32))[0].shape for _ in plan.row(0)]
        [(40, 26), (40, 64)]
    """

    def __init__(self, plan: TilePlan, row: int, carried: Iterator[Carry]) -> None:
        self._plan, self._carried = plan, carried
        self._weights_hw = plan.weights()
        rows = plan.rows
        self._final_rows = rows.final(row) - rows.starts[row]
        self._shared_rows = 0 if row == 0 else rows.starts[row - 1] + rows.tile - rows.starts[row]
        # Sums and weights of the columns from the next tile's first on; `_begun` counts the blocks begun in there.
        self._open = np.zeros((2, rows.tile, 0), np.float32)
        self._column = self._begun = 0

    def add(self, prob_hw: NDArray[np.float32] | None) -> tuple[NDArray[np.float32], Carry]:
        """Take the next tile; return the blended probability of the pixels that are final by it, and what is carried.

        Args:
            prob_hw: float32 (h, w) in scene pixels; None for a tile that the network was not shown, which does not
                count in the mean.

        Returns:
            float32 (rows, columns) from the tile's first pixel to the first pixels of the next tiles, 0 where no tile
            counted; and sums and weights of the same columns in the rows below, for the next row's blender.
        """
        columns = self._plan.columns
        self._open = self._widened()
        if prob_hw is not None:
            sums_hw, weights_hw = self._open[..., : columns.tile]
            sums_hw += prob_hw * self._weights_hw
            weights_hw += self._weights_hw
        final_columns = columns.final(self._column) - columns.starts[self._column]
        self._column += 1
        done, self._open = self._open[..., :final_columns], self._open[..., final_columns:]
        sums_hw, weights_hw = done[:, : self._final_rows]
        mean_hw = np.zeros(sums_hw.shape, np.float32)
        np.divide(sums_hw, weights_hw, out=mean_hw, where=weights_hw > 0)
        below = done[:, self._final_rows :]
        return mean_hw, below.copy() if below[1].any() else None

    def _widened(self) -> NDArray[np.float32]:
        """Return the open columns, at least a tile of them, begun with what the row above carried."""
        columns, parts = self._plan.columns, [self._open]
        missing = columns.tile - self._open.shape[-1]
        while missing > 0:
            begun, width = self._begun, columns.final(self._begun) - columns.starts[self._begun]
            parts.append(np.zeros((2, self._plan.rows.tile, width), np.float32))
            carry = next(self._carried) if self._shared_rows else None
            if carry is not None:
                parts[-1][:, : self._shared_rows] = carry
            self._begun, missing = begun + 1, missing - width
        return np.concatenate(parts, axis=-1)
