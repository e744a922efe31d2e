"""The folder of results of a scene: its rasters and files, written to a work folder and renamed when complete."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shipseg import __version__, files
from shipseg.errors import ConfigError
from shipseg.extras import needing
from shipseg.geo.cog import CogWriter, RasterContent, cog_writer
from shipseg.geo.georef import GeoReference
from shipseg.geo.reader import Scene
from shipseg.identity import first_difference
from shipseg.masks.ships import Ship
from shipseg.model.card import Card
from shipseg.progress import stage
from shipseg.scenes.checkpoint import TileRowStore
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.quicklook import draw_quicklook, quicklook_shape, write_png
from shipseg.scenes.ships import Detections, SceneShips
from shipseg.scenes.tiles import LEVELS, NO_DATA
from shipseg.scenes.vectors import FORMATS
from shipseg.tiling import Window

__all__ = [
    "FACTS_FILE",
    "MASK_FILE",
    "MASK_NO_DATA",
    "PAGE_FILE",
    "PROBABILITY_FILE",
    "QUICKLOOK_FILE",
    "SceneOutput",
    "finished_facts",
    "probability_raster",
    "publish",
    "write_mask",
    "write_output",
]


MASK_NO_DATA: Final = 255
"""Value of pixels without data in the mask."""
_PROBABILITY: Final = RasterContent(
    "uint16", NO_DATA, "probability that the pixel belongs to a ship, in steps of 0.0001", "AVERAGE", 1 / LEVELS
)
# NEAREST keeps the values 0 and 1 in the overviews.
_MASK: Final = RasterContent("uint8", MASK_NO_DATA, "1 ship, 0 no ship, 255 no data", "NEAREST")


@contextlib.contextmanager
def probability_raster(path: Path, shape: tuple[int, int], georef: GeoReference) -> Iterator[CogWriter]:
    """Yield a writer for quantised probability, which becomes the file `path` when the context ends without an error.

    The file is a cloud-optimised GeoTIFF, uint16 with a scale of 0.0001; 65535 is no data.

    Args:
        path: File to write.
        shape: (height, width) of the scene.
        georef: Georeference of the scene.

    Raises:
        StorageError: The disk is full or `path` cannot be written.
    """
    with cog_writer(Path(path), shape, georef, _PROBABILITY) as writer:
        yield writer


def write_mask(path: Path, blocks: Iterable[tuple[Window, NDArray[np.uint16]]], ships: SceneShips) -> None:
    """Write the mask of a scene's ships as a cloud-optimised GeoTIFF, uint8: 1 ship, 0 no ship, 255 no data.

    Args:
        path: File to write.
        blocks: Windows that cover the scene row by row, with their quantised probability, of which only `NO_DATA` is
            used.
        ships: The ships of the scene.

    Raises:
        StorageError: The disk is full or `path` cannot be written.
    """
    remaining = sorted((ship.ship for ship in ships.ships), key=lambda ship: ship.mask_box, reverse=True)
    current: list[Ship] = []
    with cog_writer(Path(path), ships.shape, ships.georef, _MASK) as writer:
        for window, quantised_hw in blocks:
            while remaining and remaining[-1].mask_box[0] < window.row0 + window.height:
                current.append(remaining.pop())
            current = [ship for ship in current if ship.mask_box[2] > window.row0]
            mask_hw = np.where(quantised_hw == NO_DATA, np.uint8(MASK_NO_DATA), np.uint8(0))
            for ship in current:
                _paint(mask_hw, window, ship)
            writer.add(window, mask_hw)


def _paint(mask_hw: NDArray[np.uint8], window: Window, ship: Ship) -> None:
    row0, col0, row1, col1 = ship.mask_box
    top, bottom = max(row0, window.row0), min(row1, window.row0 + window.height)
    left, right = max(col0, window.col0), min(col1, window.col0 + window.width)
    if top < bottom and left < right:
        part_hw = mask_hw[top - window.row0 : bottom - window.row0, left - window.col0 : right - window.col0]
        part_hw[ship.mask[top - row0 : bottom - row0, left - col0 : right - col0]] = 1


FACTS_FILE: Final = "scene.json"
"""Written last: scene, model, options and results as plain data."""
PROBABILITY_FILE: Final = "probability.tif"
MASK_FILE: Final = "mask.tif"
QUICKLOOK_FILE: Final = "quicklook.png"
PAGE_FILE: Final = "report.html"
_DEFAULTS: Final = {"threshold": "the model's"} | dict.fromkeys(("bands", "stretch", "metres_per_pixel"), "by the file")
"""What an option that was not given stands for, in words."""


@dataclass(frozen=True, eq=False)
class SceneOutput:
    """The input of `write_output`: a scene, its ships, the model and the options."""

    scene: Scene
    ships: SceneShips
    detections: Detections
    card: Card
    options: SceneOptions
    identity: dict[str, Any]
    """Plain data that identifies scene, model and options, to recognise finished results."""


def write_output(folder: Path, output: SceneOutput, store: TileRowStore) -> dict[str, Any]:
    """Write the files that the options request, scene.json last, and return the content of scene.json.

    Args:
        folder: An existing folder, which already has probability.tif if it was requested.
        output: Ships, model and options of the scene.
        store: All rows of tiles of the scene.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    options = output.options
    written = [PROBABILITY_FILE] if options.probability else []
    for format_name in options.formats:
        file_name, write = FORMATS[format_name]
        write(folder / file_name, output.ships)
        written.append(file_name)
    if options.mask:
        with stage(f"writing {MASK_FILE}"):
            write_mask(folder / MASK_FILE, _all_blocks(store), output.ships)
        written.append(MASK_FILE)
    written += [QUICKLOOK_FILE, PAGE_FILE] if options.quicklook else []
    facts = _facts(output, written)
    if options.quicklook:
        with stage(f"writing {QUICKLOOK_FILE} and {PAGE_FILE}"):
            _write_previews(folder, output.scene, output.ships, facts)
    files.write_json(folder / FACTS_FILE, facts)
    return facts


