"""Checkpoints: a run's state in one file, written atomically, verified before use, read without executing code.

`last.ckpt` is replaced by renaming a complete file, after the old one was renamed to `previous.ckpt`, so at least one
complete checkpoint exists at any moment.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shipseg import files
from shipseg.errors import CheckpointError

__all__ = [
    "LAST",
    "PREVIOUS",
    "StoredCheckpoint",
    "find_checkpoint",
    "holds_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
]

LOG = logging.getLogger(__name__)

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
_FORMAT = 1


@dataclass(frozen=True)
class StoredCheckpoint:
    """The verified bytes of a checkpoint, and its file name."""

    name: str
    data: bytes


def save_checkpoint(run: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as the run's last checkpoint; keep the old one as the previous.

    Args:
        run: The run's folder.
        content: Tensors, numbers, texts, and lists and dicts of them.

    Raises:
        StorageError: The disk is full or the folder cannot be written; the last checkpoint remains.
    """
    # Serialised in memory first: torch's own writer reports a full disk without naming the cause.
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, **content}, buffer)
    last = run / LAST
    with files.atomic_path(last) as temporary:
        with temporary.open("wb") as stream:
            stream.write(buffer.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())  # a full disk may raise only here, before anything is renamed
        # Until the rename at the end of the block `last` may be missing; `previous` is complete.
        if last.exists():
            last.replace(run / PREVIOUS)


def holds_checkpoint(run: Path) -> bool:
    """Return whether the folder holds a checkpoint, valid or damaged."""
    return any((run / name).exists() for name in (LAST, PREVIOUS))


def find_checkpoint(run: Path) -> StoredCheckpoint | None:
    """Return the newest valid checkpoint of a run, or None if there is no checkpoint.

    If the last checkpoint is damaged, a warning is logged and the previous one is used: the run repeats some steps.

    Raises:
        CheckpointError: All checkpoints are damaged.
    """
    problems = []
    for name in (LAST, PREVIOUS):
        path = run / name
        if not path.exists():
            continue
        try:
            data = path.read_bytes()
            _check(data, path)
            read_checkpoint(data, origin=path)
        except (CheckpointError, OSError) as error:
            problems.append(str(error))
            continue
        if problems:
            LOG.warning("%s; resuming from %s instead, which repeats some steps", problems[0], path)
        return StoredCheckpoint(name=name, data=data)
    if problems:
        raise CheckpointError(f"{' and '.join(problems)}: start a new run in another folder")
    return None


def read_checkpoint(data: bytes, *, origin: Path) -> dict[str, Any]:
    """Return the content that `save_checkpoint` wrote, tensors on the CPU.

    Raises:
        CheckpointError: The data is no checkpoint, or one of another version; no code in it was executed.
    """
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{origin} is not a shipseg checkpoint ({reason})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{origin} is a checkpoint of another version of shipseg")
    return content


def _check(data: bytes, path: Path) -> None:
    """Raise if a file is truncated or changed: torch itself does not detect changed values."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({len(data)} bytes, not a complete file)") from error
    if damaged is not None:
        raise CheckpointError(f"{path} is damaged (wrong checksum of {damaged})")
