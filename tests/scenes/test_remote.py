"""Scenes on a web server: only what is needed travels, and a lost connection is one sentence."""

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
    monkeypatch.setattr(reader, "_PAUSES_S", (0.05, 0.05))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with rasterio.open(make_raster(tmp_path / "plain.tif", VALUES)) as file:
        rasterio.shutil.copy(file, tmp_path / "scene.tif", driver="COG", blocksize=128, overviews="none")
    with serving(tmp_path) as running:
        yield running


def test_a_window_over_http_is_the_files_pixels_and_few_bytes(server: RangeServer) -> None:
    with open_scene(server.url("scene.tif")) as scene:
        assert (scene.name, scene.height) == ("scene", 1024)
        window = Window(500, 600, 100, 90)
        rgb, _ = scene.read(window)
    np.testing.assert_array_equal(rgb, np.moveaxis(VALUES, 0, -1)[window.slices])
    assert sum(last - first + 1 for first, last in server.ranges) < 1_000_000


def fingerprint(address: str) -> dict[str, int | str]:
    with open_scene(address) as scene:
        return scene.fingerprint()


def test_an_address_keeps_its_fingerprint_until_its_pixels_change(server: RangeServer, tmp_path: Path) -> None:
    first = fingerprint(server.url("scene.tif"))
    assert fingerprint(server.url("scene.tif")) == first
    changed = VALUES.copy()
    changed[:, 10:20, 10:20] = 0
    with rasterio.open(make_raster(tmp_path / "plain.tif", changed)) as file:
        rasterio.shutil.copy(file, tmp_path / "scene.tif", driver="COG", blocksize=128, overviews="none")
    assert fingerprint(server.url("scene.tif")) != first


@pytest.mark.parametrize("place", [500, 900])
def test_a_connection_lost_for_a_moment_is_taken_up_again(server: RangeServer, place: int) -> None:
    with open_scene(server.url("scene.tif")) as scene:
        server.broken_answers = 2
        rgb, _ = scene.read(Window(place, place, 64, 64))
    assert server.broken_answers == 0
    np.testing.assert_array_equal(rgb, np.moveaxis(VALUES, 0, -1)[place : place + 64, place : place + 64])


def test_a_connection_lost_in_the_middle_is_one_sentence(
    server: RangeServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_scene(server.url("scene.tif")) as scene:
        scene.read(Window(0, 0, 64, 64))
        server.broken_answers = 1000
        with pytest.raises(
            DataError, match=r"scene.tif cannot be read in rows 900-963, columns 900-963 .*lost"
        ) as caught:
            scene.read(Window(900, 900, 64, 64))
        assert "\n" not in str(caught.value)
        server.broken_answers = 0
        rgb, _ = scene.read(Window(900, 900, 64, 64))
    np.testing.assert_array_equal(rgb, np.moveaxis(VALUES, 0, -1)[900:964, 900:964])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["nothing.tif", "../nothing.tif"])
def test_an_address_with_nothing_behind_it_is_one_sentence(server: RangeServer, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be opened \(HTTP response code: 404\): check the address"):
        open_scene(server.url(name))


def test_a_server_that_is_not_there_is_one_sentence(server: RangeServer) -> None:
    address = server.url("scene.tif")
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"cannot be opened .*: check the address and the connection"):
        open_scene(address)


def test_addresses_become_gdals_names() -> None:
    assert gdal_name("https://a.org/b/c.tif?x=1") == "/vsicurl/https://a.org/b/c.tif?x=1"
    assert gdal_name("s3://bucket/c.tif") == "/vsis3/bucket/c.tif"
    assert gdal_name("/data/c.tif") == "/data/c.tif"
    assert [is_remote(path) for path in ("s3://b/c.tif", "/vsicurl/http://b", "c.tif", "/vsizip/a.zip/c.tif")] == [
        True,
        True,
        False,
        False,
    ]
