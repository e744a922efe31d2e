"""The folder of results of one scene: written under another name, whole, then renamed."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
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
from shipseg.masks.ships import Ship
from shipseg.model.card import Card
from shipseg.progress import stage
from shipseg.scenes.checkpoint import TileRowStore
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.ships import Detections, SceneShips
from shipseg.scenes.tiles import LEVELS, NO_DATA
from shipseg.scenes.vectors import FORMATS
from shipseg.tiling import Window

with needing("geo"):
    from shipseg.scenes.page import PAGE_FILE, QUICKLOOK_FILE, write_views

__all__ = [
    "FACTS_FILE",
    "MASK_FILE",
    "MASK_NO_DATA",
    "PROBABILITY_FILE",
    "SceneOutput",
    "finished_facts",
    "probability_raster",
    "publish",
    "write_mask",
    "write_output",
]


# Probability and mask of a scene as cloud-optimised GeoTIFFs.

MASK_NO_DATA: Final = 255
"""In the mask: a pixel without data."""
_PROBABILITY: Final = RasterContent(
    "uint16", NO_DATA, "probability that the pixel belongs to a ship, in steps of 0.0001", "AVERAGE", 1 / LEVELS
)
# Smaller looks keep the values 0 and 1.
_MASK: Final = RasterContent("uint8", MASK_NO_DATA, "1 ship, 0 no ship, 255 no data", "NEAREST")


@contextlib.contextmanager
def probability_raster(path: Path, shape: tuple[int, int], georef: GeoReference) -> Iterator[CogWriter]:
    """Give a raster to add levels of probability to; when the block ends, it becomes the file `path`, else nothing.

    The file is a cloud-optimised GeoTIFF of uint16 in steps of 0.0001, as its scale says; 65535 is no data.

    Args:
        path: File to write.
        shape: Height and width of the scene in pixels.
        georef: Where it lies.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    with cog_writer(Path(path), shape, georef, _PROBABILITY) as raster:
        yield raster


def write_mask(path: Path, blocks: Iterable[tuple[Window, NDArray[np.uint16]]], ships: SceneShips) -> None:
    """Write the mask of a scene's ships as a cloud-optimised GeoTIFF of uint8: 1 ship, 0 no ship, 255 no data.

    Args:
        path: File to write.
        blocks: Windows that cover the scene row by row, with the levels of probability there; only which of them have
            no data matters.
        ships: The ships, which need not be all that has a high probability.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    waiting = sorted((ship.ship for ship in ships.ships), key=lambda ship: ship.mask_box, reverse=True)
    current: list[Ship] = []
    with cog_writer(Path(path), ships.shape, ships.georef, _MASK) as raster:
        for window, quantised_hw in blocks:
            while waiting and waiting[-1].mask_box[0] < window.row0 + window.height:
                current.append(waiting.pop())
            current = [ship for ship in current if ship.mask_box[2] > window.row0]
            mask_hw = np.where(quantised_hw == NO_DATA, np.uint8(MASK_NO_DATA), np.uint8(0))
            for ship in current:
                _paint(mask_hw, window, ship)
            raster.add(window, mask_hw)


def _paint(mask_hw: NDArray[np.uint8], window: Window, ship: Ship) -> None:
    row0, col0, row1, col1 = ship.mask_box
    top, bottom = max(row0, window.row0), min(row1, window.row0 + window.height)
    left, right = max(col0, window.col0), min(col1, window.col0 + window.width)
    if top < bottom and left < right:
        place = mask_hw[top - window.row0 : bottom - window.row0, left - window.col0 : right - window.col0]
        place[ship.mask[top - row0 : bottom - row0, left - col0 : right - col0]] = 1


FACTS_FILE: Final = "scene.json"
"""Written last: what was done, with which options, and what came of it."""
PROBABILITY_FILE: Final = "probability.tif"
MASK_FILE: Final = "mask.tif"


@dataclass(frozen=True, eq=False)
class SceneOutput:
    """What is known of a scene once it was looked at."""

    scene: Scene
    ships: SceneShips
    finds: Detections
    card: Card
    options: SceneOptions
    identity: dict[str, Any]
    """Plain data: scene, model and options, by which results are known again."""


def write_output(folder: Path, outcome: SceneOutput, pieces: TileRowStore) -> dict[str, Any]:
    """Write what the options ask for into a folder, scene.json last, and return what that holds.

    Args:
        folder: An existing folder; probability.tif is in it already, where it was asked for.
        outcome: What is known of the scene.
        pieces: All rows of the scene.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    options = outcome.options
    written = [PROBABILITY_FILE] if options.probability else []
    for format_name in options.formats:
        file_name, write = FORMATS[format_name]
        write(folder / file_name, outcome.ships)
        written.append(file_name)
    if options.mask:
        with stage(f"writing {MASK_FILE}"):
            write_mask(folder / MASK_FILE, _all_blocks(pieces), outcome.ships)
        written.append(MASK_FILE)
    written += [QUICKLOOK_FILE, PAGE_FILE] if options.quicklook else []
    facts = _facts(outcome, written)
    if options.quicklook:
        with stage(f"writing {QUICKLOOK_FILE} and {PAGE_FILE}"):
            write_views(folder, outcome.scene, outcome.ships, facts)
    files.write_json(folder / FACTS_FILE, facts)
    return facts


