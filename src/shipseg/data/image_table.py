"""What an Airbus folder holds: its label table and its image files, joined by name."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shipseg.data.labels import AirbusFolder, LabelTable
from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.reading import IMAGE_SUFFIXES

with needing("train"):
    import pandas as pd

__all__ = ["SourceFiles", "join_labels", "list_source"]

_KB = 1024


@dataclass(frozen=True, eq=False)
class SourceFiles:
    """The files of an Airbus folder.

    Args:
        folder: Where they lie.
        listing: One row per image file, sorted by ImageId: ImageId, num_bytes, mtime_ns.
        csv_sha256: Hash of the label table.
        files_sha256: Hash of the names and sizes of the image files.
    """

    folder: AirbusFolder
    listing: pd.DataFrame
    csv_sha256: str
    files_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return what a dataset keeps about its source."""
        return {
            "root": str(self.folder.root.resolve()),
            "csv": str(self.folder.csv.resolve()),
            "images": str(self.folder.images.resolve()),
            "num_files": len(self.listing),
            "csv_sha256": self.csv_sha256,
            "files_sha256": self.files_sha256,
        }


def list_source(folder: AirbusFolder) -> SourceFiles:
    """Return the files of an Airbus folder.

    Raises:
        DataError: They cannot be listed or the CSV cannot be read.
    """
    try:
        with os.scandir(folder.images) as entries:
            found = [
                (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns)
                for entry in entries
                if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES
                and entry.name[0] != "."
                and Path(entry.path).is_file()
            ]
        with folder.csv.open("rb") as stream:
            csv_sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): check its permissions") from error
    found.sort()
    listing = pd.DataFrame(
        {
            "ImageId": pd.Series([name for name, _, _ in found], dtype="str"),
            "num_bytes": np.array([size for _, size, _ in found], np.int64),
            "mtime_ns": np.array([time for _, _, time in found], np.int64),
        }
    )
    names = "\n".join(f"{name} {size}" for name, size, _ in found)
    return SourceFiles(folder, listing, csv_sha256, hashlib.sha256(names.encode("utf-8", "replace")).hexdigest())


def join_labels(source: SourceFiles, table: LabelTable) -> pd.DataFrame:
    """Return one row per image of the table or the folder, sorted by ImageId.

    Columns: ImageId, rles, Ships (0 without a row), has_row, has_file, num_bytes, mtime_ns (0 without a file), Size_kb.

    Raises:
        DataError: No row of the table has a file.
    """
    labels, listing = table.frame, source.listing
    ids = np.union1d(labels["ImageId"].to_numpy(object), listing["ImageId"].to_numpy(object))
    label_of = pd.Index(labels["ImageId"]).get_indexer(pd.Index(ids))  # a merge would turn int64 times into floats
    file_of = pd.Index(listing["ImageId"]).get_indexer(pd.Index(ids))
    has_row, has_file = label_of >= 0, file_of >= 0
    if not (has_row & has_file).any():
        raise DataError(
            f"none of the {len(labels)} ids in {source.folder.csv} (first: {labels['ImageId'].iloc[0]}) is "
            f"among the {len(listing)} image files in {source.folder.images}: check that they belong together"
        )
    rles = labels["rles"].tolist()
    num_bytes = np.where(has_file, listing["num_bytes"].to_numpy()[file_of], 0)
    return pd.DataFrame(
        {
            "ImageId": pd.Series(ids, dtype="str"),
            "rles": pd.Series([rles[at] if at >= 0 else () for at in label_of.tolist()], dtype=object),
            "Ships": np.where(has_row, labels["Ships"].to_numpy()[label_of], 0),
            "has_row": has_row,
            "has_file": has_file,
            "num_bytes": num_bytes,
            "mtime_ns": np.where(has_file, listing["mtime_ns"].to_numpy()[file_of], 0),
            "Size_kb": num_bytes / _KB,
        }
    )
