"""The synthetic Airbus folder: its format, overlapping tiles, resuming, refusals."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from shipseg.errors import ConfigError, StorageError
from shipseg.masks import rle
from shipseg.synth import WorldConfig, make_image, write_airbus_folder
from shipseg.synth.folder import image_id, plan_jobs

SMALL = WorldConfig(size=96, empty_share=0.4)
LABELS = "train_ship_segmentations_v2.csv"

PROGRAM = """
import sys
from pathlib import Path
from shipseg.synth import WorldConfig, write_airbus_folder
if __name__ == "__main__":
    config = WorldConfig(size=192)
    write_airbus_folder(Path(sys.argv[1]), images=60, seed=4, config=config, overlap=0.4, workers=int(sys.argv[2]))
"""


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image[..., ::-1]


def test_the_folder_has_the_format_of_the_challenge(tmp_path: Path) -> None:
    summary = write_airbus_folder(tmp_path / "a", images=20, seed=1, config=SMALL, workers=1)
    names = sorted(path.name for path in (tmp_path / "a" / "train_v2").iterdir())
    rows = _rows(tmp_path / "a" / LABELS)
    assert len(names) == 20
    assert all(re.fullmatch(r"[0-9a-f]{9}\.jpg", name) for name in names)
    assert list(rows[0]) == ["ImageId", "EncodedPixels"]
    assert [row["ImageId"] for row in rows] == sorted(row["ImageId"] for row in rows)
    assert {row["ImageId"] for row in rows} == set(names)
    assert sum(not row["EncodedPixels"] for row in rows) == 8 == summary.num_empty
    assert sum(bool(row["EncodedPixels"]) for row in rows) == summary.num_ships
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"train_v2", LABELS, "truth.csv", "synth.json"}


def test_files_and_labels_are_those_of_make_image(tmp_path: Path) -> None:
    write_airbus_folder(tmp_path, images=4, seed=9, config=SMALL, workers=1)
    labels = defaultdict(list)
    for row in _rows(tmp_path / LABELS):
        labels[row["ImageId"]].extend([row["EncodedPixels"]] if row["EncodedPixels"] else [])
    for index in range(4):
        # 4 * 0.4 rounds to 2 empty images, so half of them are.
        image = make_image(9, index, WorldConfig(size=96, empty_share=0.5))
        name = image_id(9, index)
        np.testing.assert_array_equal(_image(tmp_path / "train_v2" / name), image.image_hwc)
        assert labels[name] == list(image.ship_rles)


def test_names_are_unique_and_in_no_order() -> None:
    names = [image_id(3, number) for number in range(100_000)]
    assert len(set(names)) == 100_000
    ordered = sorted(names[:1000])
    places = [ordered.index(name) for name in names[:1000]]
    assert abs(np.corrcoef(places, np.arange(1000))[0, 1]) < 0.12
    assert image_id(4, 0) != image_id(3, 0)


@pytest.mark.parametrize(
    ("images", "overlap", "empty_share"), [(1, 1.0, 0.5), (7, 0.5, 0.3), (100, 0.37, 0.78), (50, 1.0, 0.0)]
)
def test_the_plan_has_exactly_the_requested_images(images: int, overlap: float, empty_share: float) -> None:
    jobs = plan_jobs(images=images, seed=0, config=WorldConfig(empty_share=empty_share), overlap=overlap)
    tiles = [tile for job in jobs for tile in job.tiles]
    assert len(tiles) == images == len({tile.image_id for tile in tiles})
    assert len({job.scene for job in jobs}) == len(jobs)
    num_empty = sum(len(job.tiles) for job in jobs if job.empty)
    assert abs(num_empty - images * empty_share) <= 1.5
    shared = sum(len(job.tiles) for job in jobs if len(job.tiles) > 1)
    assert abs(shared - images * overlap) <= 2


def test_tiles_of_one_scene_show_the_same_ground_where_they_overlap(tmp_path: Path) -> None:
    write_airbus_folder(
        tmp_path, images=24, seed=2, config=WorldConfig(size=192, no_data_share=0), overlap=1.0, workers=1
    )
    scenes = defaultdict(list)
    for row in _rows(tmp_path / "truth.csv"):
        scenes[row["scene"]].append((row["ImageId"], int(row["row0"]), int(row["col0"])))
    pairs = 0
    for tiles in scenes.values():
        for (name_a, row_a, col_a), (name_b, row_b, col_b) in itertools.combinations(tiles, 2):
            top, left = max(row_a, row_b), max(col_a, col_b)
            bottom, right = min(row_a, row_b) + 192, min(col_a, col_b) + 192
            part_a = _image(tmp_path / "train_v2" / name_a)[top - row_a : bottom - row_a, left - col_a : right - col_a]
            part_b = _image(tmp_path / "train_v2" / name_b)[top - row_b : bottom - row_b, left - col_b : right - col_b]
            difference = np.abs(part_a.astype(float) - part_b)
            assert 0 < difference.mean() < 4, "the same ground, stored twice"
            pairs += 1
    assert len(scenes) > 2
    assert pairs >= 12


def test_labels_of_overlapping_tiles_agree(tmp_path: Path) -> None:
    write_airbus_folder(
        tmp_path, images=12, seed=6, config=WorldConfig(size=192, empty_share=0), overlap=1.0, workers=1
    )
    masks: dict[str, np.ndarray] = {}
    for row in _rows(tmp_path / LABELS):
        assert row["EncodedPixels"], "every tile of a scene with ships holds its middle and so a ship"
        mask = rle.decode(row["EncodedPixels"], (192, 192))
        masks[row["ImageId"]] = masks.get(row["ImageId"], np.zeros((192, 192), bool)) | mask
    scenes: dict[str, np.ndarray] = {}
    for row in _rows(tmp_path / "truth.csv"):
        seen = scenes.setdefault(row["scene"], np.full((320, 320), -1, np.int8))
        window = seen[int(row["row0"]) :, int(row["col0"]) :][:192, :192]
        mask = masks[row["ImageId"]]
        # Slivers under 2 px at a tile's border have no label, so a pixel or two may differ.
        assert int(((window >= 0) & (window != mask)).sum()) <= 4
        window[:] = mask


def test_a_killed_call_resumes_and_gives_the_same_files(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    subprocess.run([sys.executable, str(script), str(tmp_path / "whole"), "2"], check=True)
    with subprocess.Popen([sys.executable, str(script), str(tmp_path / "cut"), "1"]) as process:
        images = tmp_path / "cut" / "train_v2"
        deadline = time.monotonic() + 60
        while len(list(images.glob("*.jpg")) if images.exists() else []) < 12 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = {path.name: path.stat().st_mtime_ns for path in images.glob("*.jpg")}
    assert 12 <= len(kept) < 60
    assert not (tmp_path / "cut" / "truth.csv").exists()
    summary = write_airbus_folder(
        tmp_path / "cut", images=60, seed=4, config=WorldConfig(size=192), overlap=0.4, workers=1
    )
    again = {name for name, written in kept.items() if (images / name).stat().st_mtime_ns != written}
    assert len(again) <= 9, "only the job that was cut off is made again"
    assert summary.num_kept >= len(kept) - 9
    assert _contents(tmp_path / "cut") == _contents(tmp_path / "whole")


def test_a_finished_folder_is_not_changed(tmp_path: Path) -> None:
    first = write_airbus_folder(tmp_path, images=6, seed=1, config=SMALL, workers=1)
    before = _contents(tmp_path)
    second = write_airbus_folder(tmp_path, images=6, seed=1, config=SMALL, workers=1)
    assert _contents(tmp_path) == before
    assert (first.num_made, first.num_kept, second.num_made, second.num_kept) == (6, 0, 0, 6)
    assert (second.num_ships, second.num_empty) == (first.num_ships, first.num_empty)


def test_a_missing_image_is_made_again(tmp_path: Path) -> None:
    write_airbus_folder(tmp_path, images=6, seed=1, config=SMALL, workers=1)
    before = _contents(tmp_path)
    (tmp_path / "train_v2" / image_id(1, 3)).unlink()
    assert write_airbus_folder(tmp_path, images=6, seed=1, config=SMALL, workers=1).num_made == 1
    assert _contents(tmp_path) == before


def test_other_parameters_in_an_existing_folder_are_refused_by_name(tmp_path: Path) -> None:
    write_airbus_folder(tmp_path, images=2, seed=1, config=SMALL, workers=1)
    with pytest.raises(ConfigError, match="was begun with seed = 1, now 2"):
        write_airbus_folder(tmp_path, images=2, seed=2, config=SMALL, workers=1)
    with pytest.raises(ConfigError, match=r"was begun with empty_share = 0\.4, now 0\.1"):
        write_airbus_folder(tmp_path, images=2, seed=1, config=WorldConfig(size=96, empty_share=0.1), workers=1)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(StorageError, match=r"is not empty and has no synth\.json"):
        write_airbus_folder(tmp_path, images=2, seed=1, config=SMALL)
    with pytest.raises(StorageError, match="is a file, not a folder"):
        write_airbus_folder(tmp_path / "holiday.jpg", images=2, seed=1, config=SMALL)


def test_a_damaged_parameter_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "synth.json").write_text("{")
    with pytest.raises(StorageError, match=r"synth\.json cannot be read"):
        write_airbus_folder(tmp_path, images=2, seed=1, config=SMALL)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"overlap": 1.5}, r"overlap must be between 0 and 1, got 1\.5"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"workers": 100_000}, "workers must be at most 256, got 100000"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], sentence: str
) -> None:
    good: dict[str, object] = {"images": 2, "seed": 1, "config": SMALL, "overlap": 0.0, "workers": 1}
    with pytest.raises(ConfigError, match=sentence):
        write_airbus_folder(tmp_path / "new", **(good | arguments))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(StorageError, match="a synthetic folder of 3 images needs"):
        write_airbus_folder(tmp_path / "a", images=3, seed=1, config=SMALL, workers=1)


def test_parameters_are_kept_readable(tmp_path: Path) -> None:
    write_airbus_folder(tmp_path, images=1, seed=1, config=SMALL, workers=1)
    kept = json.loads((tmp_path / "synth.json").read_text())
    assert (kept["images"], kept["seed"], kept["size"], kept["empty_share"]) == (1, 1, [96, 96], 0.4)


def test_workers_end_with_their_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shipseg", "synth", str(tmp_path / "world"), "--images", "500", "--workers", "2"]
    parent = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    _wait_until(lambda: len(_group(parent.pid)) > 2, seconds=30)
    parent.kill()
    parent.wait()
    _wait_until(lambda: not _group(parent.pid), seconds=20)


def _group(leader: int) -> list[str]:
    found = subprocess.run(["ps", "-e", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in found.splitlines())
    return [state for group, state in rows if int(group) == leader and not state.startswith("Z")]


def _wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
