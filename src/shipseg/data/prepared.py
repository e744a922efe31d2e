"""The files of a prepared dataset and the class that reads them; .npy arrays with reserved disk space."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from shipseg import files
from shipseg.data.splits import SPLITS
from shipseg.errors import DataError, unknown_name
from shipseg.extras import needing
from shipseg.reading import read_image

with needing("train"):
    import pandas as pd

__all__ = [
    "COVERAGE_FILE",
    "FORMAT",
    "IMAGES_FILE",
    "INDEX_FILE",
    "PROBLEMS_FILE",
    "REPORT_FILE",
    "SPLITS",
    "SPLIT_FILE",
    "ImageRow",
    "PreparedDataset",
    "open_array",
    "open_dataset",
    "reserve_array",
    "write_rows",
]

# .npy files with reserved disk space. If the disk fills up, writing to a memory map of a sparse file kills the process
# (SIGBUS); a file whose space is reserved cannot run out of it.

_HEADER_BYTES = 128  # numpy pads the header of a small array to 64 or 128 bytes; ours always has this length
_BLOCK_BYTES = 1 << 30


def reserve_array(path: Path, *, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Write a .npy file of zeros with all its disk space reserved; the file appears only when it is complete.

    Raises:
        StorageError: The disk is full.
    """
    kind = np.dtype(dtype)
    num_bytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    with files.atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_header(shape, kind))
        stream.flush()
        for start in range(0, num_bytes, _BLOCK_BYTES):
            _reserve(stream.fileno(), _HEADER_BYTES + start, min(_BLOCK_BYTES, num_bytes - start))


def _reserve(descriptor: int, start: int, length: int) -> None:
    try:
        os.posix_fallocate(descriptor, start, length)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        zeros = bytes(1 << 20)  # this file system cannot reserve space: write zeros
        for position in range(start, start + length, len(zeros)):
            os.pwrite(descriptor, zeros[: start + length - position], position)


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    header = f"{{'descr': '{np.lib.format.dtype_to_descr(dtype)}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    prefix = b"\x93NUMPY\x01\x00"
    length = _HEADER_BYTES - len(prefix) - 2
    return prefix + length.to_bytes(2, "little") + header.ljust(length - 1).encode("ascii") + b"\n"


def write_rows(path: Path, first: int, rows: NDArray[Any]) -> None:
    """Write consecutive rows of a reserved array, starting at row `first`, and flush them to the disk.

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


# Reading a prepared dataset.

FORMAT = 1
"""Version of the dataset format."""
INDEX_FILE = "index.parquet"
"""One row per image of the source, kept or not."""
SPLIT_FILE = "split.json"
"""ImageIds of each split, and the seed."""
IMAGES_FILE = "images.npy"
"""uint8 (n, h, w, 3) RGB of the kept images; absent in a native dataset."""
COVERAGE_FILE = "coverage.npy"
"""uint8 (n, h, w), 255 where all of a pixel is ship; absent in a native dataset."""
PROBLEMS_FILE = "problems.csv"
"""One row per problem of a label row, a file or a mask."""
REPORT_FILE = "report.json"
"""Counts, options and checks; written last, so that its presence marks a complete dataset."""


class ImageRow(Protocol):
    """A row of a dataset's index, from `DataFrame.itertuples` or as a Series."""

    @property
    def ImageId(self) -> Any:  # noqa: N802  (a column's name)
        """File name of the image."""

    @property
    def rles(self) -> Any:
        """Run-length texts of the ships."""


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """A folder made by `shipseg prepare`, open for reading.

    Args:
        root: The folder.
        index: One row per image of the source, sorted by ImageId: ImageId, EncodedPixels (all ships joined by a space,
            "0" for none), Ships, Size_kb, group (-1 for images that could not be read), split ("" if left out),
            reason ("" if kept), rles (one text per ship), height, width, row (in `images`; -1 if not cached),
            ship_px (pixels of all ships).
        report: The content of report.json.
        images: Memory map uint8 (n, h, w, 3) RGB, or None in a native dataset.
        coverage: Memory map uint8 (n, h, w), 255 where all of a pixel is ship, or None in a native dataset.
    """

    root: Path
    index: pd.DataFrame
    report: dict[str, Any]
    images: NDArray[np.uint8] | None
    coverage: NDArray[np.uint8] | None

    @property
    def source_images(self) -> Path:
        """The folder of the original images."""
        return Path(self.report["source"]["images"])

    @property
    def scale(self) -> float:
        """Cached pixels per image pixel; 1.0 in a native dataset."""
        return float(self.report["cache"]["scale"])

    @property
    def canvas(self) -> tuple[int, int] | None:
        """Height and width of the cached images; None in a native dataset."""
        return None if self.images is None else (self.images.shape[1], self.images.shape[2])

    @property
    def fingerprint(self) -> str:
        """Hash of the index and the options: equal for datasets of equal content."""
        return str(self.report["fingerprint"])

    def rows(self, split: str) -> pd.DataFrame:
        """Return the rows of the index that belong to a split, numbered from 0.

        Raises:
            ConfigError: There is no split of this name.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        return self.index[self.index["split"] == split].reset_index(drop=True)

    def read_image(self, row: ImageRow) -> NDArray[np.uint8]:
        """Return the original image of a row of the index: uint8 (H, W, 3) RGB.

        Raises:
            ImageError: The original file is missing or damaged.
        """
        return read_image(self.source_images / str(row.ImageId))

    def ship_rles(self, row: ImageRow) -> tuple[str, ...]:
        """Return the run-length texts of the ships of a row of the index."""
        return tuple(str(text) for text in row.rles)


def open_dataset(root: Path) -> PreparedDataset:
    """Return the dataset in a folder made by `shipseg prepare`.

    Raises:
        DataError: The folder has no dataset, an unfinished one, or one whose files are inconsistent.
    """
    root = Path(root)
    report = _read_report(root)
    try:
        index = pd.read_parquet(root / INDEX_FILE)
    except (OSError, ValueError) as error:
        raise DataError(f"{root / INDEX_FILE} cannot be read ({error}): prepare the dataset again") from error
    images = coverage = None
    if report["cache"]["size"] != "native":
        images, coverage = _open(root / IMAGES_FILE), _open(root / COVERAGE_FILE)
        num_rows = int((index["row"] >= 0).sum())
        if not len(images) == len(coverage) == num_rows or images.shape[:3] != coverage.shape:
            raise DataError(
                f"{root} is damaged: the index has {num_rows} cached images, but {IMAGES_FILE} has the shape "
                f"{images.shape} and {COVERAGE_FILE} {coverage.shape}: prepare the dataset again"
            )
    return PreparedDataset(root, index, report, images, coverage)


def _read_report(root: Path) -> dict[str, Any]:
    path = root / REPORT_FILE
    if not root.is_dir():
        raise DataError(f"there is no dataset folder {root}: make one with  shipseg prepare AIRBUS_DIR {root}")
    if not path.is_file():
        raise DataError(f"{root} is not a finished dataset (no {REPORT_FILE}): run  shipseg prepare AIRBUS_DIR {root}")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        found = report["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a report of shipseg prepare ({error}): prepare the dataset again") from error
    if found != FORMAT:
        raise DataError(f"{root} has dataset format {found}, but this version reads {FORMAT}: prepare it again")
    return dict(report)


def _open(path: Path) -> NDArray[np.uint8]:
    try:
        return open_array(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened ({error}): prepare the dataset again") from error
