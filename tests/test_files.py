"""Files are written atomically, and errors of the disk become sentences."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from shipseg import files
from shipseg.errors import ConfigError, StorageError


def test_a_written_file_replaces_the_old_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "a.txt"
    files.write_text(target, "old")
    files.write_text(target, "höhe")
    assert target.read_text(encoding="utf-8") == "höhe"
    assert os.listdir(target.parent) == ["a.txt"]


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 127)  # 254 bytes
    files.write_text(target, "whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_a_failure_while_writing_keeps_the_old_file_and_removes_the_partial_one(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_kill_at_any_moment_leaves_a_complete_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    code = (
        "import sys, pathlib, itertools; from shipseg import files\n"
        "for k in itertools.count(): files.write_json(pathlib.Path(sys.argv[1]), [k] * 20000)"
    )
    for round_ in range(6):
        process = subprocess.Popen([sys.executable, "-c", code, str(target)])
        deadline = time.monotonic() + 30
        while not target.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.013 * round_)
        process.send_signal(signal.SIGKILL)
        process.wait()
        values = json.loads(target.read_text())
        assert values == values[:1] * 20000


def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        files.write_bytes(disk / "a.bin", b"old")
        with pytest.raises(StorageError, match="no space left on the disk while writing .*a.bin"):
            files.write_bytes(disk / "a.bin", bytes(200_000))
        assert (disk / "a.bin").read_bytes() == b"old"
        assert os.listdir(disk) == ["a.bin"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_in_the_way_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StorageError, match="a file or folder of another kind is in the way"):
        files.ensure_folder(tmp_path / "a")
    with pytest.raises(StorageError, match="in the way"):
        files.write_text(tmp_path / "a" / "b.txt", "x")


def test_nan_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert not (tmp_path / "a.json").exists()


def test_space_is_checked_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024  (stands in for shutil's own)
    monkeypatch.setattr("shipseg.files.shutil.disk_usage", lambda _: usage(10**12, 0, 2 * 10**9))
    files.ensure_space(tmp_path / "not yet there", needed_bytes=10**9, what="the cache")
    with pytest.raises(StorageError, match=r"the cache needs 38.00 GB and the disk of .* has 2.00 GB free"):
        files.ensure_space(tmp_path, needed_bytes=38 * 10**9, what="the cache")


def test_only_partial_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    dead, alive, foreign = (
        tmp_path / name for name in (f".a.png.{finished.pid}.part", f".b.png.{os.getpid()}.part", ".somebody.part")
    )
    for path in (dead, alive, foreign):
        path.write_text("half")
    folder = tmp_path / f".{finished.pid}.part"
    folder.mkdir()
    (folder / "metrics.json").write_text("half")
    files.remove_leftovers(tmp_path)
    assert (dead.exists(), folder.exists(), alive.exists(), foreign.exists()) == (False, False, True, True)
    files.remove_leftovers(tmp_path, alone=True)
    assert (alive.exists(), foreign.exists()) == (False, True)


def test_all_or_none_moves_its_files_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("old")
    with files.all_or_none(tmp_path) as folder:
        files.write_text(folder / "old.csv", "new")
        files.write_text(folder / "more.csv", "new")
        assert (tmp_path / "old.csv").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["more.csv", "old.csv"]
    assert (tmp_path / "old.csv").read_text() == "new"


def test_a_disk_that_fills_up_halfway_leaves_the_old_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("old")

    def write_two() -> None:
        with files.all_or_none(tmp_path) as folder:
            files.write_text(folder / "a.csv", "new")
            with files.storage_errors(folder / "b.csv"):
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError) as caught:
        write_two()
    assert str(caught.value).startswith(f"no space left on the disk while writing {tmp_path / 'b.csv'}: free")
    assert os.listdir(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


HOLDING = (
    "import sys, time; from pathlib import Path; from shipseg.errors import ConfigError; from shipseg import files\n"
    "with files.locked(Path(sys.argv[1]), taken=ConfigError('')): print('held', flush=True); time.sleep(60)"
)
TAKEN = ConfigError("the folder is locked")


def test_the_lock_of_another_process_is_respected_and_ends_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLDING, lock], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="the folder is locked"), files.locked(lock, taken=TAKEN, wait_s=0.2):
            pass
    finally:
        other.kill()
    with files.locked(lock, taken=TAKEN, wait_s=10.0) as held:
        assert held.name == str(lock)
    other.communicate()


def test_a_lock_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"), files.locked(tmp_path / "file" / "lock", taken=TAKEN):
        pass


def test_without_support_for_locks_a_warning_is_logged_and_the_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with files.locked(tmp_path / "lock", taken=TAKEN):
        assert "No locks available" in caplog.text


def test_a_table_is_written_with_a_header_and_an_empty_cell_for_what_is_missing() -> None:
    by_place = files.csv_text(("name", "ships"), [("a,b", 3), ('c "d"', None)])
    assert by_place == 'name,ships\n"a,b",3\n"c ""d""",\n'
    rows: list[dict[str, object]] = [{"ships": 3, "other": 1}, {"name": "a"}]
    by_name = files.csv_text(("name", "ships"), rows, cell=lambda value: f"<{value}>")
    assert by_name == "name,ships\n<None>,<3>\n<a>,<None>\n"
