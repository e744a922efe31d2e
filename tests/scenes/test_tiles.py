"""Which tiles a scene is cut into."""

from __future__ import annotations

import pytest

from shipseg.errors import ConfigError
from shipseg.model.card import CardInput
from shipseg.scenes.tiles import MAX_TILE_PX, plan_tiles
from shipseg.tiling import windows

INPUT = CardInput(tile=1024, overlap=128)


def test_at_the_models_own_pixels_the_tiles_are_the_predictors() -> None:
    plan = plan_tiles((3000, 5000), INPUT, (1.5, 1.5))
    planned = [window for row in range(plan.num_rows) for window in plan.row(row)]
    assert planned == windows(3000, 5000, tile=1024, overlap=128)
    assert plan.shown_shape == (1024, 1024)
    assert plan_tiles((3000, 5000), INPUT, None) == plan


def test_a_pixel_within_one_percent_of_the_models_is_not_resampled() -> None:
    assert plan_tiles((3000, 5000), INPUT, (1.4995, 1.5009)) == plan_tiles((3000, 5000), INPUT, (1.5, 1.5))


def test_finer_and_coarser_pixels_make_larger_and_smaller_tiles_of_the_scene() -> None:
    finer = plan_tiles((9000, 9000), INPUT, (0.5, 0.75))
    assert (finer.rows.tile, finer.columns.tile) == (3072, 2048)
    assert (finer.rows.overlap, finer.columns.overlap) == (384, 256)
    assert finer.shown_shape == (1024, 1024)
    coarser = plan_tiles((9000, 9000), INPUT, (10, 10))
    assert (coarser.rows.tile, coarser.rows.overlap) == (154, 19)


def test_no_tile_is_larger_than_what_is_held_in_memory() -> None:
    plan = plan_tiles((20_000, 20_000), INPUT, (0.1, 0.1))
    assert plan.rows.tile == 3840
    assert plan.rows.shown == 256
    assert plan.rows.tile <= MAX_TILE_PX


def test_a_scene_smaller_than_a_tile_is_one_tile_at_its_own_size() -> None:
    plan = plan_tiles((1, 700), INPUT.model_copy(update={"scale": 0.5}), (1.5, 1.5))
    assert (plan.num_tiles, plan.shown_shape) == (1, (1, 350))
    assert (plan.weights() == 1).all()


@pytest.mark.parametrize(("metres", "word"), [(60.0, "large"), (0.01, "small")])
def test_pixels_that_cannot_show_a_ship_are_refused(metres: float, word: str) -> None:
    with pytest.raises(ConfigError, match=f"a pixel of {metres:g} m is too {word} for this model, .* for 1.5 m"):
        plan_tiles((5000, 5000), INPUT, (metres, metres))
