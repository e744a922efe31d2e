"""Figures of scores against the threshold, and of trade-offs between scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.extras import needing
from shipseg.reports.figures.style import BLUE, GREEN, INK, PURPLE, STYLE, VERMILION, Curve, draw_lines

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

__all__ = ["TradeOffs", "group_curves", "threshold_curves", "trade_offs"]

_COLORS = (BLUE, VERMILION, GREEN, PURPLE)
_PIXEL_LINES = {"pooled_dice": "pooled Dice", "precision": "precision", "recall": "recall",
                "left_empty": "images without ships left empty"}  # fmt: skip
_SHIP_LINES = {"airbus_score": "Airbus score", "ship_precision": "precision", "ship_recall": "recall", "ship_f1": "F1"}
_NARROW = (0.03, 0.97)
"""Thresholds outside this range are drawn on a logit scale."""


class TradeOffs(NamedTuple):
    """Scores of each pair of a threshold and a peak threshold, (N,) each; NaN where undefined."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    alarms: NDArray[np.float64]
    """Share of the images without ships with a false alarm."""


def threshold_curves(pixels: Curve, ships: Curve, *, chosen: float) -> tuple[Figure, Figure]:
    """Return pixel scores, and ship scores, against the threshold; the chosen threshold is marked.

    Args:
        pixels: threshold and any of pooled_dice, precision, recall, left_empty.
        ships: threshold and any of airbus_score, ship_f1, ship_precision, ship_recall.
        chosen: The threshold in use.
    """
    figures = []
    for title, curve, names in (("Pixels", pixels, _PIXEL_LINES), ("Ships", ships, _SHIP_LINES)):
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(5.4, 4.2), layout="constrained")
            axes = figure.subplots()
            _draw_curve(axes, curve, names, chosen=chosen)
            axes.set(title=f"{title}: scores against the threshold")
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
            figures.append(figure)
    return figures[0], figures[1]


def group_curves(groups: Mapping[str, Curve], *, chosen: float) -> Figure:
    """Return ship scores against the threshold, side by side for images with no, one and several ships.

    Args:
        groups: Title -> columns threshold, airbus_score and, for images with ships, ship_precision, ship_recall and
            ship_f1.
        chosen: The threshold in use.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        grid = np.atleast_1d(figure.subplots(1, len(groups), sharey=True))
        for axes, (title, curve) in zip(grid, groups.items(), strict=True):
            is_empty = bool(np.isnan(np.asarray(curve["ship_recall"], np.float64)).all())
            names = {"airbus_score": "left empty"} if is_empty else _SHIP_LINES
            _draw_curve(axes, curve, names, chosen=chosen)
            axes.set(title=title)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def trade_offs(points: TradeOffs, chosen: TradeOffs) -> Figure:
    """Return precision and false alarms against recall: all operating points and their Pareto front.

    Args:
        points: All pairs of a threshold and a peak threshold, (N,) each.
        chosen: The one in use, (1,) each.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        panels = [("Ship precision against recall", points.precision, chosen.precision, True)]
        if not np.isnan(points.alarms).all():
            panels.append(("Images without ships with a false alarm", points.alarms, chosen.alarms, False))
        for axes, (title, values, here, is_best_high) in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True
        ):
            axes.plot(points.recall, values, ".", color=INK, alpha=0.2, markersize=3, label="all operating points")
            recall, best = _pareto_front(points.recall, values, is_best_high=is_best_high)
            draw_lines(axes, recall, {"Pareto front": best}, (BLUE,))
            axes.plot(chosen.recall, here, "D", color=VERMILION, markersize=9, label="chosen")
            axes.set(title=title, xlabel="ship recall", xlim=(0, 1), ylim=(-0.02, 1.02))
            axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
            axes.legend()
    return figure


def _pareto_front(
    recall: NDArray[np.float64], values: NDArray[np.float64], *, is_best_high: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Pareto front, the points that no other point exceeds in both, by increasing recall."""
    known = ~np.isnan(recall) & ~np.isnan(values)
    recall, gain = recall[known], values[known] * (1 if is_best_high else -1)
    order = np.lexsort((-gain, -recall))
    recall, gain = recall[order], gain[order]
    kept = gain > np.concatenate([[-np.inf], np.maximum.accumulate(gain)[:-1]])
    return recall[kept][::-1], gain[kept][::-1] * (1 if is_best_high else -1)


def _draw_curve(axes: Axes, curve: Curve, names: Mapping[str, str], *, chosen: float) -> None:
    shown = {label: curve[name] for name, label in names.items() if name in curve}
    draw_lines(axes, curve["threshold"], shown, _COLORS)
    axes.axvline(chosen, color=INK, linewidth=1, label=f"in use: {chosen:.3g}")
    axes.set(xlabel="threshold", ylim=(0, 1.02))
    if _NARROW[0] < chosen < _NARROW[1]:
        axes.set_xlim(0, 1)
    else:
        inside = [value for value in curve["threshold"] if 0 < value < 1]
        axes.set_xscale("logit")
        axes.set_xlim(min(*inside, chosen), max(*inside, chosen))
