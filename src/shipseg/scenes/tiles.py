"""Tiles of a scene: their plan, blending row by row, and quantised probability."""

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
"""Longest side of a tile in scene pixels: it bounds the memory for any pixel size."""
_SMALLEST_TILE_PX: Final = 32
"""Shortest side of a tile in scene pixels: below it the pixels are too large to show a ship."""


@dataclass(frozen=True)
class Axis:
    """The tiles along one side of a scene."""

    side: int
    """Length of the side of the scene in pixels."""
    starts: tuple[int, ...]
    """First pixel of each tile."""
    tile: int
    """Length of every tile in scene pixels."""
    network_tile: int
    """Length of every tile in network pixels."""
    overlap: int
    """Least overlap of neighbours in scene pixels."""

    def final(self, index: int) -> int:
        """Return the end of the pixels that no tile after tile `index` covers."""
        return self.starts[index + 1] if index + 1 < len(self.starts) else self.side


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a scene, a grid of rows and columns of equal tiles."""

    rows: Axis
    columns: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the scene."""
        return self.rows.side, self.columns.side

    @property
    def network_shape(self) -> tuple[int, int]:
        """(height, width) of a tile in network pixels."""
        return self.rows.network_tile, self.columns.network_tile

    @property
    def num_rows(self) -> int:
        """Number of rows of tiles."""
        return len(self.rows.starts)

    @property
    def num_tiles(self) -> int:
        """Number of tiles."""
        return len(self.rows.starts) * len(self.columns.starts)

    def row(self, index: int) -> Iterator[Window]:
        """Yield the windows of one row of tiles, from the left."""
        for column in self.columns.starts:
            yield Window(self.rows.starts[index], column, self.rows.tile, self.columns.tile)

    def weights(self) -> NDArray[np.float32]:
        """Return the blending weights (h, w) of a tile; all 1 if the scene is one tile."""
        overlap = (self.rows.overlap, self.columns.overlap) if self.num_tiles > 1 else 0
        return blend_weights(self.rows.tile, self.columns.tile, overlap=overlap)

    def as_dict(self) -> dict[str, list[int]]:
        """Return the parameters of the plan as plain data."""
        return {
            "scene": list(self.shape),
            "tile": [self.rows.tile, self.columns.tile],
            "shown": list(self.network_shape),
            "overlap": [self.rows.overlap, self.columns.overlap],
        }


def plan_tiles(shape: tuple[int, int], card: CardInput, metres_per_pixel_rc: tuple[float, float] | None) -> TilePlan:
    """Return the tiles of a scene for a model.

    Args:
        shape: (height, width) of the scene.
        card: Input of the model.
        metres_per_pixel_rc: Metres per row step and per column step; None takes the pixel size of the model.

    Raises:
        ConfigError: The pixels are too large or too small for the model.
    """
    axes = []
    for side, metres in zip(shape, metres_per_pixel_rc or (card.metres_per_pixel,) * 2, strict=True):
        # Pixel sizes within 1 % of the model's are not resampled.
        ratio = metres / card.metres_per_pixel
        axes.append(_axis(side, card, card.scale * (1.0 if abs(ratio - 1) < 0.01 else ratio), metres))
    return TilePlan(*axes)


