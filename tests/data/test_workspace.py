"""One process at a time works in a dataset's folder, and only in a dataset's folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shipseg.data.cleaning import CleaningRules
from shipseg.data.workspace import check_disk_space, finished_report, move_up, working_in
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


def test_the_work_folder_is_created_once_and_reused(tmp_path: Path) -> None:
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
    with pytest.raises(ConfigError, match="with size = 256, now 384"):
        finished_report(tmp_path, options={"size": 384, "seed": 1}, source={"csv_sha256": "abc"})
    with pytest.raises(ConfigError, match="another source .*csv_sha256 = abc, now abd"):
        finished_report(tmp_path, options={"size": 256, "seed": 1}, source={"csv_sha256": "abd"})
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(DataError, match="no report of shipseg prepare"):
        finished_report(tmp_path, options={}, source={})


Textured = Callable[..., NDArray[np.uint8]]
TEXTURES = 2 * 9 * 1024  # bytes of scratch for each image that is read


class Usage(NamedTuple):
    """As shutil.disk_usage returns it."""

    total: float
    used: float
    free: float


@pytest.fixture
def wanted() -> pd.DataFrame:
    """Ten images of 100 kB, the last four with ships; the first lies on the disk."""
    names = [f"{number}.png" for number in range(10)]
    return pd.DataFrame({"ImageId": names, "Ships": [0] * 6 + [1] * 4, "Size_kb": [100.0] * 10})


@pytest.mark.parametrize(
    ("rules", "num_images"),
    [
        (CleaningRules(), 10),
        (CleaningRules(keep_empty=0.5), 7),
        (CleaningRules(listed=frozenset({"0.png", "9.png"})), 8),
        (CleaningRules(min_kb=100), 1),
    ],
)
def test_a_byte_less_than_needed_is_refused_and_just_enough_is_not(
    wanted: pd.DataFrame,
    rules: CleaningRules,
    num_images: int,
    make_folder: Callable[..., Path],
    textured: Textured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_folder({"0.png": textured(0, 60, 120)})
    work = folder / ".prepare"
    work.mkdir()
    needed = num_images * 30 * 60 * 4 + 10 * TEXTURES
    for free, enough in ((needed * 1.05 - 1, False), (needed * 1.05 + 1, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(0, 0, free))
        if enough:
            check_disk_space(wanted, rules, 60, folder=folder / "train_v2", work=work)
        else:
            with pytest.raises(StorageError, match=f"cache of {num_images} images at 30 x 60 px"):
                check_disk_space(wanted, rules, 60, folder=folder / "train_v2", work=work)


def test_space_that_an_interrupted_run_reserved_counts_as_free(
    wanted: pd.DataFrame, make_folder: Callable[..., Path], textured: Textured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"0.png": textured(0, 60, 60)})
    work = folder / ".prepare"
    work.mkdir()
    (work / "images.npy").write_bytes(bytes(1_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    check_disk_space(wanted, CleaningRules(), 60, folder=folder / "train_v2", work=work)


def test_a_native_dataset_needs_scratch_only(
    wanted: pd.DataFrame, make_folder: Callable[..., Path], textured: Textured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"0.png": textured(0)})
    work = folder / ".prepare"
    work.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10 * TEXTURES * 1.05 + 1))
    check_disk_space(wanted, CleaningRules(), "native", folder=folder / "train_v2", work=work)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 10 * TEXTURES))
    with pytest.raises(StorageError, match="scan of 10 images"):
        check_disk_space(wanted, CleaningRules(), "native", folder=folder / "train_v2", work=work)
