"""Finished rows of tiles on disk, by identity."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from shipseg.errors import StorageError
from shipseg.scenes.checkpoint import TileRowStore, open_checkpoint
from shipseg.scenes.tiles import NO_DATA, Block
from shipseg.tiling import Window

QUANTISED_HW = np.array([[0, 9700, NO_DATA], [50, 10_000, 0]], np.uint16)
CARRY = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


def write_row(store: TileRowStore, row: int) -> None:
    with store.write_row(row, {"network": 2}) as writer:
        writer.add(Block(Window(2 * row, 0, 2, 3), QUANTISED_HW), CARRY)
        writer.add(Block(Window(2 * row, 3, 2, 3), QUANTISED_HW), None)


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    with open_checkpoint(tmp_path / "work", {"scene": 1}) as store:
        write_row(store, 0)
        assert store.num_done == 1
        blocks = list(store.read_blocks(0))
        assert [block.window for block in blocks] == [Window(0, 0, 2, 3), Window(0, 3, 2, 3)]
        for block in blocks:
            np.testing.assert_array_equal(block.quantised_hw, QUANTISED_HW)
        carry = list(store.read_carry(1))
        np.testing.assert_array_equal(carry[0], CARRY)
        assert carry[1] is None
        assert store.read_facts(0) == {"network": 2}


def test_an_error_inside_a_row_leaves_no_files(tmp_path: Path) -> None:
    with open_checkpoint(tmp_path / "work", {"scene": 1}) as store:
        with pytest.raises(RuntimeError), store.write_row(0, {}) as writer:
            writer.add(Block(Window(0, 0, 2, 3), QUANTISED_HW), CARRY)
            raise RuntimeError
        assert store.num_done == 0
        assert list((tmp_path / "work" / "rows").iterdir()) == []


def test_only_the_carry_of_the_last_row_is_kept(tmp_path: Path) -> None:
    with open_checkpoint(tmp_path / "work", {"scene": 1}) as store:
        for row in range(3):
            write_row(store, row)
        assert [path.name for path in (tmp_path / "work" / "rows").glob("*.carry")] == ["00002.carry"]


def test_rows_are_kept_for_the_same_identity_and_deleted_for_another(tmp_path: Path) -> None:
    for identity, expected in (({"scene": 1}, 0), ({"scene": 1}, 1), ({"scene": 2}, 0)):
        with open_checkpoint(tmp_path / "work", identity) as store:
            assert store.num_done == expected
            if not expected:
                write_row(store, 0)


@pytest.mark.parametrize("kind", ["levels", "carry", "json"])
def test_a_damaged_row_is_refused_with_what_to_do(kind: str, tmp_path: Path) -> None:
    with open_checkpoint(tmp_path / "work", {}) as store:
        write_row(store, 0)
        path = tmp_path / "work" / "rows" / f"00000.{kind}"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(StorageError, match=r"is damaged .* delete .*work and run again"):
            store.read_facts(0), list(store.read_blocks(0)), list(store.read_carry(1))


def test_a_folder_deleted_before_the_lock_is_created_and_locked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockf = fcntl.lockf
    calls: list[int] = []

    def delete_folder_before_first_lock(file: IO[str], how: int) -> None:
        if not calls:
            shutil.rmtree(tmp_path / "work")
        calls.append(how)
        lockf(file, how)

    monkeypatch.setattr(fcntl, "lockf", delete_folder_before_first_lock)
    with open_checkpoint(tmp_path / "work", {"scene": 1}) as store:
        write_row(store, 0)
        assert store.num_done == 1
    assert len(calls) == 2


def test_rows_with_an_unreadable_identity_are_deleted(tmp_path: Path) -> None:
    with open_checkpoint(tmp_path / "work", {"scene": 1}) as store:
        write_row(store, 0)
    (tmp_path / "work" / "work.json").write_bytes(b"\xff\xfe")
    with open_checkpoint(tmp_path / "work", {"scene": 1}) as store:
        assert store.num_done == 0