def _write_previews(folder: Path, scene: Scene, ships: SceneShips, facts: Mapping[str, Any]) -> None:
    """Write quicklook.png and report.html; the scene is read as a whole at reduced size, and around the longest ships.

    Raises:
        DataError: The scene can no longer be read.
        StorageError: The files cannot be written.
    """
    with needing("geo"):
        from shipseg.scenes.page import read_close_ups, write_scene_page

    whole = Window(0, 0, scene.height, scene.width)
    overview_hwc, valid_hw = scene.read(whole, quicklook_shape(ships.georef), from_overviews=True)
    drawn_hwc, _ = draw_quicklook(overview_hwc, valid_hw, ships)
    write_png(folder / QUICKLOOK_FILE, drawn_hwc)
    write_scene_page(folder / PAGE_FILE, drawn_hwc, ships, facts, close_ups=read_close_ups(scene.read, ships))


def _all_blocks(store: TileRowStore) -> Iterator[tuple[Window, NDArray[np.uint16]]]:
    for row in range(store.num_done):
        yield from store.read_blocks(row)


def _facts(output: SceneOutput, written: list[str]) -> dict[str, Any]:
    scene, detections, georef = output.scene, output.detections, output.scene.georef
    decision = output.options.decision(output.card.decision)
    size_m = scene.metres_per_pixel_rc
    return {
        "format": 1,
        "shipseg": __version__,
        "scene": {
            "name": output.ships.scene,
            "path": scene.path,
            "height": scene.height,
            "width": scene.width,
            "bands": list(scene.bands),
            "dtype": scene.dtype,
            "crs": georef.crs_name,
            "metres_per_row_and_column": None if size_m is None else list(size_m),
            "acquired": scene.acquired,
            "notes": list(scene.notes),
        },
        "model": output.card.name,
        "decision": decision.rules,
        "num_ships": len(output.ships.ships),
        "num_cut": sum(ship.cut for ship in output.ships.ships),
        "looked_at_px": detections.valid_px,
        "looked_at_km2": None if size_m is None else detections.valid_px * size_m[0] * size_m[1] / 1e6,
        "tiles": dict(detections.tiles),
        "dropped": [
            {"box": list(part.box), "area_px": part.area_px, "reason": part.reason} for part in detections.dropped
        ],
        "files": sorted([*written, FACTS_FILE]),
        "identity": output.identity,
    }


def finished_facts(folder: Path, identity: dict[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
    """Return scene.json of finished results, or None if there are none or they are to be replaced.

    Args:
        folder: OUT/NAME.
        identity: Plain data that identifies scene, model and options of this run.
        overwrite: Whether results with another identity are to be replaced.

    Raises:
        ConfigError: The folder holds results with another identity, or other files.
        StorageError: The folder cannot be read, or its name is invalid.
    """
    with files.storage_errors(folder):
        if not folder.exists():
            return None
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        theirs = facts["identity"]
        theirs.get("options", {}).keys()  # both are tables, unless somebody wrote into the file
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"{folder} is in the way and holds no finished results of a scene (no usable {FACTS_FILE}): choose another "
            "--out, or move it away"
        ) from None
    if theirs == identity:
        return facts
    if overwrite:
        return None
    raise ConfigError(
        f"{folder} holds finished results of {_difference(theirs, identity)}: give --overwrite to replace them, or "
        "another --out"
    )


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return in words what is different between two identities."""
    if theirs.get("scene") != ours["scene"]:
        return "another scene of this name, or of this one before it was changed"
    if theirs.get("model") != ours["model"]:
        return "another model"
    difference = first_difference(_with_defaults(theirs.get("options", {})), _with_defaults(ours["options"]))
    return f"other options ({difference})" if difference else "another version of shipseg"


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the default in words where one was not given."""
    return options | {name: words for name, words in _DEFAULTS.items() if options.get(name) is None}


def publish(work: Path, folder: Path) -> None:
    """Rename the results in a work folder to their final name, and delete the work folder.

    Args:
        work: OUT/.NAME.work, with the complete results in `results/`.
        folder: OUT/NAME; existing results are replaced.

    Raises:
        StorageError: They cannot be renamed.
    """
    with files.storage_errors(folder):
        if folder.exists():
            folder.replace(work / "replaced")
        (work / "results").replace(folder)
        shutil.rmtree(work, ignore_errors=True)
