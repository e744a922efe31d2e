"""Streaming over tiles and blocks gives bit by bit the results of the whole scene at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.inference.predictor import Predictor
from shipseg.masks.ships import Ship, find_ships
from shipseg.model.card import Card, CardInput
from shipseg.scenes import components
from shipseg.scenes.components import ShipFinder
from shipseg.scenes.tiles import NO_DATA, Block, Carry, RowBlender, TilePlan, dequantise, plan_tiles, quantise
from shipseg.tiling import Accumulator, Window

DECISION = Decision(threshold=0.5, min_peak=0.6, min_area_px=2)
SPLITTING = DECISION.model_copy(update={"separate": True})


def streamed(plan: TilePlan, probs: list[NDArray[np.float32] | None]) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    carried: list[Carry] = []
    rest = iter(probs)
    for row in range(plan.num_rows):
        blender = RowBlender(plan, row, iter(carried))
        carried = []
        for window in plan.row(row):
            mean_hw, carry = blender.add(next(rest))
            carried.append(carry)
            yield Window(window.row0, window.col0, *mean_hw.shape), mean_hw


def assembled(shape: tuple[int, int], blocks: Iterator[tuple[Window, NDArray[np.float32]]]) -> NDArray[np.float32]:
    whole = np.full(shape, np.nan, np.float32)
    for window, mean_hw in blocks:
        assert np.isnan(whole[window.slices]).all(), "no pixel comes twice"
        whole[window.slices] = mean_hw
    assert not np.isnan(whole).any(), "every pixel comes"
    return whole


@settings(max_examples=150)
@given(
    st.integers(1, 200), st.integers(1, 200), st.sampled_from([32, 48, 64]), st.integers(0, 32), st.integers(0, 2**32)
)
@example(68, 70, 64, 32, 1)  # three rows of tiles cover one pixel: 0-64, 4-68 ... after a shifted last one
@example(100, 130, 64, 32, 2)
@example(1, 200, 32, 5, 3)
def test_blending_row_by_row_equals_the_accumulator_bit_by_bit(
    height: int, width: int, tile: int, overlap: int, seed: int
) -> None:
    plan = plan_tiles((height, width), CardInput(tile=tile, overlap=min(overlap, tile // 2), multiple=1), None)
    windows = [window for row in range(plan.num_rows) for window in plan.row(row)]
    random = np.random.default_rng(seed)
    probs = [random.random((window.height, window.width), np.float32) for window in windows]
    total = Accumulator(height, width)
    for window, prob_hw in zip(windows, probs, strict=True):
        total.add(window, prob_hw, plan.weights())
    np.testing.assert_array_equal(assembled((height, width), streamed(plan, list(probs))), total.result())


def test_skipped_tiles_do_not_count_in_the_mean() -> None:
    plan = plan_tiles((32, 56), CardInput(tile=32, overlap=8, multiple=1), None)
    whole = assembled((32, 56), streamed(plan, [np.full((32, 32), 0.9, np.float32), None]))
    np.testing.assert_allclose(whole[:, :32], 0.9, rtol=1e-6)
    assert (whole[:, 32:] == 0).all()


class Red:
    """A network whose probability is red, weighted by the column in the tile."""

    pixels_per_batch = 64 * 64

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        ramp = np.linspace(0.9, 1, images_n3hw.shape[3], dtype=np.float32)  # tiles disagree where they overlap
        return images_n3hw[:, :1] / np.float32(255) * ramp


@settings(max_examples=60)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 32), st.integers(0, 2**32))
@example(68, 150, 32, 0)
def test_a_tiled_scene_has_the_ships_of_the_predictor_on_the_whole_image(
    height: int, width: int, overlap: int, seed: int
) -> None:
    card = Card(input=CardInput(tile=64, overlap=overlap), decision=DECISION)
    predictor = Predictor(card, Red())
    image_hwc = scene_of_ships(height, width, seed)
    expected_hw = quantise(predictor.probability(image_hwc))
    plan = plan_tiles((height, width), card.input, None)
    tiles = [image_hwc[window.slices] for row in range(plan.num_rows) for window in plan.row(row)]
    probs: list[NDArray[np.float32] | None] = [predictor.tiles_probability(tile[None])[0] for tile in tiles]
    finder = ShipFinder((height, width), DECISION)
    quantised_hw = np.zeros((height, width), np.uint16)
    for window, mean_hw in streamed(plan, probs):
        quantised_hw[window.slices] = quantise(predictor.calibrated(mean_hw))
        finder.add(Block(window, quantised_hw[window.slices]))
    np.testing.assert_array_equal(quantised_hw, expected_hw)
    same_ships([found.ship for found in finder.ships()], whole_ships(expected_hw, DECISION))


def scene_of_ships(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return dark noise with bright rectangles at random positions, also across the edges."""
    random = np.random.default_rng(seed)
    image_hwc = random.integers(0, 60, (height, width, 3), np.uint8)
    for _ in range(12):
        row, column = random.integers(-10, [height, width])
        rows, columns = random.integers(1, 40, 2)
        image_hwc[max(row, 0) : max(row + rows, 0), max(column, 0) : max(column + columns, 0)] = random.integers(
            90, 255
        )
    return image_hwc


def whole_ships(quantised_hw: NDArray[np.uint16], decision: Decision) -> tuple[Ship, ...]:
    return find_ships(dequantise(quantised_hw), **decision.rules)


