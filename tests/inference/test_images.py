"""Prediction of image files and folders: inputs, output files, tables and failures."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.errors import ConfigError, DataError, StorageError
from shipseg.inference import images
from shipseg.inference.images import PredictOptions, find_images, predict_images
from shipseg.inference.predictor import Predictor
from shipseg.masks.rle import decode_many
from shipseg.model.card import Card, CardInput

SHIP = (slice(20, 26), slice(10, 40))


class RedBackend:
    """A network that takes red for ship."""

    pixels_per_batch = 64 * 64

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        return images_n3hw[:, :1] / np.float32(255)


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(Card(input=CardInput(tile=64, overlap=16), decision=Decision(threshold=0.6)), RedBackend())


def sea_with_ship(height: int = 50, width: int = 70) -> NDArray[np.uint8]:
    image_hwc = np.full((height, width, 3), (10, 40, 60), np.uint8)
    image_hwc[SHIP] = 255
    return image_hwc


def write(path: Path, image: NDArray[np.integer]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = image[:, :, ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
    assert cv2.imwrite(str(path), image)
    return path


def read_mask(path: Path) -> NDArray[np.uint8]:
    mask_hw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert mask_hw is not None
    assert mask_hw.dtype == np.uint8
    return mask_hw.astype(np.uint8)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_image_gets_a_mask_an_overlay_and_a_row(tmp_path: Path, predictor: Predictor) -> None:
    image = write(tmp_path / "a.png", sea_with_ship())
    report = predict_images([image], tmp_path / "out", predictor)
    mask_hw = read_mask(tmp_path / "out" / "masks" / "a.png")
    expected_hw = np.zeros((50, 70), np.uint8)
    expected_hw[SHIP] = 255
    np.testing.assert_array_equal(mask_hw, expected_hw)
    overlay = cv2.imread(str(tmp_path / "out" / "overlays" / "a.jpg"))
    assert overlay is not None
    assert overlay.shape == (50, 70, 3)
    assert np.abs(overlay[18, 25].astype(int) - (60, 40, 10)).max() > 20, "something is drawn above the ship"
    (row,) = read_rows(tmp_path / "out" / "ships.csv")
    assert (row["image"], row["ship"], row["area_px"], row["length_px"]) == ("a.png", "1", "180", "30.00")
    assert (report.num_images, report.num_ships, report.num_images_with_ships, report.ok) == (1, 1, 1, True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks", "overlays", "ships.csv"]
    assert set(report.written) == set((tmp_path / "out").iterdir())


def variants() -> dict[str, tuple[str, NDArray[np.integer]]]:
    rgb_hwc = sea_with_ship()
    grey_hw = rgb_hwc[:, :, 0]
    alpha_hwc = np.dstack([rgb_hwc[:, :, ::-1], np.full(grey_hw.shape, 9, np.uint8)])
    return {
        "PNG": ("a.png", rgb_hwc),
        "JPEG": ("a.jpg", rgb_hwc),
        "TIFF": ("a.tif", rgb_hwc),
        "grey PNG": ("a.png", grey_hw),
        "grey TIFF": ("a.tiff", grey_hw),
        "RGBA PNG": ("a.png", alpha_hwc),
        "16-bit PNG": ("a.png", rgb_hwc.astype(np.uint16) * 257),
        "12-bit grey TIFF": ("a.tif", grey_hw.astype(np.uint16) * 16),
        "capitals": ("A.PNG", rgb_hwc),
    }


@pytest.mark.parametrize("kind", variants())
def test_the_ship_is_found_in_every_kind_of_file(tmp_path: Path, predictor: Predictor, kind: str) -> None:
    name, image = variants()[kind]
    report = predict_images([write(tmp_path / name, image)], tmp_path / "out", predictor)
    assert report.ok
    mask_hw = read_mask(tmp_path / "out" / "masks" / f"{Path(name).stem}.png")
    expected_hw = np.zeros((50, 70), bool)
    expected_hw[SHIP] = True
    # JPEG blurs colours across the ship's edge.
    assert ((mask_hw > 0) != expected_hw).mean() < (0.03 if kind == "JPEG" else 1e-9)


def test_a_photograph_turned_by_its_exif_mark_is_turned_back(tmp_path: Path, predictor: Predictor) -> None:
    data = bytearray(cv2.imencode(".jpg", sea_with_ship()[:, :, ::-1])[1].tobytes())
    # An APP1 segment right after the start of the image: TIFF header, one entry, orientation 6 (turn clockwise).
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    exif = b"Exif\0\0" + b"II*\0\x08\x00\x00\x00" + b"\x01\x00" + entry + b"\0\0\0\0"
    data[2:2] = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "a.jpg").write_bytes(bytes(data))
    predict_images([tmp_path / "a.jpg"], tmp_path / "out", predictor)
    mask_hw = read_mask(tmp_path / "out" / "masks" / "a.png")
    assert mask_hw.shape == (70, 50)
    rows, columns = np.nonzero(mask_hw)
    # Row r of 50 becomes column 49 - r; column c becomes row c.
    assert abs(rows.mean() - 24.5) < 1
    assert abs(columns.mean() - (49 - 22.5)) < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (33, 31), (64, 65), (200, 150)])
def test_images_of_any_size_get_masks_of_their_size(
    tmp_path: Path, predictor: Predictor, shape: tuple[int, int]
) -> None:
    image = write(tmp_path / "a.png", np.full((*shape, 3), 255, np.uint8))
    predict_images([image], tmp_path / "out", predictor)
    mask_hw = read_mask(tmp_path / "out" / "masks" / "a.png")
    assert mask_hw.shape == shape
    assert (mask_hw == 255).all()


def test_one_bad_file_does_not_stop_a_folder_and_is_reported(tmp_path: Path, predictor: Predictor) -> None:
    write(tmp_path / "in" / "a.png", sea_with_ship())
    (tmp_path / "in" / "b.png").write_bytes(b"not an image")
    whole = write(tmp_path / "c.png", sea_with_ship()).read_bytes()
    (tmp_path / "in" / "c.png").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "in" / "d.png", sea_with_ship())
    report = predict_images(
        [tmp_path / "in"], tmp_path / "out", predictor, PredictOptions(submission=tmp_path / "s.csv")
    )
    assert not report.ok
    assert [(failure.path.name, failure.reason) for failure in report.failed] == [
        ("b.png", "unsupported"),
        ("c.png", "truncated"),
    ]
    assert (report.num_images, report.num_ships) == (4, 2)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["a.png", "d.png"]
    rows = read_rows(tmp_path / "out" / "failed.csv")
    assert [(Path(row["image"]).name, row["reason"]) for row in rows] == [
        ("b.png", "unsupported"),
        ("c.png", "truncated"),
    ]
    assert all(row["message"] for row in rows)
    summary = report.as_dict()
    assert (summary["failed"], list(summary["failures"])) == (2, ["b.png", "c.png"])
    json.dumps(summary)
    # A submission lists every image, without ships where it could not be read.
    ids = [(row["ImageId"], bool(row["EncodedPixels"])) for row in read_rows(tmp_path / "s.csv")]
    assert ids == [("a.png", True), ("b.png", False), ("c.png", False), ("d.png", True)]


def test_the_list_of_failures_is_removed_when_they_are_fixed(tmp_path: Path, predictor: Predictor) -> None:
    bad = tmp_path / "a.png"
    bad.write_bytes(b"not an image")
    assert not predict_images([bad], tmp_path / "out", predictor).ok
    write(bad, sea_with_ship())
    assert predict_images([bad], tmp_path / "out", predictor).ok
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_the_submission_holds_the_masks(tmp_path: Path, predictor: Predictor) -> None:
    image_hwc = sea_with_ship()
    image_hwc[40:45, 50:60] = 255
    write(tmp_path / "in" / "b.png", image_hwc)
    write(tmp_path / "in" / "a.png", np.zeros((50, 70, 3), np.uint8))
    options = PredictOptions(submission=tmp_path / "deep" / "submission.csv", overlays=False)
    report = predict_images([tmp_path / "in"], tmp_path / "out", predictor, options)
    rows = read_rows(tmp_path / "deep" / "submission.csv")
    assert [(row["ImageId"], bool(row["EncodedPixels"])) for row in rows] == [
        ("a.png", False),
        ("b.png", True),
        ("b.png", True),
    ]
    mask_hw = read_mask(tmp_path / "out" / "masks" / "b.png")
    np.testing.assert_array_equal(decode_many([row["EncodedPixels"] for row in rows[1:]], (50, 70)), mask_hw > 0)
    assert tmp_path / "deep" / "submission.csv" in report.written
    assert not (tmp_path / "out" / "overlays").exists()


def test_one_name_in_two_folders_is_written_twice_but_is_no_submission(tmp_path: Path, predictor: Predictor) -> None:
    folders = [tmp_path / "north", tmp_path / "south"]
    for folder in folders:
        write(folder / "a.png", sea_with_ship())
    predict_images(folders, tmp_path / "out", predictor)
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == [
        "north__a.png.png",
        "south__a.png.png",
    ]
    assert [row["image"] for row in read_rows(tmp_path / "out" / "ships.csv")] == [
        str(folder / "a.png") for folder in folders
    ]
    with pytest.raises(ConfigError, match=r"a\.png is the name of several images"):
        predict_images(folders, tmp_path / "out2", predictor, PredictOptions(submission=tmp_path / "s.csv"))
    assert not (tmp_path / "out2").exists()


def test_coco_is_written_beside_the_csv_when_requested(tmp_path: Path, predictor: Predictor) -> None:
    image = write(tmp_path / "a.png", sea_with_ship())
    predict_images([image], tmp_path / "out", predictor, PredictOptions(formats=("coco",)))
    value = json.loads((tmp_path / "out" / "ships.coco.json").read_text())
    assert [annotation["bbox"] for annotation in value["annotations"]] == [[10, 20, 30, 6]]
    assert (tmp_path / "out" / "ships.csv").is_file()


def test_a_threshold_that_is_given_is_used(tmp_path: Path, predictor: Predictor) -> None:
    image_hwc = np.full((40, 40, 3), 0, np.uint8)
    image_hwc[10:20, 10:20] = 128
    image = write(tmp_path / "a.png", image_hwc)
    assert predict_images([image], tmp_path / "out", predictor).num_ships == 0
    assert predict_images([image], tmp_path / "out", predictor, PredictOptions(threshold=0.5)).num_ships == 1


def test_running_again_gives_the_same_files_whatever_was_left_there(tmp_path: Path, predictor: Predictor) -> None:
    write(tmp_path / "in" / "a.png", sea_with_ship())
    out = tmp_path / "in" / "out"  # inside the input

    def state() -> dict[str, str]:
        files = [path for path in out.rglob("*") if path.is_file()]
        return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    predict_images([tmp_path / "in"], out, predictor)
    first = state()
    (out / "masks" / "a.png").write_bytes(b"half a")
    (out / "masks" / ".a.png.999999999.part").write_bytes(b"half a")
    (out / ".ships.csv.999999999.part").write_bytes(b"half a")
    predict_images([tmp_path / "in"], out, predictor)
    assert state() == first


def test_a_killed_run_leaves_no_partial_file_and_the_next_run_finishes(tmp_path: Path, predictor: Predictor) -> None:
    for number in range(60):
        write(tmp_path / "in" / f"{number:02}.png", sea_with_ship(300, 400))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_images as t\n"
        "from shipseg.inference.images import *; from shipseg.inference.predictor import Predictor\n"
        "from shipseg.model.card import Card\n"
        "print('ready', flush=True)\n"
        "predict_images([Path(sys.argv[2])], Path(sys.argv[3]), Predictor(Card(), t.RedBackend()))"
    )
    for kill in range(3):
        command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "in"), str(tmp_path / "out")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.02 + 0.03 * kill)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it had finished: nothing was shown"
        process.stdout.close()
        for path in (tmp_path / "out" / "masks").glob("[!.]*"):
            assert read_mask(path).shape == (300, 400)
    report = predict_images([tmp_path / "in"], tmp_path / "out", predictor)
    assert report.num_ships == 60
    assert [path for path in (tmp_path / "out").rglob("*") if path.name.endswith(".part")] == []


def test_an_overlay_above_the_size_limit_is_downscaled(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_MAX_OVERLAY_SIDE_PX", 35)
    image = write(tmp_path / "a.png", sea_with_ship())
    predict_images([image], tmp_path / "out", predictor)
    overlay = cv2.imread(str(tmp_path / "out" / "overlays" / "a.jpg"))
    assert overlay is not None
    assert overlay.shape == (25, 35, 3)
    assert read_mask(tmp_path / "out" / "masks" / "a.png").shape == (50, 70)


def test_unknown_formats_and_impossible_thresholds_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="unknown format 'coca', did you mean 'coco'"):
        PredictOptions(formats=("coca",))
    with pytest.raises(ConfigError, match="threshold must be above 0 and at most 1, got 1.5"):
        PredictOptions(threshold=1.5)


def test_inputs_that_are_not_there_are_refused_before_anything_is_written(tmp_path: Path, predictor: Predictor) -> None:
    with pytest.raises(DataError, match=r"nowhere\.png"):
        predict_images([tmp_path / "nowhere.png"], tmp_path / "out", predictor)
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_output_should_go_is_named(tmp_path: Path, predictor: Predictor) -> None:
    image = write(tmp_path / "a.png", sea_with_ship())
    (tmp_path / "out").write_text("I was here first")
    with pytest.raises(StorageError, match="out"):
        predict_images([image], tmp_path / "out", predictor)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_that_may_not_be_written_is_named(tmp_path: Path, predictor: Predictor) -> None:
    image = write(tmp_path / "a.png", sea_with_ship())
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="locked"):
        predict_images([image], tmp_path / "locked" / "out", predictor)


def make(root: Path, *names: str) -> list[Path]:
    """Make files (their content does not matter here) and return their paths."""
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return paths


def called(inputs: list[Path], out: Path) -> dict[str, str]:
    return {image.label: image.name for image in find_images(inputs, out)}


def test_a_folder_stands_for_the_images_directly_in_it_sorted_by_name(tmp_path: Path) -> None:
    make(tmp_path, "in/b.JPG", "in/a.png", "in/.hidden.png", "in/notes.txt", "in/deeper/c.png")
    assert called([tmp_path / "in"], tmp_path / "out") == {"a.png": "a", "b.JPG": "b"}


def test_files_are_taken_in_the_order_given_whatever_their_ending(tmp_path: Path) -> None:
    files = make(tmp_path, "z.png", "a.image")
    assert list(called(files, tmp_path / "out")) == ["z.png", "a.image"]


def test_an_image_given_twice_is_predicted_once(tmp_path: Path) -> None:
    (file,) = make(tmp_path, "in/a.png")
    again = tmp_path / "in" / ".." / "in" / "a.png"
    assert called([tmp_path / "in", file, again], tmp_path / "out") == {"a.png": "a"}


def test_two_links_to_one_file_are_two_images_with_their_own_names(tmp_path: Path) -> None:
    (file,) = make(tmp_path, "store/0123.png")
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).symlink_to(file)
    assert called([tmp_path / "in"], tmp_path / "out") == {"a.png": "a", "b.png": "b"}


def test_one_stem_with_two_endings_gives_two_names(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/a.jpg", "in/b.png")
    assert called([tmp_path / "in"], tmp_path / "out") == {"a.jpg": "a.jpg", "a.png": "a.png", "b.png": "b"}


def test_one_file_name_in_two_folders_gets_the_folder_in_its_name(tmp_path: Path) -> None:
    north, south, other = make(tmp_path, "north/a.png", "south/a.png", "south/b.png")
    assert called([tmp_path / "north", tmp_path / "south"], tmp_path / "out") == {
        str(north): "north__a.png",
        str(south): "south__a.png",
        other.name: "b",
    }


def test_as_many_parent_folders_as_needed_make_names_unique(tmp_path: Path) -> None:
    files = make(tmp_path, "x/day/a.png", "y/day/a.png", "y/night/a.png")
    names = [image.name for image in find_images(files, tmp_path / "out")]
    assert names == ["x__day__a.png", "y__day__a.png", "night__a.png"]


def test_a_name_made_from_folders_does_not_collide_with_a_file_of_that_name(tmp_path: Path) -> None:
    files = make(tmp_path, "north/a.png", "south/a.png", "south/north__a.png.jpg")
    names = [image.name for image in find_images(files, tmp_path / "out")]
    assert len(set(names)) == 3


def test_earlier_results_are_never_used_as_input(tmp_path: Path) -> None:
    """Neither with the output folder inside the input folder nor with a shell's star."""
    make(tmp_path, "in/a.png", "in/out/masks/a.png", "in/out/overlays/a.jpg", "in/masks/a.png")
    assert called([tmp_path / "in"], tmp_path / "in" / "out") == {"a.png": "a"}
    star = sorted((tmp_path / "in").iterdir())
    assert called(star, tmp_path / "in")["a.png"] == "a"
    assert len(called(star, tmp_path / "in")) == 1


