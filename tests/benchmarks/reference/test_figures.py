from __future__ import annotations

import numpy as np

from benchmarks.reference import figures
from shipseg.reports.figures.style import to_svg


def test_the_outline_of_a_mask_runs_along_its_pixel_edges() -> None:
    image_hw, mask_hw = np.zeros((5, 5)), np.zeros((5, 5), bool)
    mask_hw[2, 1:3] = True
    axes = figures.shifted_mask(image_hw, mask_hw).axes[0]
    edges = {tuple(map(tuple, np.sort(line.get_xydata(), axis=0).tolist())) for line in axes.lines}
    assert len(edges) == 6  # two pixels side by side have six outer edges
    assert ((0.5, 1.5), (0.5, 2.5)) in edges  # the left one
    assert ((1.5, 1.5), (2.5, 1.5)) in edges  # the upper one on the right


def test_a_score_that_is_not_defined_is_left_out_of_the_bars() -> None:
    names = ("airbus_score", "pooled_dice", "image_dice", "ship_f1", "false_alarm_images")
    scores = dict.fromkeys(names, 0.5) | {"airbus_score_of_predicting_nothing": 0.4, "false_alarm_images": None}
    intervals = {name: [0.4, 0.6] for name in names}
    parts = {"one": {"label": "One", "scores": {**scores, "intervals": intervals}}}
    figure = figures.side_by_side(parts)
    assert [bar.get_extents().height > 0 for bar in figure.axes[0].patches] == [True] * 4
    assert "predicting nothing" in to_svg(figure)
