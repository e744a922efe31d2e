"""Every score of an evaluation, against values worked out by hand.

The four images (10 x 10 pixels of 100 m, 1 km2 each, threshold 0.5):
a no ship, nothing predicted;  b no ship, 4 pixels predicted;
c one ship of 10 px, 8 of them predicted (IoU 8/10, Dice 16/18), each with probability 0.8;
d two ships: 12 px predicted exactly, 4 px missed; and 1 pixel predicted elsewhere (Dice 24/29).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.errors import ConfigError, DataError, ImageError
from shipseg.evaluation.evaluate import EvaluateOptions, GivesProbability, decision_of, evaluate
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.model.card import Card

Model = Callable[..., GivesProbability]
MakeImage = Callable[..., Labelled]


@pytest.fixture
def metrics(red_model: Model, four_images: list[Labelled]) -> dict[str, Any]:
    return dict(evaluate(red_model(), four_images).metrics)


def test_counts_are_those_of_the_scored_images(metrics: dict[str, Any]) -> None:
    assert metrics["num_images"] == 4
    assert metrics["num_images_with_ships"] == 2
    assert metrics["num_images_by_group"] == {"none": 2, "single": 1, "multiple": 1}
    assert metrics["num_ships"] == 3
    assert metrics["num_predicted"] == 4
    assert metrics["num_failed"] == 0
    assert metrics["threshold"] == 0.5


def test_airbus_score_is_the_mean_over_images_of_f2_over_ious(metrics: dict[str, Any]) -> None:
    # a: 1. b: 0. c: IoU 0.8 exceeds 0.50 ... 0.75, six of ten: 0.6. d: TP 1, FP 1, FN 1 always: 5 / (5 + 4 + 1).
    assert metrics["airbus_score"] == pytest.approx((1 + 0 + 0.6 + 0.5) / 4)
    assert metrics["airbus_score_of_predicting_nothing"] == 0.5
    assert metrics["airbus_score_above_nothing"] == pytest.approx(0.025)


def test_pooled_scores_are_over_the_pixels_of_all_images(metrics: dict[str, Any]) -> None:
    # overlap 8 + 12, predicted 4 + 8 + 13, true 10 + 16
    assert metrics["pooled_dice"] == pytest.approx(2 * 20 / (25 + 26))
    assert metrics["pooled_iou"] == pytest.approx(20 / (25 + 26 - 20))
    assert metrics["pooled_dice_ship_images"] == pytest.approx(2 * 20 / (21 + 26))


def test_image_dice_is_the_mean_over_ship_images(metrics: dict[str, Any]) -> None:
    assert metrics["image_dice"] == pytest.approx((16 / 18 + 24 / 29) / 2)
    assert metrics["dice_by_group"] == {
        "none": 0.5,
        "single": pytest.approx(16 / 18),
        "multiple": pytest.approx(24 / 29),
    }


def test_seed_dice_is_soft_and_pools_the_batch_with_smooth_1(metrics: dict[str, Any]) -> None:
    # probabilities: c 8 x 0.8, all on the ship; d 12 on the ship, 1 elsewhere; true pixels 10 + 16
    assert metrics["seed_dice"] == pytest.approx((2 * (6.4 + 12) + 1) / (6.4 + 13 + 26 + 1), rel=1e-6)


def test_ship_scores_match_one_to_one_above_iou_half(metrics: dict[str, Any]) -> None:
    assert metrics["ship_precision"] == 2 / 4
    assert metrics["ship_recall"] == pytest.approx(2 / 3)
    assert metrics["ship_f1"] == pytest.approx(2 * 2 / (4 + 3))


@pytest.mark.parametrize(("seen_px", "matched"), [(5, 0.0), (6, 1.0)])
def test_an_iou_of_exactly_one_half_is_no_match(
    red_model: Model, labelled: MakeImage, seen_px: int, matched: float
) -> None:
    image = labelled("half", truth=[(0, 0, 1, 10)], seen={(0, 0, 1, seen_px): 255})
    evaluation = evaluate(red_model(), [image])
    assert evaluation.metrics["ship_recall"] == evaluation.metrics["ship_precision"] == matched
    assert [ship.matched for ship in evaluation.ships] == [bool(matched)] * 2
    assert set(evaluation.ship_curves["all"]["ship_recall"]) == {matched}


def test_false_alarms_touch_no_ship_and_are_counted_per_area(metrics: dict[str, Any]) -> None:
    assert metrics["false_alarm_images"] == 0.5
    assert metrics["false_alarms_per_1000km2"] == pytest.approx(1000 * 2 / 4)  # b and d, on 4 km2


def test_recall_and_precision_are_split_by_the_ships_own_size(red_model: Model, labelled: MakeImage) -> None:
    shape = (80, 80)
    image = labelled(
        "sizes",
        truth=[(0, 0, 9, 11), (20, 0, 30, 10), (40, 0, 65, 40), (0, 60, 5, 65)],  # 99, 100, 1000 and 25 px
        seen={(0, 0, 9, 11): 255, (40, 0, 65, 40): 255, (70, 70, 80, 80): 255},
        shape=shape,
    )
    metrics = evaluate(red_model(), [image]).metrics
    assert metrics["num_ships_by_size"] == {"<100": 2, "100-1000": 1, ">=1000": 1}
    assert metrics["recall_by_size"] == {"<100": 0.5, "100-1000": 0.0, ">=1000": 1.0}
    assert metrics["precision_by_size"] == {"<100": 1.0, "100-1000": 0.0, ">=1000": 1.0}


def test_a_set_without_ships_has_no_ship_scores_and_dice_of_nothing_is_one(
    red_model: Model, labelled: MakeImage
) -> None:
    metrics = evaluate(red_model(), [labelled("a"), labelled("b")]).metrics
    assert metrics["airbus_score"] == metrics["pooled_dice"] == metrics["pooled_iou"] == 1.0
    assert metrics["false_alarm_images"] == metrics["false_alarms_per_1000km2"] == 0.0
    assert metrics["dice_by_group"] == {"none": 1.0, "single": None, "multiple": None}
    for name in ("image_dice", "seed_dice", "ship_recall", "ship_precision", "ship_f1", "pooled_dice_ship_images"):
        assert metrics[name] is None, name


def test_a_set_without_empty_images_has_no_false_alarm_share(red_model: Model, labelled: MakeImage) -> None:
    metrics = evaluate(red_model(), [labelled("a", truth=[(0, 0, 3, 3)])]).metrics
    assert metrics["false_alarm_images"] is None
    assert metrics["airbus_score"] == metrics["airbus_score_of_predicting_nothing"] == 0.0
    assert metrics["ship_recall"] == metrics["ship_f1"] == 0.0
    assert metrics["ship_precision"] is None
    assert metrics["intervals"]["ship_recall"] is None  # one image: nothing to draw from


def test_peak_threshold_and_minimum_area_of_the_card_apply(red_model: Model, labelled: MakeImage) -> None:
    image = labelled("a", seen={(0, 0, 3, 3): 180, (5, 5, 6, 7): 255})
    counts = [
        evaluate(red_model(**rules), [image]).metrics["num_predicted"]
        for rules in ({}, {"min_peak": 0.9}, {"min_area_px": 3}, {"min_peak": 0.9, "min_area_px": 3})
    ]
    assert counts == [2, 1, 1, 0]


def test_options_replace_single_values_of_the_cards_decision_rule() -> None:
    card = Card(decision=Decision(threshold=0.3, min_peak=0.7, metric="airbus_score"))
    assert decision_of(card, EvaluateOptions()) == card.decision
    assert decision_of(card, EvaluateOptions(threshold=0.4)) == Decision(threshold=0.4, min_peak=0.7)
    assert decision_of(card, EvaluateOptions(min_peak=0.0)).min_peak == 0.0


def test_an_unreadable_image_and_a_malformed_mask_are_listed_and_left_out(
    red_model: Model, four_images: list[Labelled], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NDArray[np.uint8]:
        raise ImageError("broken.jpg ends too early: fetch it again", reason="truncated")

    outside = Labelled("outside", four_images[0].read, ("99 5",))
    evaluation = evaluate(red_model(), [Labelled("broken", fail, ()), *four_images, outside])
    assert [(image.image_id, image.reason) for image in evaluation.failed] == [
        ("broken", "truncated"),
        ("outside", "labels"),
    ]
    assert evaluation.metrics["num_images"] == 4
    assert evaluation.metrics["num_failed"] == 2
    assert evaluation.metrics["airbus_score"] == pytest.approx(2.1 / 4)
    assert "ends too early" in caplog.text


def test_no_image_that_can_be_scored_is_an_error(red_model: Model) -> None:
    with pytest.raises(DataError, match="there are no images to score in nothing"):
        evaluate(red_model(), Source("nothing", ()))
    with pytest.raises(DataError, match=r"none of the 1 images .* the first: .*not lie inside"):
        evaluate(red_model(), [Labelled("x", lambda: np.zeros((2, 2, 3), np.uint8), ("4 2",))])


def test_the_sums_do_not_depend_on_the_order_of_the_images(red_model: Model, four_images: list[Labelled]) -> None:
    forwards = evaluate(red_model(), four_images).metrics
    backwards = evaluate(red_model(), four_images[::-1]).metrics
    assert forwards["airbus_score"] == pytest.approx(backwards["airbus_score"])
    assert forwards["pooled_dice"] == backwards["pooled_dice"]


def test_the_summary_shows_scores_with_intervals_and_leaves_out_what_is_undefined(
    red_model: Model, four_images: list[Labelled]
) -> None:
    evaluation = evaluate(red_model(), four_images)
    low, high = evaluation.metrics["intervals"]["airbus_score"]
    assert evaluation.summary["Airbus score"] == f"0.525 (90 % interval {low:.3f} to {high:.3f})"
    assert evaluation.summary["true ships"] == 3
    assert "ship recall" not in evaluate(red_model(), four_images[:2]).summary


def test_every_ship_has_a_row_that_says_whether_it_is_matched(red_model: Model, four_images: list[Labelled]) -> None:
    ships = evaluate(red_model(), four_images).ships
    facts_of_ships = [
        (ship.image_id[0], ship.kind, ship.area_px, ship.matched, round(ship.best_iou, 3)) for ship in ships
    ]
    assert facts_of_ships == [
        ("b", "predicted", 4, False, 0.0),
        ("c", "true", 10, True, 0.8),
        ("c", "predicted", 8, True, 0.8),
        ("d", "true", 12, True, 1.0),
        ("d", "true", 4, False, 0.0),
        ("d", "predicted", 12, True, 1.0),
        ("d", "predicted", 1, False, 0.0),
    ]


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"threshold": 1.5}, {"min_peak": -0.1}, {"seed": -1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        EvaluateOptions(**options)
