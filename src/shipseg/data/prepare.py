"""Preparing a dataset: check, clean, group, split, cache. An interrupted run resumes when it is started again.

The result depends only on the source and the options, not on the number of workers or on interruptions.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shipseg.data.cache import CacheLayout, cache_layout, write_pixels
from shipseg.data.cleaning import CleaningRules, decide, read_drop_list
from shipseg.data.groups import find_overlaps
from shipseg.data.image_table import SourceFiles, join_labels, list_source, with_facts, with_groups, with_masks
from shipseg.data.labels import find_airbus_folder, read_table
from shipseg.data.prepared import COVERAGE_FILE, IMAGES_FILE
from shipseg.data.report import PreparedTables, write_results
from shipseg.data.scanning import scan_images
from shipseg.data.splits import SplitShares, split_groups
from shipseg.data.workspace import WORK_FOLDER, check_disk_space, finished_report, move_up, working_in
from shipseg.errors import ConfigError, DataError
from shipseg.extras import needing
from shipseg.files import remove_leftovers, size_in_words
from shipseg.processes import available_workers

with needing("train"):
    import pandas as pd

__all__ = ["PrepareOptions", "PrepareReport", "prepare"]

_LOG = logging.getLogger("shipseg")
_SCAN_FOLDER = "scan-1"  # raise the number when a scan reads other facts of an image
_MIN_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of `prepare`.

    Args:
        size: Longest side of the cached images in pixels, or `native` for a dataset without cached pixels.
        val_share: Share of the images for validation, 0 to below 1.
        test_share: Share of the images for a test split.
        seed: Seed of the split and of the sampling of empty images.
        drop_list: File of images to leave out, one ImageId per line.
        min_kb: Leave out files of this many kB (1024 bytes) or fewer.
        keep_empty: Share of the images without ships to keep, 0 to 1.
        any_size: Keep images that do not have the most common size.
        csv: The CSV, if the folder has several.
        images: The folder of images, if there are several.
        workers: Number of processes, by default one per core. Does not change the result.

    Raises:
        ConfigError: A value is out of its range.
    """

    size: int | Literal["native"] = 256
    val_share: float = 0.2
    test_share: float = 0.0
    seed: int = 42
    drop_list: Path | None = None
    min_kb: float | None = None
    keep_empty: float | None = None
    any_size: bool = False
    csv: Path | None = None
    images: Path | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.size != "native" and (not isinstance(self.size, int) or self.size < _MIN_SIZE):
            raise ConfigError(f"size must be a whole number of at least {_MIN_SIZE} or `native`, got {self.size}")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, got {self.seed}")
        if self.min_kb is not None and not self.min_kb >= 0:
            raise ConfigError(f"min_kb must be at least 0, got {self.min_kb}")
        if self.keep_empty is not None and not 0 <= self.keep_empty <= 1:
            raise ConfigError(f"keep_empty must be between 0 and 1, got {self.keep_empty}")
        available_workers(self.workers)
        SplitShares(self.val_share, self.test_share)

    def as_dict(self) -> dict[str, Any]:
        """Return the options that determine the result, as in a report; the drop list by the hash of its content."""
        listed = None
        if self.drop_list is not None:
            listed = hashlib.sha256("\n".join(sorted(read_drop_list(self.drop_list))).encode()).hexdigest()
        return {
            "size": self.size,
            "val_share": self.val_share,
            "test_share": self.test_share,
            "seed": self.seed,
            "drop_list_sha256": listed,
            "min_kb": self.min_kb,
            "keep_empty": self.keep_empty,
            "any_size": self.any_size,
        }


@dataclass(frozen=True, eq=False)
class PrepareReport:
    """The result of `prepare`.

    Args:
        root: Folder of the dataset.
        summary: The content of its report.json.
        was_finished: Whether the dataset was already finished, so that nothing was done.
    """

    root: Path
    summary: dict[str, Any]
    was_finished: bool


