"""What cleaning costs in images and ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipseg.errors import DataError
from shipseg.exploration.explore import ExploreOptions, explore
from shipseg.exploration.results import Exploration


def test_each_reason_names_its_images_and_the_ships_they_cost(known: Exploration) -> None:
    own = known.facts["cleaning"]["own"]
    assert list(own["left_out"]) == ["truncated", "solid"]
    assert own["left_out"]["truncated"] == {
        "images": 1,
        "with_ships": 1,
        "ships": 1,
        "share_of_ships": 0.2,
        "examples": ["f.png"],
    }
    assert (own["left_out"]["solid"]["images"], own["left_out"]["solid"]["ships"]) == (1, 0)
    assert (own["lost"]["ships"], own["kept"]["images"], own["kept"]["ships"]) == (1, 4, 4)


def test_the_references_rules_are_added_to_ours(known_folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "corrupted.txt"
    listed.write_text("ImageId\nb.png\n")
    exploration = explore(known_folder, ExploreOptions(workers=1, drop_list=listed))
    reference = exploration.facts["cleaning"]["reference"]
    assert reference["listed"] == 1
    assert reference["left_out"]["listed"]["ships"] == 3
    # Every file here is far below 52 kB.
    assert reference["left_out"]["small-file"] == {
        "images": 3,
        "with_ships": 1,
        "ships": 1,
        "share_of_ships": 0.2,
        "examples": ["a.png", "c.png", "d.png"],
    }
    assert (reference["lost"]["ships"], reference["kept"]["images"]) == (5, 0)


def test_without_files_only_the_drawing_of_empties_can_leave_out(labels_alone: Exploration) -> None:
    reference = labels_alone.facts["cleaning"]["reference"]
    assert list(reference["left_out"]) == ["empty-undersampled"]
    assert reference["left_out"]["empty-undersampled"]["images"] == 2  # of three, round(0.3 * 3) = 1 is kept
    assert reference["kept"]["ships"] == 5


def test_a_drop_list_of_other_images_is_refused(known_folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "corrupted.txt"
    listed.write_text("z.png\n")
    with pytest.raises(DataError, match=r"none of the 1 ids in the drop list .*first: z\.png.* check the list"):
        explore(known_folder, ExploreOptions(workers=1, drop_list=listed))
