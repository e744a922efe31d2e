from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipseg.errors import ConfigError
from shipseg.tiling import Accumulator, Window, blend_weights, windows


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int, int]:
    height, width, tile = (draw(st.integers(1, 40)) for _ in range(3))
    return height, width, tile, draw(st.integers(0, tile - 1))


def test_windows_go_row_by_row_and_the_last_is_shifted_back_to_the_edge() -> None:
    assert windows(5, 7, tile=4, overlap=1) == [(0, 0, 4, 4), (0, 3, 4, 4), (1, 0, 4, 4), (1, 3, 4, 4)]
    assert [window.col0 for window in windows(4, 9, tile=4, overlap=1)] == [0, 3, 5]


def test_a_side_that_divides_evenly_gets_no_extra_window() -> None:
    assert [window.row0 for window in windows(12, 4, tile=4, overlap=0)] == [0, 4, 8]
    assert [window.row0 for window in windows(10, 4, tile=4, overlap=1)] == [0, 3, 6]


def test_an_image_smaller_than_the_tile_is_one_window() -> None:
    assert windows(3, 2, tile=768, overlap=100) == [Window(0, 0, 3, 2)]


def test_the_slices_of_a_window_cut_its_pixels() -> None:
    image_hw = np.arange(12).reshape(3, 4)
    assert image_hw[Window(1, 2, 2, 2).slices].tolist() == [[6, 7], [10, 11]]


@given(layouts())
def test_windows_cover_every_pixel_inside_the_image_and_share_the_overlap(layout: tuple[int, int, int, int]) -> None:
    height, width, tile, overlap = layout
    covered = np.zeros((height, width), int)
    covering = windows(height, width, tile=tile, overlap=overlap)
    for window in covering:
        assert window.row0 >= 0
        assert window.row0 + window.height <= height
        assert window.col0 >= 0
        assert window.col0 + window.width <= width
        covered[window.slices] += 1
    assert covered.min() >= 1
    assert len(set(covering)) == len(covering)
    columns = sorted({window.col0 for window in covering})
    assert all(after - before <= tile - overlap for before, after in itertools.pairwise(columns))


@pytest.mark.parametrize(
    ("sizes", "tile", "overlap", "message"),
    [
        ((0, 5), 4, 0, "at least 1 pixel"),
        ((5, 5), 0, 0, "at least 1 pixel"),
        ((5, 5), 4, 4, "overlap must be from 0 to below the tile"),
        ((5, 5), 4, -1, "overlap must be from 0 to below the tile"),
    ],
)
def test_impossible_layouts_are_refused(sizes: tuple[int, int], tile: int, overlap: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        windows(*sizes, tile=tile, overlap=overlap)


def test_weights_equal_the_ramp_computed_by_hand() -> None:
    row = [0.25, 0.75, 1, 1, 0.75, 0.25]
    assert blend_weights(1, 6, overlap=0).tolist() == [[1] * 6]
    assert blend_weights(6, 6, overlap=2)[2].tolist() == row
    assert blend_weights(6, 6, overlap=2)[:, 0].tolist() == [0.25 * weight for weight in row]


def test_weights_of_neighbours_add_up_to_one_across_their_overlap() -> None:
    total = np.zeros(14)
    for window in windows(6, 14, tile=6, overlap=2):
        total[window.col0 : window.col0 + 6] += blend_weights(6, 6, overlap=2)[3]
    # Along the outer edges there is one window only: its ramp is all there is.
    assert total.tolist() == [0.25, 0.75, *[1] * 10, 0.75, 0.25]


def test_refuses_weights_of_an_empty_window() -> None:
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        blend_weights(0, 4, overlap=1)


@given(layouts())
def test_the_weights_of_all_windows_normalise_to_one(layout: tuple[int, int, int, int]) -> None:
    height, width, tile, overlap = layout
    total = np.zeros((height, width))
    covering = windows(height, width, tile=tile, overlap=overlap)
    for window in covering:
        total[window.slices] += blend_weights(window.height, window.width, overlap=overlap)
    shares = np.zeros((height, width))
    for window in covering:
        weights = blend_weights(window.height, window.width, overlap=overlap)
        assert weights.min() > 0
        shares[window.slices] += weights / total[window.slices]
    assert np.allclose(shares, 1)


@settings(max_examples=50)
@given(layouts(), st.floats(-1, 1, width=32))
def test_a_constant_field_comes_back_constant(layout: tuple[int, int, int, int], value: float) -> None:
    height, width, tile, overlap = layout
    mean = Accumulator(height, width)
    for window in windows(height, width, tile=tile, overlap=overlap):
        values = np.full((window.height, window.width), value, np.float32)
        mean.add(window, values, blend_weights(window.height, window.width, overlap=overlap))
    result = mean.result()
    assert result.dtype == np.float32
    assert np.abs(result - np.float32(value)).max() <= 1e-6


def test_two_windows_are_averaged_by_their_weights() -> None:
    mean = Accumulator(1, 3)
    mean.add(Window(0, 0, 1, 2), np.array([[1.0, 1.0]]), np.array([[1.0, 1.0]]))
    mean.add(Window(0, 1, 1, 2), np.array([[5.0, 5.0]]), np.array([[3.0, 3.0]]))
    assert mean.result().tolist() == [[1, 4, 5]]


def test_a_pixel_without_a_window_is_refused_with_its_position() -> None:
    mean = Accumulator(2, 3)
    mean.add(Window(0, 0, 1, 3), np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(ConfigError, match="3 pixels were covered by no window, the first in row 1, column 0"):
        mean.result()


def test_windows_outside_the_image_and_values_of_another_shape_are_refused() -> None:
    mean = Accumulator(4, 4)
    with pytest.raises(ConfigError, match="does not lie inside the image 4 x 4"):
        mean.add(Window(-1, 0, 2, 2), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ConfigError, match="does not lie inside the image 4 x 4"):
        mean.add(Window(0, 3, 2, 2), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ConfigError, match="cannot take values"):
        mean.add(Window(0, 0, 2, 2), np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        Accumulator(0, 4)
