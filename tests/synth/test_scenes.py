"""Large scenes: no seams, truth that agrees with the pixels, reproducible files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.features import rasterize

from shipseg.errors import ConfigError
from shipseg.masks.ships import ship_from_mask
from shipseg.synth import WorldConfig, ground, write_scenes
from shipseg.synth.cells import CellImage, paint_cell
from shipseg.synth.endless_noise import PlacedRng
from shipseg.synth.ground import SCENE_KINDS, Grid, SceneKind, plan_scene
from shipseg.synth.paint.fields import even_noise, fractal_noise, wave_field
from shipseg.synth.paint.ships import LabelStyle

RECTANGLE, HULL = WorldConfig(label="rectangle"), WorldConfig(label="hull")


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "CORE_PX", 288)
    monkeypatch.setattr(ground, "MARGIN_PX", 96)
    monkeypatch.setattr(ground, "ANCHORED_SHIPS", (2, 4))
    monkeypatch.setattr(ground, "HARBOUR_SHIPS", (4, 8))


def _painted(index: int, kind: SceneKind, config: WorldConfig, side: int = 700) -> tuple[Any, list[CellImage]]:
    plan = plan_scene(3, index, (side, side), kind, config)
    return plan, [paint_cell(plan, cell) for cell in plan.cells]


@pytest.mark.parametrize("wavelength", [2.0, 5.0, 9.0, 70.0, 900.0])
def test_noise_of_two_windows_is_one_field(wavelength: float) -> None:
    one = fractal_noise(PlacedRng((4,), origin_rc=(-30, 7000)), (90, 120), wavelength)
    other = fractal_noise(PlacedRng((4,), origin_rc=(10, 7050)), (90, 120), wavelength)
    np.testing.assert_allclose(one[40:, 50:], other[:50, :70], atol=2e-3)
    assert one.std() > 0.01


def test_waves_of_two_windows_are_one_field_without_a_period_of_a_window() -> None:
    one = wave_field(PlacedRng((4,), origin_rc=(0, 0)), (60, 90), 0.7)
    other = wave_field(PlacedRng((4,), origin_rc=(20, 30)), (60, 90), 0.7)
    np.testing.assert_array_equal(one[20:, 30:], other[:40, :60])
    far = wave_field(PlacedRng((4,), origin_rc=(2048, 0)), (60, 90), 0.7)
    assert np.corrcoef(one.ravel(), far.ravel())[0, 1] < 0.9


@pytest.mark.parametrize("bands", [None, 3])
def test_single_points_of_two_windows_are_one_field_that_does_not_repeat(bands: int | None) -> None:
    one = even_noise(PlacedRng((4,), origin_rc=(-30, 700)), (90, 120), bands=bands)
    other = even_noise(PlacedRng((4,), origin_rc=(10, 750)), (90, 120), bands=bands)
    assert one.shape == ((90, 120) if bands is None else (90, 120, 3))
    np.testing.assert_array_equal(one[40:, 50:], other[:50, :70])
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03
    assert 0.0 <= one.min() < 0.01 < 0.99 < one.max() <= 1.0
    assert one.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("index", "kind"), [(0, "open-sea"), (1, "coast"), (2, "mixed"), (5, "coast")])
def test_there_is_no_seam_between_cells(index: int, kind: SceneKind) -> None:
    plan, cell_images = _painted(index, kind, RECTANGLE)
    image = np.zeros((700, 700, 3), np.uint8)
    for cell, cell_image in zip(plan.cells, cell_images, strict=True):
        image[cell.window.slices] = cell_image.image_hwc
    steps = np.abs(np.diff(image.astype(float).mean(axis=2), axis=1)).mean(axis=0)
    seam = plan.grid.core - 1  # from the last column of a cell to the first of the next
    beside = np.r_[steps[seam - 12 : seam - 2], steps[seam + 3 : seam + 13]]
    assert 0 < steps[seam] < 1.25 * beside.max() + 0.3
    low = np.abs(image[:, seam - 3 : seam + 1].mean(axis=1) - image[:, seam + 1 : seam + 5].mean(axis=1)).mean(axis=0)
    near = np.abs(image[:, seam - 13 : seam - 9].mean(axis=1) - image[:, seam - 9 : seam - 5].mean(axis=1)).mean(axis=0)
    assert low.max() < 2.0 * near.max() + 1.5


@pytest.mark.parametrize("label", ["rectangle", "hull"])
def test_the_truth_agrees_with_the_drawn_ships(label: LabelStyle) -> None:
    checked = 0
    for index in range(3):
        plan, cell_images = _painted(index, "anchorage", WorldConfig(label=label))
        for cell, cell_image in zip(plan.cells, cell_images, strict=True):
            for ship in cell_image.ships:
                outline = shapely.Polygon(ship.label_xy - (cell.window.col0, cell.window.row0))
                drawn = rasterize([outline], cell_image.coverage_hw.shape).astype(bool)
                alone = not any(
                    outline.buffer(3).intersects(shapely.Polygon(o.label_xy - (cell.window.col0, cell.window.row0)))
                    for o in cell_image.ships
                    if o is not ship
                )
                inside = shapely.box(0, 0, plan.grid.shape[1], plan.grid.shape[0]).covers(
                    shapely.Polygon(ship.label_xy)
                )
                if not alone or not inside or ship.length_px < 20:
                    continue
                seen = (cell_image.coverage_hw >= 128) & rasterize(
                    [outline.buffer(2)], cell_image.coverage_hw.shape, all_touched=True
                ).astype(bool)
                assert (seen & drawn).sum() / (seen | drawn).sum() > 0.93
                measured = ship_from_mask(seen)
                turned = np.degrees(ship.heading_rad) + 90
                if label == "rectangle":
                    assert measured.length_px == pytest.approx(ship.length_px + 2 * ship.margin_px, abs=1.0)
                    assert measured.width_px == pytest.approx(ship.beam_px + 2 * ship.margin_px, abs=0.8)
                    assert abs((measured.heading_deg - turned + 90) % 180 - 90) < 1.5
                checked += 1
    assert checked >= 6


def test_a_scene_and_its_truth_have_the_same_georeference(tmp_path: Path) -> None:
    summary = write_scenes(tmp_path, scenes=1, seed=1, shape=(500, 620), kind="anchorage", workers=1)
    with rasterio.open(tmp_path / "scene-000.tif") as dataset:
        assert (dataset.height, dataset.width, dataset.count) == (500, 620, 3)
        assert dataset.profile["tiled"]
        assert dataset.crs.is_projected
        assert dataset.res == (1.5, 1.5)
        image, transform, bounds = dataset.read(), dataset.transform, shapely.box(*dataset.bounds)
        assert dataset.tags()["TIFFTAG_DATETIME"].startswith("2024:")
    ships = geopandas.read_file(tmp_path / "scene-000.ships.gpkg", layer="ships")
    assert len(ships) == summary.num_ships > 0
    projection = pyproj.Proj(ships.crs)
    for ship in ships.itertuples():
        assert bounds.buffer(1e-6).covers(ship.geometry)
        factors = projection.get_factors(ship.lon, ship.lat)
        if not ship.cut:
            assert ship.geometry.area == pytest.approx(
                ship.label_length_m * ship.label_width_m * factors.areal_scale, rel=2e-3
            )
            # The longer side of the polygon on the grid, turned by the grid's own deviation from true north.
            corners = np.array(ship.geometry.exterior.coords)
            sides = np.diff(corners, axis=0)
            long = sides[np.argmax(np.hypot(*sides.T))]
            on_grid = np.degrees(np.arctan2(long[0], long[1]))
            apart = (on_grid + factors.meridian_convergence - ship.heading_deg + 90) % 180 - 90
            assert abs(apart) < 0.05 or ship.label_length_m < 1.05 * ship.label_width_m
    painted = rasterize(ships.geometry, image.shape[1:], transform=transform).astype(bool)
    grey = image.mean(axis=0)
    assert abs(np.median(grey[painted]) - np.median(grey[~painted])) > 5


def test_the_same_arguments_give_the_same_scenes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scenes(tmp_path / name, scenes=2, seed=2, shape=(120, 400), kind="open-sea", workers=1)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {f"scene-00{k}{suffix}" for k in (0, 1) for suffix in (".tif", ".ships.gpkg")}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_existing_scenes_are_kept_and_others_refused(tmp_path: Path) -> None:
    first = write_scenes(tmp_path, scenes=1, seed=2, shape=(200, 200), kind="open-sea", workers=1)
    before = (tmp_path / "scene-000.tif").stat().st_mtime_ns
    second = write_scenes(tmp_path, scenes=2, seed=2, shape=(200, 200), kind="open-sea", workers=1)
    assert (first.num_made, second.num_made, second.num_kept) == (1, 1, 1)
    assert (tmp_path / "scene-000.tif").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="was made with seed = 2, now 3"):
        write_scenes(tmp_path, scenes=2, seed=3, shape=(200, 200), kind="open-sea", workers=1)


@pytest.mark.parametrize("metres", [0.5, 0.7, 3.0, 5.0])
def test_other_pixel_sizes_give_ships_of_the_same_sizes_in_metres(
    tmp_path: Path, metres: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "ANCHORED_SHIPS", (12, 16))
    monkeypatch.setattr(ground, "CORE_PX", 576 if metres < 1 else 288)
    config = WorldConfig(metres_per_pixel=metres)
    side = round(700 / metres)
    write_scenes(tmp_path, scenes=1, seed=4, shape=(side, side), kind="anchorage", config=config, workers=1)
    with rasterio.open(tmp_path / "scene-000.tif") as dataset:
        assert dataset.res == (metres, metres)
        block = dataset.block_shapes[0][0]
        assert Grid.of((side, side), metres).core % block == 0
    ships = geopandas.read_file(tmp_path / "scene-000.ships.gpkg")
    assert 8 < ships.length_m.max() < 620
    whole = ships[~ships.cut]
    np.testing.assert_allclose(whole.area, whole.label_length_m * whole.label_width_m, rtol=3e-3)


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_a_plan_has_the_roles_of_its_kind(kind: SceneKind) -> None:
    roles = [cell.role for index in range(4) for cell in plan_scene(0, index, (3000, 3000), kind, RECTANGLE).cells]
    assert ("coast" in roles) == (kind in ("mixed", "coast", "harbour"))
    assert ("anchorage" in roles) == (kind in ("mixed", "anchorage"))
    assert "harbour" not in roles or kind in ("mixed", "harbour")


@pytest.mark.parametrize(("side", "metres"), [(4096, 1.5), (2400, 0.5), (1600, 5.0), (768, 1.5)])
def test_scenes_of_any_size_get_harbours(side: int, metres: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "CORE_PX", 1536)
    config = WorldConfig(metres_per_pixel=metres)
    plans = [plan_scene(1, index, (side, side), "harbour", config) for index in range(8)]
    assert sum(any(cell.role == "harbour" for cell in plan.cells) for plan in plans) >= 5


def test_a_sparse_scene_has_only_some_cells(tmp_path: Path) -> None:
    write_scenes(tmp_path, scenes=1, seed=1, shape=(288 * 6, 288 * 6), kind="open-sea", sparse=True, workers=1)
    with rasterio.open(tmp_path / "scene-000.tif") as dataset:
        image = dataset.read()
        assert dataset.nodata is None
    assert (image.max(axis=0) > 0).mean() == pytest.approx(5 / 36, abs=0.01)  # cells 0, 8, 16, 24, 32 of 36
    ships = geopandas.read_file(tmp_path / "scene-000.ships.gpkg")
    assert len(ships) >= 5
    assert len({tuple(np.round(shape.centroid.coords[0], 1)) for shape in ships.geometry}) == len(ships)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scenes": 0}, "scenes must be"),
        ({"shape": (4, 4096)}, "a scene's sides must be from 16 to 200,000 pixels, got 4 x 4096"),
        ({"kind": "harbor"}, "unknown scene kind 'harbor', did you mean 'harbour'"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"config": WorldConfig(metres_per_pixel=1.234)}, "must have at most two decimals, got 1.234"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    options: dict[str, Any] = {"scenes": 1, "seed": 0, "shape": (64, 64)} | arguments
    with pytest.raises(ConfigError, match=sentence):
        write_scenes(tmp_path, **options)
    assert not list(tmp_path.iterdir())
