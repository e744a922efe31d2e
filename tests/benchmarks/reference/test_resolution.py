from __future__ import annotations

import numpy as np
import pytest
from benchmarks.reference.resolution import ROUND_TRIPS, ceilings, draw_ship, one_pixel_shift, shift_example


def test_a_drawn_ship_has_the_area_of_its_rectangle_and_lies_off_the_border() -> None:
    generator = np.random.default_rng(0)
    drawn = [draw_ship(generator, length_px=30, width_px=10) for _ in range(60)]
    assert np.mean([ship_hw.sum() for ship_hw in drawn]) == pytest.approx(300, rel=0.01)
    assert all(ship_hw.shape[0] % 6 == 0 for ship_hw in drawn)
    assert not any(ship_hw[0].any() or ship_hw[:, -1].any() for ship_hw in drawn)


def test_whole_blocks_survive_coverage_and_lose_nothing_to_hard_masks() -> None:
    blocks_hw = np.zeros((24, 24), bool)
    blocks_hw[6:18, 6:18] = True
    for name in ("hard, 256 px", "hard, 384 px", "hard, 256 px, no shift"):
        assert (ROUND_TRIPS[name](blocks_hw) == blocks_hw).all()


def test_nearest_takes_the_first_pixel_of_a_block_and_exact_nearest_the_middle_one() -> None:
    first_hw, middle_hw = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    first_hw[3, 3] = middle_hw[4, 4] = True
    block_hw = np.zeros((6, 6), bool)
    block_hw[3:, 3:] = True
    assert (ROUND_TRIPS["hard, 256 px"](first_hw) == block_hw).all()
    assert not ROUND_TRIPS["hard, 256 px"](middle_hw).any()
    assert (ROUND_TRIPS["hard, 256 px, no shift"](middle_hw) == block_hw).all()


def test_the_ceilings_agree_with_earlier_measurements() -> None:
    # Hard nearest 256, soft area 256, soft area 384, measured earlier by another implementation.
    earlier = {"20 x 7": (0.701, 0.930, 0.963), "30 x 10": (0.778, 0.957, 0.978), "60 x 16": (0.858, 0.979, 0.989)}
    rows = {row["ship_px"]: row for row in ceilings(ships=100)}
    for ship, expected in earlier.items():
        found = [rows[ship][name] for name in ("hard, 256 px", "coverage, 256 px", "coverage, 384 px")]
        assert found == pytest.approx(expected, abs=0.03)
    # The smallest ship agrees once it is drawn with its outline, one pixel longer and wider.
    outlined = {row["ship_px"]: row for row in ceilings(ships=100, outline_px=1)}["8 x 3"]
    assert outlined["coverage, 256 px"] == pytest.approx(0.746, abs=0.03)
    assert outlined["coverage, 384 px"] == pytest.approx(0.880, abs=0.03)


def test_coverage_beats_hard_masks_at_every_size() -> None:
    for row in ceilings(ships=30):
        assert row["hard, 256 px"] < row["hard, 256 px, no shift"] < row["coverage, 256 px"] < row["coverage, 384 px"]


def test_the_mask_lies_one_source_pixel_down_and_right_and_that_costs_a_fifth() -> None:
    facts = one_pixel_shift(ships=60)
    assert facts["offset_px"] == {"bilinear": [1.0, 1.0], "area": [1.0, 1.0]}
    assert {row["ship_px"]: row["iou"] for row in facts["iou"]}["30 x 10"] == pytest.approx(0.79, abs=0.02)


def test_the_example_shows_another_mask_than_the_image() -> None:
    image_hw, mask_hw = shift_example()
    assert image_hw.shape == mask_hw.shape
    assert np.count_nonzero(mask_hw != (image_hw >= 0.5)) >= 4
    assert 20 < mask_hw.sum() < 45  # 300 px at a ninth
