"""Figures: numbers in, matplotlib Figure out. The only modules that import matplotlib."""

from __future__ import annotations

from shipseg.reports.figures.exploration import (
    SampleImage,
    cleaning_cost,
    colour_histogram,
    file_sizes,
    group_sizes,
    imbalances,
    sample_panel,
    ships_per_image,
    split_balance,
)
from shipseg.reports.figures.scores import (
    Estimate,
    PanelRow,
    Reliability,
    reliability_diagram,
    scores_by_size,
    three_by_three,
    training_curves,
)
from shipseg.reports.figures.ships import ship_areas, ship_headings, ship_positions, ship_shapes
from shipseg.reports.figures.studies import study_curves, study_dots
from shipseg.reports.figures.style import Figure, save_png, to_svg
from shipseg.reports.figures.thresholds import TradeOffs, group_curves, threshold_curves, trade_offs

__all__ = [
    "Estimate",
    "Figure",
    "PanelRow",
    "Reliability",
    "SampleImage",
    "TradeOffs",
    "cleaning_cost",
    "colour_histogram",
    "file_sizes",
    "group_curves",
    "group_sizes",
    "imbalances",
    "reliability_diagram",
    "sample_panel",
    "save_png",
    "scores_by_size",
    "ship_areas",
    "ship_headings",
    "ship_positions",
    "ship_shapes",
    "ships_per_image",
    "split_balance",
    "study_curves",
    "study_dots",
    "three_by_three",
    "threshold_curves",
    "to_svg",
    "trade_offs",
    "training_curves",
]
