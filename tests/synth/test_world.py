"""Synthetic images: determinism, labels that agree with the pixels, counts and sizes as in real images."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipseg.errors import ConfigError
from shipseg.masks import rle
from shipseg.synth import SyntheticImage, WorldConfig, make_image, make_scene
from shipseg.synth.paint.ships import LabelStyle
from shipseg.synth.view import image_of, split_touching, without_leftovers
from shipseg.synth.world import is_empty, render

LABEL_STYLES: tuple[LabelStyle, ...] = ("rectangle", "hull")

DIGEST_PROGRAM = """
import hashlib, json, sys
from shipseg.synth import WorldConfig, make_image
for index in (5, 0, 3):  # another order than the test's
    image = make_image(11, index, WorldConfig(size=256))
    print(index, hashlib.sha256(image.image_hwc.tobytes() + image.coverage_hw.tobytes()).hexdigest(),
          json.dumps(image.ship_rles))
"""


def _digest(image: SyntheticImage) -> str:
    return hashlib.sha256(image.image_hwc.tobytes() + image.coverage_hw.tobytes()).hexdigest()


def _masks(image: SyntheticImage) -> list[np.ndarray]:
    shape = (image.image_hwc.shape[0], image.image_hwc.shape[1])
    return [rle.decode(text, shape) for text in image.ship_rles]


def test_an_image_has_the_same_bits_in_another_process() -> None:
    run = subprocess.run([sys.executable, "-c", DIGEST_PROGRAM], capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        index, digest, rles = line.split(" ", 2)
        image = make_image(11, int(index), WorldConfig(size=256))
        assert _digest(image) == digest
        assert list(image.ship_rles) == json.loads(rles)


def test_seed_and_index_each_change_the_image() -> None:
    config = WorldConfig(size=128)
    digests = {_digest(make_image(seed, index, config)) for seed in (0, 1) for index in (0, 1, 2)}
    assert len(digests) == 6


def test_the_number_of_opencv_threads_is_restored() -> None:
    before = cv2.getNumThreads()
    make_image(0, 0, WorldConfig(size=64))
    assert cv2.getNumThreads() == before


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), label=st.sampled_from(LABEL_STYLES), side=st.sampled_from([64, 200, 333]))
def test_labels_are_disjoint_and_agree_with_the_coverage(seed: int, label: LabelStyle, side: int) -> None:
    config = WorldConfig(size=(side, side + 40), empty_share=0.0, label=label)
    image = make_image(seed, 0, config)
    masks = _masks(image)
    assert image.image_hwc.shape == (side, side + 40, 3)
    assert image.image_hwc.dtype == np.uint8
    assert len(masks) >= 1
    assert all(mask.sum() >= 2 for mask in masks)
    total = np.sum(masks, axis=0)
    assert total.max() == 1, "labels overlap"
    np.testing.assert_array_equal(total == 1, image.coverage_hw >= 128)


def test_labelled_pixels_differ_from_the_same_sea_without_ships() -> None:
    """With the same streams, images with and without ships differ inside labels and hardly elsewhere."""
    inside, outside = [], []
    for index in range(20):
        config = WorldConfig(size=256, no_data_share=0.0)
        ships = render(5, index, (256, 256), config, empty=False)
        sea = render(5, index, (256, 256), config, empty=True)
        if ships.kind != "open-sea" or sea.kind != "open-sea" or ships.cloudy:
            continue
        difference = np.abs(ships.image_hwc.astype(int) - sea.image_hwc.astype(int)).max(axis=2)
        near = cv2.dilate((ships.coverage_hw > 0).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
        inside.append(np.median(difference[ships.coverage_hw == 255]) if (ships.coverage_hw == 255).any() else 255)
        outside.append(np.median(difference[~near]))
    assert len(inside) >= 6
    assert np.median(inside) > 20
    assert np.median(outside) == 0
    assert max(outside) <= 4  # wakes reach far


def test_rectangle_labels_hold_nearly_all_of_the_hull_and_little_more() -> None:
    ratios = []
    for index in range(15):
        rectangle, hull = (
            make_image(3, index, WorldConfig(size=256, empty_share=0.0, label=label)) for label in LABEL_STYLES
        )
        if not np.array_equal(rectangle.image_hwc, hull.image_hwc):
            continue  # only a corner of the rectangle of the only ship is in the image, not its hull: drawn again
        area = hull.coverage_hw.sum(dtype=float)
        # Small craft lose up to 0.8 px on each side, ships side by side 3 px between them.
        assert np.minimum(rectangle.coverage_hw, hull.coverage_hw).sum(dtype=float) > 0.6 * area
        ratios.append(rectangle.coverage_hw.sum(dtype=float) / area)
    # A hull of 100 x 20 px fills 0.85 of its rectangle; a margin of 0.25 px makes that 1.2 times the hull.
    assert len(ratios) >= 12
    assert 1.0 < np.median(ratios) < 1.6


@pytest.mark.parametrize(("width", "gap"), [(10, 1), (40, 3)])
def test_touching_labels_get_a_gap_on_the_side_of_the_larger_ship(width: int, gap: int) -> None:
    owner = np.zeros((12, width + 10), np.int32)
    owner[2:10, 1 : width + 1] = 1
    owner[2:10, width + 1 : width + 5] = 2
    coverage = np.where(owner > 0, 255, 0).astype(np.uint8)
    split_owner, split_coverage = split_touching(owner, coverage)
    expected = owner.copy()
    expected[:, width + 1 - gap : width + 1] = 0
    np.testing.assert_array_equal(split_owner, expected)
    np.testing.assert_array_equal(split_coverage > 0, split_owner > 0)
    alone = np.where(owner == 1, 1, 0).astype(np.int32)
    np.testing.assert_array_equal(split_touching(alone, coverage)[0], alone)


def test_small_craft_stand_out_from_the_water() -> None:
    contrasts = []
    for index in range(48):
        config = WorldConfig(size=256, no_data_share=0.0)
        ships = render(6, index, (256, 256), config, empty=False)
        if ships.cloudy:
            continue
        image = image_of(ships)
        for mask in _masks(image):
            if 20 <= mask.sum() <= 250:
                around = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
                light = ships.image_hwc.mean(axis=2)
                inside, beside = light[mask], light[around & (ships.coverage_hw == 0)]
                contrasts.append(abs(inside.mean() - np.median(beside)))
    assert len(contrasts) >= 15
    assert np.quantile(contrasts, 0.1) > 12  # 5 where every palette meets every sea


def test_empty_share_is_exact() -> None:
    assert [is_empty(index, 0.5) for index in range(4)] == [False, True, False, True]
    for share in (0.0, 0.1, 0.3, 0.78, 1.0):
        assert sum(is_empty(index, share) for index in range(1000)) == round(1000 * share)
    config = WorldConfig(size=96, empty_share=0.3)
    counts = [len(make_image(2, index, config).ship_rles) for index in range(30)]
    assert sum(count == 0 for count in counts) == 9


def test_a_scene_of_any_size_holds_ships_in_proportion_to_its_area() -> None:
    config = WorldConfig(empty_share=0.0)
    scenes = [make_scene(1, index, 1100, 1500, config) for index in range(4)]
    assert scenes[0].image_hwc.shape == (1100, 1500, 3)
    # 2.8 times a tile's area and at least one ship per tile: 3 at least, unless there is no room.
    assert sum(len(scene.ship_rles) for scene in scenes) >= 9
    assert _digest(scenes[0]) == _digest(make_scene(1, 0, 1100, 1500, config))


def test_coarser_pixels_make_smaller_ships() -> None:
    fine, coarse = (
        np.mean(
            [
                make_image(4, i, WorldConfig(size=256, empty_share=0, metres_per_pixel=m)).coverage_hw.mean()
                for i in range(12)
            ]
        )
        for m in (1.0, 3.0)
    )
    assert coarse < 0.6 * fine


def test_leftovers_under_two_pixels_are_dropped() -> None:
    owner = np.array([[1, 2, 2], [0, 3, 3]], np.int32)
    coverage = np.array([[255, 255, 200], [0, 255, 90]], np.uint8)
    owner, coverage = without_leftovers(owner, coverage)
    np.testing.assert_array_equal(owner, [[0, 2, 2], [0, 0, 0]])
    np.testing.assert_array_equal(coverage, [[0, 255, 200], [0, 0, 0]])


def test_no_data_images_have_one_colour_and_no_ships() -> None:
    image = make_image(0, 0, WorldConfig(size=64, empty_share=1.0, no_data_share=1.0))
    assert image.kind == "no-data"
    assert image.ship_rles == ()
    assert np.ptp(image.image_hwc.reshape(-1, 3), axis=0).max() <= 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"empty_share": 1.2}, "empty_share must be between 0 and 1, got 1.2"),
        ({"empty_share": float("nan")}, "empty_share must be between 0 and 1, got nan"),
        ({"no_data_share": -0.1}, "no_data_share must be between 0 and 1, got -0.1"),
        ({"size": (96, 96, 3)}, "size must be one number or"),
        ({"size": 8}, "size must be at least 16 pixels, got 8"),
        ({"metres_per_pixel": 0.0}, "metres_per_pixel must be between"),
        ({"label": "hul"}, "unknown label 'hul', did you mean 'hull'"),
    ],
)
def test_a_bad_configuration_is_refused_in_one_sentence(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        WorldConfig(**arguments)  # type: ignore[arg-type]


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ConfigError, match="must not be negative, got 0 and -1"):
        make_image(0, -1, WorldConfig(size=64))
