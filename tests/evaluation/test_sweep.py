"""A sweep agrees with finding, matching and scoring ships at one threshold at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.evaluation.evaluate import GivesProbability, evaluate
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.scores import union_mask
from shipseg.evaluation.sweep import SWEEP_SCORES, DecisionSweep
from shipseg.masks.metrics import airbus_score_from_iou, match_at, ship_iou_matrix
from shipseg.masks.ships import find_ships, ship_from_mask

PEAKS = (0.0, 0.5, 0.95)


def random_image(seed: int) -> tuple[NDArray[np.float32], list[NDArray[np.bool_]]]:
    """Return smoothed probabilities in steps of 0.05 and up to three true ships near the predicted ones."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 21, (6, 6)) * rng.integers(0, 2, (6, 6))
    probability_hw = (np.kron(coarse, np.ones((3, 3))) / 20).astype(np.float32)
    masks = []
    for _ in range(int(rng.integers(0, 4))):
        row, col = rng.integers(0, 14, 2)
        mask_hw = np.zeros(probability_hw.shape, bool)
        mask_hw[row : row + int(rng.integers(1, 7)), col : col + int(rng.integers(1, 7))] = True
        masks.append(mask_hw)
    return probability_hw, masks


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 10))
def test_every_pair_of_threshold_and_peak_agrees_with_scoring_one_at_a_time(seed: int, min_area_px: int) -> None:
    probability_hw, masks = random_image(seed)
    truth = [ship_from_mask(mask_hw) for mask_hw in masks]
    sweep = DecisionSweep(peaks=PEAKS, min_area_px=min_area_px)
    sweep.add(probability_hw, truth)
    for row, threshold in enumerate(sweep.thresholds):
        for col, min_peak in enumerate(PEAKS):
            ships = find_ships(probability_hw, threshold=threshold, min_peak=min_peak, min_area_px=min_area_px)
            iou_tp = ship_iou_matrix(truth, ships)
            hits, _, _ = match_at(iou_tp, 0.5)
            assert sweep.score("airbus_score")[row, col] == pytest.approx(airbus_score_from_iou(iou_tp), abs=1e-12)
            expected_f1 = 2 * hits / (len(ships) + len(truth)) if ships or truth else np.nan
            assert sweep.score("ship_f1")[row, col] == pytest.approx(expected_f1, nan_ok=True)
            expected_precision = hits / len(ships) if ships else np.nan
            assert sweep.score("ship_precision")[row, col] == pytest.approx(expected_precision, nan_ok=True)
            alarms = sum(not (iou_tp[:, place] > 0).any() for place in range(len(ships)))
            km2 = probability_hw.size * 1.5**2 / 1e6
            assert sweep.score("false_alarms_per_1000km2")[row, col] == pytest.approx(1000 * alarms / km2)
            expected_alarmed = np.nan if truth else float(bool(ships))
            assert sweep.score("false_alarm_images")[row, col] == pytest.approx(expected_alarmed, nan_ok=True)
            predicted_hw = union_mask(ships, (18, 18))
            both = 2 * np.count_nonzero(predicted_hw & union_mask(truth, (18, 18)))
            total = np.count_nonzero(predicted_hw) + np.count_nonzero(union_mask(truth, (18, 18)))
            assert sweep.score("pooled_dice")[row, col] == pytest.approx(both / total if total else 1.0)


