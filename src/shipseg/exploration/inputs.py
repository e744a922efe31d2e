"""Reading the inputs of an exploration: a prepared dataset, an Airbus folder or a label table, in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shipseg.data.cleaning import SOLID_SPREAD, CleaningRules, common_size, decide
from shipseg.data.groups import Overlaps, find_overlaps
from shipseg.data.image_table import join_labels, list_source, with_facts, with_groups, with_masks
from shipseg.data.labels import AirbusFolder, Problem, find_airbus_folder, read_table
from shipseg.data.prepared import PROBLEMS_FILE, PreparedDataset, open_dataset
from shipseg.data.scanning import scan_images
from shipseg.errors import ConfigError, DataError
from shipseg.evaluation.labelled import is_dataset
from shipseg.extras import needing
from shipseg.reading import list_images

with needing("train"):
    import pandas as pd

__all__ = ["Inputs", "read_inputs"]

_FAULTS = ("unreadable", "truncated", "unsupported")
_SCAN_FOLDER = "scan-1"  # raise the number when a scan reads other facts of an image


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of an exploration.

    Args:
        kind: `dataset`, `folder` or `labels`.
        path: The path to explore.
        csv: The label table.
        folder: Folder of the images; None without images.
        images: One row per image, sorted by ImageId: ImageId, rles, Ships, has_row, has_file, num_bytes, Size_kb (NaN
            without files), fault, detail, height, width (0 if not known), spread, malformed, ship_px, group (-1 if
            not known), split ("" if there is none), reason (why cleaning leaves it out; "" if it is kept).
        assumed_size: Height and width of the images whose size is not known.
        problems: Problems of label rows and masks.
        num_rows: Rows of the label table.
        overlaps: Pairs of images that share ground; None if they were not searched.
        report: The report of a prepared dataset.
    """

    kind: Literal["dataset", "folder", "labels"]
    path: Path
    csv: Path
    folder: Path | None
    images: pd.DataFrame
    assumed_size: tuple[int, int]
    problems: tuple[Problem, ...]
    num_rows: int
    overlaps: Overlaps | None = None
    report: dict[str, Any] | None = None


def read_inputs(
    path: Path,
    *,
    csv: Path | None,
    images: Path | None,
    labels_size: tuple[int, int],
    store: Path,
    workers: int,
) -> Inputs:
    """Return the inputs of an exploration; all images of an Airbus folder are read in parallel.

    Args:
        path: A dataset, an Airbus folder, a folder with only a label table, or a label table.
        csv: The label table, if the folder has several.
        images: The folder of images, if there are several.
        labels_size: Height and width of images whose size is not known.
        store: Folder for the scan results, from which an interrupted exploration resumes.
        workers: Number of processes.

    Raises:
        DataError: The path does not exist, has no label table, or is damaged.
        ConfigError: An option does not apply to the kind of `path`.
    """
    if not path.exists():
        raise DataError(f"there is no file or folder {path}: check the path")
    if (path.is_file() or is_dataset(path)) and (csv is not None or images is not None):
        what = "a prepared dataset" if path.is_dir() else "a file"
        raise ConfigError(f"{path} is {what}: --csv and --images are for Airbus folders, leave them out")
    if path.is_file():
        return _from_labels(path, path, labels_size)
    if is_dataset(path):
        return _from_dataset(path, open_dataset(path), labels_size)
    if images is None and not _holds_images(path):
        return _from_labels(path, find_airbus_folder(path, csv=csv, images=Path()).csv, labels_size)
    return _from_folder(path, find_airbus_folder(path, csv=csv, images=images), labels_size, store, workers)


def _holds_images(root: Path) -> bool:
    subfolders = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return any(list_images(folder) for folder in (root, *subfolders))


def _from_labels(path: Path, csv: Path, size: tuple[int, int]) -> Inputs:
    table = read_table(csv)
    images = table.frame.assign(
        has_row=True,
        has_file=True,  # files are not known, so none counts as missing
        num_bytes=0,
        Size_kb=np.nan,
        fault="",
        detail="",
        height=size[0],
        width=size[1],
        spread=SOLID_SPREAD + 1,
    )
    images, problems = _with_reasons(images, table.problems)
    return Inputs("labels", path, csv, None, images.assign(group=-1, split=""), size, tuple(problems), table.num_rows)


def _from_folder(path: Path, folder: AirbusFolder, size: tuple[int, int], store: Path, workers: int) -> Inputs:
    table = read_table(folder.csv)
    images = join_labels(list_source(folder), table)
    wanted = images["has_row"] & images["has_file"]
    facts, textures = scan_images(images[wanted], folder=folder.images, store=store / _SCAN_FOLDER, workers=workers)
    images = with_facts(images, facts, np.flatnonzero(wanted))
    overlaps = find_overlaps(textures)
    images = with_groups(images, overlaps).assign(split="")
    images, problems = _with_reasons(images, table.problems)
    return Inputs(
        "folder",
        path,
        folder.csv,
        folder.images,
        images,
        _size_or_default(images, size),
        tuple(problems),
        table.num_rows,
        overlaps,
    )


def _with_reasons(images: pd.DataFrame, found: Sequence[Problem]) -> tuple[pd.DataFrame, list[Problem]]:
    images, problems = with_masks(images, found)
    return images.assign(reason=decide(images, CleaningRules())), [*found, *problems]


def _from_dataset(path: Path, data: PreparedDataset, size: tuple[int, int]) -> Inputs:
    index, report = data.index, data.report
    reason = index["reason"]
    images = index.drop(columns=["EncodedPixels", "row"]).assign(
        rles=pd.Series([tuple(rles) for rles in index["rles"]], index=index.index, dtype=object),
        has_row=reason != "no-row",
        has_file=reason != "no-file",
        num_bytes=(index["Size_kb"] * 1024).round().astype(np.int64),
        fault=reason.where(reason.isin(_FAULTS), ""),
        detail="",
        spread=np.where(reason == "solid", 0, SOLID_SPREAD + 1),
        malformed=reason == "malformed-mask",
    )
    problems = [
        Problem(image_id, row, why, detail)
        for image_id, row, why, detail in _read_problems(path / PROBLEMS_FILE).itertuples(index=False)
        if row > 0 or why in ("malformed-mask", "overlapping-ships")
    ]
    return Inputs(
        "dataset",
        path,
        Path(report["source"]["csv"]),
        data.source_images if data.source_images.is_dir() else None,
        images,
        _size_or_default(images, size),
        tuple(problems),
        int(report["table"]["rows"]),
        report=report,
    )


def _read_problems(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"ImageId": str, "reason": str, "detail": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): prepare the dataset again") from error


def _size_or_default(images: pd.DataFrame, default: tuple[int, int]) -> tuple[int, int]:
    known = images[images["height"] > 0]
    return common_size(known["height"].to_numpy(), known["width"].to_numpy()) if len(known) else default
