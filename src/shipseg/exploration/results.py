"""What an exploration found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipseg.exploration.samples import Sample
from shipseg.extras import needing

with needing("train"):
    import pandas as pd

if TYPE_CHECKING:
    from shipseg.reports.figures import Figure

__all__ = ["Exploration"]


@dataclass(frozen=True, eq=False)
class Exploration:
    """The facts about a dataset, an Airbus folder or a label table.

    Args:
        path: What was explored.
        facts: Every number of the page by section, ready for JSON: source, images, rows, ships_per_image, imbalance,
            pixels, ships, files, colours, duplicates, groups, cleaning, split, hints. What cannot be known is None, and
            `not_known` says why.
        images: One row per image: ImageId, EncodedPixels (all ships joined by a space, "0" for none), Ships, Size_kb,
            height, width, ship_px, group, split, reason (why cleaning leaves it out, "" when it is kept).
        ships: One row per ship, see `measure_each_ship`.
        samples: A few images with their masks.
    """

    path: Path
    facts: dict[str, Any]
    images: pd.DataFrame
    ships: pd.DataFrame
    samples: tuple[Sample, ...]

    def figures(self) -> dict[str, Figure]:
        """Return the page's figures by name; those of what is not known are missing.

        Example:
            `explore(Path("airbus")).figures()["ships_per_image"].savefig("ships.png")`
        """
        from shipseg.exploration.drawing import draw_all

        return draw_all(self.facts, self.images, self.ships, self.samples)
