"""Rasters of a scene: values round-trip, COG layout, bounded memory, completely written or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.errors import StorageError
from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import find_ships
from shipseg.scenes.output import MASK_NO_DATA, probability_raster, write_mask
from shipseg.scenes.ships import measure_ships
from shipseg.scenes.tiles import NO_DATA, dequantise, quantise
from shipseg.tiling import Window

rasterio = pytest.importorskip("rasterio")

UTM = "EPSG:32631"


def georef_of(shape: tuple[int, int]) -> GeoReference:
    return GeoReference.of((1.5, 0.0, 500_000.0, 0.0, -1.5, 5_600_000.0), UTM, shape)


def a_probability(shape: tuple[int, int], *, seed: int = 0) -> NDArray[np.uint16]:
    """Return quantised probability with noise, empty sea, no data and a bright ship."""
    rng = np.random.default_rng(seed)
    prob_hw = np.zeros(shape, np.float32)
    prob_hw[: shape[0] // 2] = rng.random((shape[0] // 2, shape[1]), np.float32) * 0.3
    prob_hw[shape[0] // 4 : shape[0] // 4 + 12, shape[1] // 3 : shape[1] // 3 + 40] = 0.9
    valid_hw = np.ones(shape, bool)
    valid_hw[-7:, :5] = False
    return quantise(prob_hw, valid_hw)


def blocks(quantised_hw: NDArray[np.uint16], *, rows: int, columns: int) -> Iterator[tuple[Window, NDArray[np.uint16]]]:
    height, width = quantised_hw.shape
    for row in range(0, height, rows):
        for column in range(0, width, columns):
            window = Window(row, column, min(rows, height - row), min(columns, width - column))
            yield window, quantised_hw[window.slices]


def write(path: Path, quantised_hw: NDArray[np.uint16], *, rows: int = 100, columns: int = 130) -> Path:
    height, width = quantised_hw.shape
    with probability_raster(path, (height, width), georef_of((height, width))) as writer:
        for window, values_hw in blocks(quantised_hw, rows=rows, columns=columns):
            writer.add(window, values_hw)
    return path


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((1, 1), 5, 5), ((1, 900), 1, 256), ((256, 256), 256, 256), ((700, 531), 100, 130), ((700, 531), 640, 531)],
)
def test_quantised_probability_is_read_as_it_was_written_in_any_windows(
    tmp_path: Path, shape: tuple[int, int], rows: int, columns: int
) -> None:
    quantised_hw = a_probability(shape) if shape[0] > 60 else np.arange(shape[1], dtype=np.uint16)[None]
    path = write(tmp_path / "probability.tif", quantised_hw, rows=rows, columns=columns)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), quantised_hw)
        assert dataset.nodata == NO_DATA
        assert dataset.scales == (1e-4,)
        assert "probability" in dataset.descriptions[0]
        assert dataset.crs.to_epsg() == 32631
        assert dataset.transform[:6] == georef_of(shape).transform
    assert [file.name for file in tmp_path.iterdir()] == ["probability.tif"]


def test_the_same_probability_gives_the_same_bytes(tmp_path: Path) -> None:
    quantised_hw = a_probability((1200, 1100))
    first = write(tmp_path / "1" / "probability.tif", quantised_hw, rows=100, columns=130)
    second = write(tmp_path / "2" / "probability.tif", quantised_hw, rows=333, columns=1100)
    assert first.read_bytes() == second.read_bytes()


def test_the_layout_is_that_of_a_cog(tmp_path: Path) -> None:
    path = write(tmp_path / "probability.tif", a_probability((1500, 1200)))
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.compression.name == "deflate"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.overviews(1) == [2, 4]
        first_of_level = [int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1))]
        first_of_level += [int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1, ovr=n)) for n in (0, 1)]
        directories = [int(dataset.get_tag_item("IFD_OFFSET", "TIFF", 1))]
        directories += [int(dataset.get_tag_item("IFD_OFFSET", "TIFF", 1, ovr=n)) for n in (0, 1)]
    # All directories are at the beginning, the full image's first; pixels of the smallest overview come first.
    assert directories == sorted(directories)
    assert max(directories) < min(first_of_level)
    assert first_of_level == sorted(first_of_level, reverse=True)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs gdalinfo (Debian: gdal-bin)")
@pytest.mark.parametrize("has_crs", [True, False])
def test_gdalinfo_reads_the_rasters_without_a_warning(tmp_path: Path, has_crs: bool) -> None:
    quantised_hw = a_probability((300, 1200))
    georef = georef_of((300, 1200)) if has_crs else GeoReference.without((300, 1200), "a photograph")
    with probability_raster(tmp_path / "probability.tif", (300, 1200), georef) as writer:
        writer.add(Window(0, 0, 300, 1200), quantised_hw)
    ships = measure_ships([], georef, scene="scene", shape=(300, 1200))
    write_mask(tmp_path / "mask.tif", blocks(quantised_hw, rows=100, columns=1200), ships)
    for name in ("probability.tif", "mask.tif"):
        done = subprocess.run(["gdalinfo", "-stats", tmp_path / name], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert "LAYOUT=COG" in done.stdout


def test_the_mask_has_the_ships_and_nothing_else(tmp_path: Path) -> None:
    quantised_hw = a_probability((700, 531))
    quantised_hw[600:603, 400:404] = 9000  # a second region, which is too small for a ship
    found = find_ships(dequantise(quantised_hw), threshold=0.5, min_area_px=50)
    ships = measure_ships([(ship, False) for ship in found], georef_of((700, 531)), scene="scene", shape=(700, 531))
    write_mask(tmp_path / "mask.tif", blocks(quantised_hw, rows=60, columns=200), ships)
    expected_hw = np.zeros((700, 531), np.uint8)
    expected_hw[175:187, 177:217] = 1
    expected_hw[quantised_hw == NO_DATA] = MASK_NO_DATA
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected_hw)
        assert (dataset.dtypes, dataset.nodata) == (("uint8",), MASK_NO_DATA)


def test_an_error_while_writing_leaves_no_file(tmp_path: Path) -> None:
    quantised_hw = a_probability((700, 531))
    with (
        pytest.raises(OSError, match="not the writer's"),
        probability_raster(tmp_path / "p.tif", (700, 531), georef_of((700, 531))) as writer,
    ):
        writer.add(Window(0, 0, 300, 531), quantised_hw[:300])
        raise OSError("not the writer's error")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_raster_is_not_written(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="256 of 700 rows"),
        probability_raster(tmp_path / "p.tif", (700, 10), georef_of((700, 10))) as writer,
    ):
        writer.add(Window(0, 0, 300, 10), np.zeros((300, 10), np.uint16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "window", [Window(10, 0, 5, 5), Window(0, 5, 5, 5), Window(0, 0, 10, 11)], ids=["row", "column", "outside"]
)
def test_windows_out_of_order_are_refused(tmp_path: Path, window: Window) -> None:
    with (
        pytest.raises(AssertionError, match="Window"),
        probability_raster(tmp_path / "p.tif", (10, 10), georef_of((10, 10))) as writer,
    ):
        writer.add(window, np.zeros((window.height, window.width), np.uint16))


def test_a_full_disk_is_reported_in_one_sentence_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StorageError, match=r"no space left on the disk while writing .*probability\.tif: free some"):
        write(tmp_path / "probability.tif", a_probability((700, 531)))
    assert list(tmp_path.iterdir()) == []


def test_blocks_lost_on_disk_are_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rasterio import shutil as rasterio_shutil

    real_copy = rasterio_shutil.copy

    def lossy_copy(source: Path, target: Path, **options: object) -> None:
        with rasterio.open(source, "r+") as dataset:
            dataset.write(np.zeros((1, 1), np.uint16), 1, window=((20, 21), (20, 21)))
        real_copy(source, target, **options)

    monkeypatch.setattr(rasterio_shutil, "copy", lossy_copy)
    with pytest.raises(StorageError, match="differs from what was written"):
        write(tmp_path / "probability.tif", a_probability((700, 531)))
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_height(tmp_path: Path) -> None:
    code = """
import resource, sys
import numpy as np
from pathlib import Path
from shipseg.geo.georef import GeoReference
from shipseg.scenes.output import probability_raster
from shipseg.tiling import Window
height, path = int(sys.argv[1]), Path(sys.argv[2])
with probability_raster(path, (height, 4000), GeoReference.without((height, 4000), "")) as writer:
    for row in range(0, height, 500):
        writer.add(Window(row, 0, 500, 4000), np.full((500, 4000), row % 9000, np.uint16))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for height in (2000, 24_000):
        command = [sys.executable, "-c", code, str(height), str(tmp_path / "p.tif")]
        environment = os.environ | {"GDAL_CACHEMAX": "16"}
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout))
    # The higher raster has 176 MB more of values; measured: 7 MB more memory.
    assert peaks[1] - peaks[0] < 60
