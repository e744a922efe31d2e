"""Labelled images for an evaluation: a split of a prepared dataset, or the images of an Airbus folder."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError, unknown_name
from shipseg.reading import read_image

if TYPE_CHECKING:
    from shipseg.data.prepared import PreparedDataset

__all__ = [
    "DEFAULT_SPLIT",
    "Labelled",
    "Source",
    "is_dataset",
    "labelled_from_airbus_folder",
    "labelled_from_dataset",
    "open_source",
]

_LOG = logging.getLogger(__name__)

DEFAULT_SPLIT = "val"


@dataclass(frozen=True)
class Labelled:
    """An image and its true ships."""

    image_id: str
    read: Callable[[], NDArray[np.uint8]]
    """Returns the image at its own resolution, uint8 (H, W, 3), RGB; raises ImageError."""
    rles: tuple[str, ...]
    """A run-length text for each ship."""
    shape: tuple[int, int] | None = None
    """Height and width, where known without reading the image."""
    group: str | None = None
    """Name of the group of overlapping images that it belongs to; None where not known."""


@dataclass(frozen=True)
class Source:
    """Labelled images with a name to show."""

    name: str
    images: tuple[Labelled, ...]

    def __iter__(self) -> Iterator[Labelled]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)


def open_source(path: Path, *, split: str | None = None, csv: Path | None = None, images: Path | None = None) -> Source:
    """Return the labelled images of a prepared dataset's split, or of an Airbus folder.

    Args:
        path: A prepared dataset or an Airbus folder.
        split: train, val or test of a prepared dataset; val by default. An Airbus folder has no splits.
        csv: The CSV, where an Airbus folder holds several.
        images: The folder of images, where an Airbus folder holds several.

    Raises:
        DataError: The path is neither of the two, or holds no such image.
        ConfigError: An argument does not apply to this kind of folder.
    """
    path = Path(path)
    if is_dataset(path):
        from shipseg.data.prepared import open_dataset

        if csv is not None or images is not None:
            raise ConfigError(
                f"{path} is a prepared dataset: --csv and --images are for Airbus folders, leave them out"
            )
        return labelled_from_dataset(open_dataset(path), DEFAULT_SPLIT if split is None else split)
    if split is not None:
        raise ConfigError(f"{path} is not a prepared dataset, so it has no split {split!r}: leave --split out")
    try:
        return labelled_from_airbus_folder(path, csv=csv, images=images)
    except DataError as error:
        raise DataError(f"{path} is neither a dataset made by shipseg prepare nor an Airbus folder: {error}") from error


def is_dataset(path: Path) -> bool:
    """Return whether a folder was made by `shipseg prepare`, complete or not."""
    from shipseg.data.prepared import INDEX_FILE, REPORT_FILE

    return any((path / name).is_file() for name in (INDEX_FILE, REPORT_FILE))


def labelled_from_dataset(data: PreparedDataset, split: str) -> Source:
    """Return the kept images of a split, which are read from the dataset's source folder.

    Raises:
        ConfigError: There is no split of this name.
        DataError: The split is empty.
    """
    from shipseg.data.prepared import SPLITS

    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    rows = data.rows(split)
    if rows.empty:
        sizes = ", ".join(f"{name} {len(data.rows(name))}" for name in SPLITS)
        raise DataError(f"the split {split!r} of {data.root} has no images ({sizes}): choose another split")
    images = tuple(
        Labelled(
            image_id=str(row.ImageId),
            read=functools.partial(data.read_image, row),
            rles=tuple(data.ship_rles(row)),
            shape=(int(height), int(width)),
            group=f"{group}",
        )
        for row, height, width, group in zip(
            rows.itertuples(index=False), rows["height"], rows["width"], rows["group"], strict=True
        )
    )
    return Source(f"{data.root}, split {split}", images)


def labelled_from_airbus_folder(root: Path, *, csv: Path | None = None, images: Path | None = None) -> Source:
    """Return the images in the CSV of an Airbus folder with their ships; images without a row are not used.

    Raises:
        DataError: The folder holds no usable CSV, or several, or no images.
    """
    from shipseg.data.labels import find_airbus_folder, read_table

    folder = find_airbus_folder(root, csv=csv, images=images)
    table = read_table(folder.csv)
    for problem in table.problems:
        _LOG.warning("%s, row %d of %s: %s", problem.image_id, problem.row, folder.csv, problem.detail)
    labelled = tuple(
        Labelled(
            image_id=image_id,
            read=functools.partial(read_image, folder.images / image_id),
            rles=tuple(rles),
        )
        for image_id, rles in zip(table.frame["ImageId"], table.frame["rles"], strict=True)
    )
    return Source(f"{folder.root} ({folder.csv.name})", labelled)
