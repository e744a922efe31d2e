"""Which tiles a scene is cut into: windows in the scene's own pixels, and how large each is shown to the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, ModelError
from shipseg.model.card import CardInput
from shipseg.tiling import Window, blend_weights, starts

__all__ = [
    "FLOOR",
    "LEVELS",
    "MAX_TILE_PX",
    "NO_DATA",
    "Axis",
    "Block",
    "Carry",
    "RowBlender",
    "TilePlan",
    "dequantise",
    "plan_tiles",
    "quantise",
    "quantised_threshold",
]


MAX_TILE_PX: Final = 4096
"""A tile is at most this many scene pixels a side: a few tiles are held, whatever the pixels measure."""
_SMALLEST_TILE_PX: Final = 32
"""Of the scene: with fewer, a pixel is so large that no ship is seen in it."""


@dataclass(frozen=True)
class Axis:
    """The tiles along one side of a scene."""

    side: int
    """Of the scene."""
    starts: tuple[int, ...]
    """Where each tile begins."""
    tile: int
    """Length of every tile in scene pixels."""
    shown: int
    """Length of every tile as shown to the network."""
    overlap: int
    """Scene pixels that neighbours share at least."""

    def final(self, index: int) -> int:
        """Return up to where no later tile reaches once tile `index` is done."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.side


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a scene in rows and columns, all equally large, row by row."""

    rows: Axis
    columns: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the scene."""
        return self.rows.side, self.columns.side

    @property
    def shown_shape(self) -> tuple[int, int]:
        """(height, width) of a tile as shown to the network."""
        return self.rows.shown, self.columns.shown

    @property
    def num_rows(self) -> int:
        """Rows of tiles."""
        return len(self.rows.starts)

    @property
    def num_tiles(self) -> int:
        """Tiles in all."""
        return len(self.rows.starts) * len(self.columns.starts)

    def row(self, index: int) -> Iterator[Window]:
        """Yield the windows of one row of tiles, from the left."""
        for column in self.columns.starts:
            yield Window(self.rows.starts[index], column, self.rows.tile, self.columns.tile)

    def weights(self) -> NDArray[np.float32]:
        """Return the blending weights of a tile (h, w); 1 everywhere where the scene is one tile."""
        overlap = (self.rows.overlap, self.columns.overlap) if self.num_tiles > 1 else 0
        return blend_weights(self.rows.tile, self.columns.tile, overlap=overlap)

    def as_dict(self) -> dict[str, list[int]]:
        """Return what decides the tiles, as plain data."""
        return {
            "scene": list(self.shape),
            "tile": [self.rows.tile, self.columns.tile],
            "shown": list(self.shown_shape),
            "overlap": [self.rows.overlap, self.columns.overlap],
        }


def plan_tiles(shape: tuple[int, int], card: CardInput, metres_per_pixel_rc: tuple[float, float] | None) -> TilePlan:
    """Return the tiles of a scene for a model.

    Args:
        shape: (height, width) of the scene.
        card: What the model wants to be shown.
        metres_per_pixel_rc: Metres of a row step and of a column step; None: as those of the model's images.

    Raises:
        ConfigError: A pixel is so large or so small that the model cannot be shown the scene.
    """
    axes = []
    for side, metres in zip(shape, metres_per_pixel_rc or (card.metres_per_pixel,) * 2, strict=True):
        # A pixel within 1 % of the model's is the model's: nothing is resampled for that.
        ratio = metres / card.metres_per_pixel
        axes.append(_axis(side, card, card.scale * (1.0 if abs(ratio - 1) < 0.01 else ratio), metres))
    return TilePlan(*axes)


