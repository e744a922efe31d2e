"""The tables of scenes that were scored: metrics.json, a row for each ship, a row for each scene that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shipseg import files
from shipseg.inference.formats import csv_text
from shipseg.scenes.matching import ShipRecord, heading_apart
from shipseg.scenes.scoring import SceneScores

__all__ = ["write_scores"]

_COLUMNS = (
    "scene",
    "status",
    "true_ship",
    "predicted_ship",
    "kind",
    "iou",
    "found_by_center",
    "lon",
    "lat",
    "true_length_m",
    "length_m",
    "length_error_m",
    "true_width_m",
    "width_m",
    "width_error_m",
    "true_heading_deg",
    "heading_deg",
    "heading_error_deg",
    "area_px",
    "cut",
    "confidence",
)


def write_scores(scores: SceneScores, folder: Path) -> None:
    """Write metrics.json, ships.csv and failed.csv into an existing folder.

    Raises:
        StorageError: They cannot be written.
    """
    files.write_text(folder / "ships.csv", csv_text(_COLUMNS, [*_rows(scores.records)]))
    files.write_text(folder / "failed.csv", csv_text(("scene", "detail"), [(s.scene, s.detail) for s in scores.failed]))
    files.write_json(folder / "metrics.json", scores.metrics)


def _rows(records: Sequence[ShipRecord]) -> Iterator[list[Any]]:
    for record in records:
        true, found = record.true, record.predicted
        shown = true or found
        assert shown is not None
        errors = ("", "", "")
        if true is not None and found is not None:
            turned = heading_apart(found.heading_deg, true.heading_deg)
            wrong = (found.length_m - true.length_m, found.width_m - true.width_m, turned)
            errors = (f"{wrong[0]:.2f}", f"{wrong[1]:.2f}", f"{wrong[2]:.2f}")
        measures = [
            (f"{getattr(true, name):.2f}" if true else "", f"{getattr(found, name):.2f}" if found else "", error)
            for name, error in zip(("length_m", "width_m", "heading_deg"), errors, strict=True)
        ]
        yield [
            record.scene,
            record.status,
            true.number if true else "",
            found.number if found else "",
            true.kind if true else "",
            f"{record.iou:.3f}",
            int(record.by_center),
            f"{shown.lon:.7f}",
            f"{shown.lat:.7f}",
            *(value for measure in measures for value in measure),
            f"{shown.area_px:.0f}",
            int(shown.cut),
            "" if found is None or found.confidence is None else f"{found.confidence:.4f}",
        ]
