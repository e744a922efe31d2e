"""The ground of a patch, classified by its colours and contrasts with one rule for real and synthetic images.

The rule prefers precision: uncertain patches are `mixed`. It uses the variation of colour and contrast within the patch
and hardly any fine detail, so that the selection does not bias the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUNDS", "classify_ground"]

GROUNDS = ("sea", "land", "mixed", "flat")
"""Open water without ships, coasts or clouds; land all over; anything else; no detail (no-data, clipped water)."""

FLAT_STD = 0.3
"""Grey levels: patches with a lower median contrast of the cells have no detail."""
SEA_HUE_SPREAD = 2.2
"""Grey levels by which the colours of plain water's cells may differ, at most; rough water may have more."""
SEA_HUE_PER_STD = 0.35
SEA_STEP = 2.6
"""Maximum ratio of the highest to the median contrast of the cells of water: a boat of 5 px on calm water gives 4."""
SEA_BRIGHTEST = 190.0
"""Grey levels: brighter cells are cloud."""
SEA_WARMEST = 45.0
"""Red minus blue: warmer patches are sand; real brown rivers reach 35."""
LAND_HUE_SPREAD = 1.8
LAND_HUE_QUARTILES = 1.0
"""Grey levels between the quartiles of the cells' colours, at least: a ship on grey water does not move them."""
LAND_STD = 4.0
"""Grey levels: contrast that three quarters of the cells of land reach."""
LAND_SHARE = 0.7
"""Share of warm cells, at least."""
WARM = -6.0
"""Red minus blue of a warm cell, at least."""


def classify_ground(cells: Mapping[str, NDArray[np.float32]]) -> NDArray[np.str_]:
    """Return the ground of each patch: one of `GROUNDS`.

    Args:
        cells: (patches, cells) by name: red, blue, luminance, blueness, redness (means) and std (of luminance).
    """
    hue_spread = np.sqrt(cells["blueness"].var(1) + cells["redness"].var(1))
    warm_share = (cells["red"] - cells["blue"] > WARM).mean(1)
    typical_std = np.median(cells["std"], axis=1)
    step = cells["std"].max(1) / (typical_std + 0.5)
    land = (np.quantile(cells["std"], 0.25, axis=1) > LAND_STD) & (warm_share >= LAND_SHARE)
    quartiles = [np.subtract(*np.quantile(cells[name], (0.75, 0.25), axis=1)) for name in ("blueness", "redness")]
    land &= (hue_spread > LAND_HUE_SPREAD) & (np.hypot(*quartiles) > LAND_HUE_QUARTILES)
    rough = (hue_spread < SEA_HUE_PER_STD * typical_std) & (warm_share < 1 - LAND_SHARE)
    sea = ((hue_spread < SEA_HUE_SPREAD) | rough) & (step < SEA_STEP) & (cells["luminance"].max(1) < SEA_BRIGHTEST)
    sea &= (cells["red"] - cells["blue"]).mean(1) < SEA_WARMEST
    land &= np.median(cells["luminance"], axis=1) < SEA_BRIGHTEST
    return np.select([typical_std < FLAT_STD, land, sea], ["flat", "land", "sea"], "mixed")
