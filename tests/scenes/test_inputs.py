"""Sorting inputs into scenes and images."""

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
    """A folder with a GeoTIFF, a TIFF without a georeference, a JPEG, a text, and a GeoTIFF in a subfolder."""
    write_scene(tmp_path / "geo.tif", ships_image(40, 50))
    cv2.imwrite(str(tmp_path / "plain.tif"), np.zeros((40, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.zeros((40, 50, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no raster")
    (tmp_path / "deeper").mkdir()
    write_scene(tmp_path / "deeper" / "other.tif", ships_image(40, 50))
    return tmp_path


def test_a_georeferenced_tiff_is_a_scene_and_another_is_an_image(folder: Path) -> None:
    assert is_scene(str(folder / "geo.tif"))
    assert not is_scene(str(folder / "plain.tif"))
    assert not is_scene(str(folder / "photo.jpg"))
    assert not is_scene(str(folder / "notes.txt"))


def test_a_large_tiff_without_a_georeference_is_a_scene(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_IMAGE_PX", 40 * 50 - 1)
    assert is_scene(str(folder / "plain.tif"))


def test_a_tiff_with_float_values_is_a_scene(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "float.tif"), np.zeros((40, 50), np.float32))
    assert is_scene(str(tmp_path / "float.tif"))


@pytest.mark.parametrize(
    "name", ["https://example.org/a.tif?sig=1", "s3://bucket/a.tif", "a.jp2", "/vsizip/a.zip/a.tif"]
)
def test_urls_and_formats_that_only_gdal_reads_are_scenes(name: str) -> None:
    assert is_scene(name)


def test_a_folder_of_scenes_and_images_is_sorted_without_the_results(folder: Path) -> None:
    write_scene(folder / "probability.tif", ships_image(40, 50))
    (folder / "out" / "geo").mkdir(parents=True)
    (folder / "probability.tif").rename(folder / "out" / "geo" / "probability.tif")
    scenes, images = sort_inputs([str(folder)], folder / "out")
    assert scenes == [str(folder / "geo.tif")]
    assert images == [folder / "photo.jpg", folder / "plain.tif"]
    scenes, _ = sort_inputs([str(folder)], folder / "out", recursive=True)
    assert scenes == [str(folder / "geo.tif"), str(folder / "deeper" / "other.tif")]


def test_a_folder_without_scenes_stays_a_folder(folder: Path) -> None:
    (folder / "geo.tif").unlink()
    assert sort_inputs([str(folder)], folder / "out") == ([], [folder])


def test_a_missing_or_broken_tiff_beside_scenes_counts_as_a_scene(folder: Path) -> None:
    broken = folder / "broken.tif"
    broken.write_bytes((folder / "geo.tif").read_bytes()[:100])
    given = [str(folder / "geo.tif"), str(folder / "missing.tif"), str(broken)]
    assert sort_inputs(given, folder / "out") == (given, [])
    assert sort_inputs(given[1:], folder / "out") == ([], [Path(given[1]), broken])


def test_a_missing_or_broken_tiff_counts_as_a_scene_if_scenes_are_expected(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "folder.tif").mkdir()
    given = [str(tmp_path / name) for name in ("text.tif", "missing.tif", "folder.tif")]
    assert sort_inputs(given, tmp_path / "out", for_scenes=True) == (given[:2], [Path(given[2])])


def test_a_name_that_is_not_utf8_does_not_stop_the_sorting(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "geo.tif", ships_image(40, 50)).rename(tmp_path / "a\udcffb.tif")
    assert sort_inputs([str(path)], tmp_path / "out") == ([], [path])


def test_scenes_of_the_same_name_get_unique_names() -> None:
    assert scene_names(["a/x.tif", "b/x.tif", "https://h.org/y.tif?t=1"]) == ["a__x", "b__x", "y"]
    assert scene_names(["x.tif", "x.jp2"]) == ["x.tif", "x.jp2"]
