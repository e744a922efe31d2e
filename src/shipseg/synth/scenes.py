"""Writing synthetic scenes as GeoTIFFs with their true ships, of any size in bounded memory."""

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
from shipseg.identity import first_difference
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


# Georeference and true ships. The truth comes from the parameters of the drawn ships, not from pixels.

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
"""Columns of the truth beside its polygons, which are the labels of the ships inside the scene.

length_m and width_m are those of the hull on the ground; label_length_m and label_width_m those of the label (the
annotators' rectangle is a little larger than the hull). heading_deg is the direction of the bow, clockwise from true
north, 0 to below 360. visible_share is the visible share of the label's area inside the scene. cut tells whether the
border of the scene cuts the label.
"""
_FIXED_DATE = "2000-01-01T00:00:00.000Z"
"""Date of the last change in the GeoPackage; fixed, so that the same scene gives the same bytes."""


@dataclass(frozen=True)
class Place:
    """The georeference of a scene: UTM, north up, square pixels.

    Attributes:
        epsg: EPSG code of the UTM zone.
        east: Easting of the upper left corner, in metres.
        north: Northing of the upper left corner, in metres.
        metres_per_pixel: Size of a pixel on the grid.
    """

    epsg: int
    east: float
    north: float
    metres_per_pixel: float

    def grid(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (N, 2) given in pixels (x right, y down, along pixel edges) as easting and northing."""
        return np.asarray((self.east, self.north)) + points_xy * (self.metres_per_pixel, -self.metres_per_pixel)


def draw_place(rng: Rng, shape: tuple[int, int], metres_per_pixel: float) -> Place:
    """Return a random georeference for a scene of `shape`, between 60 degrees south and 60 degrees north."""
    zone, south = int(rng.integers(1, 61)), bool(rng.random() < 0.3)
    east = float(np.round(rng.uniform(200_000, 800_000 - min(shape[1] * metres_per_pixel, 500_000)), -2))
    # The northing is measured from the equator, in the southern hemisphere from 10,000 km south of it.
    north = float(np.round(rng.uniform(3_400_000, 9_800_000) if south else rng.uniform(300_000, 6_600_000), -2))
    return Place((32700 if south else 32600) + zone, east, north, metres_per_pixel)


def write_truth(path: Path, ships: Sequence[DrawnShip], place: Place, shape: tuple[int, int]) -> None:
    """Write the true ships of a scene as a GeoPackage with one layer, which is empty for a scene without ships.

    The file appears only when it is complete.

    Args:
        path: File to write.
        ships: The drawn ships, in pixels of the scene.
        place: Georeference of the scene.
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
    clipped = [max(shapely.get_parts(label.intersection(inside)), key=lambda part: part.area) for label in labels]
    polygons = [shapely.transform(part, place.grid) for part in clipped]
    table = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in TRUTH_COLUMNS.items()}
    )
    frame = geopandas.GeoDataFrame(table, geometry=polygons, crs=f"EPSG:{place.epsg}")
    with tempfile.TemporaryDirectory() as folder, files.storage_errors(path):
        temporary = Path(folder) / path.name  # GDAL requires the suffix
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_DATE})
        try:
            pyogrio.write_dataframe(
                frame, temporary, layer=TRUTH_LAYER, driver="GPKG", geometry_type="Polygon", VERSION="1.2"
            )
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
        files.write_bytes(path, temporary.read_bytes())


def ship_facts(ship: DrawnShip, place: Place) -> dict[str, Any]:
    """Return the measures of a ship on the ground, from geodesics between its ends."""
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


# Writing scenes.

SCENES_VERSION = 2
"""Raised when a seed gives other scenes at the same generator version."""
TAG = "SHIPSEG_SYNTH"
"""Metadata item of the TIFF with the arguments of the scene, as JSON."""
_MAX_SCENES = 10_000
_MAX_SIDE_PX = 200_000
BYTES_PER_PIXEL = 2.6
"""Upper estimate of a scene's size with its overviews, for the check of the disk space."""
OVERVIEWS_FROM_PX = 1024
"""Side of the smallest scene with overviews."""
SPARSE_EVERY = 8
"""A sparse scene has every eighth of its cells; the other blocks are not in the file and read as black."""
SPARSE_CELLS = 4
"""Number of different cells that a sparse scene repeats."""


