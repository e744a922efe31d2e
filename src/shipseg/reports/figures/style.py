"""Common style of all figures: colours, line styles, fonts, and writing a figure as PNG or SVG.

Colours are those of Okabe and Ito (the purple darker), distinguishable with any colour vision. Lines also differ in
their line style.

Source: M. Okabe, K. Ito, Color Universal Design (2008), for the colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.extras import needing

with needing("train"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "COLORS",
    "GREEN",
    "GRID",
    "INK",
    "PURPLE",
    "STYLE",
    "VERMILION",
    "Curve",
    "Figure",
    "draw_lines",
    "note_at_top",
    "save_png",
    "show_images",
    "to_svg",
]

INK, GRID = "#24292f", "#d0d7de"
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#aa4499"
COLORS = (BLUE, VERMILION, GREEN, PURPLE)
"""Colour cycle of lines."""
_LINE_STYLES = {BLUE: "-", VERMILION: (0, (5, 2)), GREEN: (0, (1, 1.2)), PURPLE: (0, (6, 2, 1, 2))}
_MARKERS = {BLUE: "o", VERMILION: "s", GREEN: "^", PURPLE: "D"}
STYLE: Any = {
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
_FEW_POINTS = 40  # lines of up to this many points have markers

Curve = Mapping[str, Sequence[float] | NDArray[np.float64]]


def save_png(figure: Figure, target: Path | IO[bytes], *, dots_per_inch: int = 120) -> None:
    """Write a figure as PNG, atomically into a file or into an open binary stream.

    Raises:
        StorageError: The file cannot be written.
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dots_per_inch)
    if isinstance(target, Path):
        files.write_bytes(target, png.getvalue())
    else:
        target.write(png.getvalue())


def to_svg(figure: Figure) -> str:
    """Return a figure as a self-contained svg element for a web page.

    Text, grid and lines use the page's colours: `currentColor` and the CSS variables --grid, --blue, --vermilion,
    --green and --purple. The element has no fixed size.
    """
    text = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue()[text.getvalue().index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'^<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    variables = {GRID: "grid", BLUE: "blue", VERMILION: "vermilion", GREEN: "green", PURPLE: "purple"}
    for color, name in variables.items():
        svg = svg.replace(color, f"var(--{name})")
    return svg.replace(INK, "currentColor")


def draw_lines(
    axes: Axes, x: Sequence[float] | NDArray[np.generic], lines: Curve, colors: Sequence[str] = COLORS
) -> None:
    """Draw lines over common x, each with its own colour and line style, with markers if there are few points."""
    for (label, values), color in zip(lines.items(), colors, strict=False):
        marker = _MARKERS[color] if len(x) <= _FEW_POINTS else None
        axes.plot(x, values, color=color, linestyle=_LINE_STYLES[color], marker=marker, markersize=4, label=label)


def note_at_top(axes: Axes, x: float, text: str, *, right_pt: float) -> None:
    """Write a note beside a vertical line, at the top of the axes, so many points to its right."""
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(right_pt, -2),
        textcoords="offset points",
        va="top",
        fontsize=9,
    )


def show_images(axes_of_row: NDArray[Any], images: Sequence[NDArray[Any]], title: str) -> None:
    """Show images or masks side by side, without scales; the title stands left of the first."""
    for axes, shown in zip(axes_of_row, images, strict=True):
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
    axes_of_row[0].set_ylabel(title)
