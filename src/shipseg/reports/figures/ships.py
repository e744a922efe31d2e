"""Figures of ship measurements: area, shape, heading and position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shipseg.extras import needing
from shipseg.number_formats import amount
from shipseg.reports.figures.style import BLUE, INK, STYLE, VERMILION, note_at_top

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = ["THOUSANDS", "count_in_whole", "ship_areas", "ship_headings", "ship_positions", "ship_shapes"]

THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")
"""Axis formatter with thousands separators."""
_DENSITY = ("#f7fbff", "#08519c")


def count_in_whole(axes: Axes) -> None:
    """Use integer ticks with thousands separators on the vertical axis."""
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(THOUSANDS)


def ship_areas(areas_px: ArrayLike, *, bounds_px: Sequence[float] = (100, 1000)) -> Figure:
    """Return a histogram of ship areas on a logarithmic axis; the bounds of the size bins and the median are marked.

    Args:
        areas_px: Area of each ship in pixels.
        bounds_px: Bounds between small, medium and large ships.
    """
    areas = np.asarray(areas_px, np.float64)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.8), layout="constrained")
        axes = figure.subplots()
        edges = np.geomspace(1, max(1e5, float(areas.max(initial=1))), 51)
        axes.hist(areas, edges.tolist(), color=BLUE)
        axes.set(xscale="log", title="Ship area", xlabel="pixels (logarithmic)", ylabel="ships")
        for bound in bounds_px:
            axes.axvline(bound, color=INK, linewidth=1, linestyle=":")
        _mark_median(axes, areas, "px")
        axes.xaxis.set_major_formatter(THOUSANDS)
        count_in_whole(axes)
    return figure


def ship_shapes(lengths_px: ArrayLike, widths_px: ArrayLike, aspects: ArrayLike) -> Figure:
    """Return histograms of length, width and aspect ratio up to the 99th percentile; medians are marked.

    Args:
        lengths_px: Length of each ship in pixels.
        widths_px: Its width.
        aspects: Its length divided by its width.
    """
    columns = (
        ("Length", "pixels", lengths_px, "px"),
        ("Width", "pixels", widths_px, "px"),
        ("Length / width", "ratio", aspects, ""),
    )
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        for axes, (title, unit, values, short) in zip(figure.subplots(1, 3), columns, strict=True):
            known = np.asarray(values, np.float64)
            low, high = 1.0 if not short else 0.0, float(np.quantile(known, 0.99)) if len(known) else 2.0
            axes.hist(known, np.linspace(low, max(high, low + 1), 41).tolist(), color=BLUE)
            axes.set(title=title, xlabel=unit)
            _mark_median(axes, known, short)
            count_in_whole(axes)
        figure.axes[0].set_ylabel("ships")
    return figure


def _mark_median(axes: Axes, values: NDArray[np.float64], unit: str) -> None:
    if not len(values):
        return
    median = float(np.median(values))
    axes.axvline(median, color=VERMILION, linewidth=1.5)
    note_at_top(axes, median, f"median {amount(median)} {unit}".strip(), right_pt=4)


def ship_headings(headings_deg: ArrayLike) -> Figure:
    """Return a polar histogram of headings; bow and stern are not distinguished: a ship counts in both directions.

    Args:
        headings_deg: Clockwise from up, 0 to below 180, of ships that have a direction.
    """
    headings = np.asarray(headings_deg, np.float64)
    both = np.radians(np.concatenate([headings, headings + 180]))
    counts, edges = np.histogram(both, np.linspace(0, 2 * np.pi, 37))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.2), layout="constrained")
        axes: Any = figure.add_subplot(projection="polar")
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=BLUE, edgecolor="none")
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        axes.set_title("Heading")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.tick_params(axis="y", labelsize=8)
    return figure


def ship_positions(counts_rc: ArrayLike) -> Figure:
    """Return the density of ship centres over the image, relative to a uniform distribution.

    Args:
        counts_rc: Ships in each cell of a grid over the image, rows from the top.
    """
    counts = np.asarray(counts_rc, np.float64)
    relative = counts / counts.mean() if counts.any() else counts
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 4.2), layout="constrained")
        axes = figure.subplots()
        colors = mpl.colors.LinearSegmentedColormap.from_list("density", _DENSITY)
        drawn = axes.pcolormesh(relative, cmap=colors, vmin=0, vmax=max(2.0, float(relative.max(initial=0))))
        axes.invert_yaxis()
        axes.set(xticks=[], yticks=[], aspect="equal", title="Positions of ships")
        axes.grid(visible=False)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.9)
        bar.set_label("density relative to uniform")
    return figure
