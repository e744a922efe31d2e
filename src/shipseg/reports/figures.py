"""Figures: numbers in, matplotlib Figure out. The only module that imports matplotlib.

Colours are those of Okabe and Ito (the purple darker), told apart by people of any colour vision, and no line is told
by its colour alone: each has its own stroke.

Source: M. Okabe, K. Ito, Color Universal Design (2008), for the colours.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.extras import needing

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
    "save_png",
    "scores_by_size",
    "three_by_three",
    "threshold_curves",
    "to_svg",
    "training_curves",
]

INK, GRID = "#24292f", "#d0d7de"
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#aa4499"
_STROKES = {BLUE: "-", VERMILION: (0, (5, 2)), GREEN: (0, (1, 1.2)), PURPLE: (0, (6, 2, 1, 2))}
_MARKERS = {BLUE: "o", VERMILION: "s", GREEN: "^", PURPLE: "D"}
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "shipseg",
}
_FEW_EPOCHS = 40  # up to here each epoch gets a marker

Curve = Mapping[str, Sequence[float] | NDArray[np.float64]]


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
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(12, 3.8), layout="constrained")
        losses, scores, rate = figure.subplots(1, 3)
        _draw(losses, epoch, {"training": columns["train_loss"], "validation": columns["val_loss"]}, (VERMILION, BLUE))
        losses.set(title="Loss", xlabel="epoch")
        names = {"val_pooled_dice": "pooled Dice", "val_image_dice": "image Dice", "val_pooled_iou": "pooled IoU"}
        shown = {label: columns[name] for name, label in names.items() if name in columns}
        _draw(scores, epoch, shown, (BLUE, GREEN, PURPLE))
        scores.set(title="Validation scores", xlabel="epoch", ylim=(0, 1))
        _draw(rate, epoch, {"learning rate": columns["lr"]}, (BLUE,))
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
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(5.4, 4.2), layout="constrained")
            axes = figure.subplots()
            shown = {label: curve[name] for name, label in names.items() if name in curve}
            _draw(axes, curve["threshold"], shown, (BLUE, VERMILION, GREEN, PURPLE))
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
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color=INK, linewidth=1, linestyle=":", label="perfectly calibrated")
        for name, rows, color in (("pixels", pixels, BLUE), ("predicted ships", ships, VERMILION)):
            if rows:
                _draw(axes, [row.mean_predicted for row in rows], {name: [row.observed for row in rows]}, (color,))
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
    with mpl.rc_context(_STYLE):
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
    with mpl.rc_context(_STYLE):
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


def save_png(figure: Figure, target: Path | IO[bytes], *, dots_per_inch: int = 120) -> None:
    """Write a figure as PNG into a file, whole or not at all, or into an open binary stream.

    Raises:
        StorageError: The file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dots_per_inch)
    if isinstance(target, Path):
        files.write_bytes(target, picture.getvalue())
    else:
        target.write(picture.getvalue())


def to_svg(figure: Figure) -> str:
    """Return a figure as an svg element for a web page, which refers to nothing outside itself.

    Ink, grid and lines take the page's colours: `currentColor`, and the variables --grid, --blue, --vermilion, --green
    and --purple. It has no size of its own.
    """
    text = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue()[text.getvalue().index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'^<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    variables = {GRID: "grid", BLUE: "blue", VERMILION: "vermilion", GREEN: "green", PURPLE: "purple"}
    for color, name in variables.items():
        svg = svg.replace(color, f"var(--{name})")
    return svg.replace(INK, "currentColor")


def _draw(axes: Axes, x: Sequence[float] | NDArray[np.generic], lines: Curve, colors: Sequence[str]) -> None:
    for (label, values), color in zip(lines.items(), colors, strict=False):
        marker = _MARKERS[color] if len(x) <= _FEW_EPOCHS else None
        axes.plot(x, values, color=color, linestyle=_STROKES[color], marker=marker, markersize=4, label=label)


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
