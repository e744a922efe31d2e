"""The result of an evaluation, and its files: metrics.json and six tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg.evaluation.bootstrap import INTERVAL_SHARE
from shipseg.evaluation.calibration import ReliabilityBin
from shipseg.evaluation.scores import SIZE_BINS, ImageScore, ShipScore
from shipseg.evaluation.sweep import Curves
from shipseg.files import csv_text, ensure_folder, write_json, write_text
from shipseg.model.card import Card
from shipseg.number_formats import csv_cell

__all__ = ["Evaluation", "FailedImage", "curves_csv", "write_evaluation"]


_SUMMARY_COUNTS = {
    "num_images": "images",
    "num_images_with_ships": "images with ships",
    "num_ships": "true ships",
    "num_predicted": "detections",
    "num_failed": "images that could not be scored",
    "threshold": "a pixel is ship from probability",
    "min_peak": "a ship needs a peak probability of",
}
_SUMMARY_SCORES = {
    "airbus_score": "Airbus score",
    "airbus_score_of_predicting_nothing": "Airbus score of predicting nothing",
    "pooled_dice": "pooled Dice",
    "image_dice": "mean Dice of images with ships",
    "ship_precision": "ship precision",
    "ship_recall": "ship recall",
    "ship_f1": "ship F1",
    "false_alarm_images": "share of empty images with a false alarm",
    "false_alarms_per_1000km2": "false alarms per 1000 km2",
}


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be scored."""

    image_id: str
    reason: str
    """One word: missing, unreadable, truncated, unsupported (the image) or labels (its masks)."""
    detail: str
    """One sentence."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a model on a set of labelled images."""

    metrics: Mapping[str, Any]
    """The content of metrics.json; `shipseg.evaluation.bootstrap` defines the scores."""
    images: tuple[ImageScore, ...]
    """One for each image that was scored, in the order of the source."""
    ships: tuple[ShipScore, ...]
    """One for each true and each predicted ship."""
    failed: tuple[FailedImage, ...]
    pixel_curves: Curves
    """Scores of pixels at many thresholds; peak threshold and minimum area are not applied."""
    ship_curves: Curves
    """Scores of ships at some thresholds, with the decision's peak threshold and minimum area."""
    pixel_reliability: tuple[ReliabilityBin, ...]
    ship_reliability: tuple[ReliabilityBin, ...]
    card: Card
    """The model's card."""
    source: str
    """Name of the labelled images."""

    @property
    def summary(self) -> dict[str, str | int | float]:
        """Return the main scores as text, each with its 90 % interval; undefined scores are left out."""
        shown: dict[str, str | int | float] = {words: self.metrics[name] for name, words in _SUMMARY_COUNTS.items()}
        if self.metrics["rectangles"]:
            shown["ships become"] = "filled rectangles where one fits"
        label = f"{100 * INTERVAL_SHARE:.0f} % interval"
        for name, words in _SUMMARY_SCORES.items():
            value, interval = self.metrics[name], self.metrics["intervals"][name]
            if value is not None:
                between = f" ({label} {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
                shown[words] = f"{value:.3f}{between}"
        return shown


# An evaluation as files: metrics.json and six tables.

_BY_SIZE = ("true_by_size", "found_by_size", "predicted_by_size", "right_by_size")


def write_evaluation(evaluation: Evaluation, out: Path) -> dict[str, Path]:
    """Write an evaluation into a folder and return its files by name.

    metrics.json; images.csv, a row for each image; ships.csv, a row for each true and each predicted ship; failed.csv,
    images that could not be scored and why; threshold_curve.csv (pixels) and ship_curve.csv, a row for each threshold
    and kind of images; calibration.csv. A table without rows has a header.

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
        "images.csv": csv_text(_image_columns(), map(_image_row, evaluation.images), cell=csv_cell),
        "ships.csv": csv_text(_names(ShipScore), map(dataclasses.asdict, evaluation.ships), cell=csv_cell),
        "failed.csv": csv_text(_names(FailedImage), map(dataclasses.asdict, evaluation.failed), cell=csv_cell),
        "threshold_curve.csv": curves_csv(evaluation.pixel_curves),
        "ship_curve.csv": curves_csv(evaluation.ship_curves),
        "calibration.csv": csv_text(["of", *_names(ReliabilityBin)], bins, cell=csv_cell),
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
    return csv_text(["images", *columns], rows, cell=csv_cell)
