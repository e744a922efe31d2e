"""The result of an exploration, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg.exploration.label_facts import ROUND_ASPECT
from shipseg.exploration.samples import Sample
from shipseg.extras import needing
from shipseg.reports import figures as drawn
from shipseg.reports.figures import Figure

with needing("train"):
    import pandas as pd

__all__ = ["KIND_NAMES", "Exploration", "draw_all"]


@dataclass(frozen=True, eq=False)
class Exploration:
    """The facts about a dataset, an Airbus folder or a label table.

    Args:
        path: The explored path.
        facts: Every number of the page by section, ready for JSON: source, images, rows, ships_per_image, imbalance,
            pixels, ships, files, colours, duplicates, groups, cleaning, split, hints. A section that cannot be
            computed is None, and `not_known` has the reason.
        images: One row per image: ImageId, EncodedPixels (all ships joined by a space, "0" for none), Ships, Size_kb,
            height, width, ship_px, group, split, reason (why cleaning leaves it out, "" if it is kept).
        ships: One row per ship, see `measure_each_ship`.
        samples: A few images with their masks.
    """

    path: Path
    facts: dict[str, Any]
    images: pd.DataFrame
    ships: pd.DataFrame
    samples: tuple[Sample, ...]

    def figures(self) -> dict[str, Figure]:
        """Return the figures of the page by name, without those of sections that are not known.

        Example:
            `explore(Path("airbus")).figures()["ships_per_image"].savefig("ships.png")`
        """
        return draw_all(self.facts, self.images, self.ships, self.samples)


KIND_NAMES = {"none": "no ship", "one": "one ship", "several": "several ships"}
"""Names of the kinds of samples on the page."""


def draw_all(
    facts: Mapping[str, Any], images: pd.DataFrame, ships: pd.DataFrame, samples: Sequence[Sample]
) -> dict[str, Figure]:
    """Return the figures of all known sections by name."""
    imbalance, reference = facts["imbalance"], facts["cleaning"]["reference"]["left_out"]
    figures = {
        "ships_per_image": drawn.ships_per_image(
            {int(number): row["images"] for number, row in facts["ships_per_image"].items()}
        ),
        "imbalances": drawn.imbalances(empty=imbalance["empty"], one=imbalance["one"], several=imbalance["several"]),
    }
    if len(ships):
        directed = ships[ships["aspect"] >= ROUND_ASPECT]
        figures["ship_areas"] = drawn.ship_areas(ships["area_px"])
        figures["ship_shapes"] = drawn.ship_shapes(ships["length_px"], ships["width_px"], ships["aspect"])
        figures["ship_headings"] = drawn.ship_headings(directed["heading_deg"])
        figures["ship_positions"] = drawn.ship_positions(facts["ships"]["position"]["counts"])
    if facts["files"]:
        limit_kb, num_below = facts["files"]["line_kb"], facts["files"]["below_line"]["images"]
        sizes = images["Size_kb"][images["Size_kb"] > 0]
        figures["file_sizes"] = drawn.file_sizes(sizes, line_kb=limit_kb, num_below=num_below)
    if facts["colours"]:
        figures["colours"] = drawn.colour_histogram(facts["colours"]["histogram"])
    if facts["groups"]:
        figures["groups"] = drawn.group_sizes(facts["groups"]["by_size"])
    if reference:
        figures["cleaning"] = drawn.cleaning_cost(
            {reason: row["images"] for reason, row in reference.items()},
            {reason: row["ships"] for reason, row in reference.items()},
        )
    if facts["split"]:
        splits = facts["split"]["splits"]
        figures["split"] = drawn.split_balance({name: row["share_by_num_ships"] for name, row in splits.items()})
    if samples:
        first = {sample.kind: sample for sample in reversed(samples)}
        figures["samples"] = drawn.sample_panel(
            [
                drawn.SampleImage(KIND_NAMES[kind], first[kind].image_hwc, first[kind].mask_hw)
                for kind in KIND_NAMES
                if kind in first
            ]
        )
    return figures
