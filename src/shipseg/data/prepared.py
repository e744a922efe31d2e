"""A prepared dataset: its files, and the object that opens them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shipseg.data.arrays import open_array
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
    "open_dataset",
]

FORMAT = 1
"""Version of the files of a dataset."""
INDEX_FILE = "index.parquet"
"""One row per image of the source, kept or not."""
SPLIT_FILE = "split.json"
"""ImageIds of each split, and what the split was made with."""
IMAGES_FILE = "images.npy"
"""uint8 (n, h, w, 3) RGB of the kept images; absent in a native dataset."""
COVERAGE_FILE = "coverage.npy"
"""uint8 (n, h, w), 255 where a pixel is all ship; absent in a native dataset."""
PROBLEMS_FILE = "problems.csv"
"""Everything that was left out or looked wrong, one line each."""
REPORT_FILE = "report.json"
"""Counts, options and proofs; written last, so that its presence says that the dataset is complete."""


class ImageRow(Protocol):
    """A row of a dataset's index: of `DataFrame.itertuples`, or a Series."""

    @property
    def ImageId(self) -> Any:  # noqa: N802  (a column's name)
        """File name of the image."""

    @property
    def rles(self) -> Any:
        """Run-length texts of its ships."""


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """A folder made by `shipseg prepare`, open for reading.

    Args:
        root: The folder.
        index: One row per image of the source, sorted by ImageId: ImageId, EncodedPixels (all ships joined by a space,
            "0" for none), Ships, Size_kb, group (-1 for images that could not be read), split ("" when left out),
            reason ("" when kept), rles (one text per ship), height, width, row (in `images`; -1 when not cached),
            ship_px (pixels of all ships).
        report: The content of report.json.
        images: Memory map uint8 (n, h, w, 3) RGB, or None in a native dataset.
        coverage: Memory map uint8 (n, h, w), 255 = all ship, or None in a native dataset.
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
        """Hash of the index and the options: the same for datasets that hold the same."""
        return str(self.report["fingerprint"])

    def rows(self, split: str) -> pd.DataFrame:
        """Return the rows of the index that a split holds, numbered from 0.

        Raises:
            ConfigError: There is no split of this name.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        return self.index[self.index["split"] == split].reset_index(drop=True)

    def read_image(self, row: ImageRow) -> NDArray[np.uint8]:
        """Return the original image of a row of the index: uint8 (H, W, 3) RGB.

        Raises:
            ImageError: The source has been moved or damaged since.
        """
        return read_image(self.source_images / str(row.ImageId))

    def ship_rles(self, row: ImageRow) -> tuple[str, ...]:
        """Return the run-length texts of the ships of a row of the index."""
        return tuple(str(text) for text in row.rles)


def open_dataset(root: Path) -> PreparedDataset:
    """Return the dataset in a folder made by `shipseg prepare`.

    Raises:
        DataError: The folder holds no dataset, an unfinished one, or one whose files do not fit each other.
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
                f"{root} is damaged: the index counts {num_rows} cached images, {IMAGES_FILE} holds {images.shape} and "
                f"{COVERAGE_FILE} {coverage.shape}: prepare the dataset again"
            )
    return PreparedDataset(root, index, report, images, coverage)


def _read_report(root: Path) -> dict[str, Any]:
    path = root / REPORT_FILE
    if not root.is_dir():
        raise DataError(f"there is no dataset folder {root}: make one with  shipseg prepare AIRBUS_DIR {root}")
    if not path.is_file():
        raise DataError(f"{root} holds no finished dataset (no {REPORT_FILE}): run  shipseg prepare AIRBUS_DIR {root}")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        found = report["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no report of shipseg prepare ({error}): prepare the dataset again") from error
    if found != FORMAT:
        raise DataError(f"{root} has dataset format {found}, this shipseg reads {FORMAT}: prepare the dataset again")
    return dict(report)


def _open(path: Path) -> NDArray[np.uint8]:
    try:
        return open_array(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened ({error}): prepare the dataset again") from error
