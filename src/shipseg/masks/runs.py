"""Runs of ship pixels, the common ground of both run-length forms: from a mask, and painted onto one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError

__all__ = ["Runs", "checked_shape", "paint", "runs_of_mask"]


@dataclass(frozen=True, eq=False, slots=True)
class Runs:
    """Runs of consecutive ship pixels of an image whose pixels are numbered down the columns first.

    Args:
        starts: int64 (n,), number of the first pixel of each run, counted from 0.
        lengths: int64 (n,), pixels in each run.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def area_px(self) -> int:
        """Pixels in all runs together."""
        return int(self.lengths.sum())


def checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return `shape` as (height, width) when both are at least 1.

    Raises:
        ConfigError: It is not two whole numbers of at least 1.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ConfigError(f"the shape of a mask must be (height, width), each at least 1, got {tuple(shape)}")
    return int(shape[0]), int(shape[1])


def runs_of_mask(mask_hw: NDArray[np.generic]) -> Runs:
    """Return the runs of `mask_hw`, in ascending order, as long as they can be (a run may go on in the next column).

    Args:
        mask_hw: (H, W); any pixel that is not 0 belongs to a ship.

    Raises:
        ConfigError: The mask is not two-dimensional or has no pixel.
    """
    if mask_hw.ndim != 2:
        raise ConfigError(f"a mask must be two-dimensional (height, width), got an array of shape {mask_hw.shape}")
    height, _ = checked_shape(mask_hw.shape)
    ship_hw = mask_hw.astype(bool, copy=False)
    occupied = np.flatnonzero(ship_hw.any(axis=0))
    if not len(occupied):
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    # Only the columns from the first to the last with a ship are transposed: ships are small, images are not.
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    padded = np.zeros((last - first) * height + 2, bool)
    padded[1:-1] = ship_hw[:, first:last].T.ravel()
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    starts, ends = changes[0::2], changes[1::2]
    return Runs(starts + first * height, ends - starts)


def paint(runs: Runs, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of `runs`, in C order. The runs must lie inside the image; they may overlap."""
    height, width = shape
    mask_hw = np.zeros((height, width), bool)
    ends = np.cumsum(runs.lengths)
    total = int(ends[-1]) if len(ends) else 0
    # Pixel k of the concatenated runs: its run's start plus its place within the run.
    offsets = np.repeat(runs.starts - (ends - runs.lengths), runs.lengths)
    pixels = offsets + np.arange(total)
    columns = pixels // height
    mask_hw[pixels - columns * height, columns] = True
    return mask_hw
