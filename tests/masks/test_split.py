from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from shipseg.masks.ships import find_ships, keep_confident
from shipseg.masks.split import split_touching_ships

Box = tuple[float, float, float, float, float]
"""Row and column of the centre, length, width, angle in degrees clockwise from right."""
SMOOTH_PX = 1.2  # what a network leaves of a sharp edge


def coverage(*boxes: Box, side: int = 120) -> NDArray[np.float32]:
    """Return the share of each pixel that the rectangles cover, 0 to 1."""
    fine = 4
    drawn = np.zeros((side * fine, side * fine), np.uint8)
    for row, col, length, width, angle in boxes:
        corners = cv2.boxPoints(((col * fine, row * fine), (length * fine, width * fine), angle))
        cv2.fillPoly(drawn, [np.rint(corners).astype(np.int32)], 1)
    return np.asarray(drawn.reshape(side, fine, side, fine).mean(axis=(1, 3)), np.float32)


def as_probability(coverage_hw: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(coverage_hw, SMOOTH_PX), np.float32)


def ships(coverage_hw: NDArray[np.float32], *, separate: bool = True) -> int:
    return len(find_ships(as_probability(coverage_hw), threshold=0.4, separate=separate))


@pytest.mark.parametrize("angle", range(0, 180, 15))
@pytest.mark.parametrize("gap_px", [1.2, 1.8])
def test_two_rafted_ships_are_two(angle: int, gap_px: float) -> None:
    across = math.radians(angle + 90)
    apart = 10 + gap_px
    pair = coverage(
        (60, 60, 50, 10, angle), (60 + apart * math.sin(across), 60 + apart * math.cos(across), 40, 10, angle)
    )
    assert (ships(pair, separate=False), ships(pair)) == (1, 2)


@pytest.mark.parametrize("angle", range(0, 180, 15))
@pytest.mark.parametrize(("length", "width"), [(12, 4), (40, 9), (100, 14), (90, 4)])
def test_one_ship_stays_one(angle: int, length: float, width: float) -> None:
    assert ships(coverage((60.3, 59.8, length, width, angle))) == 1


def test_a_ship_with_a_pointed_bow_and_a_noisy_probability_stays_one() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        drawn = np.zeros((480, 480), np.uint8)
        turn, beam = rng.uniform(0, 2 * math.pi), rng.uniform(30, 60)
        hull = np.array([(-160, -beam / 2), (100, -beam / 2), (180, 0), (100, beam / 2), (-160, beam / 2)])
        turned = hull @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) + 240
        cv2.fillPoly(drawn, [np.rint(turned).astype(np.int32)], 1)
        probability_hw = as_probability(drawn.reshape(120, 4, 120, 4).mean(axis=(1, 3), dtype=np.float32))
        noise = ndimage.gaussian_filter(rng.normal(0, 0.1, probability_hw.shape), 1)
        noisy_hw = np.clip(probability_hw + noise * (probability_hw > 0.2), 0, 1).astype(np.float32)
        assert len(find_ships(noisy_hw, threshold=0.4, separate=True)) == 1


def test_two_ships_bow_to_stern_are_two() -> None:
    assert ships(coverage((60, 30, 40, 8, 0), (60, 71, 40, 8, 0))) == 2


def test_large_ships_that_meet_at_a_narrow_waist_are_two() -> None:
    bows = coverage((60, 30, 44, 20, 0), (60, 78, 44, 20, 0))
    bows[58:62, 48:60] = 1
    assert ships(bows) == 2


def test_a_moored_row_of_five_is_five() -> None:
    row = coverage(*((60, 30 + 9.3 * index, 30, 8, 90) for index in range(5)))
    assert (ships(row, separate=False), ships(row)) == (1, 5)


def test_split_ships_cover_the_true_ships() -> None:
    boxes: tuple[Box, Box] = ((60, 60, 50, 10, 30), (70.5, 54, 40, 12, 30))
    found = find_ships(as_probability(coverage(*boxes)), threshold=0.4, separate=True)
    assert len(found) == 2
    for box in boxes:
        true = coverage(box) >= 0.5
        overlaps = [ship.full_mask(true.shape) for ship in found]
        assert max(np.count_nonzero(mask & true) / np.count_nonzero(mask | true) for mask in overlaps) > 0.8


def test_a_split_ship_has_its_own_confidence_and_is_dropped_below_the_peak_threshold() -> None:
    probability_hw = as_probability(coverage((60, 60, 50, 10, 0), (71.5, 60, 40, 10, 0)))
    probability_hw[66:] *= 0.7
    sure, unsure = sorted(find_ships(probability_hw, threshold=0.4, separate=True), key=lambda ship: -ship.peak)
    assert sure.peak > 0.99
    assert unsure.peak == pytest.approx(0.7, abs=0.02)
    assert unsure.confidence < sure.confidence
    only = find_ships(probability_hw, threshold=0.4, min_peak=0.8, separate=True)
    assert [ship.mask_box for ship in only] == [sure.mask_box]
    kept = keep_confident(probability_hw, threshold=0.4, min_peak=0.8, separate=True)
    assert np.array_equal(kept, sure.full_mask(probability_hw.shape))


def test_the_result_does_not_depend_on_place_or_neighbours() -> None:
    pair = as_probability(coverage((60, 60, 50, 10, 30), (70.5, 54, 40, 12, 30)))
    alone = find_ships(pair, threshold=0.4, separate=True)
    large = np.zeros((400, 500), np.float32)
    large[201:321, 77:197] = pair
    large[200:322, 60:70] = 0.9
    moved = [ship for ship in find_ships(large, threshold=0.4, separate=True) if ship.peak != np.float32(0.9)]
    boxes = np.array([ship.mask_box for ship in moved]) - (201, 77, 201, 77)
    assert boxes.tolist() == [list(ship.mask_box) for ship in alone]
    assert all(np.array_equal(one.mask, other.mask) for one, other in zip(alone, moved, strict=True))
    cropped = find_ships(pair[10:, 5:], threshold=0.4, separate=True, origin=(10, 5))
    assert [(ship.mask_box, ship.center_rc) for ship in cropped] == [(ship.mask_box, ship.center_rc) for ship in alone]


@settings(max_examples=60)
@given(
    probability=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.floats(0, 1, width=32)
    ),
    threshold=st.floats(0.05, 0.95),
)
def test_split_ships_partition_the_pixels_of_the_component(probability: NDArray[np.float32], threshold: float) -> None:
    whole = find_ships(probability, threshold=threshold)
    split = find_ships(probability, threshold=threshold, separate=True)
    count = np.zeros(probability.shape, np.int64)
    for ship in split:
        count += ship.full_mask(probability.shape)
    assert count.max(initial=0) <= 1
    assert np.array_equal(count > 0, keep_confident(probability, threshold=threshold, separate=True))
    assert np.array_equal(count > 0, keep_confident(probability, threshold=threshold))
    assert len(split) >= len(whole)


def test_labels_start_at_one_inside_the_component_and_are_zero_outside() -> None:
    mask = coverage((60, 60, 50, 10, 0), (71.5, 60, 40, 10, 0)) > 0
    labels = split_touching_ships(as_probability(coverage((60, 60, 50, 10, 0), (71.5, 60, 40, 10, 0))), mask)
    assert labels.dtype == np.int32
    assert np.array_equal(labels > 0, mask)
    assert set(np.unique(labels)) == {0, *range(1, labels.max() + 1)}
