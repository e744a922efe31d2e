"""GeoTIFF scenes of the procedural world with their true ships, of any size in bounded memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.config import MAX_WORKERS
from shipseg.errors import ConfigError, StorageError, unknown_name
from shipseg.extras import needing
from shipseg.processes import available_workers, run_tasks
from shipseg.progress import track
from shipseg.schema import check_count
from shipseg.synth.cells import CellImage, DrawnShip, paint_cell
from shipseg.synth.distributions import Rng
from shipseg.synth.folder import WORLD_VERSION
from shipseg.synth.ground import SCENE_KINDS, Cell, SceneKind, ScenePlan, plan_scene
from shipseg.synth.view import WorldConfig
from shipseg.tiling import Window

__all__ = [
    "TRUTH_COLUMNS",
    "TRUTH_LAYER",
    "TRUTH_SUFFIX",
    "Place",
    "ScenesSummary",
    "draw_place",
    "scene_name",
    "ship_facts",
    "write_scenes",
    "write_truth",
]


# Where a synthetic scene lies on Earth, and its ships as a GeoPackage: from how they were drawn, not from pixels.

TRUTH_SUFFIX = ".ships.gpkg"
TRUTH_LAYER = "ships"
TRUTH_COLUMNS = {
    "id": int,
    "kind": str,
    "length_m": float,
    "width_m": float,
    "heading_deg": float,
    "label_length_m": float,
    "label_width_m": float,
    "lon": float,
    "lat": float,
    "visible_share": float,
    "cut": bool,
}
"""Columns of the truth beside its polygons, which are what a mask of the ship covers inside the scene.

length_m and width_m are the hull's, on the ground; label_length_m and label_width_m those of what the mask covers (the
annotators' rectangle is a little larger than the hull). heading_deg is the direction of the bow, clockwise from true
north, 0 to below 360. visible_share says how much of the label's area inside the scene nothing hides. cut says whether
the scene's edge cuts the label.
"""
_FIXED_DATE = "2000-01-01T00:00:00.000Z"
"""The same scene gives the same bytes; a GeoPackage holds the date of its last change."""


@dataclass(frozen=True)
class Place:
    """Where a scene lies: UTM, north up, square pixels.

    Attributes:
        epsg: Code of the UTM zone.
        east: Of the upper left corner, in metres.
        north: Likewise.
        metres_per_pixel: Size of a pixel on the grid.
    """

    epsg: int
    east: float
    north: float
    metres_per_pixel: float

    def grid(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (N, 2) in pixels, x right and y down along pixel edges, as east and north."""
        return np.asarray((self.east, self.north)) + points_xy * (self.metres_per_pixel, -self.metres_per_pixel)


def draw_place(rng: Rng, shape: tuple[int, int], metres_per_pixel: float) -> Place:
    """Return a place for a scene of `shape` somewhere between 60 degrees south and 60 degrees north."""
    zone, south = int(rng.integers(1, 61)), bool(rng.random() < 0.3)
    east = float(np.round(rng.uniform(200_000, 800_000 - min(shape[1] * metres_per_pixel, 500_000)), -2))
    # UTM counts from the equator, on the southern half from 10,000 km below it.
    north = float(np.round(rng.uniform(3_400_000, 9_800_000) if south else rng.uniform(300_000, 6_600_000), -2))
    return Place((32700 if south else 32600) + zone, east, north, metres_per_pixel)


def write_truth(path: Path, ships: Sequence[DrawnShip], place: Place, shape: tuple[int, int]) -> None:
    """Write the true ships of a scene as a GeoPackage with one layer, whole or not at all; no ship is a layer, too.

    Args:
        path: File to write.
        ships: As they were drawn, in pixels of the scene.
        place: Where the scene lies.
        shape: (height, width) of the scene in pixels.

    Raises:
        MissingExtraError: The extra `geo` is not installed.
        StorageError: The file cannot be written.
    """
    with needing("geo"):
        import geopandas
        import pandas as pd
        import pyogrio
        import shapely
    inside = shapely.box(0, 0, shape[1], shape[0])
    labels = [shapely.Polygon(ship.label_xy) for ship in ships]
    rows = [
        {"id": number, **ship_facts(ship, place), "cut": not inside.covers(label)}
        for number, (ship, label) in enumerate(zip(ships, labels, strict=True), start=1)
    ]
    seen = [max(shapely.get_parts(label.intersection(inside)), key=lambda part: part.area) for label in labels]
    polygons = [shapely.transform(part, place.grid) for part in seen]
    table = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in TRUTH_COLUMNS.items()}
    )
    frame = geopandas.GeoDataFrame(table, geometry=polygons, crs=f"EPSG:{place.epsg}")
    with tempfile.TemporaryDirectory() as folder, files.storage_errors(path):
        temporary = Path(folder) / path.name  # GDAL wants the right suffix
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_DATE})
        try:
            pyogrio.write_dataframe(
                frame, temporary, layer=TRUTH_LAYER, driver="GPKG", geometry_type="Polygon", VERSION="1.2"
            )
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
        files.write_bytes(path, temporary.read_bytes())


def ship_facts(ship: DrawnShip, place: Place) -> dict[str, Any]:
    """Return a ship's measures on the ground, by geodesics between its ends."""
    import pyproj

    along = np.array([np.cos(ship.heading_rad), np.sin(ship.heading_rad)])
    across = np.array([-along[1], along[0]])
    middle = np.array([ship.x, ship.y])
    half_long, half_wide = along * ship.length_px / 2, across * ship.beam_px / 2
    points = np.stack([middle, middle - half_long, middle + half_long, middle - half_wide, middle + half_wide])
    to_lonlat = pyproj.Transformer.from_crs(place.epsg, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(*place.grid(points).T)
    heading, _, length = pyproj.Geod(ellps="WGS84").inv(lon[1], lat[1], lon[2], lat[2])
    _, _, width = pyproj.Geod(ellps="WGS84").inv(lon[3], lat[3], lon[4], lat[4])
    grown = 2 * ship.margin_px
    return {
        "kind": ship.kind,
        "length_m": length,
        "width_m": width,
        "heading_deg": heading % 360,
        "label_length_m": length * (1 + grown / ship.length_px),
        "label_width_m": width * (1 + grown / ship.beam_px),
        "lon": float(lon[0]),
        "lat": float(lat[0]),
        "visible_share": min(1.0, ship.visible_share),
    }


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
    results = run_tasks(_paint, work, workers=min(available_workers(workers), max(1, len(work))))
    pictures = iter(track(results, "painting cells", total=len(work)))
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


def _paint(work: _Work) -> CellImage:
    return paint_cell(work.plan, work.cell)


def _write(scene: _Scene, pictures: Iterator[CellImage], *, overviews: bool) -> int:
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
