"""Which ground a patch shows, judged from its colours and contrasts alone, by one rule for both sides.

The rule is made to be right where it decides and to leave the rest undecided. It looks at how much colour and contrast
vary within the patch, hardly at how fine detail looks, so that what is compared afterwards is not what was chosen by.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUNDS", "judge_ground"]

GROUNDS = ("sea", "land", "mixed", "flat")
"""Open water without ships, coasts or clouds; land all over; anything else; no detail (no-data, clipped water)."""

FLAT_STD = 0.3
"""Grey levels: median contrast of the cells below which there is nothing to compare."""
SEA_HUE_SPREAD = 2.2
"""Grey levels by which the colours of plain water's cells may differ, at most; rough water may have more."""
SEA_HUE_PER_STD = 0.35
SEA_STEP = 2.6
"""The most contrasty cell of plain water over the median one, at most: a boat of 5 px on calm water gives 4."""
SEA_BRIGHTEST = 190.0
"""Grey levels: what is brighter is cloud."""
SEA_WARMEST = 45.0
"""Red minus blue: what is warmer is sand; the brownest real rivers seen reach 35."""
LAND_HUE_SPREAD = 1.8
LAND_HUE_QUARTILES = 1.0
"""Grey levels between the quartiles of the cells' colours, at least: a ship on grey water does not move them."""
LAND_STD = 4.0
"""Grey levels: contrast that three quarters of the cells of land reach."""
LAND_SHARE = 0.7
"""Share of warm cells, at least."""
WARM = -6.0
"""Red minus blue of a warm cell, at least."""


def judge_ground(cells: Mapping[str, NDArray[np.float32]]) -> NDArray[np.str_]:
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
