"""A scene in, a folder of ships, rasters and pages out."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from shipseg import files
from shipseg.geo.area import Area
from shipseg.geo.reader import Scene, open_scene
from shipseg.inference.predictor import Predictor
from shipseg.model.card import Card
from shipseg.progress import stage
from shipseg.scenes.checkpoint import TileRowStore, working_in
from shipseg.scenes.components import ShipFinder
from shipseg.scenes.gate import Gate
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.output import (
    PROBABILITY_FILE,
    SceneOutput,
    finished_facts,
    probability_raster,
    publish,
    write_output,
)
from shipseg.scenes.ships import Detections, SceneResult, SceneShips, Seconds, measure_ships
from shipseg.scenes.stream import TileJob, run_tiles
from shipseg.scenes.tiles import Block, TilePlan, plan_tiles
from shipseg.scenes.vectors import check_formats

__all__ = ["find_ships_in", "predict_scene"]

_COMPRESSION = 200
"""Pixels that a byte of levels holds at least, where nearly all is sea: measured 600 on a scene of open sea."""


def predict_scene(
    scene_path: str | Path,
    out: Path,
    predictor: Predictor,
    options: SceneOptions | None = None,
    *,
    name: str | None = None,
) -> SceneResult:
    """Look for ships in a scene and write `out/NAME/`, whole or not at all; go on where a killed run stopped.

    Unfinished work lies in `out/.NAME.work/`: the rows of tiles that are done are not predicted again, and the files
    are the same as those of a run that was never stopped. A scene that an earlier run finished is left as it is.

    Args:
        scene_path: A raster that GDAL reads: a local path, or an http, https or s3 address.
        out: Folder of results.
        predictor: The model.
        options: What to look at and what to write.
        name: Of the folder in `out`; None takes the file's name without ending.

    Raises:
        DataError: The scene cannot be read, or a part of it.
        ConfigError: Finished results of other options are in the way, or the options do not fit the scene.
        ModelError: The network gave something other than probabilities.
        StorageError: The results cannot be written; nothing half-written has a final name.
        MissingExtraError: rasterio or another part of the extra `geo` is not installed.
    """
    began_s = time.monotonic()
    options = options or SceneOptions()
    with open_scene(
        scene_path, bands=options.bands, stretch=options.stretch, metres_per_pixel=options.metres_per_pixel
    ) as scene:
        name = name or scene.name
        check_formats(options.formats, scene.georef, scene=name)
        plan = plan_tiles((scene.height, scene.width), predictor.card.input, scene.metres_per_pixel_rc)
        seen_by = {"scene": scene.fingerprint(), "model": _hash_of(predictor.card), "tiles": plan.as_dict()}
        folder, identity = out / name, seen_by | {"options": options.as_dict()}
        facts = finished_facts(folder, identity, overwrite=options.overwrite)
        if facts is not None:
            return SceneResult(name, str(scene_path), folder, "skipped", facts, None)
        files.ensure_folder(out)
        _ensure_space(out, plan, name)
        with working_in(out / f".{name}.work", seen_by | {"looking": options.probability_options()}) as pieces:
            facts = finished_facts(folder, identity, overwrite=options.overwrite)
            if facts is not None:  # another process finished it between the first look and the lock
                pieces.discard()
                return SceneResult(name, str(scene_path), folder, "skipped", facts, None)
            results = files.ensure_folder(pieces.folder / "results")
            raster = results / PROBABILITY_FILE if options.probability else None
            finds = find_ships_in(scene, predictor, options, pieces, plan=plan, raster=raster)
            finishing_s = time.monotonic()
            ships = _measured(finds, scene, name)
            facts = write_output(results, SceneOutput(scene, ships, finds, predictor.card, options, identity), pieces)
            publish(pieces.folder, folder)
    seconds = _with_the_end(finds.seconds, began_s=began_s, finishing_s=finishing_s)
    return SceneResult(name, str(scene_path), folder, "done", facts, ships.ships, seconds)


def _with_the_end(seconds: Seconds, *, began_s: float, finishing_s: float) -> Seconds:
    now_s = time.monotonic()
    return dataclasses.replace(seconds, total=now_s - began_s, finishing=seconds.finishing + now_s - finishing_s)


def find_ships_in(
    scene: Scene,
    predictor: Predictor,
    options: SceneOptions,
    pieces: TileRowStore,
    *,
    plan: TilePlan,
    raster: Path | None = None,
) -> Detections:
    """Return what the network sees in a scene; rows that are done among `pieces` are not predicted again.

    Args:
        scene: Open for reading.
        predictor: The model.
        options: What to look at.
        pieces: Where rows that are done are kept.
        plan: The scene's tiles.
        raster: Also write the probability to this file.

    Raises:
        DataError: A part of the scene cannot be read.
        ModelError: The network gave something other than probabilities.
        StorageError: The disk is full or cannot be written.
    """
    finder = ShipFinder(plan.shape, options.decision(predictor.card.decision))
    job = _tile_job(scene, predictor, options, plan)
    with ExitStack() as stack:
        rows = None if raster is None else stack.enter_context(probability_raster(raster, plan.shape, scene.georef))

        def consume(blocks: Iterator[Block]) -> None:
            for block in blocks:
                finder.add(block)
                if rows is not None:
                    rows.add(block.window, block.quantised_hw)

        counts, seconds = run_tiles(job, pieces, consume)
        looked_s = time.monotonic()
        if raster is not None:
            with stage(f"writing {raster.name}"):
                stack.close()
    seconds = dataclasses.replace(seconds, finishing=seconds.finishing + time.monotonic() - looked_s)
    valid_px = counts.pop("pixels")
    return Detections(finder.ships(), tuple(finder.dropped), counts, valid_px, seconds)


def _tile_job(scene: Scene, predictor: Predictor, options: SceneOptions, plan: TilePlan) -> TileJob:
    regions = [Area.read(path, scene.georef, plan.shape) for path in (options.water, options.area) if path is not None]
    gate = Gate.of_card(predictor.card) if options.gate else None
    return TileJob(scene=scene, plan=plan, predictor=predictor, regions=tuple(regions), gate=gate, batch=options.batch)


def _measured(finds: Detections, scene: Scene, name: str) -> SceneShips:
    found = ((ship.ship, ship.cut) for ship in finds.ships)
    shape = (scene.height, scene.width)
    return measure_ships(found, scene.georef, scene=name, shape=shape, acquired=scene.acquired)


def _hash_of(card: Card) -> str:
    """Return what tells one model from another: its card names its weights by their hashes."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


def _ensure_space(out: Path, plan: TilePlan, name: str) -> None:
    """Refuse to start where the disk cannot hold what is written whatever the scene shows.

    Raises:
        StorageError: It cannot.
    """
    rows = plan.rows
    shared = max(
        (start + rows.tile - later for start, later in zip(rows.starts, rows.starts[1:], strict=False)), default=0
    )
    carried_bytes = 2 * shared * plan.columns.side * 2 * 4  # of two rows of tiles: sums and weights in float32
    levels_bytes = plan.rows.side * plan.columns.side // _COMPRESSION
    files.ensure_space(
        out,
        needed_bytes=carried_bytes + 2 * levels_bytes,
        what=f"scene {name}",
        remedy="free some space or choose another --out",
    )
