"""The fine histogram counts every pixel once, at its place, on all scales."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipseg.masks.pixels import PixelCounts, ProbabilityHistogram, _fine_bins, _fine_edges


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_scores_at_a_threshold_are_those_of_the_pixels_that_reach_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.unique(
        np.concatenate([rng.random(4), 10.0 ** -rng.uniform(0, 5, 4), 1 - 10.0 ** -rng.uniform(0, 5, 4)])
    )
    probability_hw = rng.choice(levels, (20, 20)).astype(np.float32)
    true_hw = rng.random((20, 20)) < 0.3
    histogram = ProbabilityHistogram("fine")
    histogram.add(probability_hw[:7], true_hw[:7])
    other = ProbabilityHistogram("fine")
    other.add(probability_hw[7:], true_hw[7:])
    thresholds = levels.astype(np.float32).astype(np.float64)
    curve = (histogram + other).scores_at(thresholds)
    for place, threshold in enumerate(thresholds):
        ship_hw = probability_hw >= np.float32(threshold)
        hit, predicted, true = (int(each.sum()) for each in (true_hw & ship_hw, ship_hw, true_hw))
        counts = PixelCounts(hit, predicted - hit, true - hit)
        assert curve["dice"][place] == pytest.approx(counts.dice)
        assert curve["iou"][place] == pytest.approx(counts.iou)
        assert curve["recall"][place] == pytest.approx(counts.recall)


def test_the_bin_of_a_probability_is_the_last_whose_lower_edge_it_reaches() -> None:
    edges = _fine_edges().astype(np.float32)
    assert np.array_equal(edges, _fine_edges())
    values = np.concatenate([edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(1))])
    assert np.array_equal(_fine_bins(values), np.searchsorted(edges, values, side="right") - 1)


def test_bins_are_narrow_at_both_ends() -> None:
    values = np.array([[1e-5, 1.01e-5, 0.5, 0.5002, 1 - 1e-4, 1 - 1.01e-4, 0, 1]], np.float32)
    histogram = ProbabilityHistogram("fine")
    histogram.add(values, np.ones(values.shape, bool))
    middle, num, ships = histogram.occupied()
    assert num.tolist() == ships.tolist() == [1] * 8
    np.testing.assert_allclose(middle, np.sort(values[0]), atol=1e-4, rtol=3e-4)


def test_quantiles_are_those_of_the_ship_pixels() -> None:
    histogram = ProbabilityHistogram("fine")
    assert histogram.ship_quantiles([0.5]).tolist() == []
    probability_hw = np.array([[0.1, 0.2, 0.3, 0.4, 0.9, 0.9]], np.float32)
    histogram.add(probability_hw, np.array([[True, True, True, True, False, False]]))
    np.testing.assert_allclose(histogram.ship_quantiles([0.0, 0.3, 0.5]), [0.1, 0.2, 0.3], rtol=3e-4)
    # A threshold at a quantile keeps the pixels that lie on it.
    assert histogram.scores_at(histogram.ship_quantiles([0.5]))["recall"].tolist() == [0.5]


def test_scores_without_anything_to_count_are_nan_and_perfect_where_both_are_empty() -> None:
    histogram = ProbabilityHistogram("fine")
    histogram.add(np.array([[0.1, 0.2]], np.float32), np.array([[False, False]]))
    curve = histogram.scores_at(np.array([0.15, 0.5]))
    assert curve["dice"].tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(curve["precision"], [0.0, np.nan])
    assert np.isnan(curve["recall"]).all()
