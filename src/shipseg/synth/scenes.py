"""GeoTIFF scenes of the procedural world with their true ships, of any size in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shipseg import files
from shipseg.config import MAX_WORKERS
from shipseg.errors import ConfigError, StorageError, unknown_name
from shipseg.extras import needing
from shipseg.progress import track
from shipseg.schema import check_count
from shipseg.synth.cells import CellPicture, DrawnShip, paint_cell
from shipseg.synth.folder import WORLD_VERSION
from shipseg.synth.geotruth import TRUTH_SUFFIX, Place, draw_place, write_truth
from shipseg.synth.ground import SCENE_KINDS, Cell, SceneKind, ScenePlan, plan_scene
from shipseg.synth.processes import run_jobs
from shipseg.synth.view import WorldConfig
from shipseg.tiling import Window

__all__ = ["ScenesSummary", "scene_name", "write_scenes"]

SCENES_VERSION = 2
"""Raised when the same seed gives other scenes of the same world."""
TAG = "SHIPSEG_SYNTH"
"""Metadata item of the TIFF that says how the scene was made, as JSON."""
_MAX_SCENES = 10_000
_MAX_SIDE_PX = 200_000
BYTES_PER_PIXEL = 2.6
"""Upper side of a scene's size with its overviews, for the check of the disk."""
OVERVIEWS_FROM_PX = 1024
SPARSE_EVERY = 8
"""A sparse scene has every eighth of its cells; the other blocks are not in the file and read as black."""
SPARSE_CELLS = 4
"""So many different cells a sparse scene repeats."""


@dataclass(frozen=True)
class ScenesSummary:
    """What a call of `write_scenes` left behind.

    Attributes:
        folder: The folder.
        num_scenes: Scenes in it, of this call's numbers.
        num_ships: True ships of the scenes made by this call.
        num_made: Scenes made by this call.
        num_kept: Scenes that an earlier call had made.
    """

    folder: Path
    num_scenes: int
    num_ships: int
    num_made: int
    num_kept: int


@dataclass(frozen=True)
class _Work:
    plan: ScenePlan
    cell: Cell


@dataclass(frozen=True)
class _Scene:
    """A scene to be made: its plan, and where each painted cell is put."""

    path: Path
    parameters: Mapping[str, Any]
    plan: ScenePlan
    place: Place
    targets: tuple[tuple[Cell, tuple[Window, ...]], ...]


def scene_name(index: int) -> str:
    """Return the file name of scene `index` without suffix."""
    return f"scene-{index:03d}"


def write_scenes(
    out: Path,
    *,
    scenes: int,
    seed: int,
    shape: tuple[int, int] = (4096, 4096),
    kind: SceneKind = "mixed",
    config: WorldConfig | None = None,
    sparse: bool = False,
    workers: int | None = None,
) -> ScenesSummary:
    """Write `scenes` GeoTIFFs (`out/scene-000.tif` ...) with their true ships (`scene-000.ships.gpkg` ...).

    UTM, north up, three 8-bit bands, tiled, deflate, with overviews. A scene is painted cell by cell, so memory does
    not depend on its size. Ships lie inside one cell each; no seam is to be seen. A call that was killed is taken up at
    the first scene that is missing.

    Args:
        out: Folder; made where it is missing. What else it holds stays.
        scenes: How many.
        seed: Which world.
        shape: (height, width) of a scene in pixels.
        kind: mixed (a coast with harbours, an anchorage before them and open sea), or one of coast, harbour, anchorage,
            open-sea.
        config: Ground sample distance (at most two decimals) and what a label covers; the rest is not used.
        sparse: For trials with very large scenes: only every eighth cell is painted, repeating four, and the blocks
            between are not in the file at all: they read as black sea. No overviews.
        workers: Processes; as many as processors where None.

    Raises:
        ConfigError: An argument is out of range, or a scene of that name was made with other arguments.
        MissingExtraError: The extra `geo` is not installed.
        StorageError: The folder cannot be written or its disk is too small.
    """
    out, config = Path(out), config or WorldConfig()
    _check(scenes=scenes, seed=seed, shape=shape, kind=kind, workers=workers)
    made_with = {
        "version": SCENES_VERSION,
        "world": WORLD_VERSION,
        "seed": seed,
        "shape": list(shape),
        "kind": kind,
        "sparse": sparse,
    }
    made_with |= {name: asdict(config)[name] for name in ("label", "metres_per_pixel")}
    todo = []
    for index in range(scenes):
        path = out / f"{scene_name(index)}.tif"
        parameters = made_with | {"index": index}
        if not _is_there(path, parameters):
            todo.append(_planned(path, parameters, plan_scene(seed, index, shape, kind, config), sparse=sparse))
    share = 1.0 / SPARSE_EVERY if sparse else 1.0
    needed = int(len(todo) * shape[0] * shape[1] * BYTES_PER_PIXEL * share)
    files.ensure_space(out, needed_bytes=needed, what=f"{len(todo)} scenes of {shape[0]} x {shape[1]} pixels")
    files.remove_leftovers(files.ensure_folder(out))
    work = [_Work(replace(scene.plan, cells=()), cell) for scene in todo for cell, _ in scene.targets]
    pictures = iter(track(run_jobs(_paint, work, workers), "painting cells", total=len(work)))
    num_ships = sum(_write(scene, pictures, overviews=not sparse) for scene in todo)
    return ScenesSummary(out, scenes, num_ships, len(todo), scenes - len(todo))


