"""Augmentations: image and coverage stay together, seeds decide, parameters are those of the reference."""

from __future__ import annotations

import os
from collections import Counter

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import AugmentConfig
from shipseg.data.augment import AUGMENTATIONS, build_augmentation
from shipseg.errors import ConfigError

MOVING = ["shift-scale-rotate", "elastic-transform", "grid-distortion", "optical-distortion"]
TURNING = ["random-rotate-90", "horizontal-flip", "vertical-flip", "d4"]
COLOURING = ["random-brightness-contrast", "gaussian-blur", "gauss-noise", "color-jitter", "rgb-shift", "cutout"]

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def scene(height: int = 96, width: int = 96) -> Pair:
    """Return a smooth coloured image and the fractional coverage of a slanted ship."""
    rows, cols = np.mgrid[:height, :width]
    image = np.stack([60 + rows % 80, 70 + cols % 90, 90 + (rows + cols) % 60], axis=-1).astype(np.uint8)
    mask = np.zeros((8 * height, 8 * width), np.uint8)
    corners = np.array([[20, 30], [60, 50], [56, 58], [16, 38]]) * 8
    cv2.fillConvexPoly(mask, corners.astype(np.int32), 255)
    return image, cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def apply(name: str, image: NDArray[np.uint8], coverage: NDArray[np.uint8], seed: int = 0) -> Pair:
    """Return the pair after one augmentation that always happens."""
    return build_augmentation(AugmentConfig(names=(name,), probability=1.0), num_ships=1)(image, coverage, seed)


def test_the_twelve_of_the_reference_and_our_two_are_there() -> None:
    assert set(AUGMENTATIONS) == {*MOVING, *TURNING, *COLOURING}
    assert len(AUGMENTATIONS) == 14


def test_albumentations_does_not_ask_for_updates() -> None:
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("shape", [(96, 96), (96, 64)])
class TestEveryAugmentation:
    """The contract of all of them."""

    def test_keeps_shapes_and_types_and_leaves_its_input_alone(self, name: str, shape: tuple[int, int]) -> None:
        image, coverage = scene(*shape)
        before = image.copy(), coverage.copy()
        for seed in range(8):
            new_image, new_coverage = apply(name, image, coverage, seed)
            assert (new_image.shape, new_image.dtype) == (image.shape, image.dtype)
            assert (new_coverage.shape, new_coverage.dtype) == (coverage.shape, coverage.dtype)
        assert np.array_equal(image, before[0])
        assert np.array_equal(coverage, before[1])

    def test_the_seed_decides(self, name: str, shape: tuple[int, int]) -> None:
        image, coverage = scene(*shape)
        results = [apply(name, image, coverage, seed) for seed in range(8)]
        again = [apply(name, image, coverage, seed) for seed in reversed(range(8))][::-1]
        for (image_one, coverage_one), (image_two, coverage_two) in zip(results, again, strict=True):
            assert np.array_equal(image_one, image_two)
            assert np.array_equal(coverage_one, coverage_two)
        assert any(not np.array_equal(new_image, image) for new_image, _ in results)


@pytest.mark.parametrize("name", sorted({*AUGMENTATIONS} - {"d4"}))
def test_probability_zero_changes_nothing(name: str) -> None:
    image, coverage = scene()
    augment = build_augmentation(AugmentConfig(names=(name,), probability=0.0), num_ships=1)
    for seed in range(5):
        assert all(map(np.array_equal, augment(image, coverage, seed), (image, coverage)))


@pytest.mark.parametrize("name", [*MOVING, *TURNING])
def test_what_moves_pixels_moves_image_and_coverage_alike(name: str) -> None:
    _, coverage = scene()
    for seed in range(10):
        new_image, new_coverage = apply(name, np.dstack([coverage] * 3), coverage, seed)
        # Fixed-point interpolation of one and of three channels may round differently.
        assert np.abs(new_image.astype(int) - new_coverage[..., None]).max() <= 1


@pytest.mark.parametrize("name", MOVING)
def test_coverage_keeps_its_fractions(name: str) -> None:
    _, coverage = scene()
    fractions = []
    for seed in range(5):
        _, moved = apply(name, np.dstack([coverage] * 3), (coverage > 127).astype(np.uint8) * 255, seed)
        fractions.append(((moved > 0) & (moved < 255)).sum())
    assert min(fractions) > 5, "a hard edge that is moved by parts of a pixel becomes fractional"


@pytest.mark.parametrize("name", COLOURING)
def test_what_changes_colours_leaves_the_coverage_alone(name: str) -> None:
    image, coverage = scene()
    for seed in range(5):
        new_image, new_coverage = apply(name, image, coverage, seed)
        assert np.array_equal(new_coverage, coverage)
        assert not np.array_equal(new_image, image)


def test_cutout_erases_one_square_of_16_px_from_the_image_only() -> None:
    image, coverage = np.full((96, 96, 3), 200, np.uint8), np.full((96, 96), 255, np.uint8)
    holes = [apply("cutout", image, coverage, seed)[0] == 0 for seed in range(10)]
    assert {int(hole.all(axis=-1).sum()) for hole in holes} == {256}
    assert len({hole.tobytes() for hole in holes}) > 5


