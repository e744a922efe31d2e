"""Figures of an exploration show the numbers that they are given, also where there are few or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shipseg.reports import figures
from shipseg.reports.figures import Figure, SampleImage, to_svg


def bars(figure: Figure, axes: int = 0) -> list[float]:
    """Return the heights of the bars in an axes."""
    return [patch.get_height() for patch in figure.axes[axes].patches]  # type: ignore[attr-defined]


def texts(figure: Figure, axes: int = 0) -> list[str]:
    return [text.get_text() for text in figure.axes[axes].texts]


def test_ships_per_image_draws_a_bar_for_each_number_and_writes_its_count() -> None:
    figure = figures.ships_per_image({0: 1500, 1: 20, 2: 0})
    assert bars(figure) == [1500, 20, 0]
    assert texts(figure) == ["1,500", "20", ""]


def test_imbalances_stack_shares_to_one() -> None:
    figure = figures.imbalances(empty=60, one=30, several=10)
    widths = [patch.get_width() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert widths == pytest.approx([0.75, 0.25, 0.6, 0.4])
    assert "no ship: 60 (60.0 %)" in texts(figure)
    assert "several ships: 10 (25.0 %)" in texts(figure)


def test_areas_count_every_ship_and_mark_the_median() -> None:
    figure = figures.ship_areas([1, 50, 150, 200_000, 300])
    assert sum(bars(figure)) == 5
    assert texts(figure) == ["median 150 px"]


def test_shapes_cut_the_last_hundredth_and_mark_medians() -> None:
    values = np.arange(1.0, 202.0)
    figure = figures.ship_shapes(values, values / 4, np.full(201, 4.0))
    assert [sum(bars(figure, number)) for number in range(3)] == [199, 199, 201]
    assert texts(figure, 0) == ["median 101 px"]
    assert texts(figure, 2) == ["median 4"]


def test_the_rose_counts_each_ship_both_ways() -> None:
    heights = bars(figures.ship_headings([5.0, 5.0, 95.0]))
    assert len(heights) == 36
    assert (heights[0], heights[18], heights[9], heights[27], sum(heights)) == (2, 2, 1, 1, 6)


def test_positions_are_relative_to_an_even_spread() -> None:
    drawn = figures.ship_positions([[0, 4], [0, 0]]).axes[0].collections[0]
    assert np.ravel(drawn.get_array()).tolist() == [0, 4, 0, 0]  # type: ignore[arg-type]


def test_files_on_the_near_side_of_the_line_have_another_colour() -> None:
    figure = figures.file_sizes([10, 20, 100, 130, 400], line_kb=52, num_below=2)
    by_color: dict[object, float] = {}
    for patch in figure.axes[0].patches:
        color = patch.get_facecolor()
        by_color[color] = by_color.get(color, 0) + patch.get_height()  # type: ignore[attr-defined]
    assert sorted(by_color.values()) == [2, 3]
    assert texts(figure) == ["52 kB: 2 at or below"]


def test_cleaning_draws_images_and_ships_of_each_reason() -> None:
    figure = figures.cleaning_cost({"solid": 3, "listed": 7}, {"solid": 0, "listed": 4})
    widths = [patch.get_width() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert widths == [3, 7, 0, 4]


def test_colours_are_scaled_to_what_is_not_clipped() -> None:
    values = np.full(256, 0.002)
    values[0] = 0.5
    figure = figures.colour_histogram({"red": values, "green": values, "blue": values})
    assert [line.get_label() for line in figure.axes[0].lines] == ["red", "green", "blue"]
    assert figure.axes[0].get_ylim()[1] == pytest.approx(0.00216)


def test_groups_and_splits_draw_what_they_are_given() -> None:
    assert bars(figures.group_sizes({"1": 90, "2": 4, "3-5": 0})) == [90, 4, 0]
    balance = figures.split_balance({"train": {"0": 0.5, "1": 0.5}, "val": {"0": 0.4, "1": 0.6}})
    assert bars(balance) == [0.5, 0.5, 0.4, 0.6]


def test_the_sample_panel_shows_image_and_mask_side_by_side() -> None:
    row = SampleImage("one ship", np.zeros((8, 6, 3), np.uint8), np.ones((8, 6), bool))
    figure = figures.sample_panel([row, row])
    assert len(figure.axes) == 4
    assert np.asarray(figure.axes[1].images[0].get_array()).all()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.ships_per_image({0: 0}),
        lambda: figures.imbalances(empty=0, one=0, several=0),
        lambda: figures.ship_areas([]),
        lambda: figures.ship_shapes([], [], []),
        lambda: figures.ship_headings([]),
        lambda: figures.ship_positions(np.zeros((4, 4))),
        lambda: figures.file_sizes([], line_kb=52, num_below=0),
        lambda: figures.file_sizes([3.0], line_kb=52, num_below=1),
        lambda: figures.colour_histogram(dict.fromkeys(("red", "green", "blue"), np.zeros(256))),
        lambda: figures.group_sizes({"1": 0}),
    ],
)
def test_nothing_can_be_drawn_too(draw: Callable[[], Figure]) -> None:
    assert to_svg(draw()).startswith("<svg")
