"""Calibrations find the distortion that was put in, and are judged by pixels that they have not seen."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from shipseg.evaluation.calibration import calibration_error
from shipseg.evaluation.fine import FineHistogram
from shipseg.evaluation.fitting import (
    cross_fitted,
    fit_calibration,
    fit_isotonic,
    fit_temperature,
    judged_bins,
)
from shipseg.model.calibration import MAX_KNOTS


def pixels_of(seed: int, *, temperature: float, size: int = 400) -> FineHistogram:
    """Return sea and ship pixels whose logits should be divided by `temperature` to be true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-5, 2, (size, size))
    logits[: size // 5] += 6
    true_hw = rng.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))
    histogram = FineHistogram()
    histogram.add((1 / (1 + np.exp(-logits))).astype(np.float32), true_hw)
    return histogram


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(pixels_of(0, temperature=temperature)).temperature == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_errors_fall_on_pixels_that_played_no_part(method: str) -> None:
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


def test_a_half_is_judged_by_what_was_fitted_on_the_other() -> None:
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
    histogram = FineHistogram()
    histogram.add(probability_hw, rng.random((500, 500)) < probability_hw**3)
    made = fit_isotonic(histogram)
    assert 5 < len(made.knots) <= MAX_KNOTS
    x = np.linspace(0.05, 0.95, 19).astype(np.float32)
    np.testing.assert_allclose(made.apply(x), x**3, atol=0.02)


def test_so_many_pixels_without_a_ship_do_not_prove_that_there_is_none() -> None:
    probability_hw = np.repeat(np.array([[0.001], [0.999]], np.float32), 100, axis=1)
    true_hw = np.array([[False], [True]]).repeat(100, axis=1)
    histogram = FineHistogram()
    histogram.add(probability_hw, true_hw)
    calibrated = fit_isotonic(histogram).apply(np.array([0.001, 0.999], np.float32))
    assert calibrated.tolist() == pytest.approx([0.5 / 101, 1 - 0.5 / 101], rel=1e-4)


def test_without_ship_pixels_nothing_is_calibrated(caplog: pytest.LogCaptureFixture) -> None:
    sea, some = FineHistogram(), pixels_of(7, temperature=1.0, size=50)
    sea.add(np.full((5, 5), 0.1, np.float32), np.zeros((5, 5), bool))
    with caplog.at_level(logging.WARNING):
        assert fit_calibration("isotonic", (sea, sea)) is None
    assert "nothing can be calibrated" in caplog.text
    # With ships in one half there is a calibration, and nothing to judge it by.
    made = fit_calibration("temperature", (sea, some))
    assert made is not None
    assert made.errors is None
