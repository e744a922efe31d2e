"""Predicting a scene: equal to the predictor's results, complete or absent, resumed and never repeated."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import run_scene
from run_scene import OPTIONS, TILE, Red, make_predictor, ships_image, write_scene
from shipseg.errors import ConfigError, DataError, ModelError, StorageError
from shipseg.geo.reader import Scene
from shipseg.inference.predictor import Predictor
from shipseg.masks.ships import Ship, find_ships
from shipseg.scenes.checkpoint import TileRowStore, open_checkpoint
from shipseg.scenes.components import ShipFinder
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene
from shipseg.scenes.stream import TileJob, run_tiles
from shipseg.scenes.tiles import NO_DATA, Block, dequantise, plan_tiles, quantise
from shipseg.tiling import Window

BARE = SceneOptions(formats=(), quicklook=False)


def quantised_of(folder: Path) -> NDArray[np.uint16]:
    import rasterio

    with rasterio.open(folder / "probability.tif") as dataset:
        values: NDArray[np.uint16] = dataset.read(1)
        return values


@pytest.mark.parametrize(
    ("height", "width"), [(300, 420), (TILE, TILE), (1, 500), (TILE + 1, 2 * TILE), (37, 51), (192, 1)]
)
def test_a_scene_equals_the_predictor_on_the_whole_image(height: int, width: int, tmp_path: Path) -> None:
    image_hwc = ships_image(height, width, seed=height)
    predictor = make_predictor()
    result = predict_scene(write_scene(tmp_path / "a.tif", image_hwc), tmp_path / "out", predictor, BARE)
    expected_hw = quantise(predictor.probability(image_hwc))
    np.testing.assert_array_equal(quantised_of(result.folder), expected_hw)
    decision = predictor.card.decision
    expected = find_ships(dequantise(expected_hw), threshold=0.5, min_peak=decision.min_peak, min_area_px=4)
    assert result.ships is not None
    assert {ship.ship.mask_box for ship in result.ships} == {ship.mask_box for ship in expected}
    assert sum(ship.ship.area_px for ship in result.ships) == sum(ship.area_px for ship in expected)


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_a_scene_of_one_tile_equals_the_predictor_at_any_scale(scale: float, tmp_path: Path) -> None:
    image_hwc = ships_image(50, 60)
    predictor = make_predictor(scale=scale)
    result = predict_scene(write_scene(tmp_path / "a.tif", image_hwc), tmp_path / "out", predictor, BARE)
    np.testing.assert_array_equal(quantised_of(result.folder), quantise(predictor.probability(image_hwc)))


def test_a_scene_of_finer_pixels_gives_the_same_ships_on_the_ground(tmp_path: Path) -> None:
    image_hwc = np.zeros((300, 400, 3), np.uint8)
    image_hwc[100:110, 150:190] = 250
    finer_hwc = image_hwc.repeat(2, axis=0).repeat(2, axis=1)
    (ship,) = (
        predict_scene(write_scene(tmp_path / "a.tif", image_hwc), tmp_path / "a", make_predictor(), BARE).ships or ()
    )
    scene = write_scene(tmp_path / "b.tif", finer_hwc, metres=0.75)
    (finer,) = predict_scene(scene, tmp_path / "b", make_predictor(), BARE).ships or ()
    assert ship.length_m is not None
    assert finer.length_m == pytest.approx(ship.length_m, abs=1)
    assert finer.lon == pytest.approx(ship.lon, abs=1e-5)
    assert quantised_of(tmp_path / "b" / "b").shape == (600, 800)
    # With 1.5 m instead of 0.75 m there are as many tiles as for a scene of this many pixels of 1.5 m.
    overridden = dataclasses.replace(BARE, metres_per_pixel=1.5)
    other = predict_scene(scene, tmp_path / "c", make_predictor(), overridden)
    assert other.facts["tiles"]["network"] > 3 * 20
    (overridden_ship,) = other.ships or ()
    assert overridden_ship.length_m == pytest.approx(finer.length_m, abs=1.5), (
        "the georeference takes precedence for lengths"
    )


def test_a_given_pixel_size_gives_sizes_without_a_georeference(tmp_path: Path) -> None:
    image_hwc = np.full((200, 300, 3), 10, np.uint8)
    image_hwc[50:60, 120:170] = 250
    path = tmp_path / "a.tif"
    shift = rasterio.Affine(1.0, 0.0, 7.0, 0.0, -1.0, 9.0)  # a transform without a reference system makes it a scene
    profile = {"driver": "GTiff", "count": 3, "height": 200, "width": 300, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, transform=shift) as dataset:
        dataset.write(np.moveaxis(image_hwc, 2, 0))
    options = SceneOptions(metres_per_pixel=1.5, formats=("csv",))
    result = predict_scene(path, tmp_path / "out", make_predictor(), options)
    (ship,) = result.ships or ()
    assert (ship.length_m, ship.width_m) == pytest.approx((75.0, 15.0), rel=0.05)
    page = (result.folder / "report.html").read_text()
    assert "sizes are in metres by the given pixel size of 1.5 m" in page
    assert "Lengths are in metres, by the given pixel size" in page
    assert "in pixels unless" not in page


def test_pixels_without_data_stay_no_data_and_cut_the_ships_beside_them(tmp_path: Path) -> None:
    image_hwc = np.full((200, 300, 3), 10, np.uint8)
    image_hwc[:, 150:] = 0
    image_hwc[50:60, 120:170] = 250  # lies on the border
    image_hwc[50:60, 150:170] = 0
    image_hwc[100:108, 40:80] = 250
    scene = write_scene(tmp_path / "a.tif", image_hwc, nodata=0)
    result = predict_scene(scene, tmp_path / "out", make_predictor(), BARE)
    quantised_hw = quantised_of(result.folder)
    np.testing.assert_array_equal(quantised_hw == NO_DATA, (image_hwc == 0).all(axis=2))
    assert [(ship.ship.mask_box, ship.cut) for ship in result.ships or ()] == [
        ((50, 120, 60, 150), True),
        ((100, 40, 108, 80), False),
    ]
    assert result.facts["tiles"]["no data"] > 0
    assert result.facts["looked_at_px"] == 200 * 150


def test_a_scene_that_another_process_finishes_before_the_lock_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(100, 120))
    with monkeypatch.context() as patch:

        def finish_first(folder: Path, identity: dict[str, Any]) -> AbstractContextManager[TileRowStore]:
            patch.undo()
            assert predict_scene(scene, tmp_path / "out", make_predictor(), BARE).status == "done"
            return open_checkpoint(folder, identity)

        patch.setattr("shipseg.scenes.predict.open_checkpoint", finish_first)
        assert predict_scene(scene, tmp_path / "out", make_predictor(), BARE).status == "skipped"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_only_tiles_in_the_area_are_predicted(tmp_path: Path) -> None:
    image_hwc = ships_image(400, 500, seed=3)
    scene = write_scene(tmp_path / "a.tif", image_hwc)
    corner = [[500_000, 5_600_000], [500_150, 5_600_000], [500_150, 5_599_850], [500_000, 5_599_850]]
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [[*corner, corner[0]]]},
    }
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    predictor = make_predictor()
    result = predict_scene(scene, tmp_path / "out", predictor, dataclasses.replace(BARE, area=area))
    quantised_hw = quantised_of(result.folder)
    assert (quantised_hw[:100, :100] != NO_DATA).all()
    assert (quantised_hw[100:] == NO_DATA).all()
    assert isinstance(predictor.backend, Red)
    assert predictor.backend.num_tiles == result.facts["tiles"]["network"] < 10
    assert result.facts["tiles"]["outside"] > 20


class Dark:
    """A gate that skips tiles without a bright pixel."""

    def skips(self, image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_]) -> bool:
        return bool(image_hwc[valid_hw].max() < 100)


def test_tiles_that_the_gate_skips_are_not_predicted_and_the_ships_are_the_same(tmp_path: Path) -> None:
    image_hwc = np.full((500, 600, 3), 20, np.uint8)
    image_hwc[60:80, 90:100] = 250  # in four tiles
    image_hwc[395:400, 300:330] = 250  # in two
    plan = plan_tiles(image_hwc.shape[:2], make_predictor().card.input, None)
    found: dict[bool, list[Ship]] = {}
    for gated in (False, True):
        predictor = make_predictor()
        finder = ShipFinder(plan.shape, predictor.card.decision)
        job = TileJob(scene=InMemory(image_hwc), plan=plan, predictor=predictor, gate=Dark() if gated else None)

        def consume(blocks: Iterator[Block], finder: ShipFinder = finder) -> None:
            for block in blocks:
                finder.add(block)

        with open_checkpoint(tmp_path / str(gated), {}) as store:
            counts, _ = run_tiles(job, store, consume)
        found[gated] = [found.ship for found in finder.ships()]
        assert isinstance(predictor.backend, Red)
        assert predictor.backend.num_tiles == counts["network"] == (6 if gated else plan.num_tiles)
        assert counts["gate"] == plan.num_tiles - counts["network"]
    assert [ship.mask_box for ship in found[True]] == [ship.mask_box for ship in found[False]] != []


class InMemory:
    """A scene in an array."""

    def __init__(self, image_hwc: NDArray[np.uint8]) -> None:
        self.image_hwc = image_hwc

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        return self.image_hwc[window.slices], np.ones((window.height, window.width), bool)


def test_finished_results_are_skipped_and_replaced_only_on_request(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(150, 200))
    first = predict_scene(scene, tmp_path / "out", make_predictor(), BARE)
    before = (first.folder / "scene.json").stat().st_mtime_ns
    predictor = make_predictor()
    second = predict_scene(scene, tmp_path / "out", predictor, BARE)
    assert (second.status, second.num_ships, second.ships) == ("skipped", first.num_ships, None)
    assert isinstance(predictor.backend, Red)
    assert predictor.backend.num_tiles == 0
    assert (first.folder / "scene.json").stat().st_mtime_ns == before
    other = dataclasses.replace(BARE, threshold=0.7)
    with pytest.raises(
        ConfigError, match=r"a holds finished results of other options \(threshold = the model's, now 0.7\)"
    ):
        predict_scene(scene, tmp_path / "out", make_predictor(), other)
    banded = dataclasses.replace(BARE, bands=(3, 2, 1))
    with pytest.raises(ConfigError, match=r"other options \(bands = by the file, now \[3, 2, 1\]\)"):
        predict_scene(scene, tmp_path / "out", make_predictor(), banded)
    with pytest.raises(ConfigError, match="of another model"):
        predict_scene(scene, tmp_path / "out", make_predictor(scale=0.9), BARE)
    replaced = predict_scene(scene, tmp_path / "out", make_predictor(), dataclasses.replace(other, overwrite=True))
    assert (replaced.status, replaced.facts["decision"]["threshold"]) == ("done", 0.7)
    write_scene(scene, ships_image(150, 200, seed=1))
    with pytest.raises(ConfigError, match="another scene of this name, or of this one before it was changed"):
        predict_scene(scene, tmp_path / "out", make_predictor(), other)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a"]


def test_other_files_in_the_results_folder_are_never_touched(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(50, 60))
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "diary.txt").write_text("dear")
    for options in (BARE, dataclasses.replace(BARE, overwrite=True)):
        with pytest.raises(ConfigError, match="is in the way and holds no finished results"):
            predict_scene(scene, tmp_path / "out", make_predictor(), options)
    assert (tmp_path / "out" / "a" / "diary.txt").read_text() == "dear"


def no_threads_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("shipseg-")]


def test_an_unreadable_window_ends_all_threads_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(400, 400))
    original = Scene.read

    def read(self: Scene, window: Window, *args: object, **kwargs: object) -> object:
        if window.row0 > 150:
            raise DataError("a.tif cannot be read in rows 200-300: copy it again")
        return original(self, window, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Scene, "read", read)
    with pytest.raises(DataError, match="cannot be read in rows"):
        predict_scene(scene, tmp_path / "out", make_predictor(), BARE)
    assert no_threads_left()
    monkeypatch.undo()
    assert not (tmp_path / "out" / "a").exists()
    predictor = make_predictor()
    result = predict_scene(scene, tmp_path / "out", predictor, BARE)
    assert isinstance(predictor.backend, Red)
    assert predictor.backend.num_tiles < result.facts["tiles"]["network"], "finished rows are not predicted again"


def test_a_network_that_returns_nan_ends_with_one_sentence(tmp_path: Path) -> None:
    class Broken(Red):
        def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full_like(images_n3hw[:, :1], np.nan)

    scene = write_scene(tmp_path / "a.tif", ships_image(200, 200))
    with pytest.raises(ModelError, match="NaN"):
        predict_scene(scene, tmp_path / "out", Predictor(make_predictor().card, Broken()), BARE)
    assert no_threads_left()


def test_two_processes_do_not_predict_the_same_scene(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(400, 400))
    process = start(scene, tmp_path / "out", seconds_per_tile=0.2)
    try:
        wait_for(lambda: rows_done(tmp_path / "out") >= 1, process)
        with pytest.raises(ConfigError, match="another process is at work on the same scene"):
            predict_scene(scene, tmp_path / "out", make_predictor(), BARE)
    finally:
        process.kill()
        process.wait()


def start(scene: Path, out: Path, *, seconds_per_tile: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, run_scene.__file__, str(scene), str(out), str(seconds_per_tile)])


def rows_done(out: Path) -> int:
    return len(list(out.glob(".*.work/rows/*.json")))


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    while not reached():
        assert process.poll() is None, "the process ended before it could be stopped"
        threading.Event().wait(0.005)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_run_killed_at_any_time_resumes_and_ends_with_the_same_files(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", ships_image(420, 300, seed=9))
    whole = predict_scene(scene, tmp_path / "whole", make_predictor(), OPTIONS)
    out = tmp_path / "out"
    events: list[Callable[[], bool]] = [
        (out / ".a.work").exists,
        lambda: rows_done(out) >= 1,
        lambda: bool(list(out.glob(".a.work/rows/.00002.levels.*.part"))),
        lambda: rows_done(out) >= 4,
        lambda: rows_done(out) >= 6,
        (out / ".a.work" / "results" / "ships.gpkg").exists,
    ]
    done = 0
    for event in events:
        process = start(scene, out, seconds_per_tile=0.02)
        wait_for(event, process)
        process.kill()
        process.wait()
        assert not (out / "a").exists()
        assert rows_done(out) >= done, "finished rows are kept"
        done = rows_done(out)
    predictor = make_predictor()
    result = predict_scene(scene, out, predictor, OPTIONS)
    assert isinstance(predictor.backend, Red)
    assert predictor.backend.num_tiles == 0, "all rows were finished before the last kill"
    assert contents(result.folder) == contents(whole.folder)
    assert [path.name for path in out.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_command_cleanly_and_it_resumes(name: str, tmp_path: Path) -> None:
    import signal

    scene = write_scene(tmp_path / "a.tif", ships_image(420, 300, seed=9))
    code = (
        # A shell ignores SIGINT in background jobs and all their child processes.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; sys.path.insert(0, sys.argv[1]); import run_scene;"
        "from shipseg.inference import locate, predictor;"
        "predictor.load_model = lambda *a, **k: run_scene.make_predictor(0.3);"
        "locate.find_model = lambda name: name;"
        "from shipseg.cli import main; sys.argv = ['shipseg', *sys.argv[2:]]; main()"
    )
    arguments = ["predict", str(scene), "--out", str(tmp_path / "out"), "--model", "m", "--no-quicklook"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(run_scene.__file__).parent), *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: rows_done(tmp_path / "out") >= 2, process)
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[name]
    assert "run the same command again to resume" in stderr
    assert "Traceback" not in stderr
    assert not list((tmp_path / "out").rglob("*.part"))
    predictor = make_predictor()
    result = predict_scene(scene, tmp_path / "out", predictor, SceneOptions(quicklook=False))
    assert isinstance(predictor.backend, Red)
    assert 0 < predictor.backend.num_tiles < result.facts["tiles"]["network"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_sentence_and_the_run_resumes_when_there_is_space(tmp_path: Path) -> None:
    image_hwc = np.random.default_rng(0).integers(20, 255, (700, 700, 3), np.uint8)  # compresses badly
    scene = write_scene(tmp_path / "a.tif", image_hwc)
    out = tmp_path / "out"
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", out], check=False).returncode:
        pytest.skip("this machine does not let even root mount a disk")
    try:
        options = dataclasses.replace(BARE, probability=False)
        with pytest.raises(
            StorageError, match=r"no space left on the disk while writing .*rows.000\d\d\.(levels|carry)"
        ):
            predict_scene(scene, out, make_predictor(), options)
        assert no_threads_left()
        assert not (out / "a").exists()
        assert 0 < rows_done(out) < 10
        subprocess.run(["mount", "-o", "remount,size=40m", out], check=True)
        predictor = make_predictor()
        result = predict_scene(scene, out, predictor, options)
        assert isinstance(predictor.backend, Red)
        assert predictor.backend.num_tiles < result.facts["tiles"]["network"]
        subprocess.run(["mount", "-o", "remount,size=10k", out], check=False)
    finally:
        subprocess.run(["umount", out], check=True)


def test_a_scene_that_does_not_fit_the_disk_is_refused_before_it_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    predictor = make_predictor()
    with pytest.raises(StorageError, match="scene a needs .* free some space or choose another --out"):
        predict_scene(write_scene(tmp_path / "a.tif", ships_image(400, 400)), tmp_path / "out", predictor, BARE)
    assert isinstance(predictor.backend, Red)
    assert predictor.backend.num_tiles == 0
