"""The folder that a dataset is made in: who may work in it, what is in the way, what is left over."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shipseg import files, locks
from shipseg.data.prepared import COVERAGE_FILE, IMAGES_FILE, INDEX_FILE, PROBLEMS_FILE, REPORT_FILE, SPLIT_FILE
from shipseg.errors import ConfigError, DataError, StorageError

__all__ = ["WORK_FOLDER", "finished_report", "move_up", "working_in"]

WORK_FOLDER = ".prepare"
"""Subfolder for what is not finished; removed at the end."""

_DATASET_FILES = frozenset({INDEX_FILE, SPLIT_FILE, IMAGES_FILE, COVERAGE_FILE, PROBLEMS_FILE, REPORT_FILE})
_LOCK_FILE = "lock"
_LOCK_WAIT_S = 2.0


@contextlib.contextmanager
def working_in(out: Path, *, source: Path) -> Iterator[Path]:
    """Give the work folder of the dataset `out`, for this process alone.

    Raises:
        ConfigError: `out` lies where the source lies.
        DataError: `out` holds other things than a dataset.
        StorageError: It cannot be written, or another process works in it.
    """
    if out.resolve() == source.resolve():
        raise ConfigError(f"{out} is the Airbus folder itself: choose another folder for the dataset")
    if out.is_dir() and not (out / WORK_FOLDER).is_dir() and not (out / REPORT_FILE).is_file():
        others = sorted(path.name for path in out.iterdir())
        if others:
            raise DataError(
                f"{out} is not empty and holds neither a dataset nor the beginnings of one (found: {others[0]}): "
                "choose another folder"
            )
    work = files.ensure_folder(out / WORK_FOLDER)
    taken = StorageError(f"another process is preparing {out}: wait for it to end or choose another folder")
    with files.storage_errors(out), locks.locked(work / _LOCK_FILE, taken=taken, wait_s=_LOCK_WAIT_S):
        yield work


def move_up(work: Path, names: tuple[str, ...]) -> None:
    """Rename files of the work folder into the dataset's; those moved before a kill are there already."""
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
    for name, value in options.items():
        if known_options.get(name) != value:
            raise ConfigError(
                f"{out} was prepared with {name} {_shown(known_options.get(name))}, not {_shown(value)}: "
                "choose another folder, or remove this one first"
            )
    for name, value in source.items():
        if known_source.get(name) != value:
            raise ConfigError(
                f"{out} was prepared from another source ({name} was {_shown(known_source.get(name))}, is "
                f"{_shown(value)}): choose another folder, or remove this one first"
            )
    return dict(report)


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
