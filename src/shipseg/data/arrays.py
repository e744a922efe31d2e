"""Arrays on disk (.npy) whose space is reserved before the first row is written.

A memory map over a file with holes ends the process (SIGBUS) when the disk fills up; a reserved file cannot run out.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from shipseg import files

__all__ = ["open_array", "reserve_array", "write_rows"]

_HEADER_BYTES = 128  # numpy pads the header of a small array to 64 or 128 bytes; ours is always this long
_PIECE_BYTES = 1 << 30


def reserve_array(path: Path, *, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Make a .npy file of zeros of this shape, all its space taken from the disk, under its name only when complete.

    Raises:
        StorageError: The disk has no room for it.
    """
    kind = np.dtype(dtype)
    num_bytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    with files.atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_header(shape, kind))
        stream.flush()
        for start in range(0, num_bytes, _PIECE_BYTES):
            _reserve(stream.fileno(), _HEADER_BYTES + start, min(_PIECE_BYTES, num_bytes - start))


def _reserve(descriptor: int, start: int, length: int) -> None:
    try:
        os.posix_fallocate(descriptor, start, length)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        zeros = bytes(1 << 20)  # a file system that cannot reserve: write the zeros
        for position in range(start, start + length, len(zeros)):
            os.pwrite(descriptor, zeros[: start + length - position], position)


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    words = f"{{'descr': '{np.lib.format.dtype_to_descr(dtype)}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    prefix = b"\x93NUMPY\x01\x00"
    length = _HEADER_BYTES - len(prefix) - 2
    return prefix + length.to_bytes(2, "little") + words.ljust(length - 1).encode("ascii") + b"\n"


def write_rows(path: Path, first: int, rows: NDArray[Any]) -> None:
    """Write consecutive rows of a reserved array, beginning with row `first`, and wait until the disk has them.

    Raises:
        StorageError: The file cannot be written.
    """
    data = np.ascontiguousarray(rows)
    if not data.size:
        return
    with files.storage_errors(path):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            view = memoryview(data.data).cast("B")
            position = _HEADER_BYTES + first * (data.nbytes // len(data))
            while view:
                written = os.pwrite(descriptor, view, position)
                view, position = view[written:], position + written
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def open_array(path: Path, *, writable: bool = False) -> NDArray[Any]:
    """Return a .npy file as a memory map."""
    array: NDArray[Any] = np.load(path, mmap_mode="r+" if writable else "r", allow_pickle=False)
    return array
