"""The decision chosen on images where the best one is plain to see."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import Decision, ThresholdConfig
from shipseg.errors import ImageError
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.sources import Labelled
from shipseg.evaluation.thresholds import choose_decision, draw_images, middle_of_best
from shipseg.model.card import Card

Model = Callable[..., GivesProbability]
MakeImage = Callable[..., Labelled]


def blob(labelled: MakeImage, name: str = "ship") -> Labelled:
    """Return a ship of 4 x 4 px seen at probability 0.8 with a rim of 0.4, all inside 10 x 10."""
    return labelled(name, truth=[(3, 3, 7, 7)], seen={(2, 2, 8, 8): 102, (3, 3, 7, 7): 204})


def test_pixel_metrics_take_the_middle_of_the_best_thresholds(red_model: Model, labelled: MakeImage) -> None:
    # Above 0.4 and up to 0.8 the mask is exactly the ship: thresholds 0.41 ... 0.80, their middle 0.60 or 0.61.
    for metric in ("pooled_dice", "pooled_iou"):
        config = ThresholdConfig.model_validate({"metric": metric})
        decision, curve = choose_decision(red_model(), [blob(labelled)], config=config)
        assert decision.threshold in (0.60, 0.61)
        assert decision.min_peak == 0.0
        assert decision.metric == metric
        at = curve["threshold"].index(0.4)
        assert curve["pooled_dice"][at] == pytest.approx(2 * 16 / (36 + 16))
        assert curve["pooled_dice"][at + 1] == 1.0


def test_curves_have_columns_of_one_length_that_a_card_can_hold(red_model: Model, labelled: MakeImage) -> None:
    for metric in ("pooled_dice", "airbus_score"):
        config = ThresholdConfig.model_validate({"metric": metric})
        decision, curve = choose_decision(red_model(), [blob(labelled), labelled("empty")], config=config)
        assert len({len(column) for column in curve.values()}) == 1
        assert Card(decision=decision, threshold_curve=curve).threshold_curve["threshold"] == curve["threshold"]


def test_airbus_score_chooses_a_peak_that_drops_false_alarms(red_model: Model, labelled: MakeImage) -> None:
    # The ship is seen at 0.96 in the middle and 0.6 around; a false alarm in an empty image reaches 0.76 everywhere.
    # To keep the ship whole the threshold must be at most 0.6; only the peak can then drop the false alarm.
    ship = labelled("ship", truth=[(2, 2, 8, 8)], seen={(2, 2, 8, 8): 153, (4, 4, 6, 6): 245})
    alarm = labelled("alarm", seen={(0, 0, 3, 3): 194})
    decision, curve = choose_decision(red_model(), [ship, alarm], config=ThresholdConfig(metric="airbus_score"))
    assert decision.threshold <= 0.6
    assert decision.min_peak in (0.8, 0.9, 0.95)
    assert decision.metric == "airbus_score"
    best = max(curve["airbus_score"])
    assert best == 1.0
    assert curve["min_peak"][curve["airbus_score"].index(best)] >= 0.8


def test_ship_f1_is_chosen_jointly_too(red_model: Model, labelled: MakeImage) -> None:
    ship = labelled("ship", truth=[(2, 2, 8, 8)], seen={(2, 2, 8, 8): 153, (4, 4, 6, 6): 245, (0, 0, 1, 1): 194})
    decision, curve = choose_decision(red_model(), [ship], config=ThresholdConfig(metric="ship_f1"))
    assert (decision.metric, decision.threshold <= 0.6, decision.min_peak >= 0.8) == ("ship_f1", True, True)
    assert max(curve["ship_f1"]) == 1.0


def test_where_no_choice_makes_a_difference_the_threshold_is_one_half(red_model: Model, labelled: MakeImage) -> None:
    unseen = labelled("unseen", truth=[(0, 0, 2, 2)])
    certain = labelled("certain", truth=[(0, 0, 2, 2)], seen={(0, 0, 2, 2): 255})
    for metric in ("pooled_dice", "airbus_score"):
        for image in (unseen, certain):
            config = ThresholdConfig.model_validate({"metric": metric})
            decision, _ = choose_decision(red_model(), [image], config=config)
            assert decision == Decision(threshold=0.5, metric=metric)


@pytest.mark.parametrize("metric", ["pooled_dice", "pooled_iou", "airbus_score", "ship_f1"])
def test_without_a_ship_the_default_is_kept_and_said_so(
    red_model: Model, labelled: MakeImage, caplog: pytest.LogCaptureFixture, metric: str
) -> None:
    config = ThresholdConfig.model_validate({"metric": metric})
    for images in ([], [labelled("empty", seen={(0, 0, 2, 2): 200})]):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert choose_decision(red_model(), images, config=config) == (Decision(), {})
        assert "hold no ship" in caplog.text


def test_an_unreadable_image_plays_no_part(
    red_model: Model, labelled: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NDArray[np.uint8]:
        raise ImageError("gone.jpg does not exist", reason="missing")

    images = [blob(labelled), Labelled("gone", fail, ())]
    assert choose_decision(red_model(), images, config=ThresholdConfig())[0].threshold in (0.60, 0.61)
    assert "gone.jpg does not exist" in caplog.text


def test_a_draw_keeps_the_shares_of_images_by_number_of_ships(labelled: MakeImage) -> None:
    one, two = [(0, 0, 1, 1)], [(0, 0, 1, 1), (5, 5, 6, 6)]
    images = [labelled(f"{k:03}", truth=[] if k < 70 else one if k < 90 else two) for k in range(100)]
    drawn = draw_images(images, at_most=20, seed=3)
    assert Counter(len(image.rles) for image in drawn) == {0: 14, 1: 4, 2: 2}
    assert [image.image_id for image in drawn] == sorted(image.image_id for image in drawn)
    assert drawn == draw_images(images, at_most=20, seed=3)
    assert drawn != draw_images(images, at_most=20, seed=4)
    assert Counter(len(image.rles) for image in draw_images(images, at_most=3, seed=0)) == {0: 1, 1: 1, 2: 1}
    assert len(draw_images(images, at_most=1, seed=0)) == 1
    assert draw_images(images, at_most=100, seed=0) == tuple(images)


def test_choosing_looks_at_no_more_images_than_it_may(red_model: Model, labelled: MakeImage) -> None:
    seen = []

    def watched(image: Labelled) -> Labelled:
        def read() -> NDArray[np.uint8]:
            seen.append(image.image_id)
            return image.read()

        return Labelled(image.image_id, read, image.rles)

    images = [watched(blob(labelled, f"{k}")) for k in range(10)]
    choose_decision(red_model(), images, config=ThresholdConfig(max_images=4))
    assert len(seen) == 4


def test_ties_go_to_the_place_nearest_to_their_middle() -> None:
    assert middle_of_best(np.array([0.1, 0.9, 0.9, 0.9, 0.2])) == (2,)
    assert middle_of_best(np.array([np.nan, 0.3, np.nan])) == (1,)
    grid = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0.0]])
    assert middle_of_best(grid) == (1, 1)
    allowed = np.array([[True, True, True], [True, False, True], [True, True, True]])
    assert middle_of_best(grid, allowed=allowed) in {(0, 1), (1, 0)}
