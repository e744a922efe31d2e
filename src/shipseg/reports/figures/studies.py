"""Figures of a study: the score of every seed with the mean, and learning curves of each variant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from shipseg.extras import needing
from shipseg.reports.figures.style import BLUE, GRID, INK, STYLE, VERMILION

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = ["study_curves", "study_dots"]

Run = tuple[Sequence[float], Sequence[float]]
_COLUMNS = 4
_ROW_INCHES = 0.34


def study_dots(
    scores: Sequence[tuple[str, Sequence[float]]], *, baseline: str, label: str, noise: float | None
) -> Figure:
    """Return a dot plot with a row per variant, a ring per seed and a bar at the mean.

    Args:
        scores: Variants from top to bottom, with a score for each seed.
        baseline: The variant whose mean is drawn as a vertical line.
        label: Name of the score.
        noise: Half-width of the band around the baseline in which a difference is not significant; None for no band.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.1 + _ROW_INCHES * len(scores)), layout="constrained")
        axes = figure.subplots()
        base = next((float(np.mean(values)) for name, values in scores if name == baseline and len(values)), None)
        if base is not None:
            if noise is not None:
                axes.axvspan(base - noise, base + noise, color=GRID, alpha=0.5, linewidth=0, label="noise")
            axes.axvline(base, color=INK, linewidth=1, linestyle=":")
        for place, (name, values) in enumerate(scores):
            color = INK if name == baseline else BLUE
            axes.plot(values, [place] * len(values), "o", color=color, markerfacecolor="none", markersize=7)
            if len(values):
                mean = float(np.mean(values))
                axes.plot([mean, mean], [place - 0.3, place + 0.3], color=color, linewidth=2.5)
            else:
                axes.text(0.01, place, "no score", transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set_yticks(range(len(scores)), [name for name, _ in scores])
        axes.set_ylim(len(scores) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
    return figure


def study_curves(curves: Mapping[str, Sequence[Run]], *, baseline: str) -> Figure:
    """Return a panel for each variant: validation Dice against images seen, mean and range over seeds.

    The baseline's mean is a dotted line in every panel.

    Args:
        curves: By variant, for each seed: images seen, and pooled Dice on validation.
        baseline: The variant to compare with.
    """
    columns = min(_COLUMNS, max(1, len(curves)))
    rows = math.ceil(len(curves) / columns)
    with mpl.rc_context({**STYLE, "axes.titlesize": 10}):
        figure = Figure(figsize=(3 * columns, 2.3 * rows + 0.3), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=False, sharey=True, squeeze=False)
        for axes in grid.flat[len(curves) :]:
            axes.set_visible(False)
        for axes, (name, runs) in zip(grid.flat, curves.items(), strict=False):
            _draw_panel(axes, runs, curves[baseline], is_baseline=name == baseline)
            axes.set_title(f"{name} (baseline)" if name == baseline else name)
        grid[0, 0].set_ylim(0, None)  # after all panels are drawn, since it turns off their autoscaling
        for axes in grid[:, 0]:
            axes.set_ylabel("pooled Dice")
        figure.supxlabel("images seen", fontsize=10)
    return figure


def _draw_panel(axes: Axes, runs: Sequence[Run], base: Sequence[Run], *, is_baseline: bool) -> None:
    color = INK if is_baseline else BLUE
    if runs:
        seen, low, mean, high = _band(runs)
        axes.fill_between(seen, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(seen, mean, color=color)
    if base and not is_baseline:
        seen, _, mean, _ = _band(base)
        axes.plot(seen, mean, color=VERMILION, linewidth=1.3, linestyle=(0, (1, 1.2)))
    axes.set_xlim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _band(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return images seen, lowest, mean and highest score, up to the length of the shortest run."""
    length = min(len(seen) for seen, _ in runs)
    scores = np.array([values[:length] for _, values in runs], np.float64)
    return np.asarray(runs[0][0][:length], np.float64), scores.min(0), scores.mean(0), scores.max(0)