def prepare(airbus_dir: Path, out: Path, options: PrepareOptions | None = None) -> PrepareReport:
    """Prepare the dataset `out` from an Airbus folder, or resume an interrupted run.

    Args:
        airbus_dir: Folder with the CSV, and the images beside it or in one subfolder.
        out: Folder for the dataset.
        options: Options; the defaults unless given.

    Raises:
        DataError: The source cannot be used.
        ConfigError: `out` is a finished dataset with other options or from another source.
        StorageError: The disk is full, or `out` cannot be written.
    """
    options = options or PrepareOptions()
    out = Path(out)
    source = list_source(find_airbus_folder(Path(airbus_dir), csv=options.csv, images=options.images))
    made_with, made_from = options.as_dict(), source.as_dict()
    finished = finished_report(out, options=made_with, source=made_from)
    if finished is None:
        with working_in(out, source=source.folder.root) as work:
            # Another process may have finished it while this one waited for the lock.
            finished = finished_report(out, options=made_with, source=made_from)
            if finished is None:
                remove_leftovers(out, alone=True)
                summary = _prepare(source, work, options)
                shutil.rmtree(work, ignore_errors=True)
                return PrepareReport(out, summary, was_finished=False)
    shutil.rmtree(out / WORK_FOLDER, ignore_errors=True)  # exists if a run was killed after writing the report
    _LOG.info("%s is already finished, nothing to do", out)
    return PrepareReport(out, finished, was_finished=True)


def _prepare(source: SourceFiles, work: Path, options: PrepareOptions) -> dict[str, Any]:
    workers = available_workers(options.workers)
    rules = _rules(options)
    table = read_table(source.folder.csv)
    images = join_labels(source, table)
    _check_drop_list(images, rules, options)
    wanted = images["has_row"] & images["has_file"]
    check_disk_space(images[wanted], rules, options.size, folder=source.folder.images, work=work)

    facts, textures = scan_images(
        images[wanted], folder=source.folder.images, store=work / _SCAN_FOLDER, workers=workers
    )
    images = with_facts(images, facts, np.flatnonzero(wanted))
    images, mask_problems = with_masks(images, table.problems)
    images["reason"] = decide(images, rules)
    kept = (images["reason"] == "").to_numpy()
    if not kept.any():
        reasons = ", ".join(f"{reason} {count}" for reason, count in images["reason"].value_counts().items())
        raise DataError(f"no image of {source.folder.root} can be used (left out: {reasons}): check the folder")

    overlaps = find_overlaps(textures)
    images = with_groups(images, overlaps)
    split = np.full(len(images), "", dtype=object)
    split[kept] = split_groups(
        images["group"].to_numpy()[kept],
        images["Ships"].to_numpy()[kept],
        shares=SplitShares(options.val_share, options.test_share),
        seed=options.seed,
    )
    layout = _cache(images[kept], source, work, options, workers)
    row = np.where(kept, np.cumsum(kept) - 1, -1) if layout is not None else np.full(len(images), -1)
    tables = PreparedTables(
        images.assign(split=split, row=row),
        textures,
        overlaps,
        (*table.problems, *mask_problems),
        layout,
        table.num_rows,
    )
    return write_results(work.parent, tables, options=options.as_dict(), source=source.as_dict())


def _rules(options: PrepareOptions) -> CleaningRules:
    listed = frozenset() if options.drop_list is None else read_drop_list(options.drop_list)
    return CleaningRules(
        listed=listed,
        min_kb=options.min_kb,
        keep_empty=options.keep_empty,
        any_size=options.any_size,
        seed=options.seed,
    )


def _check_drop_list(images: pd.DataFrame, rules: CleaningRules, options: PrepareOptions) -> None:
    if rules.listed and not images["ImageId"].isin(rules.listed).any():
        raise DataError(
            f"none of the {len(rules.listed)} ids in the drop list {options.drop_list} (first: {min(rules.listed)}) is "
            "an image of this folder: check the list"
        )


def _cache(
    kept: pd.DataFrame, source: SourceFiles, work: Path, options: PrepareOptions, workers: int
) -> CacheLayout | None:
    if options.size == "native":
        return None
    layout = cache_layout(kept["height"].to_numpy(), kept["width"].to_numpy(), size=int(options.size))
    _LOG.info("the cache of %d images needs %s", layout.num_images, size_in_words(layout.num_bytes))
    write_pixels(kept, layout=layout, source=source.folder.images, work=work, workers=workers)
    move_up(work, (IMAGES_FILE, COVERAGE_FILE))
    return layout
