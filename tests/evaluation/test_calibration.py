"""Reliability bins and the calibration error, against values worked out by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from shipseg.evaluation.calibration import (
    PixelReliability,
    ReliabilityBin,
    calibration_error,
    cross_fitted,
    fit_calibration,
    fit_isotonic,
    fit_temperature,
    judged_bins,
    ship_reliability,
)
from shipseg.evaluation.evaluate import GivesProbability, evaluate
from shipseg.evaluation.labelled import Labelled
from shipseg.masks.pixels import ProbabilityHistogram
from shipseg.model.calibration import MAX_KNOTS

SEEN = float(np.float32(204) / np.float32(255))  # 0.8 as float32
"""What the ship of image c is given."""


def test_bins_of_the_four_images(red_model: Callable[..., GivesProbability], four_images: list[Labelled]) -> None:
    # 375 pixels at 0, 6 of them ship (2 of c, 4 of d); 8 at 0.8, all ship; 17 at 1, 12 of them ship.
    evaluation = evaluate(red_model(), four_images)
    assert evaluation.pixel_reliability == (
        ReliabilityBin(0.0, 0.01, 375, 0.0, 6 / 375),
        ReliabilityBin(0.8, 0.9, 8, SEEN, 1.0),
        ReliabilityBin(0.99, 1.0, 17, 1.0, 12 / 17),
    )
    assert evaluation.metrics["calibration_error"] == pytest.approx((6 + 8 * 0.2 + 5) / 400)
    assert evaluation.metrics["calibration_error_where_likely"] == pytest.approx((8 * 0.2 + 5) / 25)


def test_ships_are_binned_by_confidence(
    red_model: Callable[..., GivesProbability], four_images: list[Labelled]
) -> None:
    # c predicts one ship at 0.8, right; b and d predict three at 1, one of them right.
    assert evaluate(red_model(), four_images).ship_reliability == (
        ReliabilityBin(0.8, 0.9, 1, SEEN, 1.0),
        ReliabilityBin(0.95, 1.0, 3, 1.0, 1 / 3),
    )
    assert ship_reliability([]) == ()


def test_every_pixel_falls_into_one_bin_and_edges_belong_to_the_bin_above() -> None:
    probability = np.array([[0, 0.005, 0.01, 0.1, 0.5, 0.95, 0.99, 1.0]], np.float32)
    reliability = PixelReliability()
    reliability.add(probability, np.zeros((1, 8), bool))
    assert [(each.low, each.count) for each in reliability.bins()] == [
        (0.0, 2),
        (0.01, 1),
        (0.1, 1),
        (0.5, 1),
        (0.95, 1),
        (0.99, 2),
    ]


def test_calibrated_probabilities_have_nearly_no_error_and_overconfident_ones_have() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((400, 400)).astype(np.float32)
    truth = rng.random((400, 400)) < probability
    honest, bold = PixelReliability(), PixelReliability()
    honest.add(probability, truth)
    bold.add((probability > 0.5).astype(np.float32), truth)
    assert (calibration_error(honest.bins()) or 1) < 0.01
    assert calibration_error(bold.bins()) == pytest.approx(0.25, abs=0.01)  # 0.75 are right on either side
    assert calibration_error([]) is None


def pixels_of(seed: int, *, temperature: float, size: int = 400) -> ProbabilityHistogram:
    """Return sea and ship pixels whose logits divided by `temperature` are calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-5, 2, (size, size))
    logits[: size // 5] += 6
    true_hw = rng.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))
    histogram = ProbabilityHistogram("fine")
    histogram.add((1 / (1 + np.exp(-logits))).astype(np.float32), true_hw)
    return histogram


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(pixels_of(0, temperature=temperature)).temperature == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_errors_fall_on_held_out_pixels(method: str) -> None:
    halves = (pixels_of(1, temperature=2.5), pixels_of(2, temperature=2.5))
    made = fit_calibration(method, halves)  # type: ignore[arg-type]
    assert made is not None
    assert made.errors is not None
    new = pixels_of(3, temperature=2.5)
    before, after = (calibration_error(judged_bins([(new, each)])) or 0 for each in (None, made))
    assert before > 0.02
    assert after < 0.003
    # What the card says of it is what an unseen image shows.
    assert made.errors.before == pytest.approx(before, rel=0.05)
    assert made.errors.after == pytest.approx(after, abs=0.002)


def test_each_half_has_the_calibration_fitted_on_the_other() -> None:
    # One half lies one way, the other half the other way: by its own half each would look true.
    halves = (pixels_of(4, temperature=0.4), pixels_of(5, temperature=3.0))
    crossed = cross_fitted("temperature", halves)
    assert [calibration.temperature for _, calibration in crossed if calibration] == pytest.approx([3.0, 0.4], rel=0.05)
    made = fit_calibration("temperature", halves)
    assert made is not None
    assert made.errors is not None
    assert made.errors.after > made.errors.before


def test_isotonic_follows_any_rising_truth_with_few_knots() -> None:
    rng = np.random.default_rng(6)
    probability_hw = rng.random((500, 500)).astype(np.float32)
    histogram = ProbabilityHistogram("fine")
    histogram.add(probability_hw, rng.random((500, 500)) < probability_hw**3)
    made = fit_isotonic(histogram)
    assert 5 < len(made.knots) <= MAX_KNOTS
    x = np.linspace(0.05, 0.95, 19).astype(np.float32)
    np.testing.assert_allclose(made.apply(x), x**3, atol=0.02)


def test_a_bin_without_ship_pixels_is_not_calibrated_to_zero() -> None:
    probability_hw = np.repeat(np.array([[0.001], [0.999]], np.float32), 100, axis=1)
    true_hw = np.array([[False], [True]]).repeat(100, axis=1)
    histogram = ProbabilityHistogram("fine")
    histogram.add(probability_hw, true_hw)
    calibrated = fit_isotonic(histogram).apply(np.array([0.001, 0.999], np.float32))
    assert calibrated.tolist() == pytest.approx([0.5 / 101, 1 - 0.5 / 101], rel=1e-4)


def test_without_ship_pixels_nothing_is_calibrated(caplog: pytest.LogCaptureFixture) -> None:
    sea, some = ProbabilityHistogram("fine"), pixels_of(7, temperature=1.0, size=50)
    sea.add(np.full((5, 5), 0.1, np.float32), np.zeros((5, 5), bool))
    with caplog.at_level(logging.WARNING):
        assert fit_calibration("isotonic", (sea, sea)) is None
    assert "no calibration can be fitted" in caplog.text
    # With ships in one half there is a calibration, and nothing to judge it by.
    made = fit_calibration("temperature", (sea, some))
    assert made is not None
    assert made.errors is None
