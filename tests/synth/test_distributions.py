"""The distributions of the generator agree with those of real labels."""

from __future__ import annotations

import numpy as np
import pytest

from shipseg.masks import rle
from shipseg.synth import WorldConfig, make_image
from shipseg.synth.distributions import BEAM_RATIO, LABEL_LENGTH, choose
from shipseg.synth.paint import fleet
from shipseg.synth.paint.fleet import draw_num_ships


def test_label_lengths_have_the_percentiles_of_the_real_ones() -> None:
    rng = np.random.default_rng(0)
    lengths = [LABEL_LENGTH.draw(rng) for _ in range(20_000)]
    # Measured on 12,000 real mask rows: 8.9, 16.3, 34.9, 80.8, 197 px.
    real = [8.9, 16.3, 34.9, 80.8, 197.0]
    np.testing.assert_allclose(np.percentile(lengths, [5, 25, 50, 75, 95]), real, rtol=0.12)


@pytest.mark.parametrize(("length_px", "median"), [(8, 1.5), (20, 2.19), (53, 3.48), (132, 4.93), (290, 5.38)])
def test_beam_ratios_have_the_medians_of_the_real_ones(length_px: float, median: float) -> None:
    rng = np.random.default_rng(0)
    ratios = [BEAM_RATIO.draw(rng, length_px) for _ in range(4000)]
    assert np.median(ratios) == pytest.approx(median, rel=0.09)
    assert min(ratios) >= 1.0


def test_some_ships_are_as_slender_as_river_ships() -> None:
    rng = np.random.default_rng(0)
    slender = {length: np.mean([BEAM_RATIO.draw(rng, length) > 9.0 for _ in range(4000)]) for length in (20, 80, 200)}
    assert slender[20] == 0.0
    assert slender[200] < 0.01
    assert 0.01 < slender[80] < 0.05


def test_ships_per_image_follow_the_table() -> None:
    rng = np.random.default_rng(0)
    counts = np.array([draw_num_ships(rng) for _ in range(20_000)])
    # Of 42,073 images with ships, 26,806 have one, 7,585 two and 65 fifteen.
    assert np.mean(counts == 1) == pytest.approx(26806 / 42073, abs=0.015)
    assert np.mean(counts == 2) == pytest.approx(7585 / 42073, abs=0.015)
    assert counts.max() == 15


def test_choose_never_returns_an_item_without_weight() -> None:
    rng = np.random.default_rng(0)
    drawn = {choose(rng, {"a": 0.0, "b": 1.0, "c": 0.0}) for _ in range(200)}
    assert drawn == {"b"}


@pytest.mark.slow
def test_images_have_as_many_ships_of_the_same_sizes_as_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whole images, including the effects of crowding, clouds and borders; without additional ships at berths."""
    monkeypatch.setattr(fleet, "MORE_AT_BERTHS", 0)
    config = WorldConfig(empty_share=0.0)
    images = [make_image(1, index, config) for index in range(150)]
    counts = np.array([len(image.ship_rles) for image in images])
    areas = np.array([rle.area_px(text) for image in images for text in image.ship_rles])
    assert 0.54 < np.mean(counts == 1) < 0.75  # real: 0.637
    assert 1.5 < counts.mean() < 2.3  # real: 1.91
    assert 200 < np.median(areas) < 700  # real, cut ships included: 429
    assert 0.18 < np.mean(areas < 114) < 0.38  # real: 0.25
    means = np.mean([image.image_hwc.mean(axis=(0, 1)) for image in images], axis=0)
    np.testing.assert_allclose(means, [52, 73, 81], atol=16)