def _axis(side: int, card: CardInput, scale: float, metres: float) -> Axis:
    network_tile = card.tile
    if network_tile / scale > MAX_TILE_PX:
        network_tile = int(MAX_TILE_PX * scale) // card.multiple * card.multiple
    tile = round(network_tile / scale) if network_tile else 0
    if tile < _SMALLEST_TILE_PX or not network_tile:
        size = "large" if network_tile else "small"
        raise ConfigError(
            f"a pixel of {metres:g} m is too {size} for this model, which was trained for {card.metres_per_pixel:g} m: "
            "give the true size with --metres-per-pixel, or choose another model"
        )
    overlap = min(round(min(card.overlap, network_tile // 2) / scale), tile // 2)
    if side <= tile:
        return Axis(side, (0,), side, max(1, round(side * scale)), overlap)
    return Axis(side, tuple(starts(side, tile=tile, overlap=overlap)), tile, network_tile, overlap)


# Blending tiles row by row. A pixel is emitted as soon as no later tile covers it.
#
# Sums are float32 in the same order as in `tiling.Accumulator`, so the results are equal bit by bit. One tile's width
# of the current row is in memory. Sums and weights of the pixels shared with the next row of tiles are stored in a
# file, block by block (`Carry`).

Carry = NDArray[np.float32] | None
"""Sums and weights (2, rows, columns) of the pixels that a block shares with the next row of tiles; None if all 0."""


class Block(NamedTuple):
    """A window of a scene with its final quantised probability. Blocks come row by row and cover the scene."""

    window: Window
    quantised_hw: NDArray[np.uint16]
    """See `quantise`."""


class RowBlender:
    """Blends one row of tiles, from the left.

    Args:
        plan: The scene's tiles.
        row: Which row of tiles.
        carried: Carries that `add` returned for the row above, in order; not read for the first row.

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
        # Sums and weights of the columns from the next tile's first on; `_begun` counts the blocks that start in them.
        self._open = np.zeros((2, rows.tile, 0), np.float32)
        self._column = self._begun = 0

    def add(self, prob_hw: NDArray[np.float32] | None) -> tuple[NDArray[np.float32], Carry]:
        """Add the next tile; return the blended probability of the pixels that become final, and their carry.

        Args:
            prob_hw: float32 (h, w) in scene pixels; None for a skipped tile, which does not count in the mean.

        Returns:
            float32 (rows, columns) from the tile's first pixel to the first pixels of the next tiles, 0 where no tile
            counts; and sums and weights of the same columns in the rows below, for the blender of the next row.
        """
        columns = self._plan.columns
        self._open = self._extended()
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

    def _extended(self) -> NDArray[np.float32]:
        """Return the open columns extended to at least a tile, starting from the carry of the row above."""
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


# Quantised probability: uint16 in steps of 1e-4. Ships are found in quantised probability only, never in the float32
# that it comes from, so that resumed, sharded and untiled runs give equal results.

LEVELS: Final = 10_000
"""Quantised value of probability 1; a step is 1e-4."""
NO_DATA: Final = 65_535
"""Quantised value of a pixel without data or outside the water and area polygons."""
FLOOR: Final = 50
"""Quantised values below this (probability 0.005) are stored as 0, so that open sea compresses well."""


def quantise(prob_hw: NDArray[np.floating], valid_hw: NDArray[np.bool_] | None = None) -> NDArray[np.uint16]:
    """Return a probability (H, W) quantised to the nearest step, `NO_DATA` where it is not valid.

    Args:
        prob_hw: Floating point (H, W), 0 to 1.
        valid_hw: bool (H, W), the valid pixels; None if all are valid.

    Raises:
        ModelError: A valid probability is NaN or outside 0 to 1.

    Example:
        >>> quantise(np.array([[0.97, 0.0049, 1.0]], np.float32)).tolist()
        [[9700, 0, 10000]]
    """
    valid_hw = np.ones(prob_hw.shape, bool) if valid_hw is None else valid_hw
    checked_hw = prob_hw if valid_hw.all() else np.where(valid_hw, prob_hw, np.float32(0))
    if checked_hw.size and not (checked_hw.min() >= 0 and checked_hw.max() <= 1):  # also for NaN
        raise ModelError("the model returned probabilities outside 0 to 1 or NaN: its weights are damaged")
    quantised_hw = np.rint(checked_hw * np.float32(LEVELS)).astype(np.uint16)
    quantised_hw[quantised_hw < FLOOR] = 0
    quantised_hw[~valid_hw] = NO_DATA
    return quantised_hw


def dequantise(quantised_hw: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the probability (H, W) of quantised values, float32 in 0-1; 0 where there is no data.

    9700 gives the float32 nearest to 0.97, so a threshold with four decimals selects exactly the values from it on.

    Example:
        >>> bool(dequantise(np.array([[9700]], np.uint16))[0, 0] == np.float32(0.97))
        True
    """
    return np.where(quantised_hw == NO_DATA, np.uint16(0), quantised_hw).astype(np.float32) / np.float32(LEVELS)


def quantised_threshold(threshold: float) -> int:
    """Return the lowest quantised value at or above the threshold, as `masks.ships.ship_pixels` compares them.

    Raises:
        ConfigError: The threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be above 0 and at most 1, got {threshold}")
    return int(np.searchsorted(dequantise(np.arange(LEVELS + 1, dtype=np.uint16)), np.float32(threshold)))
