"""Figures of a training and of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.extras import needing
from shipseg.reports.figures.style import BLUE, GREEN, INK, PURPLE, STYLE, VERMILION, Curve, draw_lines

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

__all__ = [
    "Estimate",
    "PanelRow",
    "Reliability",
    "reliability_diagram",
    "scores_by_size",
    "three_by_three",
    "threshold_curves",
    "training_curves",
]


class Estimate(NamedTuple):
    """A score, its interval, and what it is counted over."""

    value: float | None
    low: float | None
    high: float | None
    num: int


class Reliability(NamedTuple):
    """An interval of predicted probability: what was said, what was so, how often."""

    mean_predicted: float
    observed: float
    num: int


class PanelRow(NamedTuple):
    """A row of the 3 x 3 panel."""

    title: str
    image_hwc: NDArray[np.uint8]
    true_hw: NDArray[np.bool_]
    predicted_hw: NDArray[np.bool_]


def training_curves(columns: Mapping[str, Sequence[float]]) -> Figure:
    """Return losses, validation scores and learning rate against the epoch; the best epoch is marked.

    Args:
        columns: A run's history: epoch, train_loss, val_loss, lr, best (1 where the weights were the best so far), and
            any of val_pooled_dice, val_pooled_iou, val_image_dice.
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
        names = {"val_pooled_dice": "pooled Dice", "val_image_dice": "image Dice", "val_pooled_iou": "pooled IoU"}
        shown = {label: columns[name] for name, label in names.items() if name in columns}
        draw_lines(scores, epoch, shown, (BLUE, GREEN, PURPLE))
        scores.set(title="Validation scores", xlabel="epoch", ylim=(0, 1))
        draw_lines(rate, epoch, {"learning rate": columns["lr"]}, (BLUE,))
        rate.set(title="Learning rate", xlabel="epoch", ylim=(0, None))
        rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axes in (losses, scores, rate):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if best:
            for axes in (losses, scores):
                axes.axvline(best[-1], color=INK, linewidth=1, linestyle=":", label=f"best: epoch {best[-1]:g}")
        for axes in (losses, scores):
            axes.legend()
    return figure


def threshold_curves(pixels: Curve, ships: Curve, *, chosen: float) -> tuple[Figure, Figure]:
    """Return pixel scores, and ship scores, against the threshold; the chosen threshold is marked.

    Args:
        pixels: threshold and any of pooled_dice, precision, recall, empty_images_left_empty.
        ships: threshold and any of airbus_score, ship_f1, ship_precision, ship_recall.
        chosen: The threshold in use.
    """
    drawings = (
        ("Pixels", pixels, {"pooled_dice": "pooled Dice", "precision": "precision", "recall": "recall",
                            "empty_images_left_empty": "images without ships left empty"}),
        ("Ships", ships, {"airbus_score": "Airbus score", "ship_precision": "precision", "ship_recall": "recall",
                          "ship_f1": "F1"}),
    )  # fmt: skip
    figures = []
    for title, curve, names in drawings:
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(5.4, 4.2), layout="constrained")
            axes = figure.subplots()
            shown = {label: curve[name] for name, label in names.items() if name in curve}
            draw_lines(axes, curve["threshold"], shown, (BLUE, VERMILION, GREEN, PURPLE))
            axes.axvline(chosen, color=INK, linewidth=1)
            axes.set(title=f"{title}: scores against the threshold", xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
            _name_line(axes, chosen)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
            figures.append(figure)
    return figures[0], figures[1]


def reliability_diagram(pixels: Sequence[Reliability], ships: Sequence[Reliability]) -> Figure:
    """Return what was so against what was predicted, for pixels and for predicted ships; on the diagonal all is well.

    Args:
        pixels: Intervals of predicted probability, with the share of pixels that is ship.
        ships: Intervals of confidence, with the share of predicted ships that is right.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color=INK, linewidth=1, linestyle=":", label="perfectly calibrated")
        for name, rows, color in (("pixels", pixels, BLUE), ("predicted ships", ships, VERMILION)):
            if rows:
                draw_lines(axes, [row.mean_predicted for row in rows], {name: [row.observed for row in rows]}, (color,))
        axes.set(title="Are probabilities true?", xlabel="predicted probability", ylabel="observed share")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="upper left")
    return figure


def scores_by_size(recall: Mapping[str, Estimate], precision: Mapping[str, Estimate]) -> Figure:
    """Return bars of recall and precision of ships by size, with intervals and the numbers of ships.

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
        axes.set(title="Ships by size (n: how many ships)", ylim=(0, 1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return figure


def three_by_three(rows: Sequence[PanelRow]) -> Figure:
    """Return the reference solution's panel: input, truth and prediction, of images with no, one and several ships.

    Args:
        rows: One to three; images of any size.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.15 * len(rows)), layout="constrained")
        grid: NDArray[Any] = np.asarray(figure.subplots(len(rows), 3, squeeze=False))
        for axes, title in zip(grid[0], ("input", "truth", "prediction"), strict=True):
            axes.set_title(title)
        for axes_of_row, row in zip(grid, rows, strict=True):
            for axes, shown in zip(axes_of_row, (row.image_hwc, row.true_hw, row.predicted_hw), strict=True):
                axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(True)
            axes_of_row[0].set_ylabel(row.title)
    return figure


def _name_line(axes: Axes, chosen: float) -> None:
    """Write the chosen threshold beside its line, on the side that has room."""
    is_left = chosen < 0.5
    axes.annotate(
        f"{chosen:.3g}",
        (chosen, 0.02),
        xytext=(4 if is_left else -4, 0),
        textcoords="offset points",
        ha="left" if is_left else "right",
    )


def _draw_bar(axes: Axes, x: float, estimate: Estimate, color: str, label: str | None) -> None:
    value = estimate.value if estimate.value is not None else math.nan
    axes.bar(x, value, width=0.36, color=color, alpha=0.85, label=label)
    if estimate.low is not None and estimate.high is not None and estimate.low < estimate.high:
        reach = [[max(value - estimate.low, 0)], [max(estimate.high - value, 0)]]
        axes.errorbar(x, value, yerr=reach, color=INK, linewidth=1.2, capsize=3)
    # At the foot of the bar: above it the interval needs the room.
    axes.annotate(f"n={estimate.num}", (x, 0), xytext=(0, -4), textcoords="offset points", ha="center", va="top")
