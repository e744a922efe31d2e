"""Averaging over mirror images: what a direction-blind network says stays, what depends on direction is averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.cli import run as shipseg
from shipseg.inference.mirrors import mean_over_mirrors
from shipseg.inference.predictor import load_model
from shipseg.model.card import Views, read_card

Array = NDArray[np.float32]


def _red(images_n3hw: Array) -> Array:
    return np.clip(images_n3hw[:, :1] / 255, 0.01, 0.99).astype(np.float32)


def _red_more_to_the_right(images_n3hw: Array) -> Array:
    columns = np.linspace(-1, 1, images_n3hw.shape[3], dtype=np.float32)
    odds = np.log(_red(images_n3hw)) - np.log1p(-_red(images_n3hw)) + columns
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_a_network_that_knows_no_direction_is_not_changed(views: int) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, 8, 12)).astype(np.float32)
    np.testing.assert_allclose(mean_over_mirrors(_red, images, views=views), _red(images), atol=1e-6)


@pytest.mark.parametrize("views", [2, 4, 8])
def test_a_leaning_to_one_side_cancels_out(views: int) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, 12, 12)).astype(np.float32)
    leaning = mean_over_mirrors(_red_more_to_the_right, images, views=1)
    assert np.abs(leaning - _red(images)).max() > 0.1
    np.testing.assert_allclose(mean_over_mirrors(_red_more_to_the_right, images, views=views), _red(images), atol=1e-5)


def test_every_mirror_image_is_another() -> None:
    seen: list[bytes] = []

    def note(images_n3hw: Array) -> Array:
        seen.append(images_n3hw.tobytes())
        return _red(images_n3hw)

    mean_over_mirrors(note, np.arange(3 * 16, dtype=np.float32).reshape(1, 3, 4, 4), views=8)
    assert len(set(seen)) == 8


@pytest.mark.parametrize("views", [1, 4])
def test_a_model_keeps_the_number_its_threshold_was_chosen_for(
    views: Views, model_folder: Path, airbus_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    assert shipseg(["threshold", str(model_folder), str(airbus_folder), "--out", str(out), "--views", str(views)]) == 0
    card = read_card(out / "model")
    assert card.input.views == views
    assert ("mean over 4 mirror images" in (out / "model" / "README.md").read_text()) == (views == 4)
    image = np.random.default_rng(2).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    model, once = load_model(out / "model"), load_model(model_folder).uncalibrated()
    same = np.allclose(model.uncalibrated().probability(image), once.probability(image), atol=1e-6)
    assert same == (views == 1)
    np.testing.assert_array_equal(model.looking(views=1).uncalibrated().probability(image), once.probability(image))
