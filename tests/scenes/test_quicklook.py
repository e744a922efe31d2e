"""The quicklook: its size, square pixels on the ground, every ship drawn, no overlapping numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import ships_from_mask
from shipseg.scenes.quicklook import (
    MAX_SIDE_PX,
    NO_DATA_COLOR,
    draw_quicklook,
    legend_height,
    quicklook_shape,
    write_png,
)
from shipseg.scenes.ships import SceneShips, measure_ships

pytest.importorskip("rasterio")

PINK = (255, 64, 180)


def without_georef(shape: tuple[int, int]) -> GeoReference:
    return GeoReference.without(shape, "a photograph")


def utm(shape: tuple[int, int], *, ratio: float = 1.0) -> GeoReference:
    return GeoReference.of((1.5, 0.0, 500_000.0, 0.0, -1.5 * ratio, 5_600_000.0), "EPSG:32631", shape)


def ships_at(boxes: list[tuple[int, int, int, int]], georef: GeoReference) -> SceneShips:
    mask_hw = np.zeros(georef.shape, bool)
    for row, column, height, width in boxes:
        mask_hw[row : row + height, column : column + width] = True
    return measure_ships([(s, False) for s in ships_from_mask(mask_hw)], georef, scene="scene", shape=georef.shape)


def drawn(ships: SceneShips, *, grey: int = 70) -> tuple[NDArray[np.uint8], frozenset[int]]:
    height, width = quicklook_shape(ships.georef)
    overview_hwc = np.full((height, width, 3), grey, np.uint8)
    return draw_quicklook(overview_hwc, np.ones((height, width), bool), ships)


def is_pink(drawn_hwc: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((np.abs(drawn_hwc.astype(int) - PINK) < 40).all(axis=-1))


@given(height=st.integers(1, 90_000), width=st.integers(1, 90_000), has_georef=st.booleans())
def test_no_quicklook_is_larger_than_the_limit(height: int, width: int, has_georef: bool) -> None:
    georef = utm((height, width)) if has_georef and max(height, width) < 60_000 else without_georef((height, width))
    high, wide = quicklook_shape(georef)
    assert min(high, wide) >= 1
    assert wide <= MAX_SIDE_PX
    assert high + legend_height(wide) <= MAX_SIDE_PX + 1


def test_sizes_of_quicklooks() -> None:
    assert quicklook_shape(without_georef((3000, 6000))) == (1024, 2048)
    assert quicklook_shape(without_georef((1000, 1500))) == (1000, 1500)  # unchanged
    assert quicklook_shape(without_georef((256, 512))) == (512, 1024)  # enlarged
    assert quicklook_shape(without_georef((20, 100))) == (80, 400)  # at most four times


def test_pixels_of_a_quicklook_are_square_on_the_ground() -> None:
    height, width = quicklook_shape(utm((3000, 6000), ratio=2.0))
    assert height / width == pytest.approx(1.0, abs=0.01)


def test_outlines_surround_the_ships_without_covering_them() -> None:
    georef = utm((2000, 2000))
    drawn_hwc, numbered = drawn(ships_at([(1000, 800, 40, 300)], georef))
    scale = quicklook_shape(georef)[1] / 2000
    rows, columns = np.nonzero(is_pink(drawn_hwc))
    edges = (rows.min() / scale, columns.min() / scale, (rows.max() + 1) / scale, (columns.max() + 1) / scale)
    np.testing.assert_allclose(edges, (1000, 800, 1040, 1100), atol=8)
    inside = drawn_hwc[round(1010 * scale) : round(1030 * scale), round(820 * scale) : round(1080 * scale)]
    assert (inside == 70).all()
    assert numbered == {1}


@pytest.mark.parametrize("grey", [20, 235], ids=["dark sea", "bright sea"])
def test_numbers_are_legible_on_any_sea(grey: int) -> None:
    georef = utm((1000, 1000))
    drawn_hwc, _ = drawn(ships_at([(500, 500, 10, 60)], georef), grey=grey)
    plate_hwc = drawn_hwc[495:515, 567:580]  # right of the ship
    assert plate_hwc.max() > 200
    assert np.percentile(plate_hwc, 20) < 110


def test_very_small_ships_are_circled() -> None:
    drawn_hwc, numbered = drawn(ships_at([(2000, 3000, 3, 6)], utm((4000, 4000))))
    rows, columns = np.nonzero(is_pink(drawn_hwc))
    assert rows.max() - rows.min() > 12
    assert columns.max() - columns.min() > 12
    assert numbered == {1}


def test_among_many_ships_only_numbers_with_space_are_written() -> None:
    boxes = [(10 + 14 * row, 10 + 26 * column, 4, 18) for row in range(40) for column in range(30)]
    ships = ships_at(boxes, utm((600, 900)))
    drawn_hwc, numbered = drawn(ships)
    assert 0 < len(numbered) < len(ships.ships) == 1200
    single_hwc, single_numbered = drawn(ships_at(boxes[:1], utm((600, 900))))
    assert single_numbered == {1}
    height = quicklook_shape(ships.georef)[0]
    assert not np.array_equal(drawn_hwc[height:], single_hwc[height:])


def test_no_data_is_grey() -> None:
    georef = utm((1100, 1100))
    valid_hw = np.ones((1100, 1100), bool)
    valid_hw[:100] = False
    drawn_hwc, _ = draw_quicklook(np.zeros((1100, 1100, 3), np.uint8), valid_hw, ships_at([], georef))
    assert (drawn_hwc[:100] == NO_DATA_COLOR).all()
    assert (drawn_hwc[100:1100] == 0).all()


def _bar_and_arrow(georef: GeoReference) -> tuple[int, NDArray[np.float64]]:
    """Return the length of the bar in pixels and the direction (x, y) from the arrow's middle to its head."""
    drawn_hwc, _ = drawn(ships_at([], georef))
    height = quicklook_shape(georef)[0]
    bright = drawn_hwc[height:].min(axis=-1) > 150
    row = np.flatnonzero(bright[:, :-80].sum(axis=1) == bright[:, :-80].sum(axis=1).max())[0]
    bar = np.flatnonzero(bright[row, :-80])
    arrow = np.argwhere(bright[:, -70:])
    arrow = arrow[arrow[:, 1] > 70 - 16 - 34]
    ends = (arrow.min(axis=0) + arrow.max(axis=0)) / 2
    return len(bar), (arrow.mean(axis=0) - ends)[::-1]


