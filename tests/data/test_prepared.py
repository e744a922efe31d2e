"""Opening a prepared dataset, refusing a damaged one, and arrays with reserved disk space."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shipseg.data.cache import resize_coverage, resize_image
from shipseg.data.prepare import PrepareOptions, prepare
from shipseg.data.prepared import SPLITS, open_array, open_dataset, reserve_array, write_rows
from shipseg.errors import ConfigError, DataError, StorageError
from shipseg.masks.rle import decode_many
from shipseg.reading import read_image


@pytest.fixture
def spoilt(dataset_folder: Path, tmp_path: Path) -> Path:
    """A copy of a dataset to damage."""
    return Path(shutil.copytree(dataset_folder, tmp_path / "dataset"))


def test_images_coverage_and_index_belong_together(dataset_folder: Path, airbus_folder: Path) -> None:
    data = open_dataset(dataset_folder)
    assert data.images is not None
    assert data.coverage is not None
    assert data.source_images == airbus_folder / "train_v2"
    assert (data.scale, data.canvas) == (0.5, (64, 64))
    assert (
        len(data.images) == len(data.coverage) == (data.index["reason"] == "").sum() == (data.index["row"] >= 0).sum()
    )
    for row in data.index[data.index["row"] >= 0].itertuples():
        image_hwc = read_image(airbus_folder / "train_v2" / str(row.ImageId))
        place, rles = int(str(row.row)), data.ship_rles(row)
        mask_hw = decode_many(rles, (128, 128))
        assert np.array_equal(data.read_image(row), image_hwc)
        assert np.array_equal(data.images[place], resize_image(image_hwc, 0.5))
        assert np.array_equal(data.coverage[place], resize_coverage(mask_hw, 0.5))
        assert (row.height, row.width, row.ship_px, row.Ships) == (128, 128, mask_hw.sum(), len(rles))
        assert row.EncodedPixels == (" ".join(rles) or "0")


def test_the_index_has_the_documented_columns_and_kinds(dataset_folder: Path) -> None:
    index = pd.read_parquet(dataset_folder / "index.parquet")
    whole = {"Ships", "group", "height", "width", "row", "ship_px"}
    text = {"ImageId", "EncodedPixels", "split", "reason"}
    assert set(index.columns) == whole | text | {"Size_kb", "rles"}
    assert {str(index[name].dtype) for name in whole} == {"int64"}
    assert {str(index[name].dtype) for name in text} == {"str"}
    assert str(index["Size_kb"].dtype) == "float64"
    assert index["ImageId"].is_monotonic_increasing


def test_a_split_gives_its_kept_rows_numbered_from_zero(dataset_folder: Path) -> None:
    data = open_dataset(dataset_folder)
    rows = [data.rows(name) for name in SPLITS]
    splits = json.loads((dataset_folder / "report.json").read_text())["splits"]
    assert [len(part) for part in rows] == [splits["train"]["images"], splits["val"]["images"], 0]
    assert rows[1].index.tolist() == list(range(len(rows[1])))
    assert len(rows[1]) in {4, 5}, "a fifth of 20 images, rounded in each group of ship numbers"
    assert sorted(pd.concat(rows)["row"]) == list(range(20))
    split = json.loads((dataset_folder / "split.json").read_text())
    assert split["val"] == rows[1]["ImageId"].tolist()
    with pytest.raises(ConfigError, match=r"unknown split 'vall', did you mean 'val'"):
        data.rows("vall")


def test_a_series_of_the_index_serves_as_a_row_too(dataset_folder: Path) -> None:
    data = open_dataset(dataset_folder)
    row = data.rows("train").iloc[0]
    assert data.read_image(row).shape == (row["height"], row["width"], 3)
    assert len(data.ship_rles(row)) == row["Ships"]


def test_a_native_dataset_has_no_pixels(airbus_folder: Path, tmp_path: Path) -> None:
    prepare(airbus_folder, tmp_path / "native", PrepareOptions(size="native", workers=1))
    data = open_dataset(tmp_path / "native")
    assert (data.images, data.coverage, data.canvas, data.scale) == (None, None, None, 1.0)
    assert set(data.index["row"]) == {-1}
    assert data.read_image(data.rows("train").iloc[0]).shape == (128, 128, 3)
    assert not list((tmp_path / "native").glob("*.npy"))


def test_the_fingerprint_distinguishes_datasets(airbus_folder: Path, dataset_folder: Path, tmp_path: Path) -> None:
    prepare(airbus_folder, tmp_path / "same", PrepareOptions(size=64))
    prepare(airbus_folder, tmp_path / "other", PrepareOptions(size=64, seed=1))
    fingerprint = open_dataset(dataset_folder).fingerprint
    assert open_dataset(tmp_path / "same").fingerprint == fingerprint
    assert open_dataset(tmp_path / "other").fingerprint != fingerprint


def test_opening_needs_no_torch(dataset_folder: Path) -> None:
    code = (
        "import sys; from shipseg.data.prepared import open_dataset; "
        "open_dataset(sys.argv[1]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(dataset_folder)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_folder_without_a_dataset_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset folder .*shipseg prepare"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="not a finished dataset"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("report.json", b"{", "not a report of shipseg prepare"),
        ("report.json", b"{}", "not a report of shipseg prepare"),
        ("report.json", b'{"format": 99}', "format 99, but this version reads 1"),
        ("index.parquet", b"nonsense", r"index\.parquet cannot be read"),
        ("images.npy", b"nonsense", r"images\.npy cannot be opened"),
        ("coverage.npy", None, r"coverage\.npy cannot be opened"),
    ],
)
def test_a_damaged_dataset_gets_a_sentence(spoilt: Path, name: str, content: bytes | None, sentence: str) -> None:
    (spoilt / name).unlink()
    if content is not None:
        (spoilt / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        open_dataset(spoilt)


def test_a_cache_of_another_length_than_the_index_gets_a_sentence(spoilt: Path) -> None:
    np.save(spoilt / "images.npy", np.zeros((3, 64, 64, 3), np.uint8))
    with pytest.raises(DataError, match="has 20 cached images"):
        open_dataset(spoilt)


@pytest.mark.parametrize("shape", [(5, 3, 4, 3), (7,), (0, 9, 2)])
def test_a_reserved_array_is_zeros_for_numpy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    reserve_array(tmp_path / "a.npy", shape=shape, dtype=np.uint8)
    array = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert (array.shape, array.dtype) == (shape, np.uint8)
    assert not array.any()


def test_the_disk_space_is_reserved(tmp_path: Path) -> None:
    reserve_array(tmp_path / "a.npy", shape=(1_000_000,), dtype=np.uint8)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1_000_000


def test_rows_are_written_where_they_belong_in_any_order(tmp_path: Path) -> None:
    rows = np.arange(24, dtype=np.int16).reshape(6, 4)
    reserve_array(tmp_path / "a.npy", shape=rows.shape, dtype=rows.dtype)
    write_rows(tmp_path / "a.npy", 4, rows[4:])
    write_rows(tmp_path / "a.npy", 0, rows[:4])
    write_rows(tmp_path / "a.npy", 6, rows[6:])
    assert np.array_equal(open_array(tmp_path / "a.npy"), rows)


def test_an_array_is_opened_read_only_unless_asked(tmp_path: Path) -> None:
    reserve_array(tmp_path / "a.npy", shape=(3,), dtype=np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        open_array(tmp_path / "a.npy")[0] = 1
    open_array(tmp_path / "a.npy", writable=True)[0] = 1
    assert open_array(tmp_path / "a.npy").tolist() == [1, 0, 0]


def test_a_full_disk_leaves_no_array_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="no space left"):
        reserve_array(tmp_path / "a.npy", shape=(10,), dtype=np.uint8)
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_cannot_reserve_is_filled_with_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    reserve_array(tmp_path / "a.npy", shape=(3_000_000,), dtype=np.uint8)
    assert np.load(tmp_path / "a.npy").shape == (3_000_000,)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 3_000_000
