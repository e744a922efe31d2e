"""A sub-tile's texture survives compression and gain, and is nothing where there is nothing to see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.data.texture import CELLS, describe_texture, num_informative


def sea(seed: int, *, contrast: float = 4.0, level: float = 40.0, side: int = 768) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 1, (side, side)).astype(np.float32)
    waves = cv2.GaussianBlur(noise, (0, 0), 2.5)
    grey = np.clip(level + contrast * waves / waves.std(), 0, 255)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def compressed(image_hwc: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    data = cv2.imencode(".jpg", image_hwc, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def correlation(one: NDArray[np.int8], other: NDArray[np.int8]) -> float:
    left, right = one.astype(float).ravel(), other.astype(float).ravel()
    return float(left @ right / max(1.0, np.sqrt((left @ left) * (right @ right))))


@pytest.mark.parametrize(("quality", "lowest"), [(95, 0.97), (75, 0.85), (50, 0.6)])
def test_a_copy_compressed_again_has_nearly_the_same_texture(quality: int, lowest: float) -> None:
    image_hwc = sea(1)
    one, other = describe_texture(image_hwc), describe_texture(compressed(image_hwc, quality))
    assert min(correlation(one[number], other[number]) for number in range(9)) > lowest


def test_another_gain_and_offset_leave_the_texture() -> None:
    image_hwc = sea(1, contrast=10)
    brighter = np.clip(image_hwc.astype(float) * 1.5 + 20, 0, 255).astype(np.uint8)
    assert correlation(describe_texture(image_hwc), describe_texture(brighter)) > 0.97


def test_sub_tiles_of_different_sea_do_not_correlate() -> None:
    textures = np.concatenate([describe_texture(sea(seed)) for seed in range(4)])
    assert max(abs(correlation(textures[i], textures[j])) for i in range(36) for j in range(i)) < 0.3


def test_overlapping_tiles_share_the_textures_of_the_sub_tiles_they_share() -> None:
    scene = sea(3, side=1024)
    one, other = describe_texture(scene[:768, :768]), describe_texture(scene[256:, 256:])
    assert correlation(one[4], other[0]) > 0.95  # the middle of one is the first of the other
    assert correlation(one[8], other[4]) > 0.95


@pytest.mark.parametrize("level", [0, 40, 255])
def test_one_colour_has_no_texture(level: int) -> None:
    textures = describe_texture(np.full((768, 768, 3), level, np.uint8))
    assert textures.shape == (9, CELLS, CELLS)
    assert not textures.any()
    assert not num_informative(textures).any()


def test_two_noisy_slopes_of_light_do_not_correlate() -> None:
    slope = np.linspace(40, 140, 768)[None, :, None]
    noise = [np.random.default_rng(seed).normal(0, 2, (768, 768, 1)) for seed in (0, 1)]
    one, other = (describe_texture(np.rint(slope + n).repeat(3, axis=2).astype(np.uint8)) for n in noise)
    assert abs(correlation(one, other)) < 0.1


def test_the_straight_edge_of_no_data_is_not_shared_texture() -> None:
    pictures = []
    for seed in (1, 2):
        image_hwc = sea(seed, contrast=8, level=80)
        image_hwc[:, 500:] = 0  # the same border in two scenes that have nothing else in common
        pictures.append(describe_texture(image_hwc))
    assert abs(correlation(pictures[0], pictures[1])) < 0.2


def test_other_sizes_give_the_same_shape() -> None:
    assert describe_texture(sea(0, side=100)[:60]).shape == (9, CELLS, CELLS)
    assert not describe_texture(np.zeros((2, 2, 3), np.uint8)).any()
