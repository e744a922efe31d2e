"""Figures of a training and of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.extras import needing
from shipseg.reports.figures.style import BLUE, COLORS, GREEN, INK, PURPLE, STYLE, VERMILION, draw_lines, show_images

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

__all__ = [
    "MIN_RELIABLE",
    "Estimate",
    "PanelRow",
    "Reliability",
    "reliability_diagram",
    "scores_by_size",
    "three_by_three",
    "training_curves",
]


MIN_RELIABLE = 10
"""With fewer counts the observed share is not reliable."""


_SCORES = {"pooled_dice": "pooled Dice", "image_dice": "image Dice", "pooled_iou": "pooled IoU"}


class Estimate(NamedTuple):
    """A score, its confidence interval, and the number of ships it is computed from."""

    value: float | None
    low: float | None
    high: float | None
    num: int


class Reliability(NamedTuple):
    """A bin of predicted probability: mean prediction, observed share, count."""

    mean_predicted: float
    observed: float
    num: int


class PanelRow(NamedTuple):
    """A row of the 3 x 3 panel."""

    title: str
    image_hwc: NDArray[np.uint8]
    true_hw: NDArray[np.bool_]
    predicted_hw: NDArray[np.bool_]


def training_curves(columns: Mapping[str, Sequence[float]], *, best_by: str) -> Figure:
    """Return losses, validation scores and learning rate against the epoch; the best epoch is marked.

    Args:
        columns: A run's history: epoch, train_loss, val_loss, lr, best (1 where the weights were the best so far), and
            any of val_pooled_dice, val_pooled_iou, val_image_dice.
        best_by: The score that selects the best epoch: loss, pooled_dice, pooled_iou or image_dice.
    """
    epoch = np.asarray(columns["epoch"])
    best = [number for number, flag in zip(epoch, columns["best"], strict=True) if flag]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 3.8), layout="constrained")
        losses, scores, rate = figure.subplots(1, 3)
        draw_lines(
            losses, epoch, {"training": columns["train_loss"], "validation": columns["val_loss"]}, (VERMILION, BLUE)
        )
        losses.set(title="Loss", xlabel="epoch")
        shown = {label: columns[f"val_{name}"] for name, label in _SCORES.items() if f"val_{name}" in columns}
        draw_lines(scores, epoch, shown, (BLUE, GREEN, PURPLE))
        scores.set(title="Validation scores", xlabel="epoch", ylim=(0, 1))
        draw_lines(rate, epoch, {"learning rate": columns["lr"]}, (BLUE,))
        rate.set(title="Learning rate", xlabel="epoch", ylim=(0, None))
        rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axes in (losses, scores, rate):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if best:
            label = f"best {_SCORES.get(best_by, 'validation loss')}: epoch {best[-1]:g}"
            for axes in (losses, scores):
                axes.axvline(best[-1], color=INK, linewidth=1, linestyle=":", label=label)
        for axes in (losses, scores):
            axes.legend()
    return figure


def reliability_diagram(kinds: Mapping[str, Sequence[Reliability]]) -> Figure:
    """Return the observed share against the predicted probability; the diagonal is perfect calibration.

    Bins with fewer counts than MIN_RELIABLE are drawn faint and not joined.

    Args:
        kinds: Name, e.g. "pixels" -> bins of predicted probability.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color=INK, linewidth=1, linestyle=":", label="perfectly calibrated")
        for (name, rows), color in zip(kinds.items(), COLORS, strict=False):
            many = [row for row in rows if row.num >= MIN_RELIABLE]
            few = [row for row in rows if row.num < MIN_RELIABLE]
            if many:
                draw_lines(axes, [row.mean_predicted for row in many], {name: [row.observed for row in many]}, (color,))
            if few:
                label = f"{name}, fewer than {MIN_RELIABLE}"
                x, y = [row.mean_predicted for row in few], [row.observed for row in few]
                axes.plot(x, y, "x", color=color, alpha=0.35, markersize=5, label=label)
        axes.set(title="Reliability diagram", xlabel="predicted probability", ylabel="observed share")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="upper left")
    return figure


def scores_by_size(recall: Mapping[str, Estimate], precision: Mapping[str, Estimate]) -> Figure:
    """Return a bar chart of recall and precision of ships by size, with intervals and the numbers of ships.

    Args:
        recall: By size of the true ships, in pixels.
        precision: By size of the predicted ships; the same sizes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.9), layout="constrained")
        axes = figure.subplots()
        for name, estimates, color, left in (("recall", recall, BLUE, -0.2), ("precision", precision, VERMILION, 0.2)):
            for place, estimate in enumerate(estimates.values()):
                _draw_bar(axes, place + left, estimate, color, name if place == 0 else None)
        axes.set_xticks(range(len(recall)), [f"{name} px" for name in recall])
        axes.tick_params(axis="x", length=0, pad=18)
        axes.set(title="Ships by size (n: number of ships)", ylim=(0, 1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return figure


def three_by_three(rows: Sequence[PanelRow]) -> Figure:
    """Return the reference solution's panel: input, truth and prediction of images with no, one and several ships.

    Args:
        rows: One to three; images of any size.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.15 * len(rows)), layout="constrained")
        grid: NDArray[Any] = np.asarray(figure.subplots(len(rows), 3, squeeze=False))
        for axes, title in zip(grid[0], ("input", "truth", "prediction"), strict=True):
            axes.set_title(title)
        for axes_of_row, row in zip(grid, rows, strict=True):
            show_images(axes_of_row, (row.image_hwc, row.true_hw, row.predicted_hw), row.title)
    return figure


def _draw_bar(axes: Axes, x: float, estimate: Estimate, color: str, label: str | None) -> None:
    value = estimate.value if estimate.value is not None else math.nan
    axes.bar(x, value, width=0.36, color=color, alpha=0.85, label=label)
    if estimate.low is not None and estimate.high is not None and estimate.low < estimate.high:
        reach = [[max(value - estimate.low, 0)], [max(estimate.high - value, 0)]]
        axes.errorbar(x, value, yerr=reach, color=INK, linewidth=1.2, capsize=3)
    # Below the bar, since the interval is drawn above it.
    axes.annotate(f"n={estimate.num}", (x, 0), xytext=(0, -4), textcoords="offset points", ha="center", va="top")