def same_ships(found: list[Ship], expected: tuple[Ship, ...]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.mask_box, ours.area_px, ours.confidence, ours.peak) == (
            theirs.mask_box,
            theirs.area_px,
            theirs.confidence,
            theirs.peak,
        )
        assert (ours.center_rc, ours.length_px, ours.width_px, ours.heading_deg) == (
            theirs.center_rc,
            theirs.length_px,
            theirs.width_px,
            theirs.heading_deg,
        )
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        np.testing.assert_array_equal(ours.corners_xy, theirs.corners_xy)


def in_blocks(quantised_hw: NDArray[np.uint16], rows: list[int], columns: list[int]) -> Iterator[Block]:
    """Yield the blocks between the given first rows and columns."""
    height, width = quantised_hw.shape
    for row0, row1 in zip(rows, [*rows[1:], height], strict=True):
        for col0, col1 in zip(columns, [*columns[1:], width], strict=True):
            window = Window(row0, col0, row1 - row0, col1 - col0)
            yield Block(window, quantised_hw[window.slices])


def cuts(side: int, random: np.random.Generator) -> list[int]:
    return [0, *sorted(set(random.integers(1, side, random.integers(0, 6)).tolist()))] if side > 1 else [0]


@settings(max_examples=300)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 0.7), st.booleans(), st.integers(0, 2**32))
def test_ships_are_complete_and_unique_for_any_blocks(
    height: int, width: int, share: float, holes: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    quantised_hw = np.where(random.random((height, width)) < share, random.integers(5000, 10_001, (height, width)), 0)
    quantised_hw = quantised_hw.astype(np.uint16)
    if holes:
        quantised_hw[random.random((height, width)) < 0.05] = NO_DATA
    finder = ShipFinder((height, width), DECISION)
    for block in in_blocks(quantised_hw, cuts(height, random), cuts(width, random)):
        finder.add(block)
    expected = whole_ships(quantised_hw, DECISION)
    same_ships([found.ship for found in finder.ships()], expected)
    beyond = np.pad(quantised_hw == NO_DATA, 1, constant_values=True)
    for found in finder.ships():
        row0, col0, row1, col1 = found.ship.mask_box
        around = np.pad(found.ship.mask, 1)
        grown = np.zeros_like(around)
        for rows in (-1, 0, 1):
            for columns in (-1, 0, 1):
                grown |= np.roll(around, (rows, columns), (0, 1))
        assert found.cut == bool((grown & beyond[row0 : row1 + 2, col0 : col1 + 2]).any())


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_touching_ships_are_split_alike_for_any_blocks(seed: int) -> None:
    random = np.random.default_rng(seed)
    quantised_hw = np.zeros((60, 90), np.uint16)
    for _ in range(8):  # bars with soft edges, many of which touch
        row, column = random.integers(0, [50, 70])
        for inset, value in enumerate((5500, 7500, 9500)):
            quantised_hw[row + inset : row + 9 - inset, column + inset : column + 20 - inset] = value
    finder = ShipFinder(quantised_hw.shape[:2], SPLITTING)
    for block in in_blocks(quantised_hw, cuts(60, random), cuts(90, random)):
        finder.add(block)
    same_ships([found.ship for found in finder.ships()], whole_ships(quantised_hw, SPLITTING))


def test_a_spiral_through_all_blocks_is_one_ship() -> None:
    quantised_hw = np.zeros((21, 21), np.uint16)
    low, high = 0, 20
    while low < high:
        quantised_hw[low, low : high + 1] = quantised_hw[low : high + 1, high] = quantised_hw[high, low : high + 1] = (
            9000
        )
        quantised_hw[low + 2 : high + 1, low] = 9000
        quantised_hw[low + 2, low : low + 3] = 9000
        low, high = low + 2, high - 2
    finder = ShipFinder((21, 21), Decision(threshold=0.5))
    for block in in_blocks(quantised_hw, list(range(0, 21, 3)), list(range(0, 21, 4))):
        finder.add(block)
    (found,) = finder.ships()
    assert found.ship.area_px == np.count_nonzero(quantised_hw)
    assert found.cut


def test_regions_too_large_for_a_ship_are_dropped_with_the_reason_and_not_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(components, "MAX_SIDE_PX", 50)
    quantised_hw = np.zeros((300, 40), np.uint16)
    quantised_hw[10:290, 10:20] = 8000  # extends over many rows of blocks
    quantised_hw[100:110, 30:38] = 8000
    finder = ShipFinder((300, 40), Decision(threshold=0.5))
    num_kept = []
    for block in in_blocks(quantised_hw, list(range(0, 300, 10)), [0, 15]):
        finder.add(block)
        num_kept.append(sum(len(part) for kept in finder._components.values() for part in kept.pixels))
    assert [found.ship.mask_box for found in finder.ships()] == [(100, 30, 110, 38)]
    (dropped,) = finder.dropped
    assert (dropped.box, dropped.area_px) == ((10, 10, 290, 20), 2800)
    assert "a region of 280 x 10 pixels is too large for a ship" in dropped.reason
    assert max(num_kept) <= 60 * 10 + 80


def test_the_threshold_selects_the_same_pixels_in_quantised_and_float_probability() -> None:
    quantised_hw = np.array([[9699, 0, 9700]], np.uint16)
    finder = ShipFinder((1, 3), Decision(threshold=0.97))
    finder.add(Block(Window(0, 0, 1, 3), quantised_hw))
    assert [found.ship.mask_box for found in finder.ships()] == [(0, 2, 1, 3)]
