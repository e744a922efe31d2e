"""Output formats: CSV with a row per ship, COCO JSON, and the challenge's submission (written and checked)."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from shipseg.errors import ConfigError, DataError
from shipseg.files import csv_text, write_text
from shipseg.masks.rle import Runs, area_px, decode_many, find_malformed, runs_of_mask
from shipseg.masks.ships import Ship

__all__ = [
    "FORMATS",
    "SHIP_COLUMNS",
    "ImageShips",
    "SubmissionSummary",
    "check_submission",
    "check_unique_ids",
    "ship_runs",
    "write_coco",
    "write_ships_csv",
    "write_submission",
]


SHIP_COLUMNS: Final = (
    "image",
    "ship",
    "area_px",
    "confidence",
    "box_x",
    "box_y",
    "box_width",
    "box_height",
    "center_x",
    "center_y",
    "length_px",
    "width_px",
    "heading_deg",
    *(f"corner{number}_{axis}" for number in (1, 2, 3, 4) for axis in "xy"),
)
"""Columns of ships.csv. Lengths are in pixels of the image, positions in pixel edges (pixel (0, 0) covers 0 to 1, x to
the right, y down), `heading_deg` is clockwise from up in 0-180 (bow and stern are not distinguished)."""

_CATEGORY: Final = {"id": 1, "name": "ship", "supercategory": "vessel"}


@dataclass(frozen=True)
class ImageShips:
    """The ships detected in one image."""

    image: str
    """The image's name in all tables."""
    shape: tuple[int, int]
    """Height and width in pixels."""
    ships: tuple[Ship, ...]
    """No two share a pixel."""


def write_ships_csv(path: Path, results: Sequence[ImageShips]) -> None:
    """Write one row per ship, with the columns `SHIP_COLUMNS`; the ships of an image are numbered from 1."""
    rows = [
        _ship_row(result.image, number, ship) for result in results for number, ship in enumerate(result.ships, start=1)
    ]
    write_text(path, csv_text(SHIP_COLUMNS, rows))


def _ship_row(image: str, number: int, ship: Ship) -> list[Any]:
    row, column = ship.center_rc
    heading = round(ship.heading_deg, 2) % 180  # 179.999 becomes 0, not 180
    measures = [column, row, ship.length_px, ship.width_px, heading, *ship.corners_xy.ravel().tolist()]
    shown = [f"{value:.2f}" for value in measures]
    return [image, number, ship.area_px, f"{ship.confidence:.4f}", *ship.bbox_xywh, *shown]


def write_coco(path: Path, results: Sequence[ImageShips]) -> None:
    """Write the ships as a COCO instance file: uncompressed run lengths, boxes, areas, confidence as `score`.

    Source: the data format of the COCO data set, as pycocotools reads it.
    """
    images = [
        {"id": number, "file_name": result.image, "height": result.shape[0], "width": result.shape[1]}
        for number, result in enumerate(results, start=1)
    ]
    annotations: list[dict[str, Any]] = []
    for image, result in zip(images, results, strict=True):
        for ship in result.ships:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": _CATEGORY["id"],
                    "segmentation": {"size": list(result.shape), "counts": _coco_counts(ship, result.shape)},
                    "area": ship.area_px,
                    "bbox": list(ship.bbox_xywh),
                    "iscrowd": 0,
                    "score": round(ship.confidence, 4),
                }
            )
    info = {"description": "ships found by shipseg"}
    value = {"info": info, "licenses": [], "images": images, "annotations": annotations, "categories": [_CATEGORY]}
    # Compact JSON: with indentation the file would be several times as large.
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def write_submission(path: Path, results: Sequence[ImageShips]) -> None:
    """Write the challenge's submission: one row per ship, an empty `EncodedPixels` for an image without ships.

    Raises:
        ConfigError: Two images have the same name, which is the image id in a submission.

    Source: the submission format of the Kaggle Airbus Ship Detection Challenge; masks of an image must not overlap.
    """
    check_unique_ids([result.image for result in results])
    rows = []
    for result in results:
        texts = [_run_length_text(ship_runs(ship, result.shape)) for ship in result.ships]
        rows += [[result.image, text] for text in texts or [""]]
    write_text(path, csv_text(("ImageId", "EncodedPixels"), rows))


def check_unique_ids(names: Sequence[str]) -> None:
    """Check that file names are unique, since they are the ImageIds of a submission.

    Raises:
        ConfigError: Two images have the same file name.
    """
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        raise ConfigError(
            f"{doubled[0]} is the name of several images ({len(doubled)} such names in all), and a submission does not "
            "hold folder names: predict one folder at a time"
        )


