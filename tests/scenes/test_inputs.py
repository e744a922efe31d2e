"""What is a scene and what is a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from run_scene import ships_image, write_scene
from shipseg.scenes import inputs
from shipseg.scenes.inputs import is_scene, scene_names, sort_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A GeoTIFF, a TIFF without place, a JPEG and a text, and another GeoTIFF in a folder inside."""
    write_scene(tmp_path / "geo.tif", ships_image(40, 50))
    cv2.imwrite(str(tmp_path / "plain.tif"), np.zeros((40, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.zeros((40, 50, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no raster")
    (tmp_path / "deeper").mkdir()
    write_scene(tmp_path / "deeper" / "other.tif", ships_image(40, 50))
    return tmp_path


def test_a_tiff_with_a_place_is_a_scene_and_one_without_is_a_picture(folder: Path) -> None:
    assert is_scene(str(folder / "geo.tif"))
    assert not is_scene(str(folder / "plain.tif"))
    assert not is_scene(str(folder / "photo.jpg"))
    assert not is_scene(str(folder / "notes.txt"))


def test_a_large_tiff_without_place_is_a_scene(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_PICTURE_PX", 40 * 50 - 1)
    assert is_scene(str(folder / "plain.tif"))


def test_values_that_no_picture_has_make_a_scene(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "float.tif"), np.zeros((40, 50), np.float32))
    assert is_scene(str(tmp_path / "float.tif"))


@pytest.mark.parametrize(
    "name", ["https://example.org/a.tif?sig=1", "s3://bucket/a.tif", "a.jp2", "/vsizip/a.zip/a.tif"]
)
def test_addresses_and_what_only_gdal_reads_are_scenes(name: str) -> None:
    assert is_scene(name)


def test_a_folder_of_scenes_and_pictures_is_sorted_and_results_are_never_taken(folder: Path) -> None:
    write_scene(folder / "probability.tif", ships_image(40, 50))
    (folder / "out" / "geo").mkdir(parents=True)
    (folder / "probability.tif").rename(folder / "out" / "geo" / "probability.tif")
    scenes, pictures = sort_inputs([str(folder)], folder / "out")
    assert scenes == [str(folder / "geo.tif")]
    assert pictures == [folder / "photo.jpg", folder / "plain.tif"]
    scenes, _ = sort_inputs([str(folder)], folder / "out", recursive=True)
    assert scenes == [str(folder / "geo.tif"), str(folder / "deeper" / "other.tif")]


def test_a_folder_without_scenes_stays_a_folder(folder: Path) -> None:
    (folder / "geo.tif").unlink()
    assert sort_inputs([str(folder)], folder / "out") == ([], [folder])


def test_beside_scenes_a_missing_or_broken_tiff_is_a_scene_that_will_fail(folder: Path) -> None:
    broken = folder / "broken.tif"
    broken.write_bytes((folder / "geo.tif").read_bytes()[:100])
    given = [str(folder / "geo.tif"), str(folder / "missing.tif"), str(broken)]
    assert sort_inputs(given, folder / "out") == (given, [])
    assert sort_inputs(given[1:], folder / "out") == ([], [Path(given[1]), broken])


def test_where_scenes_are_asked_for_a_broken_tiff_is_one_that_will_fail(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "folder.tif").mkdir()
    given = [str(tmp_path / name) for name in ("text.tif", "missing.tif", "folder.tif")]
    assert sort_inputs(given, tmp_path / "out", for_scenes=True) == (given[:2], [Path(given[2])])


def test_a_name_that_is_no_utf8_does_not_stop_the_sorting(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "geo.tif", ships_image(40, 50)).rename(tmp_path / "a\udcffb.tif")
    assert sort_inputs([str(path)], tmp_path / "out") == ([], [path])


def test_scenes_of_one_name_get_different_ones() -> None:
    assert scene_names(["a/x.tif", "b/x.tif", "https://h.org/y.tif?t=1"]) == ["a__x", "b__x", "y"]
    assert scene_names(["x.tif", "x.jp2"]) == ["x.tif", "x.jp2"]
