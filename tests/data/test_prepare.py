"""The whole preparation: which images are left out and why, and the same result after any interruption."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from shipseg.data.prepare import PrepareOptions, PrepareReport, prepare
from shipseg.data.prepared import open_dataset
from shipseg.errors import ConfigError, DataError, ShipsegError, StorageError

MakeFolder = Callable[..., Path]
Textured = Callable[..., NDArray[np.uint8]]
Content = dict[str, bytes]


def content(folder: Path) -> Content:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def reasons(folder: Path) -> dict[str, str]:
    index = open_dataset(folder).index
    return dict(zip(index["ImageId"].tolist(), index["reason"].tolist(), strict=True))


def small(folder: Path, out: Path, **options: Any) -> PrepareReport:
    return prepare(folder, out, PrepareOptions(**({"size": 32, "workers": 1} | options)))


@pytest.fixture
def messy(make_folder: MakeFolder, textured: Textured) -> Path:
    """A folder with one image for every fault, and twelve good ones."""
    images = {f"good{number:02}.png": textured(number) for number in range(12)}
    images |= {"black.png": np.zeros((96, 96, 3), np.uint8), "wide.png": textured(50, 96, 120)}
    images |= {"beyond.png": textured(51), "odd.png": textured(52), "stray.png": textured(53)}
    images |= {"both.png": textured(54), "cut.jpg": textured(55), "text.png": textured(56)}
    rows = [(f"good{number:02}.png", "") for number in range(8)]
    rows += [(f"good{number:02}.png", "100 5 200 5") for number in range(8, 12)]
    rows += [("good11.png", "203 9"), ("black.png", "1 2"), ("wide.png", "1 2"), ("wide.png", "9 2")]
    rows += [("beyond.png", "9216 2"), ("odd.png", "1 2 3"), ("gone.png", "1 2"), ("cut.jpg", ""), ("text.png", "")]
    rows += [("both.png", ""), ("both.png", "7 7"), ("both.png", "7 7")]
    folder = make_folder(images, rows)
    jpeg = folder / "train_v2" / "cut.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:-900])
    (folder / "train_v2" / "text.png").write_text("not an image")
    return folder


def test_every_fault_has_its_reason_and_images_and_ships_are_counted(messy: Path, tmp_path: Path) -> None:
    report = small(messy, tmp_path / "out").summary
    found = reasons(tmp_path / "out")
    assert {name: reason for name, reason in found.items() if reason} == {
        "beyond.png": "malformed-mask",
        "black.png": "solid",
        "cut.jpg": "truncated",
        "gone.png": "no-file",
        "odd.png": "malformed-mask",
        "stray.png": "no-row",
        "text.png": "unsupported",
        "wide.png": "wrong-size",
    }
    assert report["images"] == 21
    assert report["kept"] == {"images": 13, "ships": 6, "without_ships": 8}
    assert report["left_out"] == {
        "no-file": {"images": 1, "ships": 1},
        "no-row": {"images": 1, "ships": 0},
        "truncated": {"images": 1, "ships": 0},
        "unsupported": {"images": 1, "ships": 0},
        "wrong-size": {"images": 1, "ships": 2},
        "solid": {"images": 1, "ships": 1},
        "malformed-mask": {"images": 2, "ships": 2},
    }
    assert report["table"] == {
        "rows": 24,
        "duplicate-row": 1,
        "empty-and-ships": 1,
        "malformed-mask": 2,
        "overlapping-ships": 1,
    }


def test_every_problem_is_listed_with_a_sentence(messy: Path, tmp_path: Path) -> None:
    small(messy, tmp_path / "out")
    listed = pd.read_csv(tmp_path / "out" / "problems.csv")
    pairs = set(zip(listed["ImageId"], listed["reason"], strict=True))
    left_out = {(name, reason) for name, reason in reasons(tmp_path / "out").items() if reason}
    assert pairs == left_out | {
        ("both.png", "duplicate-row"),
        ("both.png", "empty-and-ships"),
        ("good11.png", "overlapping-ships"),
    }
    sentence = dict(zip(listed["ImageId"], listed["detail"], strict=True))
    assert "pixel 9217" in sentence["beyond.png"]
    assert "odd" in sentence["odd.png"]
    assert "end marker" in sentence["cut.jpg"]


def test_options_apply_after_faults(messy: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("ImageId\ngood00.png\nblack.png\nunknown.png\n")
    small(messy, tmp_path / "out", drop_list=tmp_path / "list.csv", keep_empty=0.5, any_size=True, min_kb=0.5)
    found = reasons(tmp_path / "out")
    assert (found["good00.png"], found["black.png"], found["wide.png"]) == ("listed", "solid", "")
    assert list(found.values()).count("empty-undersampled") == 3  # of the 7 empty ones left, 4 are kept
    assert open_dataset(tmp_path / "out").canvas == (26, 32)  # 96 x 120 at 32 / 120


def test_min_kb_leaves_out_small_files(messy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image of .* can be used .*small-file 13"):
        small(messy, tmp_path / "out", min_kb=1000)
    small(messy, tmp_path / "out", min_kb=1)
    assert "small-file" not in reasons(tmp_path / "out").values()


def test_images_of_one_ground_are_in_one_split(make_folder: MakeFolder, textured: Textured, tmp_path: Path) -> None:
    images, scene_of = {}, {}
    for scene in range(8):
        ground = textured(scene, 160, 160)
        for number, (row, column) in enumerate([(0, 0), (32, 64), (64, 32)]):
            name = f"{number}{scene}.png"
            images[name], scene_of[name] = ground[row : row + 96, column : column + 96], scene
    summary = small(make_folder(images), tmp_path / "out", val_share=0.25, test_share=0.25).summary
    index = open_dataset(tmp_path / "out").index
    groups = {name: int(group) for name, group in zip(index["ImageId"], index["group"], strict=True)}
    assert len(set(groups.values())) == 8
    assert all((groups[a] == groups[b]) == (scene_of[a] == scene_of[b]) for a in images for b in images)
    assert index.groupby("group")["split"].nunique().tolist() == [1] * 8
    assert summary["groups"]["groups_of_several"] == 8
    assert summary["leak"]["groups_on_two_sides"] == 0
    assert all(match["correlation"] < 0.4 for match in summary["leak"]["best_match"].values())


def test_the_result_does_not_depend_on_the_number_of_workers(messy: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        small(messy, tmp_path / str(workers), workers=workers)
    assert content(tmp_path / "1") == content(tmp_path / "3")


def test_a_second_run_does_nothing_and_other_options_are_refused(messy: Path, tmp_path: Path) -> None:
    first = small(messy, tmp_path / "out")
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in content(tmp_path / "out")}
    again = small(messy, tmp_path / "out", workers=2)
    assert (first.was_finished, again.was_finished, again.summary) == (False, True, first.summary)
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in content(tmp_path / "out")} == before
    with pytest.raises(ConfigError, match="with size = 32, now 48"):
        small(messy, tmp_path / "out", size=48)
    with pytest.raises(ConfigError, match=r"with val_share = 0\.2, now 0\.3"):
        small(messy, tmp_path / "out", val_share=0.3)
    (messy / "labels.csv").write_text((messy / "labels.csv").read_text() + "good00.png,1 2\n")
    with pytest.raises(ConfigError, match=r"another source .*csv_sha256"):
        small(messy, tmp_path / "out")


def test_an_unfinished_dataset_may_be_finished_with_other_options(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(messy, tmp_path / "calm", size=48)
    with monkeypatch.context() as patch:
        patch.setattr("shipseg.data.prepare.move_up", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            small(messy, tmp_path / "out", size=32)
    small(messy, tmp_path / "out", size=48)
    assert content(tmp_path / "out") == content(tmp_path / "calm")


@pytest.mark.parametrize(
    "step", ["write_json", "write_text", "atomic_path", "shutil.rmtree", "Path.replace", "os.pwrite", "os.fdatasync"]
)
def test_a_run_stopped_at_any_kind_of_write_resumes_to_the_same_result(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Each write of the kind fails once in turn, as a kill would leave it."""
    small(messy, tmp_path / "calm")
    owner: Any = {"shutil.rmtree": shutil, "Path.replace": Path, "os.pwrite": os, "os.fdatasync": os}.get(step)
    if owner is None:
        import shipseg.files as owner
    name = step.rpartition(".")[2]
    original = getattr(owner, name)
    for fatal in range(100):
        calls = 0

        def stops(*args: Any, fatal: int = fatal, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > fatal:
                raise KeyboardInterrupt
            return original(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stops)
            try:
                small(messy, tmp_path / "out")
            except KeyboardInterrupt:
                continue
            break
    assert fatal > 0
    assert content(tmp_path / "out") == content(tmp_path / "calm")


PREPARE = """
import sys
from shipseg.data.prepare import PrepareOptions, prepare
prepare(sys.argv[1], sys.argv[2], PrepareOptions(size=64, workers=2))
"""


def run_until_killed(folder: Path, out: Path, after_s: float) -> bool:
    """Start a preparation, kill it after a while; return whether it was still running."""
    process = subprocess.Popen([sys.executable, "-c", PREPARE, str(folder), str(out)], stderr=subprocess.PIPE)
    try:
        _, error = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, error.decode()
    return False


def killed_often(folder: Path, tmp_path: Path, *, kills: int, seed: int) -> None:
    """Kill preparations at random moments, `kills` in all; each that ends must equal the uninterrupted one."""
    start = time.perf_counter()
    assert not run_until_killed(folder, tmp_path / "calm", 120)
    full_s = time.perf_counter() - start
    calm, rng, hits, whole = content(tmp_path / "calm"), random.Random(seed), 0, 0
    while hits < kills or not whole:
        if run_until_killed(folder, tmp_path / "out", rng.uniform(0.3, 1.0) * full_s if hits < kills else 120):
            hits += 1
        else:
            whole += 1
            assert content(tmp_path / "out") == calm
            shutil.rmtree(tmp_path / "out")


@pytest.fixture
def larger(make_folder: MakeFolder, textured: Textured) -> Path:
    """Enough images for several chunks of every stage."""
    rows = [(f"{number:03}.jpg", "1 50" if number % 3 else "") for number in range(300)]
    return make_folder({name: textured(number, 192, 192) for number, (name, _) in enumerate(rows)}, rows)


def test_a_run_killed_three_times_ends_with_the_uninterrupted_dataset(larger: Path, tmp_path: Path) -> None:
    killed_often(larger, tmp_path, kills=3, seed=1)


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_with_the_uninterrupted_dataset(larger: Path, tmp_path: Path) -> None:
    killed_often(larger, tmp_path, kills=20, seed=2)


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite"])
def test_a_full_disk_is_reported_and_the_run_resumes_later(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    small(messy, tmp_path / "calm")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageError, match="no space left on the disk"):
            small(messy, tmp_path / "out")
    small(messy, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "calm")


def test_a_cache_that_the_disk_cannot_hold_is_refused_with_its_size_before_anything_is_read(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 30_000))
    with caplog.at_level("INFO", "shipseg"), pytest.raises(StorageError, match=r"19 images at 96 x 96 px needs"):
        small(messy, tmp_path / "out", size=96)
    assert "19 images at 96 x 96 px needs 700.4 kB" in caplog.text
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_the_size_of_the_cache_is_in_the_report(messy: Path, tmp_path: Path) -> None:
    cache = small(messy, tmp_path / "out").summary["cache"]
    assert cache == {"size": 32, "scale": 32 / 96, "canvas": [32, 32], "bytes": 13 * 32 * 32 * 4}


