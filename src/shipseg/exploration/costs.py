"""What cleaning leaves out, reason by reason, and how many ships that costs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from shipseg.data.cleaning import REASONS, CleaningRules, decide
from shipseg.exploration.file_facts import REFERENCE_MIN_KB

__all__ = ["REFERENCE_KEEP_EMPTY", "cleaning_facts"]

REFERENCE_KEEP_EMPTY = 0.3
"""Share of the images without ships that the reference kept."""
_EXAMPLES = 5


def cleaning_facts(
    images: pd.DataFrame, *, listed: frozenset[str], any_size: bool, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the cost of two sets of rules: `own`, what `shipseg prepare` does unasked, and `reference`.

    Args:
        images: One row per image, see `Material.images`.
        listed: ImageIds that the reference's list of corrupted images names; empty without a list.
        any_size: Images of another size than most stay, as the dataset was prepared.
        seed: For the drawing of the images without ships.
    """
    reference = CleaningRules(
        listed=listed, min_kb=REFERENCE_MIN_KB, keep_empty=REFERENCE_KEEP_EMPTY, any_size=any_size, seed=seed
    )
    own = CleaningRules(any_size=any_size, seed=seed)
    return {
        "own": _costs(images, own),
        "reference": {
            "min_kb": REFERENCE_MIN_KB,
            "keep_empty": REFERENCE_KEEP_EMPTY,
            "listed": len(listed),
            **_costs(images, reference),
        },
    }


def _costs(images: pd.DataFrame, rules: CleaningRules) -> dict[str, Any]:
    reasons = decide(images, rules)
    ships = images["Ships"].to_numpy()
    num_ships = int(ships.sum())

    def sums(inside: Any) -> dict[str, Any]:
        return {
            "images": int(inside.sum()),
            "with_ships": int((ships[inside] > 0).sum()),
            "ships": int(ships[inside].sum()),
            "share_of_ships": float(ships[inside].sum() / num_ships) if num_ships else None,
        }

    left_out = {
        reason: {**sums(inside), "examples": images["ImageId"][inside].head(_EXAMPLES).tolist()}
        for reason in REASONS
        for inside in [reasons == reason]
        if inside.any()
    }
    return {"kept": sums(reasons == ""), "lost": sums(reasons != ""), "left_out": left_out}
