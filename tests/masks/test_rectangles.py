"""Components become the rectangles with the highest IoU, which are closer to the labels than rounded outlines."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.masks.rectangles import fill_rectangles
from shipseg.masks.ships import find_ships, keep_confident

Mask = NDArray[np.bool_]
FINE = 8


def polygon(points_xy: NDArray[np.float64], shape: tuple[int, int] = (160, 160)) -> Mask:
    """Return the pixels that a polygon (x, y along pixel edges) covers by half or more."""
    drawn = np.zeros((shape[0] * FINE, shape[1] * FINE), np.uint8)
    cv2.fillPoly(drawn, [np.rint(points_xy * FINE - 0.5).astype(np.int32)], 1)
    return np.asarray(drawn.reshape(shape[0], FINE, shape[1], FINE).mean(axis=(1, 3)) >= 0.5)


def placed(shape_uv: list[tuple[float, float]], center_xy: tuple[float, float], angle: float) -> NDArray[np.float64]:
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(np.array(shape_uv, np.float64) @ turn + np.array(center_xy))


def rectangle(length: float, width: float, center_xy: tuple[float, float], angle: float) -> Mask:
    half, side = length / 2, width / 2
    return polygon(placed([(-half, -side), (half, -side), (half, side), (-half, side)], center_xy, angle))


def hull(length: float, width: float, center_xy: tuple[float, float], angle: float) -> Mask:
    """Return a hull with a pointed bow and a narrower stern, as long and wide as its label."""
    half, side = length / 2, width / 2
    bow, stern = half - width, -half + 0.3 * width
    points = [(-half, -0.6 * side), (stern, -side), (bow, -side), (half, 0), (bow, side), (stern, side)]
    return polygon(placed([*points, (-half, 0.6 * side)], center_xy, angle))


def iou(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def filled(*masks: Mask) -> NDArray[np.int32]:
    labels_hw = np.zeros(masks[0].shape, np.int32)
    for label, mask_hw in enumerate(masks, start=1):
        labels_hw[mask_hw] = label
    return fill_rectangles(labels_hw)


@settings(max_examples=80)
@given(st.floats(15, 120), st.floats(7, 20), st.floats(0, math.pi), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_rectangle_stays_that_rectangle(length: float, width: float, angle: float, x: float, y: float) -> None:
    mask_hw = rectangle(max(length, width), width, (80 + x, 80 + y), angle)
    # A side at a small angle is a few steps of pixels, which other rectangles share: up to half a row differs.
    assert iou(filled(mask_hw) == 1, mask_hw) > 1 - 1.0 / width


def test_most_rectangles_are_recovered_closely() -> None:
    rng = np.random.default_rng(7)
    lost_px = []  # of the width
    for _ in range(120):
        width = rng.uniform(7, 20)
        length, angle = max(rng.uniform(15, 120), width), rng.uniform(0, math.pi)
        mask_hw = rectangle(length, width, tuple(80 + rng.uniform(-0.5, 0.5, 2)), angle)
        lost_px.append(width * (1 - iou(filled(mask_hw) == 1, mask_hw)))
    assert np.mean(lost_px) < 0.12
    assert np.quantile(lost_px, 0.95) < 0.4


def test_noisy_hulls_have_a_higher_iou_with_their_labels_as_rectangles() -> None:
    rng = np.random.default_rng(5)
    gains = []
    for _ in range(150):
        width, angle = rng.uniform(9, 16), rng.uniform(0, math.pi)
        length = width * rng.uniform(4.5, 8)
        label, whole = (shape(length, width, (80, 80), angle) for shape in (rectangle, hull))
        blobs = cv2.GaussianBlur(rng.normal(0, 1, whole.shape), (0, 0), 1.5)  # their standard deviation is 0.19
        seen = cv2.GaussianBlur(whole.astype(np.float64), (0, 0), 1.2) + blobs > 0.5
        _, labels = cv2.connectedComponents(seen.astype(np.uint8))
        ship = np.asarray(labels == labels[80, 80])
        gains.append(iou(filled(ship) == 1, label) - iou(ship, label))
    assert np.mean(gains) > 0.04
    assert min(gains) > -0.02


@pytest.mark.parametrize("angle", [0.9, 2.1])
def test_pixels_outside_the_image_do_not_count_in_the_fit(angle: float) -> None:
    cut = rectangle(80, 14, (5, 60), angle)
    got = filled(cut) == 1
    assert iou(got, cut) > 0.97
    inside = np.pad(cut, ((0, 0), (20, 0)))  # the same with water left of it, where no label goes on
    assert iou((filled(inside) == 1)[:, 20:], cut) < 0.93


def test_ships_side_by_side_small_ones_and_land_stay_as_they_are() -> None:
    corner = rectangle(80, 12, (70, 60), 0.0) | rectangle(80, 12, (36, 94), math.pi / 2)
    boat = polygon(placed([(-8, 0), (0, -4), (9, 0), (0, 4)], (130, 130), 0.5))
    assert 40 < boat.sum() < 100
    assert (filled(corner, boat) == np.where(corner, 1, np.where(boat, 2, 0))).all()
    coast = np.zeros((700, 700), bool)
    coast[:, :60] = True
    coast[0, 0] = False  # a rectangle would fill it
    assert (filled(coast) == coast).all()


def test_rectangles_are_disjoint_and_take_no_pixel_of_another_component() -> None:
    large, small = hull(100, 20, (80, 60), 0.1), hull(50, 10, (80, 77), 0.1)
    before = np.where(large, 1, 0) + np.where(small & ~large, 2, 0)
    after = filled(large, small & ~large)
    assert set(np.unique(after).tolist()) == {0, 1, 2}
    assert not ((before == 2) & (after == 1)).any()
    assert not ((before == 1) & (after == 2)).any()
    assert iou(after == 1, rectangle(100, 20, (80, 60), 0.1)) > iou(large, rectangle(100, 20, (80, 60), 0.1))
    # The larger component comes first, in any order of the labels.
    assert (filled(small & ~large, large) == np.array([0, 2, 1])[after]).all()


def test_a_ship_is_the_same_rectangle_wherever_it_lies() -> None:
    small = hull(60, 12, (60, 50), 0.7)[20:80, 20:100]
    one, other = np.zeros((200, 300), bool), np.zeros((200, 300), bool)
    one[30:90, 40:120], other[101:161, 177:257] = small, small
    assert (np.roll(filled(one), (71, 137), (0, 1)) == filled(other)).all()


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([0.0, 0.7, 0.95]))
def test_ships_keep_their_confidence_and_the_mask_is_their_union(seed: int, separate: bool, min_peak: float) -> None:
    rng = np.random.default_rng(seed)
    probability_hw = np.zeros((160, 160), np.float32)
    for _ in range(6):
        x, y, length = rng.uniform(0, 160), rng.uniform(0, 160), rng.uniform(10, 70)
        mask_hw = hull(length, length / rng.uniform(2, 6), (x, y), rng.uniform(0, math.pi))
        probability_hw = np.maximum(
            probability_hw, cv2.GaussianBlur(mask_hw * np.float32(rng.uniform(0.6, 1)), (5, 5), 1)
        )
    find = functools.partial(find_ships, probability_hw, threshold=0.4, min_peak=min_peak, separate=separate)
    plain, boxed = find(), find(rectangles=True)
    assert sorted((ship.peak, ship.confidence) for ship in plain) == sorted((s.peak, s.confidence) for s in boxed)
    total = np.zeros(probability_hw.shape, np.int64)
    for ship in boxed:
        total += ship.full_mask(probability_hw.shape)
    assert total.max(initial=0) <= 1
    kept_hw = keep_confident(probability_hw, threshold=0.4, min_peak=min_peak, separate=separate, rectangles=True)
    assert (kept_hw == (total > 0)).all()
