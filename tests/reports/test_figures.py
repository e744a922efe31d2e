"""Figures show the numbers that they are given, and an svg refers to nothing outside itself."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.lines import Line2D

from shipseg.errors import StorageError
from shipseg.reports import figures
from shipseg.reports.figures import Estimate, PanelRow, Reliability, TradeOffs

HISTORY: dict[str, list[float]] = {
    "epoch": [1, 2, 3],
    "train_loss": [0.9, 0.5, 0.4],
    "val_loss": [0.8, 0.6, math.nan],
    "lr": [1e-3, 1e-4, 1e-5],
    "best": [1, 1, 0],
    "val_pooled_dice": [0.1, 0.5, 0.4],
    "val_image_dice": [0.1, 0.3, 0.4],
    "val_pooled_iou": [0.1, 0.4, 0.3],
}


def heights(line: Line2D) -> list[float]:
    return [float(height) for height in np.asarray(line.get_ydata(), np.float64)]


def test_training_curves_show_losses_scores_and_rate_and_mark_the_best_epoch() -> None:
    losses, scores, rate = figures.training_curves(HISTORY, best_by="pooled_dice").axes
    assert heights(losses.lines[0]) == [0.9, 0.5, 0.4]
    assert [line.get_label() for line in losses.lines] == ["training", "validation", "best pooled Dice: epoch 2"]
    assert [line.get_label() for line in scores.lines] == [
        "pooled Dice",
        "image Dice",
        "pooled IoU",
        "best pooled Dice: epoch 2",
    ]
    assert heights(rate.lines[0]) == [1e-3, 1e-4, 1e-5]


def test_training_curves_of_one_epoch_can_be_drawn() -> None:
    png = io.BytesIO()
    first = {name: column[:1] for name, column in HISTORY.items()}
    figures.save_png(figures.training_curves(first, best_by="loss"), png)
    assert png.getvalue().startswith(b"\x89PNG")


def test_threshold_curves_draw_the_columns_there_are_and_mark_the_chosen_one() -> None:
    pixels, ships = figures.threshold_curves(
        {"threshold": [0.0, 0.5, 1.0], "pooled_dice": [0.1, 0.8, 0.0], "unknown": [0, 0, 0]},
        {"threshold": [0.25, 0.75], "airbus_score": [0.5, math.nan]},
        chosen=0.3,
    )
    assert [line.get_label() for line in pixels.axes[0].lines[:-1]] == ["pooled Dice"]
    assert np.asarray(ships.axes[0].lines[0].get_xdata()).tolist() == [0.25, 0.75]
    assert set(np.ravel(pixels.axes[0].lines[-1].get_xdata())) == {0.3}


def test_a_threshold_near_an_end_is_drawn_on_a_scale_that_spreads_it() -> None:
    curve = {"threshold": [0.001, 0.5, 0.9], "ship_f1": [0.9, 0.1, 0.0], "recall": [0.9, 0.1, 0.0]}
    assert figures.threshold_curves(curve, curve, chosen=0.5)[1].axes[0].get_xscale() == "linear"
    assert figures.threshold_curves(curve, curve, chosen=0.0004)[1].axes[0].get_xscale() == "logit"


def test_curves_by_group_show_of_images_without_ships_only_whether_they_are_left_empty() -> None:
    scores = ("airbus_score", "ship_precision", "ship_recall", "ship_f1")
    one = {"threshold": [0.2, 0.8], **{name: [0.5, 0.6] for name in scores}}
    none = {**one, "ship_recall": [math.nan, math.nan]}
    empty, single = figures.group_curves({"none": none, "one": one}, chosen=0.5).axes
    assert [line.get_label() for line in empty.lines[:-1]] == ["left empty"]
    assert len(single.lines[:-1]) == 4
    assert (empty.get_title(loc="left"), single.get_title(loc="left")) == ("none", "one")


def test_the_frontier_joins_what_no_other_point_beats() -> None:
    recall, precision = np.array([0.2, 0.5, 0.5, 0.8, np.nan]), np.array([0.9, 0.95, 0.4, 0.6, 1.0])
    alarms = np.array([0.1, 0.1, 0.0, 0.3, 0.0])
    chosen = TradeOffs(np.array([0.8]), np.array([0.6]), np.array([0.3]))
    left, right = figures.trade_offs(TradeOffs(recall, precision, alarms), chosen).axes
    # 0.2 is beaten by 0.5 in both; of the two at 0.5 the more precise one, or the one without alarms, stays.
    assert heights(left.lines[1]) == [0.95, 0.6]
    assert heights(right.lines[1]) == [0.0, 0.3]
    assert len(figures.trade_offs(TradeOffs(recall, precision, np.full(5, np.nan)), chosen).axes) == 1


def test_bars_by_size_show_the_score_its_count_and_its_interval() -> None:
    recall = {"<100": Estimate(0.25, 0.1, 0.4, 8), ">=100": Estimate(None, None, None, 0)}
    precision = {"<100": Estimate(1.0, 1.0, 1.0, 1), ">=100": Estimate(0.5, 0.4, 0.7, 6)}
    (axes,) = figures.scores_by_size(recall, precision).axes
    assert [text.get_text() for text in axes.texts] == ["n=8", "n=0", "n=1", "n=6"]
    assert axes.patches[0].get_height() == 0.25  # type: ignore[attr-defined]
    assert len(axes.containers) == 4 + 2  # four bars, and whiskers for the two that have a real interval


def test_the_reliability_diagram_can_do_without_ships() -> None:
    pixels = [Reliability(0.1, 0.2, 50), Reliability(0.9, 0.8, 50)]
    (axes,) = figures.reliability_diagram({"pixels": pixels, "predicted ships": []}).axes
    assert [heights(line) for line in axes.lines] == [[0, 1], [0.2, 0.8]]


def test_intervals_that_hold_next_to_nothing_are_not_joined_with_the_others() -> None:
    rows = [Reliability(0.1, 0.2, 10), Reliability(0.5, 1.0, 9), Reliability(0.9, 0.8, 50)]
    (axes,) = figures.reliability_diagram({"predicted ships": rows}).axes
    assert [heights(line) for line in axes.lines] == [[0, 1], [0.2, 0.8], [1.0]]
    assert axes.lines[2].get_linestyle() == "None"
    assert axes.lines[2].get_label() == "predicted ships, fewer than 10"


def test_the_panel_has_input_truth_and_prediction_in_each_row() -> None:
    image_hwc, mask_hw = np.zeros((30, 50, 3), np.uint8), np.ones((30, 50), bool)
    axes = figures.three_by_three([PanelRow(name, image_hwc, mask_hw, ~mask_hw) for name in ("none", "one")]).axes
    assert len(axes) == 6
    assert [each.get_title(loc="left") for each in axes[:3]] == ["input", "truth", "prediction"]
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["none", "one"]
    assert np.asarray(axes[1].images[0].get_array()).all()
    assert not np.asarray(axes[2].images[0].get_array()).any()


def test_an_svg_is_whole_and_refers_to_nothing_outside() -> None:
    def draw() -> str:
        return figures.to_svg(
            figures.reliability_diagram({"pixels": [Reliability(0.1, 0.2, 50), Reliability(0.9, 0.8, 50)]})
        )

    svg = draw()
    assert re.findall(r"https?:|url\((?!#)", svg) == []
    assert "currentColor" in svg
    assert "var(--blue)" in svg
    assert svg == draw()
    namespace = '<svg xmlns:xlink="x" '  # as the page's parser supplies it
    assert ET.fromstring(svg.replace("<svg ", namespace, 1)).attrib["viewBox"]


def test_a_png_file_is_written_whole_or_a_sentence_says_why_not(tmp_path: Path) -> None:
    figure = figures.reliability_diagram({"pixels": [Reliability(0.1, 0.2, 50)]})
    figures.save_png(figure, tmp_path / "new" / "figure.png", dots_per_inch=50)
    image = cv2.imread(str(tmp_path / "new" / "figure.png"))
    assert image is not None
    assert image.shape == (220, 270, 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        figures.save_png(figure, tmp_path / "file" / "figure.png")