def test_the_bar_has_the_labelled_length_and_the_arrow_points_north() -> None:
    bar, towards = _bar_and_arrow(utm((1000, 1200)))
    # 22 % of 1200 px are 264 px or 396 m, so the bar is 200 m long; a pixel is 1.5 / 0.9996 m on the ground.
    assert bar == pytest.approx(200 / 1.5 * 0.9996, abs=5)
    assert towards[1] < -1
    assert abs(towards[0]) < 1
    turned = GeoReference.of((0.0, 1.5, 500_000.0, 1.5, 0.0, 5_600_000.0), "EPSG:32631", (1000, 1200))  # columns: north
    _, towards = _bar_and_arrow(turned)
    assert towards[0] > 1
    assert abs(towards[1]) < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (7, 5)])
def test_scenes_of_a_few_pixels_have_a_quicklook(tmp_path: Path, shape: tuple[int, int]) -> None:
    for georef in (without_georef(shape), utm(shape)):
        drawn_hwc, _ = drawn(ships_at([(0, 0, 1, 1)], georef))
        write_png(tmp_path / "quicklook.png", drawn_hwc)
        back = cv2.imread(str(tmp_path / "quicklook.png"))
        assert back is not None
        np.testing.assert_array_equal(back[..., ::-1], drawn_hwc)
