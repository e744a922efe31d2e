"""Samples have no, one and several ships, and no two of them overlap."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from shipseg.exploration.explore import ExploreOptions, explore
from shipseg.exploration.results import Exploration


def test_of_each_kind_are_drawn_what_cleaning_keeps_and_one_of_each_group(known: Exploration) -> None:
    drawn = [(sample.kind, sample.image_id) for sample in known.samples]
    # c.png and d.png show the same; e.png is solid, f.png cut short.
    assert drawn[0] in (("none", "c.png"), ("none", "d.png"))
    assert drawn[1:] == [("one", "a.png"), ("several", "b.png")]


def test_a_sample_comes_with_the_mask_of_all_its_ships(known: Exploration) -> None:
    several = next(sample for sample in known.samples if sample.kind == "several")
    assert (several.num_ships, several.image_hwc.shape, several.mask_hw.sum()) == (3, (96, 96, 3), 100 + 36 + 36)


def test_the_same_seed_draws_the_same_images(airbus_folder: Path) -> None:
    first, again = (
        [(sample.image_id, np.sum(sample.image_hwc)) for sample in explored.samples]
        for explored in (explore(airbus_folder, ExploreOptions(seed=3, workers=workers)) for workers in (1, 2))
    )
    assert first == again
    assert len(first) > 3


def test_at_most_four_of_a_kind_are_drawn(airbus_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "airbus"
    shutil.copytree(airbus_folder, folder)
    kinds = [sample.kind for sample in explore(folder, ExploreOptions(workers=1)).samples]
    assert max(kinds.count(kind) for kind in kinds) == 4