def test_tiny_folders_work_or_say_why(make_folder: MakeFolder, textured: Textured, tmp_path: Path) -> None:
    six = make_folder({f"{number}.png": textured(number) for number in range(6)}, name="six")
    small(six, tmp_path / "out6")
    assert sorted(open_dataset(tmp_path / "out6").index["split"]) == ["train"] * 5 + ["val"]
    one = make_folder({"a.png": textured(0)}, name="one")
    with pytest.raises(DataError, match="1 usable images in 1 groups"):
        small(one, tmp_path / "out1")
    small(one, tmp_path / "out1", val_share=0)
    assert len(open_dataset(tmp_path / "out1").rows("train")) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 3}, "size must be .* at least 16"),
        ({"size": "large"}, "size must be .*native"),
        ({"seed": -1}, "seed"),
        ({"min_kb": -1.0}, "min_kb"),
        ({"keep_empty": 1.5}, "keep_empty"),
        ({"keep_empty": float("nan")}, "keep_empty"),
        ({"val_share": 1.0}, "val_share"),
        ({"val_share": 0.5, "test_share": 0.5}, "nothing for training"),
        ({"workers": 0}, "workers"),
    ],
)
def test_an_option_out_of_its_range_gets_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PrepareOptions(**options)


def test_bad_folders_get_a_sentence(messy: Path, tmp_path: Path) -> None:
    for options, sentence in (
        ({"csv": Path("no.csv")}, "no.csv"),
        ({"images": Path("nowhere")}, "nowhere"),
        ({"drop_list": tmp_path / "no.txt"}, "no.txt"),
    ):
        with pytest.raises(ShipsegError, match=sentence):
            small(messy, tmp_path / "out", **options)
    (tmp_path / "list.txt").write_text("other.jpg\n")
    with pytest.raises(DataError, match=r"none of the 1 ids in the drop list .*other\.jpg"):
        small(messy, tmp_path / "out", drop_list=tmp_path / "list.txt")
    with pytest.raises(ConfigError, match="Airbus folder itself"):
        small(messy, messy)


def test_the_real_tiles_are_prepared(real_tiles: Path, tmp_path: Path) -> None:
    summary = prepare(real_tiles, tmp_path / "out").summary
    assert summary["kept"] == {"images": 118, "ships": 109, "without_ships": 57}
    assert summary["left_out"] == {"solid": {"images": 2, "ships": 0}}
    assert summary["groups"]["largest"] == 8  # the tiles of one cargo ship
    assert summary["leak"]["best_match"]["train-val"]["correlation"] < 0.3
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == summary
