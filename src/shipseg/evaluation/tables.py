"""An evaluation as files: metrics.json and six tables."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shipseg.evaluation.calibration import ReliabilityBin
from shipseg.evaluation.curves import Curves
from shipseg.evaluation.results import Evaluation, FailedImage
from shipseg.evaluation.scores import SIZE_BINS, ImageScore, ShipScore
from shipseg.files import ensure_folder, write_json, write_text

__all__ = ["curves_csv", "write_evaluation"]

_BY_SIZE = ("true_by_size", "found_by_size", "predicted_by_size", "right_by_size")


def write_evaluation(evaluation: Evaluation, out: Path) -> dict[str, Path]:
    """Write an evaluation into a folder and return its files by name.

    metrics.json; images.csv, a row for each image; ships.csv, a row for each true and each predicted ship; failed.csv,
    what could not be scored and why; threshold_curve.csv (pixels) and ship_curve.csv, a row for each threshold and
    kind of images; calibration.csv. A table without rows has a header.

    Raises:
        StorageError: The folder cannot be written.
    """
    out = ensure_folder(Path(out))
    bins = (
        {"of": kind, **dataclasses.asdict(row)}
        for kind, rows in (("pixels", evaluation.pixel_reliability), ("ships", evaluation.ship_reliability))
        for row in rows
    )
    tables: dict[str, str] = {
        "images.csv": _csv(_image_columns(), map(_image_row, evaluation.images)),
        "ships.csv": _csv(_names(ShipScore), map(dataclasses.asdict, evaluation.ships)),
        "failed.csv": _csv(_names(FailedImage), map(dataclasses.asdict, evaluation.failed)),
        "threshold_curve.csv": curves_csv(evaluation.pixel_curves),
        "ship_curve.csv": curves_csv(evaluation.ship_curves),
        "calibration.csv": _csv(["of", *_names(ReliabilityBin)], bins),
    }
    for name, text in tables.items():
        write_text(out / name, text)
    write_json(out / "metrics.json", evaluation.metrics)
    return {name: out / name for name in ("metrics.json", *tables)}


def _names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _image_columns() -> list[str]:
    plain = [name for name in _names(ImageScore) if name not in _BY_SIZE]
    return [*plain, "stratum", "dice", "iou", *(f"{name} {size}" for name in ("true", "found") for size in SIZE_BINS)]


def _image_row(image: ImageScore) -> dict[str, Any]:
    by_size = {
        f"{name} {size}": count
        for name, counts in (("true", image.true_by_size), ("found", image.found_by_size))
        for size, count in zip(SIZE_BINS, counts, strict=True)
    }
    plain = {name: value for name, value in dataclasses.asdict(image).items() if name not in _BY_SIZE}
    return {**plain, "stratum": image.stratum, "dice": image.dice, "iou": image.iou, **by_size}


def curves_csv(curves: Curves) -> str:
    """Return curves as the text of a CSV: which images (all, none, single, multiple: by ships), threshold, scores."""
    columns = list(next(iter(curves.values())))
    rows = (
        {"images": images, **dict(zip(columns, map(float, values), strict=True))}
        for images, curve in curves.items()
        for values in zip(*curve.values(), strict=True)
    )
    return _csv(["images", *columns], rows)


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """Return a cell's text: nothing for None and NaN, yes and no, six digits of a fraction."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
