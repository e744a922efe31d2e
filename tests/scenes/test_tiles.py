"""The tiles of a scene, and quantised probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipseg.errors import ConfigError, ModelError
from shipseg.masks.ships import ship_pixels
from shipseg.model.card import CardInput
from shipseg.scenes.tiles import (
    FLOOR,
    LEVELS,
    MAX_TILE_PX,
    NO_DATA,
    dequantise,
    plan_tiles,
    quantise,
    quantised_threshold,
)
from shipseg.tiling import windows

INPUT = CardInput(tile=1024, overlap=128)


def test_at_the_models_pixel_size_the_tiles_are_the_predictors() -> None:
    plan = plan_tiles((3000, 5000), INPUT, (1.5, 1.5))
    planned = [window for row in range(plan.num_rows) for window in plan.row(row)]
    assert planned == windows(3000, 5000, tile=1024, overlap=128)
    assert plan.network_shape == (1024, 1024)
    assert plan_tiles((3000, 5000), INPUT, None) == plan


def test_a_pixel_size_within_one_percent_of_the_models_is_not_resampled() -> None:
    assert plan_tiles((3000, 5000), INPUT, (1.4995, 1.5009)) == plan_tiles((3000, 5000), INPUT, (1.5, 1.5))


def test_smaller_pixels_give_larger_tiles_and_larger_pixels_smaller_ones() -> None:
    finer = plan_tiles((9000, 9000), INPUT, (0.5, 0.75))
    assert (finer.rows.tile, finer.columns.tile) == (3072, 2048)
    assert (finer.rows.overlap, finer.columns.overlap) == (384, 256)
    assert finer.network_shape == (1024, 1024)
    coarser = plan_tiles((9000, 9000), INPUT, (10, 10))
    assert (coarser.rows.tile, coarser.rows.overlap) == (154, 19)


def test_no_tile_is_larger_than_the_limit_for_memory() -> None:
    plan = plan_tiles((20_000, 20_000), INPUT, (0.1, 0.1))
    assert plan.rows.tile == 3840
    assert plan.rows.network_tile == 256
    assert plan.rows.tile <= MAX_TILE_PX


def test_a_scene_smaller_than_a_tile_is_one_tile_of_its_size() -> None:
    plan = plan_tiles((1, 700), INPUT.model_copy(update={"scale": 0.5}), (1.5, 1.5))
    assert (plan.num_tiles, plan.network_shape) == (1, (1, 350))
    assert (plan.weights() == 1).all()


@pytest.mark.parametrize(("metres", "word"), [(60.0, "large"), (0.01, "small")])
def test_pixel_sizes_out_of_the_models_range_are_refused(metres: float, word: str) -> None:
    with pytest.raises(ConfigError, match=f"a pixel of {metres:g} m is too {word} for this model, .* for 1.5 m"):
        plan_tiles((5000, 5000), INPUT, (metres, metres))


EVERY = np.arange(LEVELS + 1, dtype=np.uint16)[None]


def test_every_quantised_value_is_the_float32_nearest_to_its_decimal_and_round_trips() -> None:
    np.testing.assert_array_equal(dequantise(EVERY)[0], [np.float32(level / 10_000) for level in range(LEVELS + 1)])
    kept = EVERY[:, FLOOR:]
    np.testing.assert_array_equal(quantise(dequantise(kept)), kept)


def test_low_probabilities_become_0_and_no_data_is_kept() -> None:
    prob_hw = np.array([[0.0, 0.00494, 0.005, np.nan]], np.float32)
    quantised_hw = quantise(prob_hw, np.array([[True, True, True, False]]))
    assert quantised_hw.tolist() == [[0, 0, 50, NO_DATA]]
    assert dequantise(quantised_hw).tolist() == [[0, 0, np.float32(0.005), 0]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.001])
def test_values_outside_0_to_1_are_refused(wrong: float) -> None:
    with pytest.raises(ModelError, match="outside 0 to 1 or NaN"):
        quantise(np.array([[0.5, wrong]], np.float32))


@given(st.one_of(st.integers(1, 10_000).map(lambda level: level / 10_000), st.floats(1e-6, 1)))
def test_a_quantised_threshold_selects_the_same_pixels(threshold: float) -> None:
    np.testing.assert_array_equal(
        quantised_threshold(threshold) <= EVERY, ship_pixels(dequantise(EVERY), threshold=threshold)
    )


def test_a_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1, got 0"):
        quantised_threshold(0)