def _all_blocks(pieces: TileRowStore) -> Iterator[tuple[Window, NDArray[np.uint16]]]:
    for row in range(pieces.num_done):
        yield from pieces.blocks(row)


def _facts(outcome: SceneOutput, written: list[str]) -> dict[str, Any]:
    scene, finds, georef = outcome.scene, outcome.finds, outcome.scene.georef
    decision = outcome.options.decision(outcome.card.decision)
    size_m = scene.metres_per_pixel_rc
    return {
        "format": 1,
        "shipseg": __version__,
        "scene": {
            "name": outcome.ships.scene,
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
        "model": outcome.card.name,
        "decision": decision.rules,
        "num_ships": len(outcome.ships.ships),
        "num_cut": sum(ship.cut for ship in outcome.ships.ships),
        "looked_at_px": finds.valid_px,
        "looked_at_km2": None if size_m is None else finds.valid_px * size_m[0] * size_m[1] / 1e6,
        "tiles": dict(finds.tiles),
        "dropped": [{"box": list(part.box), "area_px": part.area_px, "reason": part.reason} for part in finds.dropped],
        "files": sorted([*written, FACTS_FILE]),
        "identity": outcome.identity,
    }


def finished_facts(folder: Path, identity: dict[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
    """Return what scene.json of finished results holds, or None where there are none or they shall be replaced.

    Args:
        folder: OUT/NAME.
        identity: Plain data: scene, model and options of this run.
        overwrite: Results of something else shall be replaced.

    Raises:
        ConfigError: The folder holds results of something else, or files of somebody else.
        StorageError: There can be no folder of this name, or it cannot be looked into.
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
    before, now = theirs.get("options", {}), ours["options"]
    names = [name for name in now if before.get(name) != now[name]]
    said = [f"{name} {_said(name, before.get(name))}, now {_said(name, now[name])}" for name in names]
    return f"other options ({'; '.join(said)})" if said else "another version of shipseg"


def _said(name: str, value: Any) -> str:
    """Return the value of an option in words, None as what is taken instead."""
    if isinstance(value, dict):
        return str(value.get("name"))
    if value is None:
        return {"threshold": "the model's", "water": "none", "area": "none"}.get(name, "by the file")
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def publish(work: Path, folder: Path) -> None:
    """Give the results in a work folder their final name, and delete the work folder.

    Args:
        work: OUT/.NAME.work, with the whole results in `results/`.
        folder: OUT/NAME; results that lie there are replaced.

    Raises:
        StorageError: They cannot be renamed.
    """
    with files.storage_errors(folder):
        if folder.exists():
            folder.replace(work / "replaced")
        (work / "results").replace(folder)
        shutil.rmtree(work, ignore_errors=True)