@dataclass(frozen=True)
class ScenesSummary:
    """The result of `write_scenes`.

    Attributes:
        folder: The folder.
        num_scenes: Number of scenes requested.
        num_ships: True ships of the scenes made by this call.
        num_made: Scenes made by this call.
        num_kept: Scenes made by earlier calls.
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
    """A scene to write: its plan, and the windows that each painted cell is written to."""

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
    """Write synthetic scenes as GeoTIFFs (`out/scene-000.tif` ...) with their true ships (`scene-000.ships.gpkg` ...).

    The files are in UTM, north up, with three 8-bit bands, tiled, deflate-compressed, with overviews. A scene is
    painted cell by cell, so the memory does not depend on its size. Each ship is inside one cell; there are no seams.
    An interrupted call resumes at the first missing scene.

    Args:
        out: Folder, created if it does not exist. Other files in it stay.
        scenes: Number of scenes.
        seed: Seed of all random numbers.
        shape: (height, width) of a scene in pixels.
        kind: mixed (a coast with harbours, an anchorage near them and open sea), or one of coast, harbour, anchorage,
            open-sea.
        config: Ground sample distance (at most two decimals) and kind of label; the rest is not used.
        sparse: For tests with very large scenes: only every eighth cell is written, repeating four painted ones. The
            other blocks are not in the file and read as black. There are no overviews.
        workers: Number of processes, by default one per core.

    Raises:
        ConfigError: An argument is out of range, or a scene of this name was made with other arguments.
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
            todo.append(_plan(path, parameters, plan_scene(seed, index, shape, kind, config), sparse=sparse))
    share = 1.0 / SPARSE_EVERY if sparse else 1.0
    needed = int(len(todo) * shape[0] * shape[1] * BYTES_PER_PIXEL * share)
    files.ensure_space(out, needed_bytes=needed, what=f"{len(todo)} scenes of {shape[0]} x {shape[1]} pixels")
    files.remove_leftovers(files.ensure_folder(out))
    work = [_Work(replace(scene.plan, cells=()), cell) for scene in todo for cell, _ in scene.targets]
    results = run_tasks(_paint, work, workers=min(available_workers(workers), max(1, len(work))))
    painted = iter(track(results, "painting cells", total=len(work)))
    num_ships = sum(_write(scene, painted, overviews=not sparse) for scene in todo)
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
    if difference := first_difference(before, parameters):
        raise ConfigError(f"{path} was made with {difference}: give the same value or choose another folder")
    return True


def _plan(path: Path, parameters: Mapping[str, Any], plan: ScenePlan, *, sparse: bool) -> _Scene:
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


def _write(scene: _Scene, painted: Iterator[CellImage], *, overviews: bool) -> int:
    """Write one scene and its truth, and return its number of ships. The TIFF appears last."""
    with needing("geo"):
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.windows import Window as RasterWindow
    ships: list[DrawnShip] = []
    with files.atomic_path(scene.path) as temporary:
        with rasterio.open(temporary, "w", **_profile(scene)) as dataset:
            dataset.update_tags(**{TAG: json.dumps(scene.parameters)}, TIFFTAG_DATETIME=_date(scene))
            for cell, windows in scene.targets:
                cell_image = next(painted)
                for window in windows:
                    target = RasterWindow(window.col0, window.row0, window.width, window.height)
                    dataset.write(cell_image.image_hwc.transpose(2, 0, 1), window=target)
                    ships += _moved(cell_image.ships, cell.window, window)
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
        "zlevel": 1,  # higher levels hardly compress sensor noise better
        "bigtiff": "if_safer",
        "sparse_ok": True,
    }


def _date(scene: _Scene) -> str:
    """Return the acquisition time in the format of TIFF: a morning of 2024 that depends on the scene."""
    seed, index = scene.plan.key[:2]
    number = seed * 97 + index
    return f"2024:{number % 12 + 1:02d}:{number % 28 + 1:02d} 10:{number % 60:02d}:00"


def _moved(ships: tuple[DrawnShip, ...], painted: Window, target: Window) -> list[DrawnShip]:
    right, down = target.col0 - painted.col0, target.row0 - painted.row0
    shift = np.array((right, down), np.float64)
    return [replace(ship, x=ship.x + right, y=ship.y + down, label_xy=ship.label_xy + shift) for ship in ships]
