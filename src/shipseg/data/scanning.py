"""Scanning image files in parallel: facts and textures, stored so that an interrupted run reads each image once."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shipseg import files, progress
from shipseg.data.cleaning import ImageFacts, examine
from shipseg.data.groups import CELLS, SUBTILES, describe_texture
from shipseg.data.prepared import open_array, reserve_array
from shipseg.extras import needing
from shipseg.processes import run_tasks

with needing("train"):
    import pandas as pd

__all__ = ["TEXTURE_BYTES", "TEXTURE_SHAPE", "scan_images"]

TEXTURE_SHAPE = (SUBTILES * SUBTILES, CELLS, CELLS)
"""Shape of an image's texture, int8; see `groups.describe_texture`."""
TEXTURE_BYTES = SUBTILES * SUBTILES * CELLS * CELLS
"""Size of an image's texture."""

_CHUNK = 64  # images in one result file: about a second of work, the most that each worker loses when killed
_FACTS = [field.name for field in fields(ImageFacts)]
_KEY = ["ImageId", "num_bytes", "mtime_ns"]


@dataclass(frozen=True)
class _ScanTask:
    folder: Path
    store: Path
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]


def scan_images(
    wanted: pd.DataFrame, *, folder: Path, store: Path, workers: int
) -> tuple[pd.DataFrame, NDArray[np.int8]]:
    """Return the facts about image files, in the order of `wanted`, and their textures as a memory map (N, 9, 32, 32).

    Results are stored in small files in `store`; an image is read again only if its size or time has changed.

    Args:
        wanted: One row per file: ImageId (its name), num_bytes and mtime_ns (nanoseconds).
        folder: Folder of the images.
        store: Folder for the results; created if it does not exist.
        workers: Number of processes.

    Raises:
        StorageError: `store` cannot be written or the disk is full.
    """
    files.ensure_folder(store)
    known = _stored_facts(store)
    row = _match(wanted, known)
    todo = wanted[row < 0]
    tasks = [
        _ScanTask(folder, store, tuple(part["ImageId"]), tuple(part["num_bytes"]), tuple(part["mtime_ns"]))
        for part in (todo.iloc[start : start + _CHUNK] for start in range(0, len(todo), _CHUNK))
    ]
    done = (number for chunk in run_tasks(_scan_chunk, tasks, workers=workers) for number in range(chunk))
    for _ in progress.track(done, "reading images", total=len(wanted), done=len(wanted) - len(todo)):
        pass
    if len(todo):
        known = _stored_facts(store)
        row = _match(wanted, known)
    facts = known.iloc[row].reset_index(drop=True)
    return facts[["ImageId", *_FACTS]], _gather_textures(facts, store)


def _scan_chunk(task: _ScanTask) -> int:
    facts, textures = [], np.zeros((len(task.names), *TEXTURE_SHAPE), np.int8)
    for number, name in enumerate(task.names):
        fact, image_hwc = examine(task.folder / name)
        facts.append(fact)
        if image_hwc is not None:
            textures[number] = describe_texture(image_hwc)
    columns = {
        name: np.array(values) for name, values in zip(_FACTS, zip(*map(astuple, facts), strict=True), strict=True)
    }
    columns |= {"ImageId": np.array(task.names), "num_bytes": np.array(task.sizes), "mtime_ns": np.array(task.times)}
    identity = hashlib.sha256(repr((task.names, task.sizes, task.times)).encode()).hexdigest()[:24]
    with files.atomic_path(task.store / f"{identity}.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, textures=textures, **columns)
    return len(task.names)


def _stored_facts(store: Path) -> pd.DataFrame:
    """Return the facts of all result files with the columns of `wanted`, the file and the row (place) in that file."""
    parts = []
    for path in sorted(store.glob("*.npz")):
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                part = pd.DataFrame({name: stored[name] for name in (*_KEY, *_FACTS)})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            path.unlink()  # another format or damaged: read these images again
            continue
        parts.append(part.assign(file=path.name, place=np.arange(len(part))))
    if not parts:
        return pd.DataFrame({name: [] for name in (*_KEY, *_FACTS, "file", "place")})
    return pd.concat(parts, ignore_index=True)


def _match(wanted: pd.DataFrame, known: pd.DataFrame) -> NDArray[np.int64]:
    """Return for each wanted file the row of `known` with its name, size and time, -1 if there is none."""
    row_of = {key: number for number, key in enumerate(zip(*(known[name].tolist() for name in _KEY), strict=True))}
    keys = zip(*(wanted[name].tolist() for name in _KEY), strict=True)
    return np.array([row_of.get(key, -1) for key in keys], np.int64)


def _gather_textures(facts: pd.DataFrame, store: Path) -> NDArray[np.int8]:
    if facts.empty:
        return np.zeros((0, *TEXTURE_SHAPE), np.int8)
    path = store / "textures.npy"
    reserve_array(path, shape=(len(facts), *TEXTURE_SHAPE), dtype=np.int8)
    textures: NDArray[np.int8] = open_array(path, writable=True)
    for name, rows in facts.groupby("file", sort=True):
        with np.load(store / str(name), allow_pickle=False) as stored:
            textures[rows.index.to_numpy()] = stored["textures"][rows["place"].to_numpy(np.int64)]
    return textures
