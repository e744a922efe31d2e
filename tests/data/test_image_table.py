"""The label table and the files of a folder, joined by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shipseg.data.image_table import SourceFiles, join_labels, list_source
from shipseg.data.labels import find_airbus_folder, read_table
from shipseg.errors import DataError

Textured = Callable[..., NDArray[np.uint8]]


def joined(folder: Path) -> tuple[SourceFiles, pd.DataFrame]:
    source = list_source(find_airbus_folder(folder))
    return source, join_labels(source, read_table(source.folder.csv))


def test_rows_without_files_and_files_without_rows_are_both_there(
    make_folder: Callable[..., Path], textured: Textured
) -> None:
    folder = make_folder(
        {"a.png": textured(0), "c.png": textured(1)}, [("a.png", "1 2"), ("a.png", "5 2"), ("b.png", "1 2")]
    )
    (folder / "train_v2" / "notes.txt").touch()
    (folder / "train_v2" / ".hidden.png").touch()
    os.utime(folder / "train_v2" / "a.png", ns=(5, 1_700_000_000_123_456_789))
    _, images = joined(folder)
    assert images["ImageId"].tolist() == ["a.png", "b.png", "c.png"]
    assert images["has_row"].tolist() == [True, True, False]
    assert images["has_file"].tolist() == [True, False, True]
    assert images["Ships"].tolist() == [2, 1, 0]
    assert images["rles"].tolist() == [("1 2", "5 2"), ("1 2",), ()]
    assert images["mtime_ns"].tolist()[:2] == [1_700_000_000_123_456_789, 0]
    size = (folder / "train_v2" / "a.png").stat().st_size
    assert images["Size_kb"].tolist()[:2] == [size / 1024, 0]


def test_a_table_of_other_images_is_refused(make_folder: Callable[..., Path], textured: Textured) -> None:
    folder = make_folder({"a.png": textured(0)}, [("x.png", ""), ("y.png", "")])
    with pytest.raises(DataError, match=r"none of the 2 ids in .*first: x\.png.* among the 1 image files"):
        joined(folder)


def test_the_hashes_change_with_table_names_and_sizes_and_not_with_time(
    make_folder: Callable[..., Path], textured: Textured
) -> None:
    folder = make_folder({"a.png": textured(0), "b.png": textured(1)})
    before, _ = joined(folder)
    os.utime(folder / "train_v2" / "a.png", ns=(1, 1))
    assert joined(folder)[0].as_dict() == before.as_dict()
    (folder / "train_v2" / "b.png").rename(folder / "train_v2" / "c.png")
    after, _ = joined(folder)
    assert after.files_sha256 != before.files_sha256
    assert after.csv_sha256 == before.csv_sha256
