"""Finding, reading and checking the label table of an Airbus folder; ship pixels and overlaps of masks.

Rows are numbered as in a spreadsheet: the header is row 1. Columns other than `ImageId` and `EncodedPixels` are
ignored. An `EncodedPixels` that is empty or `0` means: no ship.

Source: the file format of the Kaggle Airbus Ship Detection Challenge.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.masks.rle import find_malformed
from shipseg.reading import IMAGE_SUFFIXES

with needing("train"):
    import pandas as pd

__all__ = ["AirbusFolder", "LabelTable", "Problem", "find_airbus_folder", "measure_ships", "read_table"]

COLUMNS = ("ImageId", "EncodedPixels")
_NO_SHIP = ("", "0")
_IMAGE_STRIDE = 1 << 40  # offset between the pixel numbers of two images; no image has that many pixels


@dataclass(frozen=True)
class AirbusFolder:
    """The paths of an Airbus folder: the folder itself, its CSV and its folder of images."""

    root: Path
    csv: Path
    images: Path


@dataclass(frozen=True)
class Problem:
    """A fault in the label table that does not prevent its use.

    Args:
        image_id: The image concerned.
        row: Row of the CSV, the header being row 1; 0 for a problem of the whole image.
        reason: `duplicate-row` (left out), `empty-and-ships` (the empty row is left out), `malformed-mask` (the image
            is left out) or `overlapping-ships` (kept).
        detail: One sentence.
    """

    image_id: str
    row: int
    reason: str
    detail: str


@dataclass(frozen=True, eq=False)
class LabelTable:
    """A checked label table.

    Args:
        frame: One row per image, sorted by `ImageId` (str): `rles` (tuple of run-length texts, one per ship) and
            `Ships` (int64, their number). Images with malformed masks are included, with all their texts.
        problems: Faults of the table, sorted by row.
        num_rows: Rows of the CSV without its header and blank lines.
    """

    frame: pd.DataFrame
    problems: list[Problem]
    num_rows: int


def find_airbus_folder(root: Path, *, csv: Path | None = None, images: Path | None = None) -> AirbusFolder:
    """Return the paths of the Airbus folder `root`.

    The CSV is the one directly inside `root` that has the two columns; the images are beside it or in one subfolder.

    Args:
        root: The folder.
        csv: The CSV, if there are several: a path, or a name inside `root`.
        images: The folder of images, if there are several: a path, or a name inside `root`.

    Raises:
        DataError: There is no CSV or no folder of images, or several of them; the message names them.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: check the path")
    csv_path = _locate(root, csv, "CSV") if csv is not None else _find_csv(root)
    image_folder = _locate(root, images, "folder of images") if images is not None else _find_image_folder(root)
    if not csv_path.is_file():
        raise DataError(f"{csv_path} is not a file: give the CSV of ImageId, EncodedPixels")
    if not image_folder.is_dir():
        raise DataError(f"{image_folder} is not a folder: give the folder of the images")
    return AirbusFolder(root, csv_path, image_folder)


def _locate(root: Path, path: Path, what: str) -> Path:
    inside = root / path
    if inside.exists():
        return inside
    if Path(path).exists():
        return Path(path)
    raise DataError(f"there is no {what} {path} in {root} or in the current folder: check the path")


def _find_csv(root: Path) -> Path:
    candidates = sorted(path for path in root.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
    if not candidates:
        raise DataError(f"{root} has no CSV file of {', '.join(COLUMNS)}: check the path or give --csv")
    # Prefer files that name the columns, even if their separator or encoding will be refused later.
    matching = [path for path in candidates if _has_column_names(path)] or candidates
    if len(matching) > 1:
        names = ", ".join(path.name for path in matching)
        raise DataError(f"{root} has several files that could be the label table ({names}): choose one with --csv")
    return matching[0]


def _has_column_names(path: Path) -> bool:
    """Return whether the first line of a file has the names of the columns, in any encoding and with any separator."""
    line = _head(path).replace(b"\0", b"").lower().partition(b"\n")[0]
    return all(name.lower().encode() in line for name in COLUMNS)


def _head(path: Path) -> bytes:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return stream.read(4096)
    return b""


def _find_image_folder(root: Path) -> Path:
    subfolders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    candidates = [folder for folder in (root, *subfolders) if _has_image(folder)]
    if not candidates:
        raise DataError(f"{root} has no images, neither directly nor in a subfolder: check the path or give --images")
    if len(candidates) > 1:
        names = ", ".join("." if folder == root else folder.name for folder in candidates)
        raise DataError(f"{root} has images in several folders ({names}): choose one with --images")
    return candidates[0]


def _has_image(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in entries)
            return any(Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".") for name in names)
    except OSError:
        return False


