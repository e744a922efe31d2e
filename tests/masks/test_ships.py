from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from shipseg.errors import ConfigError
from shipseg.masks.ships import find_ships, keep_confident, ship_from_mask, ship_pixels, ships_from_mask


def probability(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def mask_of(rows: str) -> NDArray[np.bool_]:
    return np.array([[character == "#" for character in row] for row in rows.split()])


def rectangle(
    length: float, width: float, angle_deg: float, *, center: tuple[float, float], side: int = 160
) -> NDArray[np.bool_]:
    """Return the pixels of which a rectangle covers at least half; its long side is `angle_deg` clockwise from up."""
    fine = 8
    place = (np.arange(side * fine) + 0.5) / fine
    x, y = place[None, :] - center[1], place[:, None] - center[0]
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    inside = (np.abs(x * sine - y * cosine) <= length / 2) & (np.abs(x * cosine + y * sine) <= width / 2)
    return np.asarray(inside.reshape(side, fine, side, fine).mean(axis=(1, 3)) >= 0.5)


def heading_difference(one_deg: float, other_deg: float) -> float:
    return abs((one_deg - other_deg + 90) % 180 - 90)


def test_a_single_pixel_is_a_ship_of_length_and_width_one() -> None:
    (ship,) = ships_from_mask(mask_of("... ..# ..."))
    assert (ship.length_px, ship.width_px, ship.area_px) == (1, 1, 1)
    assert ship.mask_box == (1, 2, 2, 3)
    assert ship.bbox_xywh == (2, 1, 1, 1)
    assert ship.center_rc == (1.5, 2.5)
    assert ship.corners_xy.tolist() == [[2, 1], [3, 1], [3, 2], [2, 2]]
    assert (ship.confidence, ship.peak) == (1, 1)


def test_a_horizontal_ship_of_10_by_3_is_measured_exactly_and_heads_90() -> None:
    mask_hw = np.zeros((20, 30), bool)
    mask_hw[5:8, 4:14] = True
    (ship,) = ships_from_mask(mask_hw)
    assert (ship.length_px, ship.width_px, ship.heading_deg) == (10, 3, 90)
    assert ship.center_rc == (6.5, 9)
    assert ship.corners_xy.dtype == np.float32
    assert ship.corners_xy.tolist() == [[4, 5], [14, 5], [14, 8], [4, 8]]


def test_a_vertical_ship_of_10_by_3_is_measured_exactly_and_heads_0() -> None:
    mask_hw = np.zeros((20, 30), bool)
    mask_hw[4:14, 5:8] = True
    (ship,) = ships_from_mask(mask_hw)
    assert (ship.length_px, ship.width_px, ship.heading_deg) == (10, 3, 0)
    assert ship.corners_xy.tolist() == pytest.approx(np.array([[8, 4], [8, 14], [5, 14], [5, 4]]))


@given(st.integers(1, 60), st.integers(1, 60))
def test_every_rectangle_along_the_axes_is_measured_exactly(height: int, width: int) -> None:
    ship = ship_from_mask(np.ones((height, width), bool))
    assert ship.length_px == max(height, width)
    assert ship.width_px == min(height, width)
    assert ship.heading_deg == (0 if height > width else 90)


def test_a_diagonal_of_pixels_is_one_ship_that_heads_45_up_to_the_right() -> None:
    (ship,) = ships_from_mask(mask_of("...# ..#. .#.. #..."))
    assert ship.heading_deg == pytest.approx(45)
    # The side of the square of 12 times the second moments, 2 * (4 * 4 - 1) + 1.
    assert ship.length_px == pytest.approx(math.sqrt(31))
    assert ship.width_px == pytest.approx(1)


@pytest.mark.parametrize(("length", "width"), [(12.0, 5.0), (20.0, 7.0), (43.0, 10.0), (120.0, 20.0)])
@pytest.mark.parametrize("angle_deg", [3.0, 22.5, 45.0, 60.0, 100.0, 135.0, 171.0])
def test_turned_rectangles_are_measured_to_a_part_of_a_pixel(length: float, width: float, angle_deg: float) -> None:
    """Whole pixels leave each edge uncertain: at 45 degrees by half of 0.71 px, along the axes by half a pixel."""
    ship = ship_from_mask(rectangle(length, width, angle_deg, center=(80.3, 79.6)))
    assert ship.length_px == pytest.approx(length, abs=0.75)
    assert ship.width_px == pytest.approx(width, abs=0.75)
    assert heading_difference(ship.heading_deg, angle_deg) < 4
    assert ship.center_rc == pytest.approx((80.3, 79.6), abs=0.4)


def test_turned_rectangles_have_no_bias_in_length_or_width() -> None:
    """The figures of Ship's docstring, on 60 rectangles of 20 x 7 px."""
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(60):
        ship = ship_from_mask(
            rectangle(20, 7, rng.uniform(0, 180), center=(20 + rng.random(), 20 + rng.random()), side=40)
        )
        errors.append((ship.length_px - 20, ship.width_px - 7))
    bias = np.mean(errors, axis=0)
    assert abs(bias[0]) < 0.08
    assert abs(bias[1]) < 0.15
    assert np.abs(errors).mean() < 0.15


@settings(max_examples=50)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_turning_a_mask_by_90_degrees_turns_the_ship_and_nothing_else(mask_hw: NDArray[np.bool_]) -> None:
    if not mask_hw.any():
        mask_hw = ~mask_hw
    ship, turned = ship_from_mask(mask_hw), ship_from_mask(np.rot90(mask_hw))
    assert 0 <= ship.heading_deg < 180
    assert turned.length_px == pytest.approx(ship.length_px)
    assert turned.width_px == pytest.approx(ship.width_px)
    if ship.length_px > ship.width_px + 1e-6:
        assert heading_difference(turned.heading_deg, ship.heading_deg - 90) < 1e-6


def test_the_corners_span_length_and_width_around_the_centre() -> None:
    ship = ship_from_mask(rectangle(43, 10, 30, center=(80, 80)))
    corners_xy = ship.corners_xy.astype(float)
    sides = np.linalg.norm(np.roll(corners_xy, -1, axis=0) - corners_xy, axis=1)
    assert sides == pytest.approx([ship.length_px, ship.width_px] * 2, abs=1e-4)
    assert corners_xy.mean(axis=0) == pytest.approx(ship.center_rc[::-1], abs=1e-4)
    # 30 degrees clockwise from up: the long side goes up to the right, x by sin 30 and y by -cos 30.
    along = corners_xy[1] - corners_xy[0]
    assert abs(along @ [math.sin(math.radians(30)), -math.cos(math.radians(30))]) == pytest.approx(43, abs=0.5)
    # Clockwise on the screen, where y points down: the shoelace sum is positive.
    x, y = corners_xy.T
    assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0


def test_a_pixel_at_the_threshold_is_ship() -> None:
    just_below = np.nextafter(np.float32(0.7), np.float32(0))
    probability_hw = probability([[0.7, just_below, 1.0, 0.0]])
    assert ship_pixels(probability_hw, threshold=0.7).tolist() == [[True, False, True, False]]
    # The same for a float64 threshold, which is above the float32 of the same decimal.
    assert ship_pixels(probability_hw, threshold=np.float64(0.7)).tolist() == [[True, False, True, False]]
    assert ship_pixels(probability_hw, threshold=1.0).tolist() == [[False, False, True, False]]
    assert ship_pixels(probability_hw, threshold=0.0).all()


def test_confidence_is_the_mean_and_peak_the_highest_probability_of_a_ship() -> None:
    probability_hw = probability([[0.5, 1.0, 0.0, 0.0], [0.75, 0.25, 0.0, 0.5]])
    first, second = find_ships(probability_hw, threshold=0.5)
    assert (first.area_px, first.confidence, first.peak) == (3, 0.75, 1.0)
    assert (second.area_px, second.confidence, second.peak) == (1, 0.5, 0.5)
    assert first.mask.tolist() == [[True, True], [True, False]]


def test_ships_come_largest_first_then_from_the_top_then_from_the_left() -> None:
    ships = ships_from_mask(mask_of("#..## ..... ##.## ...##"))
    assert [(ship.area_px, ship.mask_box[:2]) for ship in ships] == [(4, (2, 3)), (2, (0, 3)), (2, (2, 0)), (1, (0, 0))]


def test_pixels_that_touch_at_a_corner_are_one_ship() -> None:
    assert len(ships_from_mask(mask_of("#.. .#. ..#"))) == 1
    assert len(ships_from_mask(mask_of("#.# ... #.#"))) == 4


def test_peak_threshold_and_minimum_area_drop_ships() -> None:
    probability_hw = probability([[0.6, 0.6, 0, 0.9, 0, 0.7, 0.8]])
    assert [ship.mask_box[1] for ship in find_ships(probability_hw, threshold=0.5)] == [0, 5, 3]
    assert [ship.mask_box[1] for ship in find_ships(probability_hw, threshold=0.5, min_peak=0.8)] == [5, 3]
    assert [ship.mask_box[1] for ship in find_ships(probability_hw, threshold=0.5, min_area_px=2)] == [0, 5]
    kept = keep_confident(probability_hw, threshold=0.5, min_peak=0.8, min_area_px=2)
    assert kept.tolist() == [[False, False, False, False, False, True, True]]


def test_nothing_above_the_threshold_is_no_ship() -> None:
    assert find_ships(np.zeros((5, 7), np.float32), threshold=0.1) == ()
    assert not keep_confident(np.zeros((5, 7), np.float32), threshold=0.1).any()
    assert ships_from_mask(np.zeros((5, 7), bool)) == ()


def test_everything_above_the_threshold_is_one_ship() -> None:
    (ship,) = find_ships(np.full((5, 7), 0.5, np.float32), threshold=0.0)
    assert (ship.length_px, ship.width_px, ship.area_px) == (7, 5, 35)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.floats(0, 1, width=32)),
    st.floats(0.1, 0.9),
    st.floats(0, 1),
    st.integers(1, 4),
)
def test_ships_are_the_connected_components_of_the_mask(
    probability_hw: NDArray[np.float32], threshold: float, min_peak: float, min_area_px: int
) -> None:
    labels_hw, count = ndimage.label(ship_pixels(probability_hw, threshold=threshold), np.ones((3, 3)))
    expected = set()
    for label in range(1, count + 1):
        group = labels_hw == label
        if group.sum() >= min_area_px and probability_hw[group].max() >= np.float32(min_peak):
            expected.add((group.tobytes(), float(probability_hw[group].max()), int(group.sum())))
    ships = find_ships(probability_hw, threshold=threshold, min_peak=min_peak, min_area_px=min_area_px)
    shape = probability_hw.shape
    assert {(ship.full_mask(shape).tobytes(), ship.peak, ship.area_px) for ship in ships} == expected
    assert len(ships) == len(expected)
    kept = keep_confident(probability_hw, threshold=threshold, min_peak=min_peak, min_area_px=min_area_px)
    union = np.zeros(shape, bool)
    for ship in ships:
        union |= ship.full_mask(shape)
    assert np.array_equal(kept, union)


