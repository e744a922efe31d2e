"""The folder that a dataset is prepared in: lock, work folder, finished report, disk space check."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shipseg import files
from shipseg.data.cache import cache_layout
from shipseg.data.cleaning import CleaningRules, examine
from shipseg.data.prepared import REPORT_FILE
from shipseg.data.scanning import TEXTURE_BYTES
from shipseg.errors import ConfigError, DataError, StorageError
from shipseg.extras import needing
from shipseg.identity import first_difference

with needing("train"):
    import pandas as pd

__all__ = ["WORK_FOLDER", "check_disk_space", "finished_report", "move_up", "working_in"]

WORK_FOLDER = ".prepare"
"""Subfolder for unfinished files; removed at the end."""

_LOCK_FILE = "lock"
_LOCK_WAIT_S = 2.0


@contextlib.contextmanager
def working_in(out: Path, *, source: Path) -> Iterator[Path]:
    """Lock the dataset folder `out` for this process and yield its work folder.

    Raises:
        ConfigError: `out` is the source folder.
        DataError: `out` has other files than a dataset.
        StorageError: `out` cannot be written, or another process works in it.
    """
    if out.resolve() == source.resolve():
        raise ConfigError(f"{out} is the Airbus folder itself: choose another folder for the dataset")
    if out.is_dir() and not (out / WORK_FOLDER).is_dir() and not (out / REPORT_FILE).is_file():
        others = sorted(path.name for path in out.iterdir())
        if others:
            raise DataError(
                f"{out} is not empty and has neither a dataset nor an unfinished one (found: {others[0]}): "
                "choose another folder"
            )
    work = files.ensure_folder(out / WORK_FOLDER)
    taken = StorageError(f"another process is preparing {out}: wait for it to end or choose another folder")
    with files.storage_errors(out), files.locked(work / _LOCK_FILE, taken=taken, wait_s=_LOCK_WAIT_S):
        yield work


def move_up(work: Path, names: tuple[str, ...]) -> None:
    """Move files from the work folder to the dataset folder; files moved by an interrupted run are skipped."""
    for name in names:
        with files.storage_errors(work.parent / name):
            if (work / name).exists():
                (work / name).replace(work.parent / name)


def finished_report(out: Path, *, options: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report of the dataset in `out` when it is finished, else None.

    Raises:
        ConfigError: It was made with other options or from another source; the message names the difference.
    """
    path = out / REPORT_FILE
    if not path.is_file():
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        known_options, known_source = dict(report["options"]), dict(report["source"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no report of shipseg prepare ({error!r}): choose another folder") from error
    remedy = "choose another folder, or remove this one first"
    if difference := first_difference(known_options, options):
        raise ConfigError(f"{out} was prepared with {difference}: {remedy}")
    if difference := first_difference(known_source, source):
        raise ConfigError(f"{out} was prepared from another source ({difference}): {remedy}")
    return dict(report)


# Disk space, checked before hours of reading.

_LOG = logging.getLogger("shipseg")
_MAX_OPENED = 20  # files that are opened at most to find the size of the images


def check_disk_space(
    wanted: pd.DataFrame, rules: CleaningRules, size: int | Literal["native"], *, folder: Path, work: Path
) -> None:
    """Log how much disk space the dataset needs, and raise if there is less.

    The estimate assumes that every image is readable and has the size of the first readable one.

    Args:
        wanted: One row per image with a row and a file: ImageId, Ships, Size_kb.
        rules: Rules for leaving out images.
        size: Longest side of a cached image in pixels, or `native`.
        folder: Folder of the images.
        work: The work folder; space that an interrupted run reserved there counts as free.

    Raises:
        StorageError: There is too little space; the message gives the space needed and the space free.
    """
    reserved = sum(path.stat().st_blocks * 512 for path in work.rglob("*") if path.is_file())
    scratch = 2 * len(wanted) * TEXTURE_BYTES
    num_images = _expected_images(wanted, rules)
    if size == "native":
        _LOG.info("%d images; a native dataset has no cached pixels", num_images)
        what, needed = f"The scan of {len(wanted)} images", scratch
    else:
        height, width = _first_size(wanted, folder)
        layout = cache_layout(np.full(num_images, height), np.full(num_images, width), size=size)
        what = f"The cache of {num_images} images at {layout.canvas[0]} x {layout.canvas[1]} px"
        needed = layout.num_bytes + scratch
        _LOG.info(
            "%s needs %s, and %s more while it is written", what, *map(files.size_in_words, (layout.num_bytes, scratch))
        )
    files.ensure_space(work, needed_bytes=max(0, needed - reserved), what=what)


def _expected_images(wanted: pd.DataFrame, rules: CleaningRules) -> int:
    """Return how many images remain after the rules that do not depend on pixels; at least 1."""
    kept = wanted[~wanted["ImageId"].isin(rules.listed)]
    if rules.min_kb is not None:
        kept = kept[kept["Size_kb"] > rules.min_kb]
    num_empty = int((kept["Ships"] == 0).sum())
    num_empty_kept = num_empty if rules.keep_empty is None else round(rules.keep_empty * num_empty)
    return max(1, len(kept) - num_empty + num_empty_kept)


def _first_size(wanted: pd.DataFrame, folder: Path) -> tuple[int, int]:
    for name in wanted["ImageId"].iloc[:_MAX_OPENED]:
        facts, _ = examine(folder / name)
        if facts.height:
            return facts.height, facts.width
    return 1, 1
