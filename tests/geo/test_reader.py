"""Reading scenes of every kind: the values in the file come back, and errors are one sentence."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from georasters import NORTH_UP, damaged, make_raster
from shipseg.errors import ConfigError, DataError
from shipseg.geo.reader import acquisition_time, open_scene, sample_windows
from shipseg.resizing import resize
from shipseg.tiling import Window

TILED: dict[str, Any] = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


@pytest.fixture(autouse=True)
def _no_output_on_stderr(capfd: pytest.CaptureFixture[str]) -> Any:
    yield
    assert capfd.readouterr().err == ""


def noise(*shape: int, dtype: str = "uint8", top: int = 256) -> NDArray[Any]:
    return np.random.default_rng(7).integers(0, top, shape).astype(dtype)


def whole(path: Path, **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    with open_scene(path, **options) as scene:
        return scene.read(Window(0, 0, scene.height, scene.width))


def test_8_bit_values_are_read_unchanged_in_every_window(tmp_path: Path) -> None:
    values = noise(3, 150, 170)
    with open_scene(make_raster(tmp_path / "a.tif", values, **TILED)) as scene:
        assert (scene.name, scene.height, scene.width, scene.bands, scene.dtype) == ("a", 150, 170, (1, 2, 3), "uint8")
        assert scene.metres_per_pixel_rc == pytest.approx((1.5, 1.5), rel=1e-3)
        for window in (Window(0, 0, 150, 170), Window(60, 33, 70, 90), Window(149, 169, 1, 1)):
            rgb, valid = scene.read(window)
            np.testing.assert_array_equal(rgb, np.moveaxis(values, 0, -1)[window.slices])
            assert rgb.flags.c_contiguous
            assert valid.all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_scenes_of_a_few_pixels_are_read(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = noise(3, *shape)
    rgb, _ = whole(make_raster(tmp_path / "a.tif", values))
    np.testing.assert_array_equal(rgb, np.moveaxis(values, 0, -1))


@pytest.mark.parametrize("out_shape", [(64, 64), (40, 100), (300, 333), (128, 60), (1, 1)])
def test_windows_are_resized_as_images_are(tmp_path: Path, out_shape: tuple[int, int]) -> None:
    values = noise(3, 130, 128)
    with open_scene(make_raster(tmp_path / "a.tif", values)) as scene:
        rgb, valid = scene.read(Window(0, 0, 130, 128), out_shape)
    np.testing.assert_array_equal(rgb, resize(np.ascontiguousarray(np.moveaxis(values, 0, -1)), out_shape))
    assert valid.shape == out_shape
    assert valid.all()


def test_shrinking_one_side_and_growing_the_other_counts_every_pixel(tmp_path: Path) -> None:
    values = np.zeros((3, 64, 64), "uint8")
    values[:, :, ::4] = 200  # bilinear sampling would take all or none of these columns
    with open_scene(make_raster(tmp_path / "a.tif", values)) as scene:
        rgb, _ = scene.read(Window(0, 0, 64, 64), (128, 16))
    assert np.unique(rgb).tolist() == [50]


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    values = noise(1, 20, 30)
    rgb, _ = whole(make_raster(tmp_path / "a.tif", values))
    np.testing.assert_array_equal(rgb, np.repeat(values[0][..., None], 3, axis=2))


def test_grey_with_alpha_is_valid_where_it_is_not_transparent(tmp_path: Path) -> None:
    values = noise(2, 20, 30)
    values[1] = 0
    values[1, 5:, :] = 1
    rgb, valid = whole(make_raster(tmp_path / "a.tif", values, colours=("gray", "alpha")))
    assert (valid == (values[1] > 0)).all()
    np.testing.assert_array_equal(rgb[..., 2], np.where(valid, values[0], 0))


def test_rgb_with_alpha_is_valid_where_it_is_not_transparent(tmp_path: Path) -> None:
    values = noise(4, 20, 30)
    values[3] = np.where(np.arange(30) < 10, 0, 255)
    rgb, valid = whole(make_raster(tmp_path / "a.tif", values, colours=("red", "green", "blue", "alpha")))
    np.testing.assert_array_equal(valid, values[3] > 0)
    np.testing.assert_array_equal(rgb[:, 10:], np.moveaxis(values[:3, :, 10:], 0, -1))
    assert not rgb[:, :10].any()


def test_an_internal_mask_gives_the_valid_pixels(tmp_path: Path) -> None:
    mask = np.indices((20, 30)).sum(axis=0) > 15
    _, valid = whole(make_raster(tmp_path / "a.tif", noise(3, 20, 30), mask_hw=mask))
    np.testing.assert_array_equal(valid, mask)


def test_a_pixel_has_no_data_only_if_all_bands_have_the_nodata_value(tmp_path: Path) -> None:
    values = noise(3, 20, 30, top=255) + np.uint8(1)
    values[:, :4] = 0
    values[1, 10, 10] = 0  # one dark band does not make no data
    _, valid = whole(make_raster(tmp_path / "a.tif", values, nodata=0))
    np.testing.assert_array_equal(valid, np.arange(20)[:, None].repeat(30, axis=1) >= 4)


def test_nan_and_infinity_are_no_data(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 0.3, (3, 20, 30)).astype("float32")
    values[0, 1, 1], values[1, 2, 2], values[2, 3, 3] = np.nan, np.inf, -np.inf
    rgb, valid = whole(make_raster(tmp_path / "a.tif", values))
    assert [tuple(place) for place in np.argwhere(~valid)] == [(1, 1), (2, 2), (3, 3)]
    assert not rgb[~valid].any()


def test_no_data_does_not_darken_its_neighbours_when_resized(tmp_path: Path) -> None:
    values = np.full((3, 40, 40), 100, "uint8")
    values[:, :, :19] = 0
    with open_scene(make_raster(tmp_path / "a.tif", values, nodata=0)) as scene:
        rgb, valid = scene.read(Window(0, 0, 40, 40), (10, 10))
    assert valid[:, 5:].all()
    assert not valid[:, :4].any()
    assert set(np.unique(rgb[valid])) == {100}
    assert not rgb[~valid].any()


def test_a_paletted_band_is_read_in_the_palettes_colours(tmp_path: Path) -> None:
    values = np.array([[[0, 1], [2, 3]]], "uint8")
    palette = {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (200, 100, 0, 255), 3: (9, 9, 9, 255)}
    path = make_raster(tmp_path / "a.tif", values, palette=palette, nodata=0)
    rgb, valid = whole(path)
    assert rgb[valid].tolist() == [[40, 50, 60], [200, 100, 0], [9, 9, 9]]
    with open_scene(path) as scene:
        assert "palette" in scene.notes[0]


def test_bands_are_selected_by_their_names_in_the_file(tmp_path: Path) -> None:
    values = noise(5, 10, 10)
    by_colour = make_raster(tmp_path / "a.tif", values, colours=("blue", "green", "red", "undefined", "undefined"))
    by_name = make_raster(tmp_path / "b.tif", values, descriptions=("Coastal", "Blue", "Green", "Red", "NIR"))
    unnamed = make_raster(tmp_path / "c.tif", values, photometric="minisblack")
    found = {}
    for path in (by_colour, by_name, unnamed):
        with open_scene(path) as scene:
            found[path.stem] = (scene.bands, "does not name" in scene.notes[0])
    assert found == {"a": ((3, 2, 1), False), "b": ((4, 3, 2), False), "c": ((1, 2, 3), True)}


def test_requested_bands_are_read(tmp_path: Path) -> None:
    values = noise(4, 10, 10)
    path = make_raster(tmp_path / "a.tif", values, photometric="minisblack")
    np.testing.assert_array_equal(whole(path, bands=[4, 1, 2])[0], np.moveaxis(values[[3, 0, 1]], 0, -1))
    np.testing.assert_array_equal(whole(path, bands=[3])[0][..., 0], values[2])
    with pytest.raises(ConfigError, match=r"there is no band 5 in .*a.tif: its bands are 1 to 4"):
        open_scene(path, bands=[1, 2, 5])
    with pytest.raises(ConfigError, match="one .grey. or three .* numbers, got 2: 1, 2"):
        open_scene(path, bands=[1, 2])


def test_an_alpha_band_requested_as_a_colour_masks_nothing(tmp_path: Path) -> None:
    values = noise(4, 10, 10, top=2)
    path = make_raster(tmp_path / "a.tif", values, colours=("red", "green", "blue", "alpha"))
    rgb, valid = whole(path, bands=[4, 1, 2])  # for example near infrared that a program labelled as alpha
    np.testing.assert_array_equal(rgb, np.moveaxis(values[[3, 0, 1]], 0, -1))
    assert valid.all()
    with open_scene(path) as scene:
        assert "band 4 is alpha" in scene.notes[0]


def test_16_bit_values_are_stretched_as_requested(tmp_path: Path) -> None:
    values = noise(3, 20, 30, dtype="uint16", top=4000)
    path = make_raster(tmp_path / "a.tif", values)
    rgb, _ = whole(path, stretch="100,2100")
    expected = np.clip(np.rint((values.astype(float) - 100) * 255 / 2000), 0, 255)
    np.testing.assert_array_equal(rgb, np.moveaxis(expected, 0, -1))
    with open_scene(path, stretch="100,2100") as scene:
        assert "values 100 to 2100 are stretched to 0-255 (as requested)" in scene.notes


def test_the_chosen_stretch_does_not_depend_on_the_window(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", noise(3, 90, 80, dtype="uint16", top=3000))
    with open_scene(path) as scene:
        everything, _ = scene.read(Window(0, 0, 90, 80))
        part, _ = scene.read(Window(11, 22, 30, 40))
    np.testing.assert_array_equal(part, everything[11:41, 22:62])


def test_a_stretch_is_chosen_from_samples_all_over_a_large_scene(tmp_path: Path) -> None:
    values = np.full((1, 4500, 4500), 300, "uint16")
    values[:, 2000:, :] = 500
    path = make_raster(tmp_path / "a.tif", values, **TILED)
    with open_scene(path, stretch="percent:0,100") as scene:
        assert (scene.stretch.low, scene.stretch.high) == (300, 500)


def test_a_stretch_is_chosen_from_overviews_if_there_are_some(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", noise(1, 2100, 2100, dtype="uint16", top=1000), **TILED)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    with open_scene(path, stretch="percent:50,100") as scene:
        assert scene.stretch.low == pytest.approx(500, abs=5)


def test_a_read_from_overviews_is_close_to_the_means_of_the_pixels(tmp_path: Path) -> None:
    values = np.kron(noise(3, 16, 16), np.ones((1, 64, 64), "uint8"))
    with open_scene(make_raster(tmp_path / "a.tif", values, **TILED)) as scene:
        exact, _ = scene.read(Window(0, 0, 1024, 1024), (64, 64))
        preview, valid = scene.read(Window(0, 0, 1024, 1024), (64, 64), from_overviews=True)
    assert np.abs(preview.astype(int) - exact).max() <= 1
    assert valid.all()


def test_the_acquisition_time_is_read_from_the_tiff(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", noise(3, 4, 4), tags={"TIFFTAG_DATETIME": "2026:05:04 10:11:12"})
    with open_scene(path) as scene:
        assert scene.acquired == "2026-05-04T10:11:12"


def test_a_given_pixel_size_takes_precedence(tmp_path: Path) -> None:
    with open_scene(make_raster(tmp_path / "a.tif", noise(3, 4, 4), crs=None), metres_per_pixel=3.0) as scene:
        assert scene.metres_per_pixel_rc == (3.0, 3.0)
        assert scene.georef.kind == "none"
    with pytest.raises(ConfigError, match="metres_per_pixel must be above 0, got -1"):
        open_scene(tmp_path / "a.tif", metres_per_pixel=-1)


def test_rows_come_before_columns_in_metres_per_pixel(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", noise(3, 4, 4), transform=(1.0, 0, 5e5, 0, -2.0, 6e6))
    with open_scene(path) as scene:
        assert scene.metres_per_pixel_rc == pytest.approx((2.0, 1.0), rel=1e-3)


def test_a_fingerprint_changes_with_the_version_of_the_file(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", noise(3, 40, 40))
    with open_scene(path) as scene:
        first = scene.fingerprint()
        assert first == scene.fingerprint()
    assert first["header"] == hashlib.sha256(path.read_bytes()[:65536]).hexdigest()
    os.utime(path, ns=(1, 1))
    with open_scene(path) as scene:
        assert scene.fingerprint() == first | {"modified_ns": 1}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_sparse_scene_of_forty_gigapixels_opens_within_seconds(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    size = {"width": 200_000, "height": 200_000, "count": 3, "dtype": dtype, "transform": rasterio.Affine(*NORTH_UP)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "SPARSE_OK": True, "BIGTIFF": "YES"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32631", **size, **layout):
        pass
    start = time.perf_counter()
    with open_scene(path) as scene:
        rgb, valid = scene.read(Window(199_000, 199_000, 768, 768))
    assert time.perf_counter() - start < 5
    assert not rgb.any()
    assert valid.all()


@pytest.mark.parametrize(
    ("compress", "photometric"), [("deflate", "RGB"), ("lzw", "RGB"), ("zstd", "RGB"), ("jpeg", "YCBCR")]
)
def test_a_damaged_tile_is_reported_with_its_window(tmp_path: Path, compress: str, photometric: str) -> None:
    kind = TILED | {"compress": compress, "photometric": photometric}
    path = damaged(make_raster(tmp_path / "a.tif", noise(3, 256, 256), **kind), share=0.5, length=4000)
    with open_scene(path) as scene:
        rgb, _ = scene.read(Window(0, 0, 64, 256))
        assert rgb.shape == (64, 256, 3)
        with pytest.raises(
            DataError, match=r"a.tif cannot be read in rows 64-255, columns 0-255 \(.+\): the file is damaged there"
        ) as error:
            scene.read(Window(64, 0, 192, 256))
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_reported_with_the_window(tmp_path: Path) -> None:
    whole_file = make_raster(tmp_path / "whole.tif", noise(3, 256, 256), **TILED)
    path = tmp_path / "a.tif"
    with rasterio.open(whole_file) as file:
        rasterio.shutil.copy(file, path, driver="COG", blocksize=128)  # its directory comes first
    path.write_bytes(path.read_bytes()[:100_000])
    with open_scene(path) as scene, pytest.raises(DataError, match="cannot be read in rows 192-255, columns 192-255"):
        scene.read(Window(192, 192, 64, 64))


def truncated_header(path: Path) -> None:
    make_raster(path, noise(3, 8, 8))
    path.write_bytes(path.read_bytes()[:60])


def text_file(path: Path) -> None:
    path.write_text("not an image\n" * 50)


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def truncated_png(path: Path) -> None:
    path.write_bytes(cv2.imencode(".png", noise(40, 40, 3))[1].tobytes()[:2000])


def complex_values(path: Path) -> None:
    make_raster(path, np.ones((1, 4, 4), "complex64"))


def no_file(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated_header, r"the scene .*a.tif cannot be opened \(.+\): is it a complete GeoTIFF"),
        (text_file, r"the scene .*a.tif cannot be opened \(not recognized as being in a supported file format\)"),
        (empty_file, r"the scene .*a.tif is empty \(0 bytes\): copy it again"),
        (truncated_png, r"the scene .*a.tif is truncated \(the PNG has no end\): copy it again"),
        (complex_values, r".*a.tif has complex values \(complex64\)"),
        (no_file, r"there is no scene .*a.tif: check the path"),
    ],
)
def test_files_that_are_no_scene_are_refused_in_one_sentence(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "a.tif")
    with pytest.raises(DataError, match=message) as error:
        open_scene(tmp_path / "a.tif")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".jpg", ".jp2", ".webp"])
def test_a_truncated_image_is_refused(tmp_path: Path, ending: str) -> None:
    data = cv2.imencode(ending, noise(300, 300, 3))[1].tobytes()
    path = tmp_path / f"a{ending}"
    path.write_bytes(data[: len(data) // 2])
    with open_scene(path) as scene, pytest.raises(DataError, match="cannot be read in rows 0-299, columns 0-299"):
        scene.read(Window(0, 0, 300, 300))


@pytest.mark.parametrize("folder", [".", "nothing in it"])
def test_a_folder_is_no_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).mkdir(exist_ok=True)
    with pytest.raises(DataError, match="cannot be opened .not recognized as being in a supported file format"):
        open_scene(folder)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float64"])
def test_values_of_every_type_are_stretched(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(2).integers(0, 100, (3, 30, 30)).astype(dtype)
    rgb, valid = whole(make_raster(tmp_path / "a.tif", values), stretch="0,51")
    np.testing.assert_array_equal(rgb, np.moveaxis(np.rint(np.minimum(values.astype(float), 51) * 5), 0, -1))
    assert valid.all()


@pytest.mark.parametrize("window", [Window(0, 0, 11, 5), Window(-1, 0, 5, 5), Window(0, 8, 5, 3), Window(0, 0, 0, 5)])
def test_windows_outside_the_scene_are_refused(tmp_path: Path, window: Window) -> None:
    path = make_raster(tmp_path / "a.tif", noise(3, 10, 10))
    with open_scene(path) as scene, pytest.raises(ConfigError, match="does not lie inside"):
        scene.read(window)


def test_a_window_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    size = {"width": 9000, "height": 9000, "count": 1, "dtype": "uint8", "transform": rasterio.Affine(*NORTH_UP)}
    with rasterio.open(path, "w", driver="GTiff", SPARSE_OK=True, **size):
        pass
    with open_scene(path) as scene:
        with pytest.raises(ConfigError, match="read smaller windows"):
            scene.read(Window(0, 0, 9000, 9000), (90, 90))
        assert scene.read(Window(0, 0, 9000, 9000), (90, 90), from_overviews=True)[0].shape == (90, 90, 3)


def test_images_without_a_georeference_are_read_as_scenes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    values = noise(20, 30, 3)
    cv2.imwrite(str(path), values)
    with open_scene(path) as scene:
        rgb, _ = scene.read(Window(0, 0, 20, 30))
        assert scene.metres_per_pixel_rc is None
        assert "sizes are in pixels" in scene.notes[-1]
    np.testing.assert_array_equal(rgb, values[..., ::-1])


@pytest.mark.parametrize(
    ("height", "width", "overviews", "shape"),
    [
        (1, 1, [], (1, 1)),
        (1000, 500, [], (1000, 500)),
        (4096, 2048, [], (1024, 512)),
        (60_000, 30_000, [2, 4, 8, 16], (1024, 512)),
    ],
)
def test_a_scene_that_is_small_or_has_small_overviews_is_sampled_whole(
    height: int, width: int, overviews: list[int], shape: tuple[int, int]
) -> None:
    assert sample_windows(height, width, overviews) == [(Window(0, 0, height, width), shape)]


@pytest.mark.parametrize("overviews", [[], [2]])
@pytest.mark.parametrize(("height", "width"), [(60_000, 60_000), (1, 60_000), (60_000, 130), (5_000, 4_000)])
def test_other_scenes_are_sampled_in_windows_all_over(height: int, width: int, overviews: list[int]) -> None:
    samples = sample_windows(height, width, [] if max(height, width) < 10_000 else overviews)
    assert 8 <= len(samples) <= 64
    rows, cols = {window.row0 for window, _ in samples}, {window.col0 for window, _ in samples}
    assert max(cols) > width * 0.9 - 128 or width < 128
    assert max(rows) > height * 0.9 - 128 or height < 128
    for window, shape in samples:
        assert (window.height, window.width) == shape
        assert 0 <= window.row0 <= height - window.height
        assert 0 <= window.col0 <= width - window.width


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026:05:04 10:11:12", "2026-05-04T10:11:12"),
        ("2026-05-04T10:11:12.345Z", "2026-05-04T10:11:12.345Z"),
        ("2026-05-04T10:11:12+02:00", "2026-05-04T10:11:12+02:00"),
        ("2026-05-04 10:11", "2026-05-04T10:11"),
        ("20260504101112", "2026-05-04T10:11:12"),
        ("2026-05-04", "2026-05-04"),
        ("0000:00:00 00:00:00", None),
        ("2026:13:04 10:11:12", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_converted_to_iso_8601(text: str, time: str | None) -> None:
    assert acquisition_time([{"TIFFTAG_DATETIME": text}]) == time


def test_the_acquisition_time_takes_precedence_over_the_files_date() -> None:
    tags = [{}, {"TIFFTAG_DATETIME": "2026:05:04 10:11:12", "AcquisitionDateTime": "2026-05-01 09:00:00"}]
    assert acquisition_time(tags) == "2026-05-01T09:00:00"
