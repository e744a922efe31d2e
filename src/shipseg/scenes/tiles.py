"""Which tiles a scene is cut into: windows in the scene's own pixels, and how large each is shown to the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.model.card import CardInput
from shipseg.tiling import Window, blend_weights, starts

__all__ = ["MAX_TILE_PX", "Axis", "TilePlan", "plan_tiles"]

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
