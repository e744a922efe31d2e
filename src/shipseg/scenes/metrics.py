"""Scores of scenes from their records: precision, recall, false alarms, errors of the measures, by size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from shipseg.evaluation.scores import SIZE_EDGES_PX, named_bins
from shipseg.masks.metrics import MATCH_IOU
from shipseg.scenes.matching import CENTER_LEAST_M, CENTER_SHARE, MapShip, ShipRecord, heading_apart

__all__ = ["LENGTH_BINS", "errors_of", "metrics_of"]

LENGTH_BINS = named_bins((0, 20, 50, 100), "m")
"""Lengths of ships."""
_AREA_BINS = named_bins(SIZE_EDGES_PX, "px")
_KM2_PER_RATE = 1000.0


def metrics_of(records: Sequence[ShipRecord], *, looked_at_km2: float, scenes: Sequence[str]) -> dict[str, Any]:
    """Return all scores as plain data (metrics.json).

    Args:
        records: Of all scenes.
        looked_at_km2: Ground that was looked at: valid pixels, only water where that was asked for.
        scenes: Their names.
    """
    true = [record for record in records if record.true is not None]
    num_predicted = sum(record.predicted is not None for record in records)
    alarms = sum(record.status == "false alarm" for record in records)
    per_area = _KM2_PER_RATE / looked_at_km2 if looked_at_km2 else None
    return {
        "scenes": list(scenes),
        "num_scenes": len(scenes),
        "looked_at_km2": looked_at_km2,
        "num_ships": len(true),
        "num_cut": sum(record.true.cut for record in true if record.true is not None),
        "num_predicted": num_predicted,
        "by_iou": {"rule": f"IoU of the polygons above {MATCH_IOU}"} | _by_iou(records),
        "by_center": {"rule": f"centres within {CENTER_SHARE:g} of the true length, at least {CENTER_LEAST_M:g} m"}
        | _by_center(records),
        "num_false_alarms": alarms,
        "num_unmatched": sum(record.status == "unmatched" for record in records),
        "false_alarms_per_1000km2": None if per_area is None else alarms * per_area,
        "wrong_per_1000km2": None if per_area is None else sum(record.true is None for record in records) * per_area,
        "errors": errors_of(records),
    }


def _by_iou(records: Sequence[ShipRecord]) -> dict[str, Any]:
    true = [(record.true, record.predicted is not None) for record in records if record.true is not None]
    predicted = [(record.predicted, record.true is not None) for record in records if record.predicted is not None]
    return _shares(true, len(predicted)) | {
        "precision_by_length": _by_bin(predicted, LENGTH_BINS, lambda ship: ship.length_m),
        "recall_by_area": _by_bin(true, _AREA_BINS, lambda ship: ship.area_px),
        "precision_by_area": _by_bin(predicted, _AREA_BINS, lambda ship: ship.area_px),
    }


def _by_center(records: Sequence[ShipRecord]) -> dict[str, Any]:
    true = [(record.true, record.by_center) for record in records if record.true is not None]
    return _shares(true, sum(record.predicted is not None for record in records))


def _shares(true: Sequence[tuple[MapShip, bool]], num_predicted: int) -> dict[str, Any]:
    hits = sum(hit for _, hit in true)
    recall, precision = _share(hits, len(true)), _share(hits, num_predicted)
    return {
        "precision": precision,
        "recall": recall,
        "f1": _f1(precision, recall),
        "recall_by_length": _by_bin(true, LENGTH_BINS, lambda ship: ship.length_m),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _f1(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _by_bin(
    ships: Iterable[tuple[MapShip, bool]],
    bins: Mapping[str, tuple[float, float]],
    size: Callable[[MapShip], float],
) -> dict[str, dict[str, Any]]:
    ships = list(ships)
    found = {}
    for name, (low, high) in bins.items():
        hits = [hit for ship, hit in ships if low <= size(ship) < high]
        found[name] = {"share": _share(sum(hits), len(hits)), "num": len(hits)}
    return found


def errors_of(records: Sequence[ShipRecord]) -> dict[str, dict[str, Any]]:
    """Return the errors of length, width and heading of the ships that were found, all of them and by true length.

    Predicted minus true. Ships cut by the edge are left out: their full length is not visible. `bias` is the median of
    the signed errors, `median` and `p95` those of the absolute ones. The true length and width are the hull's; errors
    against the label's dimensions, where the truth has them, are for networks trained on such labels.
    """
    pairs = [(r.true, r.predicted) for r in records if r.true is not None and r.predicted is not None]
    whole = [(true, predicted) for true, predicted in pairs if not true.cut and not predicted.cut]
    measures: Mapping[str, Callable[[MapShip, MapShip], float]] = {
        "length_m": lambda true, predicted: predicted.length_m - true.length_m,
        "width_m": lambda true, predicted: predicted.width_m - true.width_m,
        "heading_deg": lambda true, predicted: heading_apart(predicted.heading_deg, true.heading_deg),
        "label_length_m": lambda true, predicted: predicted.length_m - (true.label_m or (math.nan,))[0],
        "label_width_m": lambda true, predicted: predicted.width_m - (true.label_m or (0, math.nan))[1],
    }
    found: dict[str, dict[str, Any]] = {}
    for name, measure in measures.items():
        errors = [(true.length_m, measure(true, predicted)) for true, predicted in whole]
        errors = [(length, error) for length, error in errors if not math.isnan(error)]
        found[name] = {"all": _spread([error for _, error in errors])}
        for bin_name, (low, high) in LENGTH_BINS.items():
            found[name][bin_name] = _spread([error for length, error in errors if low <= length < high])
    return found


def _spread(errors: Sequence[float]) -> dict[str, Any]:
    if not errors:
        return {"num": 0, "bias": None, "median": None, "p95": None}
    sizes = np.abs(errors)
    return {
        "num": len(errors),
        "bias": float(np.median(errors)),
        "median": float(np.median(sizes)),
        "p95": float(np.percentile(sizes, 95)),
    }