def ship_runs(ship: Ship, shape: tuple[int, int]) -> Runs:
    """Return the ship's runs in an image of `shape`, computed without a mask of the whole image."""
    row0, col0, _, _ = ship.mask_box
    # One row of background below ends each run within its column.
    runs = runs_of_mask(np.pad(ship.mask, ((0, 1), (0, 0))))
    columns, rows = np.divmod(runs.starts, ship.mask.shape[0] + 1)
    starts = (columns + col0) * shape[0] + rows + row0
    ends = starts + runs.lengths
    # Where the ship spans the full height of the image, runs continue in the next column and are joined.
    is_first, is_last = np.insert(starts[1:] != ends[:-1], 0, True), np.append(starts[1:] != ends[:-1], True)
    return Runs(starts[is_first], ends[is_last] - starts[is_first])


def _coco_counts(ship: Ship, shape: tuple[int, int]) -> list[int]:
    """Return COCO's uncompressed counts: alternating run lengths in column-major order, background first."""
    runs = ship_runs(ship, shape)
    ends = runs.starts + runs.lengths
    bounds = np.concatenate([[0], np.stack([runs.starts, ends], axis=1).ravel(), [shape[0] * shape[1]]])
    counts: list[int] = np.diff(bounds).tolist()
    return counts


def _run_length_text(runs: Runs) -> str:
    return " ".join(f"{start + 1} {length}" for start, length in zip(runs.starts, runs.lengths, strict=True))


FORMATS: Final[dict[str, tuple[str, Callable[[Path, Sequence[ImageShips]], None]]]] = {
    "csv": ("ships.csv", write_ships_csv),
    "coco": ("ships.coco.json", write_coco),
}
"""Output formats by name: name of the file, and the function that writes it."""


# Checks of a submission before it is handed in.

_COLUMNS = ["ImageId", "EncodedPixels"]
_TILE = (768, 768)


@dataclass(frozen=True)
class SubmissionSummary:
    """Counts of a valid submission."""

    num_images: int
    num_empty: int
    """Images without a ship: one row with empty EncodedPixels."""
    num_ships: int


def check_submission(path: Path, *, sample: Path, shape: tuple[int, int] = _TILE) -> SubmissionSummary:
    """Check a submission and return its counts.

    A valid submission has the two columns in this order; all ids of the sample and no others, in any order; one row per
    ship with a well-formed mask inside the image; one empty row per image without ships; no overlapping masks.

    Args:
        path: The submission.
        sample: The challenge's sample submission, which lists the images.
        shape: Height and width of every image.

    Raises:
        DataError: The submission is not valid, or a file cannot be read.

    Source: the submission format of the Kaggle Airbus Ship Detection Challenge.
    """
    texts = _read(path)
    wanted = _read(sample)
    _check_ids(texts, wanted, path, sample)
    for image_id, rows in texts.items():
        if len(rows) > 1 and "" in rows:
            raise DataError(
                f"{image_id} has an empty row beside {len(rows) - 1} other(s) in {path}: remove the empty row"
            )
    ships = [(image_id, text) for image_id, rows in texts.items() for text in rows if text]
    malformed = find_malformed([text for _, text in ships], shape[0] * shape[1])
    for place, sentence in malformed.items():
        raise DataError(f"a mask of {ships[place][0]} in {path} is malformed: {sentence}")
    for image_id, rows in texts.items():
        shared_px = sum(map(area_px, rows)) - int(decode_many(rows, shape).sum()) if len(rows) > 1 else 0
        if shared_px:
            raise DataError(f"masks of {image_id} in {path} share {shared_px} pixel(s): assign each pixel to one ship")
    num_empty = sum(rows == [""] for rows in texts.values())
    return SubmissionSummary(num_images=len(texts), num_empty=num_empty, num_ships=len(ships))


def _read(path: Path) -> dict[str, list[str]]:
    """Return the EncodedPixels of each image, by ImageId."""
    texts: dict[str, list[str]] = defaultdict(list)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            if header != _COLUMNS:
                raise DataError(f"the columns of {path} must be {','.join(_COLUMNS)}, got {','.join(header) or 'none'}")
            for row in rows:
                if len(row) != len(_COLUMNS):
                    raise DataError(f"line {rows.line_num} of {path} has {len(row)} values, expected {len(_COLUMNS)}")
                texts[row[0]].append(row[1])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV of UTF-8 text ({error}): write it again") from error
    return texts


def _check_ids(texts: dict[str, list[str]], wanted: dict[str, list[str]], path: Path, sample: Path) -> None:
    missing, strange = sorted(wanted.keys() - texts.keys()), sorted(texts.keys() - wanted.keys())
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(wanted)} images of {sample} are not in {path} (first: {missing[0]}): "
            "predict all images of the test folder"
        )
    if strange:
        raise DataError(
            f"{len(strange)} image(s) in {path} are not in {sample} (first: {strange[0]}): "
            "predict only the images of the test folder"
        )
