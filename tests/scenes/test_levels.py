"""Probability in steps of 1e-4."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipseg.errors import ConfigError, ModelError
from shipseg.masks.components import ship_pixels
from shipseg.scenes.levels import FLOOR, LEVELS, NO_DATA, from_levels, lowest_level, to_levels

EVERY = np.arange(LEVELS + 1, dtype=np.uint16)[None]


def test_every_level_is_the_float32_nearest_to_its_decimal_and_comes_back() -> None:
    np.testing.assert_array_equal(from_levels(EVERY)[0], [np.float32(level / 10_000) for level in range(LEVELS + 1)])
    kept = EVERY[:, FLOOR:]
    np.testing.assert_array_equal(to_levels(from_levels(kept)), kept)


def test_open_sea_is_0_and_no_data_is_told_apart() -> None:
    prob_hw = np.array([[0.0, 0.00494, 0.005, np.nan]], np.float32)
    levels_hw = to_levels(prob_hw, np.array([[True, True, True, False]]))
    assert levels_hw.tolist() == [[0, 0, 50, NO_DATA]]
    assert from_levels(levels_hw).tolist() == [[0, 0, np.float32(0.005), 0]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.001])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ModelError, match="no numbers from 0 to 1"):
        to_levels(np.array([[0.5, wrong]], np.float32))


@given(st.one_of(st.integers(1, 10_000).map(lambda level: level / 10_000), st.floats(1e-6, 1)))
def test_a_threshold_in_levels_marks_what_it_marks_in_probability(threshold: float) -> None:
    np.testing.assert_array_equal(
        lowest_level(threshold) <= EVERY, ship_pixels(from_levels(EVERY), threshold=threshold)
    )


def test_a_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1, got 0"):
        lowest_level(0)
