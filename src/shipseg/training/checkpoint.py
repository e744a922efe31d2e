"""A run's state on the disk: one file, written whole, checked before use, read without executing any of it.

`last.ckpt` is replaced by renaming a complete file over it, after the one before has become `previous.ckpt`: at every
moment at least one whole checkpoint exists, and two once the first is a step old.
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
    """A checkpoint's bytes, checked for damage, and the name of the file that held them."""

    name: str
    data: bytes


def save_checkpoint(run: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as the run's last checkpoint and keep the one before as the previous.

    Args:
        run: The run's folder.
        content: Tensors, numbers, texts, and lists and dicts of them.

    Raises:
        StorageError: The disk is full or the folder cannot be written; the last checkpoint is still there.
    """
    # Into memory first: torch's own writer turns a full disk into an error without a cause.
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, **content}, buffer)
    last = run / LAST
    with files.atomic_path(last) as temporary:
        with temporary.open("wb") as stream:
            stream.write(buffer.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())  # a full disk may show itself only here: before anything is renamed
        # From here to the rename that ends the block `last` may be missing; the previous one is whole.
        if last.exists():
            last.replace(run / PREVIOUS)


def holds_checkpoint(run: Path) -> bool:
    """Return whether the folder holds a checkpoint, whole or not."""
    return any((run / name).exists() for name in (LAST, PREVIOUS))


def find_checkpoint(run: Path) -> StoredCheckpoint | None:
    """Return the newest undamaged checkpoint of a run, or None where there is none.

    A damaged last checkpoint is reported on the log, and the previous one is taken: the run then repeats some steps.

    Raises:
        CheckpointError: There are checkpoints, and none can be used.
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
            LOG.warning("%s; going on from %s instead, which repeats some steps", problems[0], path)
        return StoredCheckpoint(name=name, data=data)
    if problems:
        raise CheckpointError(f"{' and '.join(problems)}: start the run anew in another folder")
    return None


def read_checkpoint(data: bytes, *, origin: Path) -> dict[str, Any]:
    """Return the content that `save_checkpoint` wrote, tensors on the CPU.

    Raises:
        CheckpointError: Not a checkpoint, or one of another version; nothing in it was executed.
    """
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{origin} is not a checkpoint of ours ({reason})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{origin} is a checkpoint of another version of shipseg")
    return content


def _check(data: bytes, path: Path) -> None:
    """Raise for a file that was cut or changed: torch itself reads over changed numbers."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({len(data)} bytes, not a whole file)") from error
    if damaged is not None:
        raise CheckpointError(f"{path} is damaged (its part {damaged} does not have its checksum)")