def read_table(csv: Path) -> LabelTable:
    """Return the checked label table of a CSV.

    Exact duplicate rows, and empty rows of images that also have ships, are left out and listed as problems. Masks are
    checked as far as possible without the size of the images.

    Raises:
        DataError: The file is missing, not UTF-8, not a CSV, has no rows or lacks a column; a row has a mask but no
            ImageId; an ImageId is a path.
    """
    csv = Path(csv)
    rows = _read_rows(csv)
    _check_ids(rows, csv)
    num_rows = len(rows)
    rows = rows.sort_values(["ImageId", "row"], kind="stable", ignore_index=True)
    problems: list[Problem] = []

    repeated = rows.duplicated(["ImageId", "EncodedPixels"]).to_numpy()
    problems += _row_problems(rows[repeated], "duplicate-row", "this row repeats an earlier one, it is left out")
    rows = rows[~repeated].reset_index(drop=True)

    has_ship = ~rows["EncodedPixels"].isin(_NO_SHIP).to_numpy()
    image = pd.factorize(rows["ImageId"])[0]  # numbers the sorted ids from 0
    first = np.flatnonzero(np.diff(image, prepend=-1))
    num_ships = np.bincount(image[has_ship], minlength=len(first))
    contradicted = ~has_ship & (num_ships[image] > 0)
    problems += _row_problems(
        rows[contradicted], "empty-and-ships", "the image has ships in other rows, this empty row is left out"
    )
    ships = rows[has_ship]
    texts = ships["EncodedPixels"].tolist()
    malformed = find_malformed(texts)
    ids, numbers = ships["ImageId"].tolist(), ships["row"].tolist()
    problems += [
        Problem(ids[at], numbers[at], "malformed-mask", f"EncodedPixels: {sentence}")
        for at, sentence in malformed.items()
    ]
    ends = np.cumsum(num_ships)
    rles = [tuple(texts[end - count : end]) for end, count in zip(ends.tolist(), num_ships.tolist(), strict=True)]
    frame = pd.DataFrame(
        {
            "ImageId": rows["ImageId"].iloc[first].reset_index(drop=True),
            "rles": pd.Series(rles, dtype=object),
            "Ships": num_ships.astype(np.int64),
        }
    )
    return LabelTable(frame, sorted(problems, key=lambda problem: problem.row), num_rows)


def _read_rows(csv: Path) -> pd.DataFrame:
    """Return ImageId, EncodedPixels (both str) and row (int64) of every row that is not blank."""
    if b"\0" in _head(csv):
        raise DataError(f"{csv} is not UTF-8 text (it looks like UTF-16): save it as UTF-8")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = pd.read_csv(
                csv, dtype=str, na_filter=False, encoding="utf-8-sig", skip_blank_lines=False, index_col=False
            )
    except FileNotFoundError as error:
        raise DataError(f"there is no file {csv}: check the path") from error
    except OSError as error:
        raise DataError(f"{csv} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{csv} is not UTF-8 text (byte {error.start}: {error.reason}): save it as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{csv} is empty, expected the columns {', '.join(COLUMNS)}") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise DataError(f"{csv} is not a well-formed CSV ({reason}): repair that row") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    _check_columns(frame.columns.tolist(), csv)
    rows = pd.DataFrame(
        {
            "ImageId": frame["ImageId"].fillna("").str.strip(),
            "EncodedPixels": frame["EncodedPixels"].fillna("").str.strip(),
            "row": np.arange(2, len(frame) + 2),
        }
    )
    rows = rows[(rows["ImageId"] != "") | (rows["EncodedPixels"] != "")]
    if rows.empty:
        raise DataError(f"{csv} has a header and no rows: check that the file is complete")
    return rows


def _check_columns(found: Sequence[str], csv: Path) -> None:
    for name in COLUMNS:
        if name in found:
            continue
        joined = [column for column in found if name in column]
        near = difflib.get_close_matches(name.lower(), [column.lower() for column in found], n=1)
        if joined:
            hint = ": separate columns with a comma"
        elif near:
            hint = f": rename the column that is closest, {near[0]!r}"
        else:
            hint = f": the header must be {','.join(COLUMNS)}"
        raise DataError(f"the CSV {csv} has no column {name} (its columns: {', '.join(map(repr, found))}){hint}")


def _check_ids(rows: pd.DataFrame, csv: Path) -> None:
    nameless = rows["row"][rows["ImageId"] == ""]
    if len(nameless):
        raise DataError(f"row {nameless.iloc[0]} of {csv} has a mask and no ImageId: add the image's file name")
    wrong = rows[rows["ImageId"].str.contains(r"[/\\\x00]", regex=True) | rows["ImageId"].isin([".", ".."])]
    for _, first in wrong.head(1).iterrows():
        raise DataError(
            f"ImageId {first['ImageId']!r} in row {first['row']} of {csv} is a path, not a plain file name: "
            "remove the folders"
        )


def _row_problems(rows: pd.DataFrame, reason: str, detail: str) -> list[Problem]:
    return [
        Problem(image_id, row, reason, detail)
        for image_id, row in zip(rows["ImageId"].tolist(), rows["row"].tolist(), strict=True)
    ]


def measure_ships(rles: Iterable[tuple[str, ...]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of ship pixels of each image (union of its ships), and whether two of its ships overlap.

    Args:
        rles: For each image the well-formed run-length texts of its ships, all inside the image.

    Returns:
        int64 (n,) ship pixels and bool (n,) overlaps.
    """
    per_image = list(rles)
    texts = [text for image in per_image for text in image]
    image_of_text = np.repeat(np.arange(len(per_image)), [len(image) for image in per_image])
    ship_px = np.zeros(len(per_image), np.int64)
    overlapping = np.zeros(len(per_image), bool)
    if not texts:
        return ship_px, overlapping
    numbers = np.fromstring(" ".join(texts), dtype=np.int64, sep=" ")
    image = np.repeat(image_of_text, [len(text.split()) // 2 for text in texts])
    start = numbers[0::2] + image * _IMAGE_STRIDE
    end = start + numbers[1::2]
    order = np.argsort(start, kind="stable")
    start, end, image = start[order], end[order], image[order]
    covered = np.zeros_like(end)
    covered[1:] = np.maximum.accumulate(end)[:-1]
    np.add.at(ship_px, image, np.maximum(end - np.maximum(start, covered), 0))
    overlapping[image[start < covered]] = True
    return ship_px, overlapping
