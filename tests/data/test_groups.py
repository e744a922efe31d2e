"""Images of one ground are joined, unrelated ones are not, whatever else they have in common."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.data import groups as groups_module
from shipseg.data.groups import CELLS, best_match, describe_texture, find_overlaps, join_groups, num_informative

SIDE = 192  # of a tile; sub-tiles of 64 px
STEP = SIDE // 3


def scene(seed: int) -> NDArray[np.uint8]:
    """Return ground of 3 x 3 tiles (5 x 5 sub-tiles)."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE + 2 * STEP, SIDE + 2 * STEP, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.2) * 60 + 70, 0, 255).astype(np.uint8)


def tile(ground: NDArray[np.uint8], row: int, column: int, *, quality: int = 90) -> NDArray[np.int8]:
    cut = ground[row * STEP : row * STEP + SIDE, column * STEP : column * STEP + SIDE]
    data = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return describe_texture(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))


def test_nine_overlapping_tiles_make_one_group_and_pairs_have_their_offset() -> None:
    ground = scene(0)
    places = [(row, column) for row in range(3) for column in range(3)]
    textures = np.stack([tile(ground, *place) for place in places])
    overlaps = find_overlaps(textures)
    assert join_groups(9, overlaps.pairs).tolist() == [0] * 9
    for (one, other), offset in zip(overlaps.pairs.tolist(), overlaps.offsets_rc.tolist(), strict=True):
        assert offset == [places[other][0] - places[one][0], places[other][1] - places[one][1]]
    assert overlaps.correlations.min() > 0.9


@pytest.mark.parametrize("place", [(row, column) for row in range(3) for column in range(3) if row or column])
def test_each_way_of_overlapping_is_found(place: tuple[int, int]) -> None:
    textures = np.stack([tile(scene(0), 0, 0), tile(scene(0), *place)])
    overlaps = find_overlaps(textures)
    assert overlaps.pairs.tolist() == [[0, 1]]
    assert overlaps.offsets_rc.tolist() == [list(place)]


def test_copies_of_different_quality_are_joined_and_unrelated_scenes_are_not() -> None:
    textures = np.stack([tile(scene(seed), 0, 0, quality=quality) for seed in range(20) for quality in (95, 60)])
    overlaps = find_overlaps(textures)
    assert overlaps.pairs.tolist() == [[2 * seed, 2 * seed + 1] for seed in range(20)]


def test_solid_tiles_join_nothing() -> None:
    empty = np.stack([describe_texture(np.full((SIDE, SIDE, 3), level, np.uint8)) for level in (0, 0, 255, 255)])
    textures = np.concatenate([empty, np.stack([tile(scene(0), 0, 0)])])
    assert not len(find_overlaps(textures).pairs)


def test_unrelated_tiles_half_covered_by_no_data_are_not_joined() -> None:
    textures = []
    for seed in range(6):
        image_hwc = scene(seed)[:SIDE, :SIDE].copy()
        image_hwc[:, SIDE // 2 + 5 :] = 0
        textures.append(describe_texture(image_hwc))
    assert not len(find_overlaps(np.stack(textures)).pairs)


def test_no_images_and_one_image_have_no_overlaps() -> None:
    assert not len(find_overlaps(np.zeros((0, 9, 32, 32), np.int8)).pairs)
    assert not len(find_overlaps(np.stack([tile(scene(0), 0, 0)])).pairs)


def test_the_result_is_the_same_every_time() -> None:
    textures = np.stack([tile(scene(seed), row, 0) for seed in range(5) for row in range(3)])
    one, other = find_overlaps(textures), find_overlaps(textures)
    assert np.array_equal(one.pairs, other.pairs)
    assert np.array_equal(one.correlations, other.correlations)


def test_groups_are_connected_and_numbered_by_their_first_image() -> None:
    pairs = np.array([[1, 4], [4, 5], [2, 3]])
    assert join_groups(7, pairs).tolist() == [0, 1, 2, 2, 1, 1, 3]
    assert join_groups(2, np.zeros((0, 2), np.int64)).tolist() == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_two_images_of_a_pair_are_always_in_one_group(pairs: list[tuple[int, int]]) -> None:
    group = join_groups(10, np.array(pairs, np.int64).reshape(-1, 2))
    assert all(group[one] == group[other] for one, other in pairs)
    assert sorted(set(group.tolist())) == list(range(group.max() + 1))


@pytest.mark.parametrize("exhaustive_rows", [50_000, 0])
def test_the_best_match_across_two_sides_is_the_pair_that_overlaps(
    exhaustive_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups_module, "_EXHAUSTIVE_ROWS", exhaustive_rows)
    textures = np.stack([tile(scene(seed), 0, 0) for seed in range(6)] + [tile(scene(4), 1, 1)])
    correlation, one, other = best_match(textures, np.array([0, 1, 2, 3, 4]), np.array([5, 6]))
    assert correlation > 0.9
    assert {one, other} == {4, 6}


def test_the_best_match_of_unrelated_sides_is_low_and_of_nothing_is_zero() -> None:
    textures = np.stack([tile(scene(seed), 0, 0) for seed in range(6)])
    assert best_match(textures, np.array([0, 1, 2]), np.array([3, 4, 5]))[0] < 0.3
    assert best_match(textures, np.array([0]), np.array([], np.int64)) == (0.0, -1, -1)
    assert best_match(np.zeros((2, 9, 32, 32), np.int8), np.array([0]), np.array([1])) == (0.0, -1, -1)


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
    textures = []
    for seed in (1, 2):
        image_hwc = sea(seed, contrast=8, level=80)
        image_hwc[:, 500:] = 0  # the same border in two scenes that have nothing else in common
        textures.append(describe_texture(image_hwc))
    assert abs(correlation(textures[0], textures[1])) < 0.2


def test_other_sizes_give_the_same_shape() -> None:
    assert describe_texture(sea(0, side=100)[:60]).shape == (9, CELLS, CELLS)
    assert not describe_texture(np.zeros((2, 2, 3), np.uint8)).any()
