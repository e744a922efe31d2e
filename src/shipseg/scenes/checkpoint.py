"""Rows of tiles that are done, on the disk: what a run that was killed finds again.

    OUT/.NAME.work/
        .lock            held by the process at work
        work.json        what the rows belong to: scene, model, tiles, options
        rows/00012.levels  blocks of levels, compressed
        rows/00012.carry   sums and weights that the row below begins with; deleted once that one is done
        rows/00012.json    written last: the row is done; how many tiles, and what became of them
        results/         the folder of results while it is written

Everything is flushed and renamed (`files.atomic_path`), so a row is done or it is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.errors import ConfigError, StorageError
from shipseg.scenes.tiles import Block, Carry
from shipseg.tiling import Window

__all__ = ["RowWriter", "TileRowStore", "working_in"]

_LOCK_FILE: Final = ".lock"
_HEADER: Final = struct.Struct("<5q")  # window, bytes that follow
_LEVEL: Final = np.dtype("<u2")


class RowWriter:
    """Takes the blocks of one row of tiles."""

    def __init__(self, levels: IO[bytes], carry: IO[bytes]) -> None:
        self._levels, self._carry = levels, carry

    def add(self, block: Block, carry: Carry) -> None:
        """Take the next block, from the left, and what the row below begins with there."""
        data = zlib.compress(block.quantised_hw.astype(_LEVEL, copy=False).tobytes(), 1)
        self._levels.write(_HEADER.pack(*block.window, len(data)) + data)
        np.save(self._carry, np.zeros(0, np.float32) if carry is None else carry, allow_pickle=False)


class TileRowStore:
    """The rows of one scene; made by `working_in`.

    Args:
        folder: OUT/.NAME.work
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = folder / "rows"

    @property
    def num_done(self) -> int:
        """Rows that are done, counted from the top without a gap."""
        row = 0
        while self._path(row, "json").exists():
            row += 1
        return row

    @contextlib.contextmanager
    def row(self, row: int, facts: dict[str, Any]) -> Iterator[RowWriter]:
        """Give what takes the blocks of a row; when the block ends without an error the row is done.

        Args:
            row: Which; the one above is done.
            facts: Plain data to keep with the row, filled meanwhile.

        Raises:
            StorageError: The disk is full or cannot be written; the row is not done.
        """
        with (
            files.atomic_path(self._path(row, "carry")) as carry_path,
            files.atomic_path(self._path(row, "levels")) as levels_path,
            levels_path.open("wb") as levels,
            carry_path.open("wb") as carry,
        ):
            yield RowWriter(levels, carry)
        files.write_json(self._path(row, "json"), facts)
        if row:
            with files.storage_errors(self._rows):
                self._path(row - 1, "carry").unlink(missing_ok=True)

    def carried(self, row: int) -> Generator[Carry, None, None]:
        """Yield what the row above carried into a row, block by block; into the first row, nothing.

        Raises:
            StorageError: The file is damaged.
        """
        if not row:
            return
        path = self._path(row - 1, "carry")
        with self._reading(path), path.open("rb") as stream:
            end = path.stat().st_size
            while stream.tell() < end:
                carry: NDArray[np.float32] = np.load(stream, allow_pickle=False)
                yield carry if carry.size else None

    def blocks(self, row: int) -> Iterator[Block]:
        """Yield the blocks of a row that is done.

        Raises:
            StorageError: The file is damaged.
        """
        path = self._path(row, "levels")
        with self._reading(path), path.open("rb") as stream:
            while header := stream.read(_HEADER.size):
                *window, size = _HEADER.unpack(header)
                place = Window(*window)
                levels = np.frombuffer(zlib.decompress(stream.read(size)), _LEVEL)
                yield Block(place, levels.reshape(place.height, place.width).astype(np.uint16, copy=False))

    def discard(self) -> None:
        """Delete the work folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def facts(self, row: int) -> dict[str, Any]:
        """Return what was kept with a row that is done.

        Raises:
            StorageError: The file is damaged.
        """
        path = self._path(row, "json")
        with self._reading(path):
            facts: dict[str, Any] = json.loads(path.read_text())
            return facts

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, EOFError, struct.error, zlib.error) as error:
            raise StorageError(
                f"{path}, unfinished work of an earlier run, is damaged ({error}): delete {self.folder} and run again"
            ) from error

    def _path(self, row: int, kind: str) -> Path:
        return self._rows / f"{row:05d}.{kind}"


@contextlib.contextmanager
def working_in(folder: Path, identity: dict[str, Any]) -> Iterator[TileRowStore]:
    """Give the rows in a work folder, kept from other processes; rows that belong to something else are deleted.

    Args:
        folder: OUT/.NAME.work, made when missing; the caller deletes it when the results are whole. An error before
            any row is done leaves nothing.
        identity: Plain data: what the rows belong to.

    Raises:
        ConfigError: Another process works in it.
        StorageError: The folder cannot be written.
    """
    taken = ConfigError(
        f"another process is at work on the same scene in {folder.parent}: wait for it, or choose another --out"
    )
    with contextlib.ExitStack() as stack:
        lock: IO[str] | None = None
        while lock is None or not _is_at(folder / _LOCK_FILE, lock):  # who had it before may have deleted the folder
            lock = stack.enter_context(files.locked(files.ensure_folder(folder) / _LOCK_FILE, taken=taken))
        _clear(folder, identity)
        pieces = TileRowStore(folder)
        try:
            yield pieces
        except BaseException:
            if not pieces.num_done:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _is_at(path: Path, lock: IO[str]) -> bool:
    """Return whether the locked file is still the one under its name."""
    try:
        return path.stat().st_ino == os.fstat(lock.fileno()).st_ino
    except FileNotFoundError:
        return False


def _clear(folder: Path, identity: dict[str, Any]) -> None:
    """Delete what is half-written or belongs to something else."""
    marker, rows = folder / "work.json", folder / "rows"
    with files.storage_errors(folder):
        shutil.rmtree(folder / "results", ignore_errors=True)
        files.remove_leftovers(folder, alone=True)
        if not marker.is_file() or marker.read_bytes() != _text(identity).encode():
            shutil.rmtree(rows, ignore_errors=True)
            files.write_text(marker, _text(identity))
        rows.mkdir(exist_ok=True)
        files.remove_leftovers(rows, alone=True)


def _text(identity: dict[str, Any]) -> str:
    return json.dumps(identity, indent=2, sort_keys=True) + "\n"
