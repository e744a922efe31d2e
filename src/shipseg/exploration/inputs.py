"""What is explored: a prepared dataset, an Airbus folder or a label table alone, brought into one form."""

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
_SCAN_FOLDER = "scan-1"  # the number changes when what is read of an image does


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known before anything is counted.

    Args:
        kind: `dataset`, `folder` or `labels`.
        path: What was given.
        csv: The label table.
        folder: The images; None when there are none.
        images: One row per image, sorted by ImageId: ImageId, rles, Ships, has_row, has_file, num_bytes, Size_kb (NaN
            without files), fault, detail, height, width (0 when not known), spread, malformed, ship_px, group (-1 when
            not known), split ("" when there is none), reason (why cleaning leaves it out; "" when it is kept).
        assumed_size: Height and width of the images whose size is not known.
        problems: What the table and the masks are faulty in.
        num_rows: Rows of the table.
        overlaps: Pairs of images that share ground; None when nothing was looked for.
        report: The report of a dataset.
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
    """Return what there is to explore; the images of an Airbus folder are all read, in parallel.

    Args:
        path: A dataset, an Airbus folder, a folder with a label table alone, or a label table.
        csv: The label table, where the folder holds several.
        images: The folder of images, where there are several.
        labels_size: Height and width of the images, where these are not there to be measured.
        store: Folder for what has been read: with it, an exploration that was killed goes on.
        workers: Processes.

    Raises:
        DataError: There is nothing of the kind, or it is damaged.
        ConfigError: An option that does not go with what `path` is.
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
        has_file=True,  # nothing is known of files, so none is said to be missing
        num_bytes=0,
        Size_kb=np.nan,
        fault="",
        detail="",
        height=size[0],
        width=size[1],
        spread=SOLID_SPREAD + 1,
    )
    images, problems = _finished(images, table.problems)
    return Inputs("labels", path, csv, None, images.assign(group=-1, split=""), size, tuple(problems), table.num_rows)


def _from_folder(path: Path, folder: AirbusFolder, size: tuple[int, int], store: Path, workers: int) -> Inputs:
    table = read_table(folder.csv)
    images = join_labels(list_source(folder), table)
    wanted = images["has_row"] & images["has_file"]
    facts, textures = scan_images(images[wanted], folder=folder.images, store=store / _SCAN_FOLDER, workers=workers)
    images = with_facts(images, facts, np.flatnonzero(wanted))
    overlaps = find_overlaps(textures)
    images = with_groups(images, overlaps).assign(split="")
    images, problems = _finished(images, table.problems)
    return Inputs(
        "folder",
        path,
        folder.csv,
        folder.images,
        images,
        _usual_size(images, size),
        tuple(problems),
        table.num_rows,
        overlaps,
    )


def _finished(images: pd.DataFrame, found: Sequence[Problem]) -> tuple[pd.DataFrame, list[Problem]]:
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
        _usual_size(images, size),
        tuple(problems),
        int(report["table"]["rows"]),
        report=report,
    )


def _read_problems(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"ImageId": str, "reason": str, "detail": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): prepare the dataset again") from error


def _usual_size(images: pd.DataFrame, otherwise: tuple[int, int]) -> tuple[int, int]:
    known = images[images["height"] > 0]
    return common_size(known["height"].to_numpy(), known["width"].to_numpy()) if len(known) else otherwise
