"""Rows on the disk: done or not done, of this run or deleted."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from shipseg.errors import StorageError
from shipseg.scenes.checkpoint import TileRowStore, working_in
from shipseg.scenes.tiles import NO_DATA, Block
from shipseg.tiling import Window

LEVELS = np.array([[0, 9700, NO_DATA], [50, 10_000, 0]], np.uint16)
CARRY = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


def write_row(pieces: TileRowStore, row: int) -> None:
    with pieces.row(row, {"network": 2}) as writer:
        writer.add(Block(Window(2 * row, 0, 2, 3), LEVELS), CARRY)
        writer.add(Block(Window(2 * row, 3, 2, 3), LEVELS), None)


def test_a_row_comes_back_as_it_was(tmp_path: Path) -> None:
    with working_in(tmp_path / "work", {"scene": 1}) as pieces:
        write_row(pieces, 0)
        assert pieces.num_done == 1
        blocks = list(pieces.blocks(0))
        assert [block.window for block in blocks] == [Window(0, 0, 2, 3), Window(0, 3, 2, 3)]
        for block in blocks:
            np.testing.assert_array_equal(block.quantised_hw, LEVELS)
        carried = list(pieces.carried(1))
        np.testing.assert_array_equal(carried[0], CARRY)
        assert carried[1] is None
        assert pieces.facts(0) == {"network": 2}


def test_a_row_that_was_not_finished_is_not_done_and_leaves_nothing(tmp_path: Path) -> None:
    with working_in(tmp_path / "work", {"scene": 1}) as pieces:
        with pytest.raises(RuntimeError), pieces.row(0, {}) as writer:
            writer.add(Block(Window(0, 0, 2, 3), LEVELS), CARRY)
            raise RuntimeError
        assert pieces.num_done == 0
        assert list((tmp_path / "work" / "rows").iterdir()) == []


def test_what_is_carried_is_kept_only_as_long_as_it_is_needed(tmp_path: Path) -> None:
    with working_in(tmp_path / "work", {"scene": 1}) as pieces:
        for row in range(3):
            write_row(pieces, row)
        assert [path.name for path in (tmp_path / "work" / "rows").glob("*.carry")] == ["00002.carry"]


def test_rows_stay_for_the_same_run_and_go_for_another(tmp_path: Path) -> None:
    for identity, expected in (({"scene": 1}, 0), ({"scene": 1}, 1), ({"scene": 2}, 0)):
        with working_in(tmp_path / "work", identity) as pieces:
            assert pieces.num_done == expected
            if not expected:
                write_row(pieces, 0)


@pytest.mark.parametrize("kind", ["levels", "carry", "json"])
def test_a_damaged_row_is_one_sentence_that_says_what_to_do(kind: str, tmp_path: Path) -> None:
    with working_in(tmp_path / "work", {}) as pieces:
        write_row(pieces, 0)
        path = tmp_path / "work" / "rows" / f"00000.{kind}"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(StorageError, match=r"is damaged .* delete .*work and run again"):
            pieces.facts(0), list(pieces.blocks(0)), list(pieces.carried(1))


def test_a_lock_on_a_folder_that_was_deleted_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockf = fcntl.lockf
    calls: list[int] = []

    def published_before_the_first_lock(file: IO[str], how: int) -> None:
        if not calls:
            shutil.rmtree(tmp_path / "work")
        calls.append(how)
        lockf(file, how)

    monkeypatch.setattr(fcntl, "lockf", published_before_the_first_lock)
    with working_in(tmp_path / "work", {"scene": 1}) as pieces:
        write_row(pieces, 0)
        assert pieces.num_done == 1
    assert len(calls) == 2


def test_a_marker_that_is_no_text_belongs_to_nobody(tmp_path: Path) -> None:
    with working_in(tmp_path / "work", {"scene": 1}) as pieces:
        write_row(pieces, 0)
    (tmp_path / "work" / "work.json").write_bytes(b"\xff\xfe")
    with working_in(tmp_path / "work", {"scene": 1}) as pieces:
        assert pieces.num_done == 0
