"""Facts from image files, worked out by hand for the folder of conftest."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from shipseg.errors import DataError
from shipseg.exploration.explore import ExploreOptions, explore
from shipseg.exploration.file_facts import colour_facts, duplicate_facts, file_size_facts, size_facts
from shipseg.exploration.results import Exploration


def test_sizes_are_counted_width_first_most_common_first() -> None:
    images = pd.DataFrame({"height": [10, 20, 20, 0], "width": [30, 40, 40, 0]})
    found = size_facts(images)
    assert list(found["sizes_px"].items()) == [("40 x 20", 2), ("30 x 10", 1)]
    assert (found["readable"], found["one_size"]) == (3, False)


def test_files_at_the_limit_of_the_file_size_are_counted() -> None:
    images = pd.DataFrame({"Size_kb": [10.0, 52.0, 52.5, 300.0], "Ships": [0, 2, 1, 0]})
    found = file_size_facts(images)
    assert found["below_line"] == {"images": 2, "share": 0.5, "with_ships": 1, "ships": 2}
    assert found["kb"]["max"] == 300.0


def test_colours_are_those_of_all_pixels_of_the_images_that_can_be_read(tmp_path: Path) -> None:
    image_bgr = np.zeros((2, 2, 3), np.uint8)
    image_bgr[..., 2] = [[0, 100], [100, 200]]  # red, as OpenCV writes it
    image_bgr[..., 0] = 255
    assert cv2.imwrite(str(tmp_path / "a.png"), image_bgr)
    (tmp_path / "b.png").write_bytes(b"no image")
    found = colour_facts(pd.Series(["a.png", "b.png"]), tmp_path, seed=0, workers=1)
    assert (found["images"], found["of_images"]) == (1, 2)
    assert found["mean_rgb"].tolist() == [100.0, 0.0, 255.0]
    assert found["std_rgb"].tolist() == pytest.approx([np.sqrt(5000), 0, 0])
    assert found["darkest_share"].tolist() == [0.25, 1.0, 0.0]
    assert found["brightest_share"].tolist() == [0.0, 0.0, 1.0]
    assert found["histogram"]["red"][100] == 0.5


def test_only_identical_files_are_copies(tmp_path: Path) -> None:
    content = {"a": b"x" * 5000, "b": b"x" * 5000, "c": b"y" + b"x" * 4999, "d": b"z" * 5000, "e": b"x" * 4999}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    sizes = [len(data) for data in content.values()]
    images = pd.DataFrame({"ImageId": list(content), "num_bytes": sizes, "has_file": True})
    assert duplicate_facts(images, tmp_path) == {"groups": 1, "images": 2, "examples": [["a", "b"]]}


def test_copies_and_their_group_are_found_in_a_folder(known: Exploration) -> None:
    facts = known.facts
    assert facts["duplicates"] == {"groups": 1, "images": 2, "examples": [["c.png", "d.png"]]}
    groups = facts["groups"]
    assert (groups["images"], groups["groups"], groups["groups_of_several"], groups["largest"]) == (5, 4, 1, 2)
    assert groups["by_size"]["2"] == 1
    # Two images of five have one neighbour each, which a random split at 80 / 20 puts into training 4 times of 5.
    assert groups["leaking_share_of_random_val"] == pytest.approx(2 / 5 * 0.8)


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


def test_without_files_only_the_sampling_of_empty_images_leaves_out_images(labels_alone: Exploration) -> None:
    reference = labels_alone.facts["cleaning"]["reference"]
    assert list(reference["left_out"]) == ["empty-undersampled"]
    assert reference["left_out"]["empty-undersampled"]["images"] == 2  # of three, round(0.3 * 3) = 1 is kept
    assert reference["kept"]["ships"] == 5


def test_a_drop_list_of_other_images_is_refused(known_folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "corrupted.txt"
    listed.write_text("z.png\n")
    with pytest.raises(DataError, match=r"none of the 1 ids in the drop list .*first: z\.png.* check the list"):
        explore(known_folder, ExploreOptions(workers=1, drop_list=listed))
