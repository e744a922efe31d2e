"""Hints: each appears if the facts require it, and only then."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from shipseg.exploration.hints import find_hints
from shipseg.exploration.results import Exploration


@pytest.fixture
def facts(known: Exploration) -> dict[str, Any]:
    """Facts to change."""
    return copy.deepcopy(known.facts)


def findings(facts: dict[str, Any]) -> str:
    return "\n".join(hint["finding"] for hint in find_hints(facts))


def test_many_empty_images_give_a_hint_at_their_ratio(facts: dict[str, Any]) -> None:
    facts["imbalance"]["empty_share"] = 0.78
    hint = find_hints(facts)[0]
    assert hint["finding"] == "78 % of the images are empty."
    assert "12 of 16 images" in hint["advice"]
    assert "`sampling.zero_ships_ratio`" in hint["advice"]


def test_few_or_no_empty_images_and_no_ships_give_a_hint(facts: dict[str, Any]) -> None:
    facts["imbalance"]["empty_share"] = 0.05
    assert "Only 5.0 % of the images are empty." in findings(facts)
    facts["imbalance"]["empty_share"] = 0.0
    assert "No image is empty." in findings(facts)
    facts["imbalance"]["with_ships"] = 0
    assert "No image has a ship." in findings(facts)


def test_a_balanced_set_gets_no_hint_about_empties(facts: dict[str, Any]) -> None:
    facts["imbalance"]["empty_share"] = 0.5
    assert "of the images are empty" not in findings(facts)


def test_rare_ship_pixels_warn_of_accuracy(facts: dict[str, Any]) -> None:
    facts["pixels"] |= {"share_of_all": 0.00113, "share_in_ship_images": 0.0051}
    hint = next(hint for hint in find_hints(facts) if hint["finding"].startswith("Ships cover"))
    assert hint["finding"] == "Ships cover 0.113 % of all pixels, 0.51 % of those in images with ships."
    assert "99.89 %" in hint["advice"]


def test_what_cannot_be_used_is_counted_with_its_ships(facts: dict[str, Any]) -> None:
    assert "2 images cannot be used (truncated 1, solid 1): 1 ship is lost with them." in findings(facts)
    facts["cleaning"]["own"]["lost"] |= {"ships": 0}
    assert "no ship is lost with them" in findings(facts)
    facts["cleaning"]["own"]["lost"] |= {"images": 0}
    assert "cannot be used" not in findings(facts)


def test_the_limit_of_the_file_size_gives_the_ships_it_loses(facts: dict[str, Any]) -> None:
    facts["files"]["below_line"] = {"images": 13, "share": 0.1, "with_ships": 1, "ships": 3}
    assert "13 files have 52 kB or less, with 3 ships in total." in findings(facts)
    facts["files"]["below_line"] = {"images": 0, "share": 0.0, "with_ships": 0, "ships": 0}
    assert "52 kB" not in findings(facts)


def test_overlapping_images_warn_of_a_random_split(facts: dict[str, Any]) -> None:
    hint = next(hint for hint in find_hints(facts) if "overlap with another image" in hint["finding"])
    assert hint["finding"] == "2 images overlap with another image (40 %)."
    assert "In a random split, 32 %" in hint["advice"]


def test_copies_are_named(facts: dict[str, Any]) -> None:
    assert "2 files are identical to another." in findings(facts)


def test_a_leak_of_the_split_gives_a_hint(facts: dict[str, Any]) -> None:
    facts["split"] = {"leak": {"groups_on_two_sides": 3}}
    assert "3 groups are in more than one split." in findings(facts)
    facts["split"] = {"leak": {"groups_on_two_sides": 0}}
    assert "more than one split" not in findings(facts)


@pytest.mark.parametrize(
    ("fullest", "said"), [(100, "All headings are about equally frequent"), (300, "Headings are uneven")]
)
def test_headings_give_a_hint_if_there_are_enough(facts: dict[str, Any], fullest: int, said: str) -> None:
    assert said not in findings(facts)  # five ships
    facts["ships"]["heading_deg"]["histogram"]["counts"] = [100] * 17 + [fullest]
    assert said in findings(facts)


def test_every_hint_has_a_finding_and_advice_that_end_as_sentences(known: Exploration) -> None:
    assert len(known.facts["hints"]) >= 5
    for hint in known.facts["hints"]:
        assert hint["finding"][-1] == hint["advice"][-1] == "."
