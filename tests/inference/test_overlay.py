"""Ships drawn on an image."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.inference.overlay import draw_ships
from shipseg.masks.ships import ships_from_mask

PINK = (255, 64, 180)


def drawn(mask_hw: NDArray[np.bool_], background: int) -> NDArray[np.uint8]:
    return draw_ships(np.full((*mask_hw.shape, 3), background, np.uint8), ships_from_mask(mask_hw))


def is_pink(image_hwc: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where the image is of that colour, or nearly: round lines are smoothed."""
    return np.asarray((np.abs(image_hwc.astype(int) - PINK) < 80).all(axis=-1))


@pytest.mark.parametrize("background", [0, 20, 255])
def test_the_outline_runs_around_the_ship_and_hides_none_of_its_pixels(background: int) -> None:
    mask_hw = np.zeros((200, 200), bool)
    mask_hw[60:100, 50:130] = True
    image_hwc = drawn(mask_hw, background)
    assert (image_hwc[mask_hw] == background).all()
    sides = [image_hwc[59, 50:130], image_hwc[100, 50:130], image_hwc[60:100, 49], image_hwc[60:100, 130]]
    assert all(is_pink(side).all() for side in sides)


def test_on_white_cloud_the_outline_has_a_dark_halo() -> None:
    mask_hw = np.zeros((200, 200), bool)
    mask_hw[60:100, 50:130] = True
    assert drawn(mask_hw, 255)[58, 60:120].max() < 130


def test_the_image_is_not_changed_and_without_ships_comes_back_as_it_is() -> None:
    image_hwc = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    before = image_hwc.copy()
    np.testing.assert_array_equal(draw_ships(image_hwc, ()), before)
    mask_hw = np.zeros((50, 60), bool)
    mask_hw[10:20, 10:40] = True
    draw_ships(image_hwc, ships_from_mask(mask_hw))
    np.testing.assert_array_equal(image_hwc, before)


def test_a_ship_of_few_pixels_is_circled() -> None:
    mask_hw = np.zeros((200, 200), bool)
    mask_hw[100:103, 100:108] = True
    pink = is_pink(drawn(mask_hw, 0))
    assert pink[101 - 14 : 101 - 12, 95:113].any()
    large_hw = np.zeros((200, 200), bool)
    large_hw[100:103, 80:120] = True
    assert not is_pink(drawn(large_hw, 0))[101 - 14 : 101 - 12].any()


def test_lines_grow_with_the_image() -> None:
    mask_hw = np.zeros((2304, 64), bool)
    mask_hw[1000:1040, 10:50] = True
    pink = is_pink(drawn(mask_hw, 0))
    assert pink[997:1000, 30].all()  # three pixels wide, for three times 768
    assert not pink[996, 30]


def white_px(image_hwc: NDArray[np.uint8]) -> int:
    """Return how many pixels the letters have."""
    return int((image_hwc > 200).all(axis=-1).sum())


@pytest.mark.parametrize("place", [(0, 0), (0, 160), (185, 0), (185, 160), (90, 80)])
def test_the_label_lies_inside_the_image_and_beside_the_ship_wherever_it_is(place: tuple[int, int]) -> None:
    mask_hw = np.zeros((200, 200), bool)
    row, column = place
    mask_hw[row : row + 15, column : column + 40] = True
    image_hwc = drawn(mask_hw, 0)
    assert white_px(image_hwc) > 20
    assert (image_hwc[mask_hw] == 0).all()


def test_two_labels_do_not_lie_on_each_other() -> None:
    mask_hw = np.zeros((200, 200), bool)
    mask_hw[90:96, 60:90] = True
    mask_hw[100:106, 60:90] = True
    both = white_px(drawn(mask_hw, 0))
    alone = []
    for rows in (slice(90, 96), slice(100, 106)):
        single_hw = np.zeros((200, 200), bool)
        single_hw[rows, 60:90] = True
        alone.append(white_px(drawn(single_hw, 0)))
    assert both > 1.7 * min(alone)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (20, 20)])
def test_tiny_images_are_drawn_on_without_a_label(shape: tuple[int, int]) -> None:
    image_hwc = drawn(np.ones(shape, bool), 7)
    assert image_hwc.shape == (*shape, 3)


def test_a_ship_that_fills_the_image_leaves_it_visible() -> None:
    image_hwc = drawn(np.ones((40, 40), bool), 100)
    assert (image_hwc == 100).all()