def test_hundreds_of_ships_are_all_found() -> None:
    mask_hw = np.zeros((768, 768), bool)
    mask_hw[::32, ::32] = True
    mask_hw[::32, 1::32] = True
    ships = ships_from_mask(mask_hw)
    assert len(ships) == 24 * 24
    assert {(ship.length_px, ship.width_px) for ship in ships} == {(2, 1)}


def test_a_ship_from_a_mask_may_have_several_components() -> None:
    ship = ship_from_mask(mask_of("..... .#.#. ....."))
    assert ship.mask_box == (1, 1, 2, 4)
    assert ship.area_px == 2
    assert ship.mask.tolist() == [[True, False, True]]


def test_the_full_mask_of_a_ship_is_that_of_its_image() -> None:
    mask_hw = mask_of(".... ..## ..#.")
    (ship,) = ships_from_mask(mask_hw)
    assert np.array_equal(ship.full_mask((3, 4)), mask_hw)
    with pytest.raises(ConfigError, match=r"rows 1-3 and columns 2-4 does not fit into \(3, 3\)"):
        ship.full_mask((3, 3))


@pytest.mark.parametrize(
    ("probability_hw", "options", "message"),
    [
        (np.zeros((2, 2), np.uint8), {"threshold": 0.5}, "floating-point array"),
        (np.zeros((1, 2, 2), np.float32), {"threshold": 0.5}, "floating-point array"),
        (np.zeros((0, 2), np.float32), {"threshold": 0.5}, "at least 1 pixel"),
        (np.full((2, 2), 1.5, np.float32), {"threshold": 0.5}, "from 0 to 1, got 1.5"),
        (np.full((2, 2), -0.5, np.float32), {"threshold": 0.5}, "from 0 to 1, got -0.5"),
        (np.full((2, 2), np.nan, np.float32), {"threshold": 0.5}, "from 0 to 1, got nan"),
        (np.zeros((2, 2), np.float32), {"threshold": 1.01}, "threshold must be from 0 to 1, got 1.01"),
        (np.zeros((2, 2), np.float32), {"threshold": math.nan}, "threshold must be from 0 to 1, got nan"),
        (np.zeros((2, 2), np.float32), {"threshold": 0.5, "min_peak": 2.0}, "min_peak must be from 0 to 1, got 2"),
    ],
)
def test_arrays_that_are_no_probability_are_refused(
    probability_hw: NDArray[np.float32], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        find_ships(probability_hw, **options)  # type: ignore[arg-type]


def test_masks_that_cannot_be_a_ship_are_refused() -> None:
    with pytest.raises(ConfigError, match="without a ship pixel"):
        ship_from_mask(np.zeros((3, 4), bool))
    with pytest.raises(ConfigError, match="two-dimensional"):
        ship_from_mask(np.ones((3, 4, 1), bool))
    with pytest.raises(ConfigError, match="two-dimensional"):
        ships_from_mask(np.ones((3, 4, 1), bool))
