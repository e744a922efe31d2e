"""Operating points, their counts and the evidence of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shipseg.config import ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.bootstrap import count_interval
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.operating_points import OperatingPoint, best_peaks, describe_target, find_point, middle_of_best
from shipseg.evaluation.survey import survey_images

Model = Callable[..., GivesProbability]
MakeImage = Callable[..., Labelled]


def point(model: GivesProbability, images: list[Labelled], **target: Any) -> OperatingPoint:
    survey = survey_images(model, images, at_most=100, seed=0)
    return find_point(survey, ThresholdConfig.model_validate(target))


@pytest.fixture
def many(labelled: MakeImage) -> list[Labelled]:
    """Twelve images with a ship of probability 0.8 or 0.6 in turn; 59 without ships, one of which has 0.7."""
    ships = [labelled(f"s{k}", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 204 if k % 2 else 153}) for k in range(12)]
    return [*ships, *(labelled(f"e{k}", seen={(0, 0, 3, 3): 178} if k == 0 else None) for k in range(59))]


def test_no_false_alarm_in_59_images_is_evidence_for_at_most_5_percent(red_model: Model, many: list[Labelled]) -> None:
    found = point(red_model(), many, false_alarm_images=0.01)
    assert found.reached
    facts = found.facts()
    assert (
        facts["counts"] | {"images": 71, "images_without_ships": 59, "alarmed_images": 0, "right": 6} == facts["counts"]
    )
    low, high = facts["intervals"]["false_alarm_images"]
    assert (low, high) == (0.0, pytest.approx(1 - 0.05 ** (1 / 59)))
    assert "based on 0 of 59 images without ships, which is evidence for at most 5 %" in found.sentence


def test_held_out_scores_are_those_of_each_half_at_the_point_of_the_other(
    red_model: Model, many: list[Labelled]
) -> None:
    facts = point(red_model(), many, false_alarm_images=0.01).facts()
    # On the half without the false alarm all ships are kept, which gives the false alarm in the other half.
    assert facts["scores"]["false_alarm_images"] == 0.0
    assert facts["held_out_scores"]["false_alarm_images"] == pytest.approx(1 / 59)


def test_there_are_no_held_out_scores_when_a_half_has_no_ships(red_model: Model, labelled: MakeImage) -> None:
    one = labelled("ship", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 204})
    found = point(red_model(), [one, labelled("sea")], metric="ship_f1")
    assert found.held_out is None
    assert found.facts()["held_out_scores"] is None


def test_groups_of_overlapping_images_stay_in_one_half(red_model: Model, labelled: MakeImage) -> None:
    images = [labelled(f"{k}", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 204}, group=f"g{k // 6}") for k in range(24)]
    survey = survey_images(red_model(), images, at_most=100, seed=0)
    counts = [int(survey.sweep(half=half).totals["images"]) for half in (0, 1)]
    assert (survey.num_groups, counts) == (4, [12, 12])
    assert survey.pixels[0].num_ship_pixels == 12 * 16


def test_the_best_peak_is_found_for_each_threshold(red_model: Model, many: list[Labelled]) -> None:
    survey = survey_images(red_model(), many, at_most=100, seed=0)
    sweep = survey.sweep()
    peaks = sweep.peaks[best_peaks(sweep, ThresholdConfig(false_alarm_images=0.0))]
    at = int(np.abs(sweep.thresholds - 0.5).argmin())
    assert 0.7 < peaks[at] <= 0.8
    assert peaks[int(np.abs(sweep.thresholds - 0.75).argmin())] in {0.0, *sweep.peaks[sweep.peaks > 0.75]}


def test_a_false_alarm_rate_is_given_with_its_upper_limit(red_model: Model, labelled: MakeImage) -> None:
    images = [
        labelled("ship", truth=[(0, 0, 4, 4)], seen={(0, 0, 4, 4): 230}),
        labelled("alarm", seen={(0, 0, 3, 3): 178}),
        *(labelled(f"sea{k}") for k in range(2)),
    ]
    found = point(red_model(), images, false_alarms_per_1000km2=250.0)
    assert found.sentence.endswith("based on 0 false alarms on 4 km2, which is evidence for at most 749 per 1000 km2")
    assert found.facts()["intervals"]["false_alarms_per_1000km2"] == pytest.approx((0.0, 1000 * 2.9957 / 4), rel=1e-4)
    many = [image for _ in range(400) for image in images]
    survey = survey_images(red_model(), many, at_most=2000, seed=0)
    sentence = find_point(survey, ThresholdConfig(false_alarms_per_1000km2=250.0)).sentence
    assert "on 1,600 km2, which is evidence for at most" in sentence
    assert count_interval(1) == pytest.approx((0.0513, 4.7439), rel=1e-3)


def test_a_model_that_finds_no_ship_cannot_meet_a_target(red_model: Model, labelled: MakeImage) -> None:
    missed = [labelled("missed", truth=[(0, 0, 4, 4)]), labelled("alarm", seen={(0, 0, 3, 3): 178})]
    with pytest.raises(DataError, match="the model finds no ship at any threshold"):
        point(red_model(), missed, precision=0.5)
    with pytest.raises(DataError, match="the labelled images hold no ship"):
        point(red_model(), missed[1:], precision=0.5)


def test_targets_are_described_as_text() -> None:
    assert describe_target(ThresholdConfig(metric="ship_f1")) == "best ship F1"
    assert describe_target(ThresholdConfig(precision=0.9)) == "ship precision of at least 0.9"
    assert describe_target(ThresholdConfig(pixel_precision=0.8)) == "pixel precision of at least 0.8"
    assert "at most 2 % of the images without ships" in describe_target(ThresholdConfig(false_alarm_images=0.02))
    assert "at most 5 false alarms per 1000 km2" in describe_target(ThresholdConfig(false_alarms_per_1000km2=5))


def test_of_equal_scores_the_nearest_to_their_middle_is_chosen() -> None:
    assert middle_of_best(np.array([0.1, 0.9, 0.9, 0.9, 0.2])) == (2,)
    assert middle_of_best(np.array([np.nan, 0.3, np.nan])) == (1,)
    grid = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0.0]])
    assert middle_of_best(grid) == (1, 1)
    allowed = np.array([[True, True, True], [True, False, True], [True, True, True]])
    assert middle_of_best(grid, allowed=allowed) in {(0, 1), (1, 0)}
