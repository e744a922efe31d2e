"""Scenes on a web server: few bytes are read, lost connections are retried and reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from georasters import make_raster
from serving import RangeServer, serving
from shipseg.errors import DataError
from shipseg.geo import reader
from shipseg.geo.gdal import gdal_name, is_remote
from shipseg.geo.reader import open_scene
from shipseg.tiling import Window

VALUES = np.random.default_rng(3).integers(0, 256, (3, 1024, 1024)).astype("uint8")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """A server with one cloud-optimised scene of 3 MB."""
    monkeypatch.setattr(reader, "_RETRY_PAUSES_S", (0.05, 0.05))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with rasterio.open(make_raster(tmp_path / "plain.tif", VALUES)) as file:
        rasterio.shutil.copy(file, tmp_path / "scene.tif", driver="COG", blocksize=128, overviews="none")
    with serving(tmp_path) as running:
        yield running


def test_a_window_over_http_has_the_files_pixels_and_needs_few_bytes(server: RangeServer) -> None:
    with open_scene(server.url("scene.tif")) as scene:
        assert (scene.name, scene.height) == ("scene", 1024)
        window = Window(500, 600, 100, 90)
        rgb, _ = scene.read(window)
    np.testing.assert_array_equal(rgb, np.moveaxis(VALUES, 0, -1)[window.slices])
    assert sum(last - first + 1 for first, last in server.ranges) < 1_000_000


def fingerprint(url: str) -> dict[str, int | str]:
    with open_scene(url) as scene:
        return scene.fingerprint()


def test_the_fingerprint_of_a_url_changes_only_with_its_pixels(server: RangeServer, tmp_path: Path) -> None:
    first = fingerprint(server.url("scene.tif"))
    assert fingerprint(server.url("scene.tif")) == first
    changed = VALUES.copy()
    changed[:, 10:20, 10:20] = 0
    with rasterio.open(make_raster(tmp_path / "plain.tif", changed)) as file:
        rasterio.shutil.copy(file, tmp_path / "scene.tif", driver="COG", blocksize=128, overviews="none")
    assert fingerprint(server.url("scene.tif")) != first


@pytest.mark.parametrize("start", [500, 900])
def test_a_read_is_retried_after_a_lost_connection(server: RangeServer, start: int) -> None:
    with open_scene(server.url("scene.tif")) as scene:
        server.broken_answers = 2
        rgb, _ = scene.read(Window(start, start, 64, 64))
    assert server.broken_answers == 0
    np.testing.assert_array_equal(rgb, np.moveaxis(VALUES, 0, -1)[start : start + 64, start : start + 64])


def test_a_connection_lost_for_good_is_reported_in_one_sentence(
    server: RangeServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_scene(server.url("scene.tif")) as scene:
        scene.read(Window(0, 0, 64, 64))
        server.broken_answers = 1000
        with pytest.raises(
            DataError, match=r"scene.tif cannot be read in rows 900-963, columns 900-963 .*lost"
        ) as error:
            scene.read(Window(900, 900, 64, 64))
        assert "\n" not in str(error.value)
        server.broken_answers = 0
        rgb, _ = scene.read(Window(900, 900, 64, 64))
    np.testing.assert_array_equal(rgb, np.moveaxis(VALUES, 0, -1)[900:964, 900:964])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["nothing.tif", "../nothing.tif"])
def test_a_missing_url_is_reported_in_one_sentence(server: RangeServer, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be opened \(HTTP response code: 404\): check the URL"):
        open_scene(server.url(name))


def test_an_unreachable_server_is_reported_in_one_sentence(server: RangeServer) -> None:
    url = server.url("scene.tif")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"cannot be opened .*: check the URL and the connection"):
        open_scene(url)


def test_urls_are_converted_to_gdal_names() -> None:
    assert gdal_name("https://a.org/b/c.tif?x=1") == "/vsicurl/https://a.org/b/c.tif?x=1"
    assert gdal_name("s3://bucket/c.tif") == "/vsis3/bucket/c.tif"
    assert gdal_name("/data/c.tif") == "/data/c.tif"
    assert [is_remote(path) for path in ("s3://b/c.tif", "/vsicurl/http://b", "c.tif", "/vsizip/a.zip/c.tif")] == [
        True,
        True,
        False,
        False,
    ]
