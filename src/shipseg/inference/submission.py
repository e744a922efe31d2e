"""Looking through a submission before it is handed in: what the challenge would refuse is said in a sentence."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from shipseg.errors import DataError
from shipseg.masks.rle import area_px, decode_many, find_malformed

__all__ = ["SubmissionSummary", "check_submission"]

_COLUMNS = ["ImageId", "EncodedPixels"]
_TILE = (768, 768)


@dataclass(frozen=True)
class SubmissionSummary:
    """What a sound submission holds."""

    num_images: int
    num_empty: int
    """Images without a ship: one row with nothing in EncodedPixels."""
    num_ships: int


def check_submission(path: Path, *, sample: Path, shape: tuple[int, int] = _TILE) -> SubmissionSummary:
    """Return what a submission holds, or say what is wrong with it.

    Sound is: the two columns, in this order; the sample's ids, each of them, in any order; one row per ship, its mask
    well-formed and inside the image; one empty row for an image without ships; no two masks of an image share a pixel.

    Args:
        path: The submission.
        sample: The challenge's sample submission, which names the images.
        shape: Height and width of every image.

    Raises:
        DataError: One of these does not hold; or a file cannot be read.

    Source: the submission format of the Kaggle Airbus Ship Detection Challenge.
    """
    texts = _read(path)
    wanted = _read(sample)
    _check_ids(texts, wanted, path, sample)
    for image_id, rows in texts.items():
        if len(rows) > 1 and "" in rows:
            raise DataError(
                f"{image_id} has an empty row beside {len(rows) - 1} other(s) in {path}: a ship or none, not both"
            )
    ships = [(image_id, text) for image_id, rows in texts.items() for text in rows if text]
    malformed = find_malformed([text for _, text in ships], shape[0] * shape[1])
    for place, sentence in malformed.items():
        raise DataError(f"a mask of {ships[place][0]} in {path} is malformed: {sentence}")
    for image_id, rows in texts.items():
        shared_px = sum(map(area_px, rows)) - int(decode_many(rows, shape).sum()) if len(rows) > 1 else 0
        if shared_px:
            raise DataError(f"masks of {image_id} in {path} share {shared_px} pixel(s): give each pixel to one ship")
    num_empty = sum(rows == [""] for rows in texts.values())
    return SubmissionSummary(num_images=len(texts), num_empty=num_empty, num_ships=len(ships))


def _read(path: Path) -> dict[str, list[str]]:
    """Return the EncodedPixels of each image."""
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
            "predict all pictures of the test folder"
        )
    if strange:
        raise DataError(
            f"{len(strange)} image(s) in {path} are not in {sample} (first: {strange[0]}): "
            "predict the pictures of the test folder alone"
        )