def test_only_earlier_results_are_no_input(tmp_path: Path) -> None:
    make(tmp_path, "out/masks/a.png")
    with pytest.raises(DataError, match="nothing but results of an earlier run"):
        find_images([tmp_path / "out" / "masks"], tmp_path / "out")


def test_no_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to predict"):
        find_images([], tmp_path / "out")


def test_an_input_that_is_not_there_is_named_before_any_work(tmp_path: Path) -> None:
    files = make(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"there is no image or folder .*b\.png"):
        find_images([*files, tmp_path / "b.png"], tmp_path / "out")


def test_a_folder_without_images_is_refused_with_the_valid_suffixes(tmp_path: Path) -> None:
    make(tmp_path, "in/notes.txt", "in/deeper/a.png")
    with pytest.raises(
        DataError, match=r"in holds no image \(.*\.jpg.*\); subfolders are not searched: give --recursive"
    ):
        find_images([tmp_path / "in"], tmp_path / "out")


def test_a_file_name_that_is_not_unicode_is_shown_readably(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes(b"")
    (label,) = called([tmp_path], tmp_path / "out")
    assert label.encode("utf-8") == b"caf\\udce9.png"


def test_subfolders_are_searched_only_with_recursive_and_otherwise_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "in/a.png", "in/b/a.png", "in/b/c/d.png", "in/.hidden/e.png", "in/notes/f.txt", "in/out/masks/a.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    inputs, out = [tmp_path / "in"], tmp_path / "in" / "out"
    assert [image.name for image in find_images(inputs, out)] == ["a"]
    assert caplog.messages == [
        f"skipping 2 subfolders with images in {tmp_path / 'in'}: give --recursive to include them"
    ]
    caplog.clear()
    assert [image.name for image in find_images(inputs, out, recursive=True)] == ["in__a.png", "b__a.png", "d"]
    assert caplog.messages == []


def test_results_are_not_written_among_the_images(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/masks/a.png")
    with pytest.raises(ConfigError, match=r"among the images in .*in: choose another folder"):
        find_images([tmp_path / "in"], tmp_path / "in" / ".")