def test_rgb_shift_moves_each_band_by_its_own_constant_up_to_25() -> None:
    image = np.full((32, 32, 3), 120, np.uint8)
    shifts = []
    for seed in range(60):
        changed = apply("rgb-shift", image, np.zeros((32, 32), np.uint8), seed)[0].astype(int) - 120
        assert (changed == changed[0, 0]).all()
        shifts.append(changed[0, 0])
    assert np.abs(shifts).max() in range(20, 26)
    assert np.abs(np.corrcoef(np.array(shifts).T) - np.eye(3)).max() < 0.4


def test_noise_has_the_variance_of_the_reference() -> None:
    image, coverage = np.full((256, 256, 3), 128, np.uint8), np.zeros((256, 256), np.uint8)
    variances = [np.var(apply("gauss-noise", image, coverage, seed)[0].astype(float)) for seed in range(30)]
    assert 9.5 < min(variances) < 12
    assert 18 < max(variances) < 20.5


def test_blur_stays_within_five_pixels() -> None:
    image, coverage = np.zeros((33, 33, 3), np.uint8), np.zeros((33, 33), np.uint8)
    image[16, 16] = 255
    widths = {int((apply("gaussian-blur", image, coverage, seed)[0][16, :, 0] > 0).sum()) for seed in range(20)}
    assert widths == {3, 5}


def test_shift_scale_rotate_keeps_proportions_and_its_limits() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    coverage = np.zeros((200, 200), np.uint8)
    coverage[80:120, 90:110] = 255  # 40 x 20 px, centre (99.5, 99.5)
    for seed in range(30):
        _, moved = apply("shift-scale-rotate", image, coverage, seed)
        rows, cols = np.nonzero(moved > 127)
        _, sides, _ = cv2.minAreaRect(np.column_stack([cols, rows]).astype(np.float32))
        long, short = max(sides) + 1, min(sides) + 1
        assert 40 * 0.8 - 2 <= long <= 40 * 1.2 + 2
        assert long / short == pytest.approx(2, abs=0.25)
        assert abs(rows.mean() - 99.5) <= 21
        assert abs(cols.mean() - 99.5) <= 21


def test_d4_draws_each_of_the_eight_equally_often() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    coverage = image[..., 0]
    augment = build_augmentation(AugmentConfig(names=("d4",), probability=0.0), num_ships=0)
    counts = Counter(augment(image, coverage, seed)[1].tobytes() for seed in range(4000))
    turned = [np.rot90(flipped, quarter) for flipped in (coverage, coverage[:, ::-1]) for quarter in range(4)]
    assert set(counts) == {np.ascontiguousarray(view).tobytes() for view in turned}
    assert all(abs(count - 500) < 110 for count in counts.values()), "5 deviations of a binomial variable"


def test_d4_of_an_image_that_is_not_square_draws_the_four_that_keep_its_shape() -> None:
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    coverage = image[..., 0]
    for name, expected in (("d4", 4), ("random-rotate-90", 2)):
        augment = build_augmentation(AugmentConfig(names=(name,), probability=1.0), num_ships=0)
        results = {augment(image, coverage, seed)[1].tobytes() for seed in range(100)}
        turned = [coverage, coverage[::-1, ::-1], coverage[::-1], coverage[:, ::-1]][:expected]
        assert results == {np.ascontiguousarray(view).tobytes() for view in turned}


def test_augmentations_happen_independently_of_each_other() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    coverage = image[..., 0]
    augment = build_augmentation(AugmentConfig(names=("horizontal-flip", "vertical-flip")), num_ships=0)
    counts = Counter(augment(image, coverage, seed)[1].tobytes() for seed in range(2000))
    assert len(counts) == 4, "none, the one, the other, both"
    assert all(abs(count - 500) < 100 for count in counts.values())


def test_images_with_many_ships_get_the_additional_ones() -> None:
    image, coverage = scene()
    config = AugmentConfig(names=(), probability=1.0, ships_threshold_for_add_augs=3, additional=("horizontal-flip",))
    below = build_augmentation(config, num_ships=2)(image, coverage, 0)
    at = build_augmentation(config, num_ships=3)(image, coverage, 0)
    assert all(map(np.array_equal, below, (image, coverage)))
    assert all(map(np.array_equal, at, (image[:, ::-1], coverage[:, ::-1])))


def test_without_a_threshold_nothing_is_added() -> None:
    image, coverage = scene()
    config = AugmentConfig(names=(), probability=1.0, additional=("horizontal-flip",))
    assert np.array_equal(build_augmentation(config, num_ships=99)(image, coverage, 0)[0], image)


@pytest.mark.parametrize("field", ["names", "additional"])
def test_an_unknown_name_is_refused_with_the_nearest(field: str) -> None:
    config = AugmentConfig.model_validate({field: ["horizontal-flop"]})
    with pytest.raises(ConfigError, match="unknown augmentation 'horizontal-flop', did you mean 'horizontal-flip'"):
        build_augmentation(config, num_ships=0)