def _axis(side: int, card: CardInput, scale: float, metres: float) -> Axis:
    shown = card.tile
    if shown / scale > MAX_TILE_PX:
        shown = int(MAX_TILE_PX * scale) // card.multiple * card.multiple
    tile = round(shown / scale) if shown else 0
    if tile < _SMALLEST_TILE_PX or not shown:
        raise ConfigError(
            f"a pixel of {metres:g} m is too {'large' if shown else 'small'} for this model, which was made for "
            f"{card.metres_per_pixel:g} m: give the true size with --metres-per-pixel, or take another model"
        )
    overlap = min(round(min(card.overlap, shown // 2) / scale), tile // 2)
    if side <= tile:
        return Axis(side, (0,), side, max(1, round(side * scale)), overlap)
    return Axis(side, tuple(starts(side, tile=tile, overlap=overlap)), tile, shown, overlap)


# Blending tiles that come row by row, and letting go of every pixel as soon as no later tile reaches it.
#
# The sums are those of `tiling.Accumulator`, float32 in the same order, so the result is the same bit for bit. What is
# held is one tile's width of the row at work. The rows that the next row of tiles shares with this one, their sums
# and weights, go through a file, block by block (`Carry`).

Carry = NDArray[np.float32] | None
"""Sums and weights (2, rows, columns) of a block's pixels that the next row of tiles shares; None where all are 0."""


class Block(NamedTuple):
    """Pixels of a scene that are final. Blocks come row by row, and together they are the scene."""

    window: Window
    quantised_hw: NDArray[np.uint16]
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


# Probability as a scene's run keeps it: uint16 steps of 1e-4, so that all later decisions use the same numbers.
#
# A run that was killed and went on, a scene cut into shards, tiled and untiled: all of them store levels, and ships are
# found in levels only, never in the float32 they came from.

LEVELS: Final = 10_000
"""Level of probability 1; a step is 1e-4."""
NO_DATA: Final = 65_535
"""Level of a pixel that was not looked at: no data in the scene, or outside the water or area asked for."""
FLOOR: Final = 50
"""Levels below this (probability 0.005) are stored as 0: open sea compresses to nothing."""


def quantise(prob_hw: NDArray[np.floating], valid_hw: NDArray[np.bool_] | None = None) -> NDArray[np.uint16]:
    """Return the levels (H, W) of a probability, rounded to the nearest, `NO_DATA` where it is not valid.

    Args:
        prob_hw: Floating point (H, W), 0 to 1.
        valid_hw: bool (H, W), True where the scene has data; None for everywhere.

    Raises:
        ModelError: A valid probability is NaN or outside 0 to 1.

    Example:
        >>> quantise(np.array([[0.97, 0.0049, 1.0]], np.float32)).tolist()
        [[9700, 0, 10000]]
    """
    valid_hw = np.ones(prob_hw.shape, bool) if valid_hw is None else valid_hw
    seen = prob_hw if valid_hw.all() else np.where(valid_hw, prob_hw, np.float32(0))
    if seen.size and not (seen.min() >= 0 and seen.max() <= 1):  # also true for NaN
        raise ModelError("the model gave probabilities that are no numbers from 0 to 1: its weights are damaged")
    levels = np.rint(seen * np.float32(LEVELS)).astype(np.uint16)
    levels[levels < FLOOR] = 0
    levels[~valid_hw] = NO_DATA
    return levels


def dequantise(quantised_hw: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the probability (H, W) of levels, float32 in 0-1; 0 where there is no data.

    Level 9700 gives the float32 nearest to 0.97: a threshold written as a decimal of four digits cuts exactly there.

    Example:
        >>> bool(dequantise(np.array([[9700]], np.uint16))[0, 0] == np.float32(0.97))
        True
    """
    return np.where(quantised_hw == NO_DATA, np.uint16(0), quantised_hw).astype(np.float32) / np.float32(LEVELS)


def quantised_threshold(threshold: float) -> int:
    """Return the lowest level whose probability reaches the threshold, as `masks.ships.ship_pixels` compares them.

    Raises:
        ConfigError: The threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be above 0 and at most 1, got {threshold}")
    return int(np.searchsorted(dequantise(np.arange(LEVELS + 1, dtype=np.uint16)), np.float32(threshold)))
