"""The HTML report of a threshold choice: the target, the chosen decision rule with its scores, and alternatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shipseg.evaluation.calibration import calibration_error
from shipseg.evaluation.operating_points import OperatingPoint, describe_target
from shipseg.evaluation.sweep import ALL_IMAGES, DecisionSweep
from shipseg.evaluation.thresholds import Retuned, as_calibrated
from shipseg.number_formats import NONE, number
from shipseg.reports import evaluation_rows, figures
from shipseg.reports.page import drawing, write_page

__all__ = ["PointRow", "point_row", "write_threshold_report"]

_RELIABILITY_NAMES = {"network": "the network's own", "calibrated": "calibrated"}


class PointRow(NamedTuple):
    """A row of the table of operating points, as text; scores as (here, on groups it was not chosen on)."""

    target: str
    reached: bool
    threshold: str
    min_peak: str
    precision: tuple[str, str]
    recall: tuple[str, str]
    f1: tuple[str, str]
    airbus: tuple[str, str]
    alarmed: tuple[str, str]
    """Images without ships that have a false alarm, and the upper confidence bound of their share."""
    alarms: tuple[str, str]
    """False alarms per 1000 km2."""


def write_threshold_report(retuned: Retuned, path: Path) -> Path:
    """Write a threshold choice as one self-contained HTML page and return its path.

    Raises:
        StorageError: The file cannot be written.
    """
    return write_page(
        path,
        "thresholds.html",
        card=retuned.card,
        source=retuned.source,
        target=retuned.target,
        counts=retuned.choice.facts.counts,
        num_groups=retuned.survey.num_groups,
        sentence=retuned.choice.point.sentence if retuned.choice.point else "",
        reached=retuned.choice.facts.reached,
        chosen=_row(retuned, retuned.choice.point) if retuned.choice.point else None,
        usual=[_row(retuned, point) for point in retuned.usual],
        drawings=_drawings(retuned),
        errors=_errors(retuned),
        model=evaluation_rows.model_rows(retuned.card),
    )


def point_row(point: OperatingPoint, *, threshold: float, min_peak: float) -> PointRow:
    """Return an operating point as a row of the table.

    Args:
        point: The point.
        threshold: Its threshold in calibrated probability.
        min_peak: Its peak threshold in calibrated probability; 0 for none.
    """
    facts = point.facts()
    here, elsewhere, counts = facts["scores"], facts["held_out_scores"] or {}, facts["counts"]

    def pair(name: str, digits: int = 3) -> tuple[str, str]:
        return number(here[name], digits), number(elsewhere.get(name), digits)

    interval = facts["intervals"]["false_alarm_images"]
    alarmed = (NONE, "")
    if interval is not None:
        counted = f"{counts['alarmed_images']} of {counts['images_without_ships']}"
        alarmed = (counted, f"upper bound {100 * interval[1]:.2g} %")
    return PointRow(
        describe_target(point.config),
        point.reached,
        f"{threshold:.3g}",
        f"{min_peak:.3g}" if min_peak else NONE,
        pair("ship_precision"),
        pair("ship_recall"),
        pair("ship_f1"),
        pair("airbus_score"),
        alarmed,
        pair("false_alarms_per_1000km2", 1),
    )


def _row(retuned: Retuned, point: OperatingPoint) -> PointRow:
    threshold = as_calibrated(point.threshold, retuned.card.calibration)
    return point_row(point, threshold=threshold, min_peak=retuned.peak(point))


def _drawings(retuned: Retuned) -> dict[str, Any]:
    """Return the figures as svg elements."""
    chosen = retuned.card.decision.threshold
    curve = retuned.curves[ALL_IMAGES]
    pixels, ships = figures.threshold_curves(curve, curve, chosen=chosen)
    point = retuned.choice.point
    assert point is not None
    drawn = {
        "ships": ships,
        "pixels": pixels,
        "groups": figures.group_curves(evaluation_rows.titled_groups(retuned.curves), chosen=chosen),
        "trade_offs": figures.trade_offs(_trade_offs(retuned.survey.sweep()), _trade_offs(point.on_selection)),
        "reliability": figures.reliability_diagram(
            evaluation_rows.reliability_points(
                {_RELIABILITY_NAMES[name]: bins for name, bins in retuned.reliability.items()}
            )
        ),
    }
    return {name: drawing(figure) for name, figure in drawn.items()}


def _trade_offs(sweep: DecisionSweep) -> figures.TradeOffs:
    names = ("ship_recall", "ship_precision", "false_alarm_images")
    return figures.TradeOffs(*(np.ravel(sweep.score(name)) for name in names))


def _errors(retuned: Retuned) -> list[tuple[str, str, str]]:
    """Return table rows: kind of probability, mean error over all pixels, and over those with 0.01 or more."""
    errors = retuned.card.calibration.errors if retuned.card.calibration else None
    if errors is not None:
        return [
            ("the network's own", number(errors.before, 5), number(errors.before_where_likely, 4)),
            ("calibrated", number(errors.after, 5), number(errors.after_where_likely, 4)),
        ]
    return [
        (_RELIABILITY_NAMES[name], number(calibration_error(bins), 5), NONE)
        for name, bins in retuned.reliability.items()
    ]
