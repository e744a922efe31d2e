"""Reliability bins and the calibration error, by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shipseg.evaluation.calibration import PixelReliability, ReliabilityBin, calibration_error, ship_reliability
from shipseg.evaluation.evaluate import GivesProbability, evaluate
from shipseg.evaluation.labelled import Labelled

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


def test_a_perfectly_calibrated_field_has_nearly_no_error_and_a_bold_one_has() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((400, 400)).astype(np.float32)
    truth = rng.random((400, 400)) < probability
    honest, bold = PixelReliability(), PixelReliability()
    honest.add(probability, truth)
    bold.add((probability > 0.5).astype(np.float32), truth)
    assert (calibration_error(honest.bins()) or 1) < 0.01
    assert calibration_error(bold.bins()) == pytest.approx(0.25, abs=0.01)  # 0.75 are right on either side
    assert calibration_error([]) is None
