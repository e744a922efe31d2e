"""Arrays whose space is reserved: readable by numpy, written in pieces, refused on a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from shipseg.data.arrays import open_array, reserve_array, write_rows
from shipseg.errors import StorageError


@pytest.mark.parametrize("shape", [(5, 3, 4, 3), (7,), (0, 9, 2)])
def test_a_reserved_array_is_zeros_for_numpy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    reserve_array(tmp_path / "a.npy", shape=shape, dtype=np.uint8)
    array = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert (array.shape, array.dtype) == (shape, np.uint8)
    assert not array.any()


def test_the_space_is_really_taken_from_the_disk(tmp_path: Path) -> None:
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


def test_a_full_disk_is_met_before_the_array_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
