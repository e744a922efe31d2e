"""Atomic file writing (temporary name, flush to disk, rename), checks of the disk, and folder locks."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import io
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from shipseg.errors import ShipsegError, StorageError

__all__ = [
    "all_or_none",
    "atomic_path",
    "csv_text",
    "ensure_folder",
    "ensure_space",
    "locked",
    "no_space_left",
    "remove_leftovers",
    "size_in_words",
    "storage_errors",
    "write_bytes",
    "write_json",
    "write_text",
]


_NAME_KEPT = 50  # characters, of up to 4 bytes: a temporary name stays within the 255 bytes of file systems


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about writing `path` into a `StorageError` of one sentence."""
    try:
        yield
    except OSError as error:
        raise _explain(error, path) from error


def _explain(error: OSError, path: Path) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space_left(path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path} cannot be written (permission denied): choose another folder")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return StorageError(f"{path} cannot be written, a file or folder of another kind is in the way: remove it")
    return StorageError(f"{path} cannot be written ({error.strerror or error}): choose another folder")


def no_space_left(path: Path) -> StorageError:
    """Return the error for a disk that became full while `path` was written."""
    return StorageError(f"no space left on the disk while writing {path}: free some space and run again")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; flush and rename it to `path` on success, remove it otherwise.

    A reader sees either the old file or the complete new one, even if the process is killed.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[-_NAME_KEPT:]}.{os.getpid()}.part")
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def all_or_none(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside `folder`; move its files into `folder` on success, remove them otherwise.

    A disk that fills up halfway never leaves new files beside old ones.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    remove_leftovers(ensure_folder(folder))
    temporary = folder / f".{os.getpid()}.part"
    ensure_folder(temporary)
    try:
        yield temporary
        with storage_errors(folder):
            for file in sorted(temporary.iterdir()):
                file.replace(folder / file.name)
            _flush(folder)
    except StorageError as error:
        # The message must not show the temporary folder.
        raise StorageError(str(error).replace(f"{temporary.name}/", "")) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path, *, alone: bool = False) -> None:
    """Delete the partial files that killed processes left in a folder (see `atomic_path` and `all_or_none`).

    Args:
        folder: Folder to clean; its subfolders are left as they are.
        alone: No other process can be writing there: also delete files whose process number is in use again.

    Raises:
        StorageError: A file cannot be deleted.
    """
    for path in folder.glob(".*.part"):
        process = re.fullmatch(r"\.(?:.+\.)?(\d+)\.part", path.name)
        if process and (alone or not _is_running(int(process[1]))):
            with storage_errors(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN and infinity are rejected."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def csv_text(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any] | Mapping[str, Any]],
    *,
    cell: Callable[[Any], Any] | None = None,
) -> str:
    """Return a table as the text of a CSV file, with a header.

    Args:
        columns: Names for the header.
        rows: The values of each row in this order, or by column; a value that is missing or None is an empty cell.
        cell: Gives what is written for a value; unless given, its own text.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = [row.get(name) for name in columns] if isinstance(row, Mapping) else row
        writer.writerow(values if cell is None else [cell(value) for value in values])
    return text.getvalue()


def ensure_folder(path: Path) -> Path:
    """Create the folder `path` with its parents and return it.

    Raises:
        StorageError: A file is in the way, or the folder cannot be written.
    """
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def ensure_space(
    folder: Path,
    *,
    needed_bytes: int,
    what: str,
    margin: float = 1.05,
    remedy: str = "free some space, choose another folder or a smaller --size",
) -> None:
    """Check that the disk of `folder` can hold `needed_bytes`.

    Raises:
        StorageError: Less than `needed_bytes * margin` is free; the message gives both sizes.
    """
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes * margin:
        raise StorageError(
            f"{what} needs {size_in_words(needed_bytes)} and the disk of {folder} has {size_in_words(free)} free: "
            f"{remedy}"
        )


def size_in_words(num_bytes: float) -> str:
    """Return a size as text with its unit, in powers of 1000.

    Example:
        >>> size_in_words(5_600_000)
        '5.60 MB'
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.2f} {unit}"
    return f"{num_bytes / 1e3:.1f} kB"


# Folder locks.

_LOG = logging.getLogger(__name__)
_TRIED_EVERY_S = 0.1


@contextlib.contextmanager
def locked(path: Path, *, taken: ShipsegError, wait_s: float = 0.0) -> Iterator[IO[str]]:
    """Create the file `path`, lock it, and give it, open.

    The lock is released when the process ends, however it ends. If the file system does not support locks, a warning is
    logged and the block runs without a lock.

    Args:
        path: The lock file.
        taken: Error to raise if another process holds the lock.
        wait_s: Seconds to wait for the lock before that error.

    Raises:
        StorageError: The file cannot be created.
    """
    deadline_s = time.monotonic() + wait_s
    with storage_errors(path):
        lock = path.open("w")
    with lock:
        while True:
            try:
                # Not flock: child processes would inherit that lock and hold it after their parent was killed.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    reason = error.strerror
                    _LOG.warning("%s cannot be locked (%s): use it from one process only", path.parent, reason)
                    break
                if time.monotonic() >= deadline_s:
                    raise taken from error
                time.sleep(_TRIED_EVERY_S)
            else:
                break
        yield lock
