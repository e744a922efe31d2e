"""Labelled images from a prepared dataset and from an Airbus folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shipseg.data.prepared import open_dataset
from shipseg.errors import ConfigError, DataError, ImageError
from shipseg.evaluation.labelled import labelled_from_dataset, open_source


@pytest.fixture
def small_folder(tmp_path: Path) -> Path:
    """An Airbus folder of two images of 6 x 8 px, one with two ships, one whose file is missing, one without a row."""
    folder = tmp_path / "airbus"
    folder.mkdir()
    for name in ("one.png", "two.png", "no_row.png"):
        cv2.imwrite(str(folder / name), np.full((6, 8, 3), 40, np.uint8))
    (folder / "labels.csv").write_text("ImageId,EncodedPixels\ntwo.png,1 3\none.png,\ntwo.png,13 2\ngone.png,\n")
    return folder


def test_an_airbus_folder_gives_the_images_of_its_csv_with_one_text_per_ship(small_folder: Path) -> None:
    source = open_source(small_folder)
    assert [(image.image_id, image.rles) for image in source] == [
        ("gone.png", ()),
        ("one.png", ()),
        ("two.png", ("1 3", "13 2")),
    ]
    assert source.images[2].read().shape == (6, 8, 3)
    assert str(small_folder) in source.name
    with pytest.raises(ImageError):
        source.images[0].read()


def test_a_dataset_gives_the_images_of_a_split_at_their_own_size(dataset_folder: Path) -> None:
    data = open_dataset(dataset_folder)
    source = open_source(dataset_folder, split="train")
    rows = data.rows("train")
    assert [image.image_id for image in source] == rows["ImageId"].tolist()
    assert [len(image.rles) for image in source] == rows["Ships"].tolist()
    first = source.images[0]
    assert first.shape == (128, 128)
    assert first.read().shape == (128, 128, 3)
    assert first.group is not None


def test_a_dataset_is_scored_on_val_by_default(dataset_folder: Path) -> None:
    names = [image.image_id for image in open_source(dataset_folder)]
    assert names == [image.image_id for image in labelled_from_dataset(open_dataset(dataset_folder), "val")]


def test_an_empty_split_is_refused_with_the_sizes_of_all(dataset_folder: Path) -> None:
    with pytest.raises(DataError, match=r"'test' .* has no images \(train \d+, val \d+, test 0\)"):
        open_source(dataset_folder, split="test")


def test_an_unknown_split_is_refused_with_the_nearest(dataset_folder: Path) -> None:
    with pytest.raises(ConfigError, match="'vall', did you mean 'val'"):
        open_source(dataset_folder, split="vall")


def test_arguments_that_do_not_apply_to_the_folder_are_refused(dataset_folder: Path, small_folder: Path) -> None:
    with pytest.raises(ConfigError, match="no split 'val': leave --split out"):
        open_source(small_folder, split="val")
    with pytest.raises(ConfigError, match="is a prepared dataset: --csv and --images"):
        open_source(dataset_folder, csv=Path("labels.csv"))


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a dataset made by shipseg prepare nor an Airbus folder"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        open_source(tmp_path / "nothing")
