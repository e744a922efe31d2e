"""Measures of ships agree with those of decoded masks; touching ships are found."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.exploration.ships import measure_each_ship
from shipseg.masks.rle import encode
from shipseg.masks.ships import ship_from_mask


def table(*images: tuple[str, ...], height: int = 60, width: int = 80, malformed: bool = False) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ImageId": [f"{number}.png" for number in range(len(images))],
            "rles": pd.Series(list(images), dtype=object),
            "Ships": [len(rles) for rles in images],
            "height": height,
            "width": width,
            "malformed": malformed,
        }
    )


def box(row: int, col: int, height: int, width: int) -> NDArray[np.bool_]:
    mask_hw = np.zeros((60, 80), bool)
    mask_hw[row : row + height, col : col + width] = True
    return mask_hw


def test_a_rectangle_along_the_axes_is_measured_exactly() -> None:
    ship = measure_each_ship(table((encode(box(10, 20, 4, 12)),)), assumed_size=(1, 1)).iloc[0]
    assert (ship["area_px"], ship["center_row"], ship["center_col"]) == (48, 12.0, 26.0)
    assert (ship["length_px"], ship["width_px"], ship["aspect"], ship["heading_deg"]) == (12.0, 4.0, 3.0, 90.0)
    assert not ship["touches_border"]
    assert (ship["image_height"], ship["image_width"]) == (60, 80)


@settings(max_examples=40)
@given(
    center=st.tuples(st.floats(0, 80), st.floats(0, 60)),
    sides=st.tuples(st.floats(1, 70), st.floats(1, 20)),
    angle=st.floats(0, 180),
)
def test_measures_are_those_of_the_painted_mask(
    center: tuple[float, float], sides: tuple[float, float], angle: float
) -> None:
    drawn = np.zeros((60, 80), np.uint8)
    cv2.fillConvexPoly(drawn, cv2.boxPoints((center, sides, angle)).astype(np.int32), 1)
    drawn[30, 40] = 1  # never empty
    mask_hw = drawn.astype(bool)
    painted, measured = ship_from_mask(mask_hw), measure_each_ship(table((encode(mask_hw),)), assumed_size=(1, 1))
    ship = measured.iloc[0]
    assert ship["area_px"] == painted.area_px
    assert (ship["length_px"], ship["width_px"]) == pytest.approx((painted.length_px, painted.width_px))
    assert ship["heading_deg"] == pytest.approx(painted.heading_deg)
    assert (ship["center_row"], ship["center_col"]) == pytest.approx(painted.center_rc)
    row0, col0, row1, col1 = painted.mask_box
    assert ship["touches_border"] == (row0 == 0 or col0 == 0 or row1 == 60 or col1 == 80)


def test_a_run_that_continues_in_the_next_column_is_split_at_the_image_edge() -> None:
    # Rows 58 and 59 of column 0, then rows 0 to 2 of column 1.
    ship = measure_each_ship(table(("59 5",)), assumed_size=(1, 1)).iloc[0]
    assert (ship["area_px"], ship["center_col"]) == (5, pytest.approx(1.1))
    assert ship["center_row"] == pytest.approx((58 + 59 + 0 + 1 + 2) / 5 + 0.5)


@pytest.mark.parametrize(
    ("other", "touch"),
    [
        (box(14, 20, 3, 3), True),  # side by side
        (box(14, 32, 3, 3), True),  # at a corner
        (box(12, 22, 3, 3), True),  # on top of it
        (box(15, 20, 3, 3), False),  # a row of water between
        (box(14, 33, 3, 3), False),  # a step past the corner
    ],
)
def test_ships_touch_at_sides_and_corners(other: NDArray[np.bool_], touch: bool) -> None:
    ships = measure_each_ship(table((encode(box(10, 20, 4, 12)), encode(other))), assumed_size=(1, 1))
    assert ships["touches_other"].tolist() == [touch, touch]


def test_touching_boxes_alone_are_not_touching_ships() -> None:
    corner = box(10, 10, 20, 1) | box(10, 10, 1, 20)  # an L whose bounds hold the other ship
    ships = measure_each_ship(table((encode(corner), encode(box(20, 20, 3, 3)))), assumed_size=(1, 1))
    assert ships["touches_other"].tolist() == [False, False]


def test_ships_of_different_images_do_not_touch() -> None:
    text = encode(box(10, 20, 4, 12))
    ships = measure_each_ship(table((text,), (), (text,)), assumed_size=(1, 1))
    assert ships["ImageId"].tolist() == ["0.png", "2.png"]
    assert ships["touches_other"].tolist() == [False, False]


def test_images_of_unknown_size_are_taken_for_the_assumed_one_and_ships_beyond_it_left_out() -> None:
    unknown = table(("1 2", "191 2"), height=0, width=0)
    ships = measure_each_ship(unknown, assumed_size=(10, 19))  # pixel 191 is the first of column 19, the 20th
    assert ships["area_px"].tolist() == [2]
    assert (ships["image_height"].tolist(), ships["image_width"].tolist()) == ([10], [19])


def test_ships_of_malformed_images_are_left_out_and_no_ship_is_no_row() -> None:
    assert measure_each_ship(table(("1 2 3",), malformed=True), assumed_size=(5, 5)).empty
    empty = measure_each_ship(table((), ()), assumed_size=(5, 5))
    assert empty.empty
    assert list(empty.columns)[:5] == ["ImageId", "area_px", "length_px", "width_px", "aspect"]
