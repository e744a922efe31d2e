"""Curves against the threshold agree with the scores at the threshold itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shipseg.evaluation.evaluate import GivesProbability, evaluate
from shipseg.evaluation.sources import Labelled

Model = Callable[..., GivesProbability]


@pytest.mark.parametrize("threshold", [0.5, 0.85])
def test_curves_pass_through_the_scores_of_each_threshold(
    red_model: Model, four_images: list[Labelled], threshold: float
) -> None:
    everywhere = evaluate(red_model(), four_images)
    there = evaluate(red_model(threshold=threshold), four_images).metrics
    for curve, names in (
        (everywhere.pixel_curve, ("pooled_dice", "pooled_iou")),
        (everywhere.ship_curve, ("airbus_score", "ship_precision", "ship_recall", "ship_f1")),
    ):
        place = int(np.abs(curve["threshold"] - threshold).argmin())
        for name in names:
            assert curve[name][place] == pytest.approx(there[name]), name


def test_pixel_curves_are_split_by_the_number_of_ships(red_model: Model, four_images: list[Labelled]) -> None:
    curve = evaluate(red_model(), four_images).pixel_curve
    at_half = int(np.abs(curve["threshold"] - 0.5).argmin())
    assert curve["pooled_dice_single"][at_half] == pytest.approx(16 / 18)
    assert curve["pooled_dice_multiple"][at_half] == pytest.approx(24 / 29)
    assert curve["empty_images_left_empty"][0] == 0.0  # every probability is at least 0
    assert curve["empty_images_left_empty"][-1] == 0.5  # b has a probability of 1
    only_empty = evaluate(red_model(), four_images[:2]).pixel_curve
    assert "pooled_dice_single" not in only_empty


def test_ship_curves_keep_the_smallest_peak_of_the_decision(
    red_model: Model, labelled: Callable[..., Labelled]
) -> None:
    images = [labelled("alarm", seen={(0, 0, 2, 2): 200})]
    assert evaluate(red_model(), images).ship_curve["airbus_score"][0] == 0.0
    assert evaluate(red_model(min_peak=0.93), images).ship_curve["airbus_score"][0] == 1.0


def test_hindsight_is_never_worse_than_the_score(red_model: Model, four_images: list[Labelled]) -> None:
    metrics = evaluate(red_model(), four_images).metrics
    # At 0.85 and above c's ship is lost, which costs 0.6; nothing else changes: the best is the score itself.
    assert metrics["best_in_hindsight"]["airbus_score"] == pytest.approx(metrics["airbus_score"])
    assert metrics["best_in_hindsight"]["threshold"] <= 0.8
