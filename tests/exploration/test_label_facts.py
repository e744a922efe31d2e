"""Facts from labels, worked out by hand for the folder of conftest."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shipseg.exploration.label_facts import count_in_bins, describe, imbalance_facts, ships_per_image, to_json_types
from shipseg.exploration.results import Exploration


def test_the_table_of_ships_per_image_goes_from_0_to_at_least_15() -> None:
    table = ships_per_image(np.array([0, 0, 1, 3]))
    assert list(table) == list(range(16))
    assert table[0] == {"images": 2, "share": 0.5, "ships": 0}
    assert table[3] == {"images": 1, "share": 0.25, "ships": 3}
    assert list(ships_per_image(np.array([17])))[-1] == 17


def test_both_imbalances_are_counted() -> None:
    found = imbalance_facts(np.array([0, 0, 0, 1, 1, 4]))
    assert (found["empty"], found["one"], found["several"]) == (3, 2, 1)
    assert (found["empty_share"], found["several_share"]) == (0.5, pytest.approx(1 / 3))
    assert (found["ships"], found["ships_in_images_of_several"]) == (6, 4)


def test_without_ships_nothing_is_divided_by_them() -> None:
    found = imbalance_facts(np.array([0, 0]))
    assert (found["empty_share"], found["several_share"], found["ships_per_ship_image"]) == (1.0, None, None)


def test_ships_are_counted_by_size_and_by_what_they_touch(known: Exploration) -> None:
    ships = known.facts["ships"]
    assert (ships["ships"], ships["measured"]) == (5, 5)
    assert [(row["name"], row["ships"]) for row in ships["sizes"]] == [("<100", 3), ("100-1000", 1), (">=1000", 1)]
    assert ships["sizes"][2]["share_of_ship_px"] == pytest.approx(1200 / 1420, rel=1e-5)
    assert (ships["touching_border"], ships["touching_other"], ships["images_with_touching_ships"]) == (1, 2, 1)


def test_squares_have_no_heading(known: Exploration) -> None:
    ships = known.facts["ships"]
    assert ships["without_direction"] == 2
    # Across (90), up (0), and 40 x 30 px, taller than wide (0).
    assert [ships["heading_deg"]["histogram"]["counts"][bin_] for bin_ in (0, 9)] == [2, 1]


def test_positions_are_relative_to_the_image(known: Exploration) -> None:
    counts = np.array(known.facts["ships"]["position"]["counts"])
    assert counts.sum() == 5
    assert counts[2, 4] == 1  # row 12 and column 26 of 96, in cells of 6 px


def test_a_reduced_ship_keeps_its_share_of_the_pixels(labels_alone: Exploration) -> None:
    reduced = labels_alone.facts["ships"]["reduced"]
    assert (reduced["ships"], reduced["side_px"]) == (0, 256)  # images of 96 px are not reduced


def test_ship_pixels_are_shared_over_the_images_whose_size_is_known(
    known: Exploration, labels_alone: Exploration
) -> None:
    seen, assumed = known.facts["pixels"], labels_alone.facts["pixels"]
    assert (seen["ship_px"], seen["all_px"], seen["images_counted"]) == (220, 5 * 96**2, 5)
    assert seen["share_in_ship_images"] == pytest.approx(220 / (2 * 96**2), rel=1e-5)
    assert (assumed["ship_px"], assumed["images_counted"]) == (1420, 6)


def test_rows_are_counted_per_image(known: Exploration) -> None:
    rows = known.facts["rows"]
    assert (rows["rows"], rows["images"], rows["most"]) == (8, 6, 3)
    assert rows["per_image"] == {"1": 5, "3": 1}


def test_values_are_described_by_mean_quantiles_and_histogram() -> None:
    found = describe([1.0, 2.0, 3.0, 6.0], [0, 2, 4])
    assert (found["num"], found["mean"], found["min"], found["max"]) == (4, 3.0, 1.0, 6.0)
    assert found["std"] == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 4))
    assert found["quantiles"]["50"] == 2.5
    assert found["histogram"] == {"edges": [0, 2, 4], "counts": [1, 3]}  # 6 counts in the last bin


def test_describe_without_numbers_has_no_statistics() -> None:
    found = describe([np.nan], [0, 1])
    assert (found["num"], found["mean"], found["quantiles"]["50"]) == (0, None, None)
    assert found["histogram"]["counts"] == [0]


def test_bins_hold_both_their_bounds() -> None:
    assert count_in_bins(np.array([1, 2, 3, 5, 9]), {"1": (1, 1), "2-5": (2, 5), "6+": (6, np.inf)}) == {
        "1": 1,
        "2-5": 3,
        "6+": 1,
    }


def test_facts_with_json_types_can_be_written_as_json() -> None:
    facts = {0: np.int64(3), "a": [np.float32(0.1), (np.bool_(True), None)], "b": np.array([1, 2])}
    assert json.loads(json.dumps(to_json_types(facts))) == {"0": 3, "a": [0.1, [True, None]], "b": [1, 2]}
