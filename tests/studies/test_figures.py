"""The figures of a study show what they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shipseg.reports.figures import study_curves, study_dots


def x_of(line: Any) -> list[float]:
    return [float(value) for value in line.get_xdata()]


def test_every_seed_is_a_ring_and_every_mean_a_bar() -> None:
    figure = study_dots([("a", [0.5, 0.7]), ("b", [0.2]), ("c", [])], baseline="a", label="score", noise=0.1)
    (axes,) = figure.axes
    rings = [x_of(line) for line in axes.lines if line.get_marker() == "o"]
    assert rings == [[0.5, 0.7], [0.2], []]
    bars = [x_of(line) for line in axes.lines if line.get_linewidth() == 2.5]
    assert bars == [pytest.approx([0.6, 0.6]), [0.2, 0.2]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["no score"]
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.5, 0.7))  # type: ignore[attr-defined]


def test_without_a_score_of_the_baseline_there_is_no_line_to_compare_with() -> None:
    (axes,) = study_dots([("a", []), ("b", [0.2])], baseline="a", label="score", noise=None).axes
    assert not axes.patches
    assert not [line for line in axes.lines if line.get_linestyle() == ":"]


def test_each_variant_has_a_panel_with_its_mean_as_far_as_all_seeds_have_come() -> None:
    runs = {
        "a": [([10.0, 20.0, 30.0], [0.1, 0.2, 0.3]), ([10.0, 20.0], [0.3, 0.4])],
        "b": [([10.0], [0.5])],
        "c": [],
    }
    figure = study_curves(runs, baseline="a")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["a (baseline)", "b", "c"]
    mean = shown[0].lines[0]
    assert x_of(mean) == [10, 20]
    assert np.asarray(mean.get_ydata()).tolist() == pytest.approx([0.2, 0.3])
    assert [len(axes.lines) for axes in shown] == [1, 2, 1]  # its own, and the baseline's


def test_the_axes_fit_the_best_variant() -> None:
    low, high = ([1.0, 2.0], [0.1, 0.2]), ([1.0, 2.0], [0.1, 0.9])
    for axes in study_curves({"a": [low], "b": [high], "c": [low]}, baseline="a").axes:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > 0.9


def test_nineteen_variants_are_in_rows_of_four() -> None:
    figure = study_curves({f"v{n}": [([1.0], [0.5])] for n in range(19)}, baseline="v0")
    assert sum(axes.get_visible() for axes in figure.axes) == 19
    columns = {round(axes.get_position().x0, 2) for axes in figure.axes}
    assert len(columns) == 4