def tilted_ships(seed: int) -> tuple[NDArray[np.float32], list[NDArray[np.bool_]]]:
    """Return the probability of one to four ships with pointed bows, 120 x 120 px, and their labels: rectangles."""
    rng = np.random.default_rng(seed)
    probability_hw, masks = np.zeros((120, 120), np.float32), []
    for _ in range(int(rng.integers(1, 5))):
        long, wide = rng.uniform(25, 60), rng.uniform(8, 14)
        half, side, turn = long / 2, wide / 2, rng.uniform(0, math.pi)
        hull = [(-half, -side), (half - wide, -side), (half, 0), (half - wide, side), (-half, side)]
        label = [(-half, -side), (half, -side), (half, side), (-half, side)]
        to_image = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        drawn = []
        center = rng.uniform(15, 105, 2)
        for points in (hull, label):
            mask_hw = np.zeros((120, 120), np.uint8)
            cv2.fillPoly(mask_hw, [np.rint(np.array(points) @ to_image + center).astype(np.int32)], 1)
            drawn.append(mask_hw)
        blurred = cv2.GaussianBlur(drawn[0].astype(np.float32), (0, 0), 1.5)
        probability_hw = np.maximum(probability_hw, blurred * np.float32(rng.uniform(0.5, 1.0)))
        masks.append(drawn[1] > 0)
    return np.clip(probability_hw, 0, 1), masks


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 300]))
def test_a_sweep_of_rectangles_agrees_with_scoring_one_at_a_time(seed: int, min_area_px: int) -> None:
    probability_hw, masks = tilted_ships(seed)
    truth = [ship_from_mask(mask_hw) for mask_hw in masks]
    sweep = DecisionSweep(thresholds=(0.2, 0.5, 0.7), peaks=PEAKS, min_area_px=min_area_px, rectangles=True)
    sweep.add(probability_hw, truth)
    true_hw = union_mask(truth, (120, 120))
    for row, threshold in enumerate(sweep.thresholds):
        for col, min_peak in enumerate(PEAKS):
            find = functools.partial(find_ships, probability_hw, threshold=float(threshold), min_peak=min_peak)
            ships = find(min_area_px=min_area_px, rectangles=True)
            iou_tp = ship_iou_matrix(truth, ships)
            assert sweep.score("airbus_score")[row, col] == pytest.approx(airbus_score_from_iou(iou_tp), abs=1e-12)
            predicted_hw = union_mask(ships, (120, 120))
            both, total = 2 * (predicted_hw & true_hw).sum(), predicted_hw.sum() + true_hw.sum()
            assert sweep.score("pooled_dice")[row, col] == pytest.approx(both / total)


def test_images_add_up() -> None:
    together = DecisionSweep(peaks=PEAKS)
    apart = []
    for seed in range(6):
        probability_hw, masks = random_image(seed)
        truth = [ship_from_mask(mask_hw) for mask_hw in masks]
        single = DecisionSweep(peaks=PEAKS)
        single.add(probability_hw, truth)
        together.add(probability_hw, truth)
        apart.append(single)
    added = sum(apart[1:], apart[0])
    assert added.totals == pytest.approx(together.totals)
    for name in SWEEP_SCORES:
        np.testing.assert_allclose(together.score(name), added.score(name))
    np.testing.assert_allclose(
        together.score("airbus_score"), np.mean([single.score("airbus_score") for single in apart], axis=0)
    )


def test_a_sweep_at_one_point_has_the_sums_of_that_point() -> None:
    sweep = DecisionSweep(peaks=PEAKS)
    probability_hw, masks = random_image(3)
    sweep.add(probability_hw, [ship_from_mask(mask_hw) for mask_hw in masks])
    one = sweep.at(4, 1)
    assert (one.thresholds.tolist(), one.peaks.tolist()) == ([0.25], [0.5])
    for name in SWEEP_SCORES:
        assert one.score(name)[0, 0] == pytest.approx(sweep.score(name)[4, 1], nan_ok=True)


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


def test_the_threshold_of_the_decision_is_on_the_curve(red_model: Model, four_images: list[Labelled]) -> None:
    assert 0.0004 in evaluate(red_model(threshold=0.0004), four_images).ship_curves["all"]["threshold"]


def test_ship_curves_use_the_peak_threshold_of_the_decision(
    red_model: Model, labelled: Callable[..., Labelled]
) -> None:
    images = [labelled("alarm", seen={(0, 0, 2, 2): 200})]
    assert evaluate(red_model(), images).ship_curves["all"]["airbus_score"][0] == 0.0
    assert evaluate(red_model(min_peak=0.93), images).ship_curves["all"]["airbus_score"][0] == 1.0


def test_the_best_score_in_hindsight_is_at_least_the_score(red_model: Model, four_images: list[Labelled]) -> None:
    metrics = evaluate(red_model(), four_images).metrics
    # At 0.85 and above c's ship is lost, which costs 0.6; nothing else changes: the best is the score itself.
    assert metrics["best_in_hindsight"]["airbus_score"] == pytest.approx(metrics["airbus_score"])
    assert metrics["best_in_hindsight"]["threshold"] <= 0.8
