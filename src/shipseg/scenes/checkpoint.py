"""Checkpoint of a scene: finished rows of tiles on disk, from which a run that was killed resumes.

    OUT/.NAME.work/
        .lock              locked by the running process
        work.json          identity of the rows: scene, model, tiles, options
        rows/00012.levels  blocks of quantised probability, compressed
        rows/00012.carry   sums and weights shared with the row below; deleted when that one is finished
        rows/00012.json    written last, which marks the row as finished: number of tiles by status
        results/           the results while they are written

Every file is flushed and renamed (`files.atomic_path`), so a row is finished or absent.
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

__all__ = ["RowWriter", "TileRowStore", "open_checkpoint"]

_LOCK_FILE: Final = ".lock"
_HEADER: Final = struct.Struct("<5q")  # window, number of bytes that follow
_DTYPE: Final = np.dtype("<u2")


class RowWriter:
    """Writes the blocks of one row of tiles."""

    def __init__(self, blocks: IO[bytes], carry: IO[bytes]) -> None:
        self._blocks, self._carry = blocks, carry

    def add(self, block: Block, carry: Carry) -> None:
        """Write the next block, from the left, and its carry for the row below."""
        data = zlib.compress(block.quantised_hw.astype(_DTYPE, copy=False).tobytes(), 1)
        self._blocks.write(_HEADER.pack(*block.window, len(data)) + data)
        np.save(self._carry, np.zeros(0, np.float32) if carry is None else carry, allow_pickle=False)


class TileRowStore:
    """The finished rows of one scene, as `open_checkpoint` yields it.

    Args:
        folder: OUT/.NAME.work
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = folder / "rows"

    @property
    def num_done(self) -> int:
        """Number of finished rows, counted from the top without a gap."""
        row = 0
        while self._path(row, "json").exists():
            row += 1
        return row

    @contextlib.contextmanager
    def write_row(self, row: int, facts: dict[str, Any]) -> Iterator[RowWriter]:
        """Yield a writer for the blocks of a row; the row is finished when the context ends without an error.

        Args:
            row: Index of the row; the one above must be finished.
            facts: Plain data to store with the row; may be filled inside the context.

        Raises:
            StorageError: The disk is full or cannot be written. The row is not finished then.
        """
        with (
            files.atomic_path(self._path(row, "carry")) as carry_path,
            files.atomic_path(self._path(row, "levels")) as blocks_path,
            blocks_path.open("wb") as blocks,
            carry_path.open("wb") as carry,
        ):
            yield RowWriter(blocks, carry)
        files.write_json(self._path(row, "json"), facts)
        if row:
            with files.storage_errors(self._rows):
                self._path(row - 1, "carry").unlink(missing_ok=True)

    def read_carry(self, row: int) -> Generator[Carry, None, None]:
        """Yield the carry of the row above, block by block; nothing for the first row.

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

    def read_blocks(self, row: int) -> Iterator[Block]:
        """Yield the blocks of a finished row.

        Raises:
            StorageError: The file is damaged.
        """
        path = self._path(row, "levels")
        with self._reading(path), path.open("rb") as stream:
            while header := stream.read(_HEADER.size):
                *window, size = _HEADER.unpack(header)
                block_window = Window(*window)
                quantised = np.frombuffer(zlib.decompress(stream.read(size)), _DTYPE)
                quantised_hw = quantised.reshape(block_window.height, block_window.width)
                yield Block(block_window, quantised_hw.astype(np.uint16, copy=False))

    def discard(self) -> None:
        """Delete the work folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def read_facts(self, row: int) -> dict[str, Any]:
        """Return the data stored with a finished row.

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
                f"{path}, in the checkpoint of an earlier run, is damaged ({error}): delete {self.folder} and run again"
            ) from error

    def _path(self, row: int, kind: str) -> Path:
        return self._rows / f"{row:05d}.{kind}"


@contextlib.contextmanager
def open_checkpoint(folder: Path, identity: dict[str, Any]) -> Iterator[TileRowStore]:
    """Lock a work folder and yield its finished rows; rows with another identity are deleted.

    Args:
        folder: OUT/.NAME.work, created if missing. The caller deletes it when the results are complete. It is removed
            after an error before the first row is finished.
        identity: Plain data that identifies scene, model, tiles and options.

    Raises:
        ConfigError: Another process has locked the folder.
        StorageError: The folder cannot be written.
    """
    taken = ConfigError(
        f"another process is at work on the same scene in {folder.parent}: wait for it, or choose another --out"
    )
    with contextlib.ExitStack() as stack:
        lock: IO[str] | None = None
        while lock is None or not _is_at(folder / _LOCK_FILE, lock):  # the previous owner may have deleted it
            lock = stack.enter_context(files.locked(files.ensure_folder(folder) / _LOCK_FILE, taken=taken))
        _clear(folder, identity)
        store = TileRowStore(folder)
        try:
            yield store
        except BaseException:
            if not store.num_done:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _is_at(path: Path, lock: IO[str]) -> bool:
    """Return whether the locked file still exists under its path."""
    try:
        return path.stat().st_ino == os.fstat(lock.fileno()).st_ino
    except FileNotFoundError:
        return False


def _clear(folder: Path, identity: dict[str, Any]) -> None:
    """Delete unfinished files and rows with another identity."""
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
