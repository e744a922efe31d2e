"""Predicting a scene into a folder of ships, rasters and a report."""

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
from shipseg.scenes.checkpoint import TileRowStore, open_checkpoint
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
"""Least number of pixels per byte of compressed blocks, for scenes of mostly sea; measured 600 on open sea."""


def predict_scene(
    scene_path: str | Path,
    out: Path,
    predictor: Predictor,
    options: SceneOptions | None = None,
    *,
    name: str | None = None,
) -> SceneResult:
    """Predict a scene and write the complete results to `out/NAME/`; resume from the checkpoint of a killed run.

    The checkpoint is in `out/.NAME.work/`: finished rows of tiles are not predicted again, and the results equal those
    of an uninterrupted run. A scene that is finished with the same options is skipped.

    Args:
        scene_path: A raster that GDAL reads: a local path, or an http, https or s3 URL.
        out: Folder of results.
        predictor: The model.
        options: What to predict and what to write.
        name: Name of the folder in `out`; None takes the file name without extension.

    Raises:
        DataError: The scene or a part of it cannot be read.
        ConfigError: There are finished results with other options, or the options do not fit the scene.
        ModelError: The network returned values other than probabilities.
        StorageError: The results cannot be written; incomplete results never get their final name.
        MissingExtraError: rasterio or another package of the extra `geo` is not installed.
    """
    began_s = time.monotonic()
    options = options or SceneOptions()
    with open_scene(
        scene_path, bands=options.bands, stretch=options.stretch, metres_per_pixel=options.metres_per_pixel
    ) as scene:
        name = name or scene.name
        check_formats(options.formats, scene.georef, scene=name)
        plan = plan_tiles((scene.height, scene.width), predictor.card.input, scene.metres_per_pixel_rc)
        inputs = {"scene": scene.fingerprint(), "model": _hash_of(predictor.card), "tiles": plan.as_dict()}
        folder, identity = out / name, inputs | {"options": options.as_dict()}
        facts = finished_facts(folder, identity, overwrite=options.overwrite)
        if facts is not None:
            return SceneResult(name, str(scene_path), folder, "skipped", facts, None)
        files.ensure_folder(out)
        _check_disk_space(out, plan, name)
        with open_checkpoint(out / f".{name}.work", inputs | {"looking": options.probability_options()}) as store:
            facts = finished_facts(folder, identity, overwrite=options.overwrite)
            if facts is not None:  # another process finished it before this one had the lock
                store.discard()
                return SceneResult(name, str(scene_path), folder, "skipped", facts, None)
            results = files.ensure_folder(store.folder / "results")
            raster = results / PROBABILITY_FILE if options.probability else None
            detections = find_ships_in(scene, predictor, options, store, plan=plan, raster=raster)
            finishing_s = time.monotonic()
            ships = _measured(detections, scene, name)
            facts = write_output(
                results, SceneOutput(scene, ships, detections, predictor.card, options, identity), store
            )
            publish(store.folder, folder)
    seconds = _total_seconds(detections.seconds, began_s=began_s, finishing_s=finishing_s)
    return SceneResult(name, str(scene_path), folder, "done", facts, ships.ships, seconds)


def _total_seconds(seconds: Seconds, *, began_s: float, finishing_s: float) -> Seconds:
    now_s = time.monotonic()
    return dataclasses.replace(seconds, total=now_s - began_s, finishing=seconds.finishing + now_s - finishing_s)


def find_ships_in(
    scene: Scene,
    predictor: Predictor,
    options: SceneOptions,
    store: TileRowStore,
    *,
    plan: TilePlan,
    raster: Path | None = None,
) -> Detections:
    """Return the detections of a scene; rows that are finished in `store` are not predicted again.

    Args:
        scene: Open for reading.
        predictor: The model.
        options: What to predict.
        store: Finished rows of tiles.
        plan: Tiles of the scene.
        raster: If given, the probability is written to this file.

    Raises:
        DataError: A part of the scene cannot be read.
        ModelError: The network returned values other than probabilities.
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

        counts, seconds = run_tiles(job, store, consume)
        predicted_s = time.monotonic()
        if raster is not None:
            with stage(f"writing {raster.name}"):
                stack.close()
    seconds = dataclasses.replace(seconds, finishing=seconds.finishing + time.monotonic() - predicted_s)
    valid_px = counts.pop("pixels")
    return Detections(finder.ships(), tuple(finder.dropped), counts, valid_px, seconds)


def _tile_job(scene: Scene, predictor: Predictor, options: SceneOptions, plan: TilePlan) -> TileJob:
    regions = [Area.read(path, scene.georef, plan.shape) for path in (options.water, options.area) if path is not None]
    gate = Gate.of_card(predictor.card) if options.gate else None
    return TileJob(scene=scene, plan=plan, predictor=predictor, regions=tuple(regions), gate=gate, batch=options.batch)


def _measured(detections: Detections, scene: Scene, name: str) -> SceneShips:
    ships = ((detection.ship, detection.cut) for detection in detections.ships)
    shape = (scene.height, scene.width)
    return measure_ships(ships, scene.georef, scene=name, shape=shape, acquired=scene.acquired)


def _hash_of(card: Card) -> str:
    """Return a hash that identifies a model: its card contains the hashes of its weights."""
    return hashlib.sha256(card.model_dump_json().encode()).hexdigest()


def _check_disk_space(out: Path, plan: TilePlan, name: str) -> None:
    """Check that the disk has space for the least that a run of this scene writes.

    Raises:
        StorageError: There is not enough disk space.
    """
    rows = plan.rows
    shared = max(
        (start + rows.tile - later for start, later in zip(rows.starts, rows.starts[1:], strict=False)), default=0
    )
    carry_bytes = 2 * shared * plan.columns.side * 2 * 4  # sums and weights in float32 for two rows of tiles
    blocks_bytes = plan.rows.side * plan.columns.side // _COMPRESSION
    files.ensure_space(
        out,
        needed_bytes=carry_bytes + 2 * blocks_bytes,
        what=f"scene {name}",
        remedy="free some space or choose another --out",
    )
