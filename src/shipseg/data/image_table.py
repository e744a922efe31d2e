"""The table of the images of an Airbus folder: label table and image files joined by name, with facts, masks, groups.

`join_labels` makes the table; `with_facts`, `with_masks` and `with_groups` add columns after the files were scanned.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.data.groups import Overlaps, join_groups
from shipseg.data.labels import AirbusFolder, LabelTable, Problem, measure_ships
from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.masks.rle import find_malformed
from shipseg.reading import IMAGE_SUFFIXES

with needing("train"):
    import pandas as pd

__all__ = ["SourceFiles", "join_labels", "list_source", "with_facts", "with_groups", "with_masks"]

_KB = 1024


@dataclass(frozen=True, eq=False)
class SourceFiles:
    """The files of an Airbus folder.

    Args:
        folder: The CSV and the folder of the images.
        listing: One row per image file, sorted by ImageId: ImageId, num_bytes, mtime_ns.
        csv_sha256: Hash of the label table.
        files_sha256: Hash of the names and sizes of the image files.
    """

    folder: AirbusFolder
    listing: pd.DataFrame
    csv_sha256: str
    files_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return the facts about the source that a dataset's report has."""
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
        DataError: The images cannot be listed or the CSV cannot be read.
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
    """Return one row per image of the label table or the folder, sorted by ImageId.

    Columns: ImageId, rles, Ships (0 without a row), has_row, has_file, num_bytes, mtime_ns (0 without a file), Size_kb.

    Raises:
        DataError: No ImageId of the label table has a file.
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


def with_facts(images: pd.DataFrame, facts: pd.DataFrame, read: NDArray[np.int64]) -> pd.DataFrame:
    """Return the images with the columns fault, detail, height, width, spread and place (row in `facts`).

    Args:
        images: One row per image, see `join_labels`.
        facts: The facts of the scanned images, see `scan_images`.
        read: Rows of `images` that were scanned, in the order of `facts`; the others get height 0 and place -1.
    """
    images = images.assign(fault="", detail="", height=0, width=0, spread=0, place=-1)
    for name in ("fault", "detail", "height", "width", "spread"):
        column = images[name].to_numpy(object)
        column[read] = facts[name].to_numpy(object)
        images[name] = pd.Series(column, index=images.index).astype(images[name].dtype)
    place = np.full(len(images), -1)
    place[read] = np.arange(len(read))
    return images.assign(place=place)


def with_masks(images: pd.DataFrame, problems: Sequence[Problem]) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the images with the columns malformed and ship_px, and the problems of masks in images of known size.

    Args:
        images: One row per image with rles, Ships, height and width; rows of height 0 are skipped.
        problems: The problems of the label table.
    """
    readable = (images["height"] > 0).to_numpy()
    already = {problem.image_id for problem in problems if problem.reason == "malformed-mask"}
    malformed = images["ImageId"].isin(already).to_numpy(copy=True)
    found: list[Problem] = []
    well_formed = images[readable & ~malformed]
    texts = [text for rles in well_formed["rles"] for text in rles]
    image = np.repeat(np.arange(len(well_formed)), well_formed["Ships"])
    beyond = find_malformed(texts, (well_formed["height"] * well_formed["width"]).to_numpy()[image])
    ids = well_formed["ImageId"].tolist()
    found += [
        Problem(ids[image[at]], 0, "malformed-mask", f"EncodedPixels: {sentence}") for at, sentence in beyond.items()
    ]
    malformed[well_formed.index.to_numpy()[image[list(beyond)]]] = True
    well_formed = images[readable & ~malformed]
    ship_px, overlapping = measure_ships(well_formed["rles"])
    found += [
        Problem(image_id, 0, "overlapping-ships", "masks of two ships share pixels, both are kept")
        for image_id in well_formed["ImageId"][overlapping]
    ]
    all_px = np.zeros(len(images), np.int64)
    all_px[well_formed.index.to_numpy()] = ship_px
    return images.assign(malformed=malformed, ship_px=all_px), found


def with_groups(images: pd.DataFrame, overlaps: Overlaps) -> pd.DataFrame:
    """Return the images with the column group: -1 for those that could not be read."""
    place = images["place"].to_numpy()
    group_of_place = join_groups(int(place.max()) + 1, overlaps.pairs)
    readable = (images["height"] > 0).to_numpy()
    group = np.full(len(images), -1)
    group[readable] = np.unique(group_of_place[place[readable]], return_inverse=True)[1]
    return images.assign(group=group)
