"""Probability as a scene's run keeps it: uint16 steps of 1e-4, so that all later decisions use the same numbers.

A run that was killed and went on, a scene cut into shards, tiled and untiled: all of them store levels, and ships are
found in levels only, never in the float32 they came from.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, ModelError

__all__ = ["FLOOR", "LEVELS", "NO_DATA", "from_levels", "lowest_level", "to_levels"]

LEVELS: Final = 10_000
"""Level of probability 1; a step is 1e-4."""
NO_DATA: Final = 65_535
"""Level of a pixel that was not looked at: no data in the scene, or outside the water or area asked for."""
FLOOR: Final = 50
"""Levels below this (probability 0.005) are stored as 0: open sea compresses to nothing."""


def to_levels(prob_hw: NDArray[np.floating], valid_hw: NDArray[np.bool_] | None = None) -> NDArray[np.uint16]:
    """Return the levels (H, W) of a probability, rounded to the nearest, `NO_DATA` where it is not valid.

    Args:
        prob_hw: Floating point (H, W), 0 to 1.
        valid_hw: bool (H, W), True where the scene has data; None for everywhere.

    Raises:
        ModelError: A valid probability is NaN or outside 0 to 1.

    Example:
        >>> to_levels(np.array([[0.97, 0.0049, 1.0]], np.float32)).tolist()
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


def from_levels(levels_hw: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the probability (H, W) of levels, float32 in 0-1; 0 where there is no data.

    Level 9700 gives the float32 nearest to 0.97: a threshold written as a decimal of four digits cuts exactly there.

    Example:
        >>> bool(from_levels(np.array([[9700]], np.uint16))[0, 0] == np.float32(0.97))
        True
    """
    return np.where(levels_hw == NO_DATA, np.uint16(0), levels_hw).astype(np.float32) / np.float32(LEVELS)


def lowest_level(threshold: float) -> int:
    """Return the lowest level whose probability reaches the threshold, as `masks.ships.ship_pixels` compares them.

    Raises:
        ConfigError: The threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be above 0 and at most 1, got {threshold}")
    return int(np.searchsorted(from_levels(np.arange(LEVELS + 1, dtype=np.uint16)), np.float32(threshold)))
