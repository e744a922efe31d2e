"""Curves against the threshold agree with the scores at the threshold itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shipseg.evaluation.evaluate import GivesProbability, evaluate
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.sweep import SWEEP_SCORES

Model = Callable[..., GivesProbability]


@pytest.mark.parametrize("threshold", [0.5, 0.85])
def test_curves_pass_through_the_scores_of_each_threshold(
    red_model: Model, four_images: list[Labelled], threshold: float
) -> None:
    everywhere = evaluate(red_model(), four_images)
    there = evaluate(red_model(threshold=threshold), four_images).metrics
    for curve, names in (
        (everywhere.pixel_curves["all"], ("pooled_dice", "pooled_iou")),
        (everywhere.ship_curves["all"], SWEEP_SCORES[:6]),
        (everywhere.ship_curves["all"], ("pooled_dice", "pooled_iou")),
    ):
        place = int(np.abs(curve["threshold"] - threshold).argmin())
        for name in names:
            assert curve[name][place] == pytest.approx(there[name]), name


def test_pixel_curves_are_split_by_the_number_of_ships(red_model: Model, four_images: list[Labelled]) -> None:
    curves = evaluate(red_model(), four_images).pixel_curves
    assert list(curves) == ["all", "none", "single", "multiple"]
    at_half = int(np.abs(curves["all"]["threshold"] - 0.5).argmin())
    assert curves["single"]["pooled_dice"][at_half] == pytest.approx(16 / 18)
    assert curves["multiple"]["pooled_dice"][at_half] == pytest.approx(24 / 29)
    for name in ("all", "none"):
        assert curves[name]["left_empty"][0] == 0.0  # every probability is at least 0
        assert curves[name]["left_empty"][-1] == 0.5  # b has a probability of 1
    assert np.isnan(curves["single"]["left_empty"]).all()
    assert list(evaluate(red_model(), four_images[:2]).pixel_curves) == ["all", "none"]


def test_ship_curves_are_split_by_the_number_of_ships(red_model: Model, four_images: list[Labelled]) -> None:
    curves = evaluate(red_model(), four_images).ship_curves
    assert list(curves) == ["all", "none", "single", "multiple"]
    at_half = int(np.abs(curves["all"]["threshold"] - 0.5).argmin())
    # b has a false alarm; c's ship is found; of d's two one is found, and one more is predicted, in 0.01 km2 a pixel.
    assert curves["none"]["false_alarm_images"][at_half] == 0.5
    assert np.isnan(curves["none"]["ship_recall"]).all()
    assert curves["single"]["ship_recall"][at_half] == 1.0
    assert curves["multiple"]["ship_precision"][at_half] == 0.5
    assert curves["multiple"]["false_alarms_per_1000km2"][at_half] == pytest.approx(1000)
    assert np.isnan(curves["single"]["false_alarm_images"]).all()


def test_the_threshold_in_use_is_on_the_curve_wherever_it_lies(red_model: Model, four_images: list[Labelled]) -> None:
    assert 0.0004 in evaluate(red_model(threshold=0.0004), four_images).ship_curves["all"]["threshold"]


def test_ship_curves_keep_the_smallest_peak_of_the_decision(
    red_model: Model, labelled: Callable[..., Labelled]
) -> None:
    images = [labelled("alarm", seen={(0, 0, 2, 2): 200})]
    assert evaluate(red_model(), images).ship_curves["all"]["airbus_score"][0] == 0.0
    assert evaluate(red_model(min_peak=0.93), images).ship_curves["all"]["airbus_score"][0] == 1.0


def test_hindsight_is_never_worse_than_the_score(red_model: Model, four_images: list[Labelled]) -> None:
    metrics = evaluate(red_model(), four_images).metrics
    # At 0.85 and above c's ship is lost, which costs 0.6; nothing else changes: the best is the score itself.
    assert metrics["best_in_hindsight"]["airbus_score"] == pytest.approx(metrics["airbus_score"])
    assert metrics["best_in_hindsight"]["threshold"] <= 0.8
