"""Figures: numbers in, matplotlib Figure out. The only modules that import matplotlib."""

from __future__ import annotations

from shipseg.reports.figures.scores import (
    Estimate,
    PanelRow,
    Reliability,
    reliability_diagram,
    scores_by_size,
    three_by_three,
    threshold_curves,
    training_curves,
)
from shipseg.reports.figures.style import Figure, save_png, to_svg

__all__ = [
    "Estimate",
    "Figure",
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
