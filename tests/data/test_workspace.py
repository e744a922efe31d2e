"""One process at a time works in a dataset's folder, and only in a dataset's folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shipseg.data.workspace import finished_report, move_up, working_in
from shipseg.errors import ConfigError, DataError, StorageError
from shipseg.files import write_json

HOLD = """
import sys
from pathlib import Path
from shipseg.data.workspace import working_in
with working_in(Path(sys.argv[1]), source=Path("elsewhere")):
    print("holding", flush=True)
    sys.stdin.read()
"""


def test_the_work_folder_is_made_and_given_again(tmp_path: Path) -> None:
    for _ in range(2):
        with working_in(tmp_path / "out", source=tmp_path) as work:
            assert work == tmp_path / "out" / ".prepare"
            assert work.is_dir()


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "holding\n"
    with pytest.raises(StorageError, match="another process"), working_in(tmp_path / "out", source=tmp_path):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with working_in(tmp_path / "out", source=tmp_path):
        pass


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").touch()
    with pytest.raises(DataError, match=r"not empty .*thesis\.doc"), working_in(tmp_path / "out", source=tmp_path):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.doc"]


def test_the_source_itself_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Airbus folder itself"), working_in(tmp_path, source=tmp_path / "."):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="in the way"), working_in(tmp_path / "file", source=tmp_path):
        pass


def test_files_are_moved_up_and_those_moved_before_stay(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "b.npy").write_text("new")
    (tmp_path / "a.npy").write_text("moved before")
    move_up(tmp_path / "work", ("a.npy", "b.npy"))
    assert (tmp_path / "a.npy").read_text() == "moved before"
    assert (tmp_path / "b.npy").read_text() == "new"


def test_a_finished_report_is_returned_for_the_same_and_refused_for_other_options(tmp_path: Path) -> None:
    assert finished_report(tmp_path, options={}, source={}) is None
    report = {"options": {"size": 256, "seed": 1}, "source": {"csv_sha256": "abc"}}
    write_json(tmp_path / "report.json", report)
    assert finished_report(tmp_path, options={"size": 256, "seed": 1}, source={"csv_sha256": "abc"}) == report
    with pytest.raises(ConfigError, match="with size 256, not 384"):
        finished_report(tmp_path, options={"size": 384, "seed": 1}, source={"csv_sha256": "abc"})
    with pytest.raises(ConfigError, match="another source .*csv_sha256 was abc, is abd"):
        finished_report(tmp_path, options={"size": 256, "seed": 1}, source={"csv_sha256": "abd"})
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(DataError, match="no report of shipseg prepare"):
        finished_report(tmp_path, options={}, source={})