def _check(*, scenes: int, seed: int, shape: tuple[int, int], kind: str, workers: int | None) -> None:
    check_count("scenes", scenes, most=_MAX_SCENES)
    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    if kind not in SCENE_KINDS:
        raise unknown_name("scene kind", kind, SCENE_KINDS)
    if not all(16 <= side <= _MAX_SIDE_PX for side in shape):
        raise ConfigError(f"a scene's sides must be from 16 to {_MAX_SIDE_PX:,} pixels, got {shape[0]} x {shape[1]}")
    if workers is not None:
        check_count("workers", workers, most=MAX_WORKERS)


def _is_there(path: Path, parameters: Mapping[str, Any]) -> bool:
    """Return whether a scene was made before, with the same arguments."""
    if not path.exists():
        return False
    with needing("geo"):
        import rasterio
    try:
        with rasterio.open(path) as dataset:
            before = json.loads(dataset.tags().get(TAG, "{}"))
    except (rasterio.errors.RasterioIOError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}): remove it or choose another folder") from error
    for name, value in parameters.items():
        if before.get(name) != value:
            raise ConfigError(
                f"{path} was made with {name} = {before.get(name)}, now {name} = {value}: "
                "give the same value or choose another folder"
            )
    return True


def _planned(path: Path, parameters: Mapping[str, Any], plan: ScenePlan, *, sparse: bool) -> _Scene:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*plan.key, 4))))
    place = draw_place(rng, plan.grid.shape, plan.config.metres_per_pixel)
    if not sparse:
        return _Scene(path, parameters, plan, place, tuple((cell, (cell.window,)) for cell in plan.cells))
    size = plan.grid.core
    whole = [cell for cell in plan.cells if (cell.window.height, cell.window.width) == (size, size)] or [*plan.cells]
    chosen = whole[::SPARSE_EVERY]
    painted = [cell if cell.num_ships else replace(cell, num_ships=2) for cell in chosen[:SPARSE_CELLS]]
    targets = tuple(
        (cell, tuple(each.window for each in chosen[number::SPARSE_CELLS])) for number, cell in enumerate(painted)
    )
    return _Scene(path, parameters, plan, place, targets)


def _paint(work: _Work) -> CellPicture:
    return paint_cell(work.plan, work.cell)


def _write(scene: _Scene, pictures: Iterator[CellPicture], *, overviews: bool) -> int:
    """Write one scene, its truth first, and return how many ships it has."""
    with needing("geo"):
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.windows import Window as RasterWindow
    ships: list[DrawnShip] = []
    with files.atomic_path(scene.path) as temporary:
        with rasterio.open(temporary, "w", **_profile(scene)) as dataset:
            dataset.update_tags(**{TAG: json.dumps(scene.parameters)}, TIFFTAG_DATETIME=_date(scene))
            for cell, windows in scene.targets:
                picture = next(pictures)
                for window in windows:
                    place = RasterWindow(window.col0, window.row0, window.width, window.height)
                    dataset.write(picture.image_hwc.transpose(2, 0, 1), window=place)
                    ships += _moved(picture.ships, cell.window, window)
        reductions = [
            2**power for power in range(1, (max(scene.plan.grid.shape) // OVERVIEWS_FROM_PX).bit_length() + 1)
        ]
        if overviews and reductions:
            with rasterio.open(temporary, "r+") as dataset:
                dataset.build_overviews(reductions, Resampling.average)
        write_truth(scene.path.with_suffix(TRUTH_SUFFIX), ships, scene.place, scene.plan.grid.shape)
    return len(ships)


def _profile(scene: _Scene) -> dict[str, Any]:
    from rasterio import Affine

    place, block, size_m = scene.place, scene.plan.grid.block_px, scene.place.metres_per_pixel
    return {
        "driver": "GTiff",
        "height": scene.plan.grid.shape[0],
        "width": scene.plan.grid.shape[1],
        "count": 3,
        "dtype": "uint8",
        "crs": f"EPSG:{place.epsg}",
        "transform": Affine(size_m, 0.0, place.east, 0.0, -size_m, place.north),
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "interleave": "pixel",
        "photometric": "RGB",
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 1,  # the noise of a camera hardly shrinks, however long one tries
        "bigtiff": "if_safer",
        "sparse_ok": True,
    }


def _date(scene: _Scene) -> str:
    """Return when the picture was taken: a late morning of 2024, another for each scene, as TIFF writes it."""
    seed, index = scene.plan.key[:2]
    number = seed * 97 + index
    return f"2024:{number % 12 + 1:02d}:{number % 28 + 1:02d} 10:{number % 60:02d}:00"


def _moved(ships: tuple[DrawnShip, ...], painted: Window, target: Window) -> list[DrawnShip]:
    right, down = target.col0 - painted.col0, target.row0 - painted.row0
    shift = np.array((right, down), np.float64)
    return [replace(ship, x=ship.x + right, y=ship.y + down, label_xy=ship.label_xy + shift) for ship in ships]
