"""Writing an Airbus folder of synthetic images: JPEGs, the CSV of run-length labels, the window of each tile."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shipseg import files
from shipseg.config import MAX_WORKERS
from shipseg.errors import ConfigError, StorageError
from shipseg.identity import first_difference
from shipseg.processes import available_workers, run_tasks
from shipseg.progress import track
from shipseg.schema import check_count
from shipseg.synth.paint.sensor import encode_jpeg
from shipseg.synth.view import View, WorldConfig, image_of
from shipseg.synth.world import is_empty, render

__all__ = ["FolderSummary", "Job", "Tile", "image_id", "plan_jobs", "write_airbus_folder"]


# The plan of a folder, made before the first image is drawn.

ID_BITS = 36
"""Nine hexadecimal digits, as in the challenge's file names."""
SCENE_STREAM = 2
"""Stream of the scenes that tiles are cut from, see `world.render`."""
TILES_PER_SCENE = (2, 9)
"""The challenge has 3.3 tiles per scene on average, up to 25."""
STEPS_PER_TILE = 3
"""The challenge's tiles of 768 px were cut at stride 256."""


@dataclass(frozen=True)
class Tile:
    """One image: its name, and its first row and column in the ground of its job."""

    image_id: str
    row0: int
    col0: int


@dataclass(frozen=True)
class Job:
    """The unit of work: one ground and the images cut from it.

    Attributes:
        scene: Name of the ground, unique within the folder.
        index: Number of the ground within its stream.
        stream: See `world.render`.
        shape: (height, width) of the ground in pixels.
        empty: Whether its images have no ships.
        middle_px: See `world.render`.
        tiles: The images.
    """

    scene: str
    index: int
    stream: int
    shape: tuple[int, int]
    empty: bool
    middle_px: float | None
    tiles: tuple[Tile, ...]


def image_id(seed: int, number: int) -> str:
    """Return the file name of image `number`: nine hexadecimal digits, unique and in no visible order."""
    digest = hashlib.blake2b(f"shipseg-{seed}".encode(), digest_size=16).digest()
    key, factor = int.from_bytes(digest[:8]), int.from_bytes(digest[8:]) | 1
    mask = (1 << ID_BITS) - 1
    # Each step is a bijection of 36 bits, so different numbers get different names.
    value = (number ^ key) & mask
    for _ in range(3):
        value = (value * factor) & mask
        value ^= value >> 17
    return f"{value:09x}.jpg"


def plan_jobs(*, images: int, seed: int, config: WorldConfig, overlap: float) -> list[Job]:
    """Return the jobs of a folder: single images first, then scenes with 2-9 overlapping tiles each.

    The share `config.empty_share` of all images is empty (up to rounding), and the same share of the overlapping ones.
    """
    num_empty_tiles = math.floor(images * overlap * config.empty_share + 0.5)
    num_ship_tiles = math.floor(images * overlap + 0.5) - num_empty_tiles
    if num_empty_tiles == 1:
        num_empty_tiles = 0
    if num_ship_tiles == 1:
        num_ship_tiles = 0
    num_singles = images - num_empty_tiles - num_ship_tiles
    num_empty = math.floor(images * config.empty_share + 0.5)
    empty_singles = min(num_singles, max(0, num_empty - num_empty_tiles))
    jobs = []
    for index in range(num_singles):
        tile = Tile(image_id(seed, index), 0, 0)
        empty = is_empty(index, empty_singles / num_singles)
        jobs.append(Job(f"p{index}", index, 0, config.shape, empty, None, (tile,)))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, images, SCENE_STREAM))))
    number = num_singles
    for count, empty in ((num_empty_tiles, True), (num_ship_tiles, False)):
        for size in _scene_sizes(rng, count):
            jobs.append(_scene_job(rng, seed=seed, config=config, number=number, size=size, empty=empty))
            number += size
    return jobs


def _scene_sizes(rng: np.random.Generator, count: int) -> list[int]:
    """Return the number of tiles of each scene: 2-9, small numbers more often, `count` in total."""
    sizes: list[int] = []
    low, high = TILES_PER_SCENE
    while sum(sizes) < count:
        rest = count - sum(sizes)
        size = min(rest, high, low + int(rng.geometric(0.4)) - 1)
        sizes.append(rest if rest - size == 1 and rest <= high else size - 1 if rest - size == 1 else size)
    return sizes


def _scene_job(rng: np.random.Generator, *, seed: int, config: WorldConfig, number: int, size: int, empty: bool) -> Job:
    """Return the job of a scene of 5 x 5 steps; its nine possible windows all contain the centre of the scene."""
    height, width = config.shape
    step_rows, step_cols = height // STEPS_PER_TILE, width // STEPS_PER_TILE
    windows = rng.choice(9, size=size, replace=False)
    tiles = tuple(
        Tile(image_id(seed, number + k), int(window) // 3 * step_rows, int(window) % 3 * step_cols)
        for k, window in enumerate(windows)
    )
    shape = (height + 2 * step_rows, width + 2 * step_cols)
    middle_px = None if empty else min(step_rows, step_cols) / 2
    return Job(f"s{number}", number, SCENE_STREAM, shape, empty, middle_px, tiles)


# Writing the folder.

IMAGES = "train_v2"
LABELS = "train_ship_segmentations_v2.csv"
TRUTH = "truth.csv"
_MAX_IMAGES = 1_000_000  # five times as many as in the challenge; the plan takes seconds
PARAMETERS = "synth.json"
JOURNAL = ".labels.jsonl"
"""Labels of the images written so far, one line per job, from which an interrupted run resumes."""
WORLD_VERSION = 14
"""The generator version, raised when a seed gives other images: a folder is never continued by another version."""
BYTES_PER_PIXEL = 0.3
"""Upper estimate of a JPEG's size, for the check of the disk space: 178 kB for 768 x 768 px are 0.30."""
TILE_STREAM = 3
"""Stream of the noise of a tile, separate from those of its ground (0-2, see `world.render`)."""
TILE_NOISE = (0.4, 1.6)
"""Range of the standard deviation of the noise added to each tile of a scene, in grey levels."""
TILE_QUALITY = (91, 97)
"""Range of the JPEG quality of tiles of a scene."""


@dataclass(frozen=True)
class FolderSummary:
    """The result of `write_airbus_folder`.

    Attributes:
        folder: The folder.
        num_images: Images in the folder.
        num_empty: Images without ships.
        num_ships: Rows with a label.
        num_scenes: Scenes that overlapping tiles were cut from.
        num_made: Images made by this call.
        num_kept: Images made by earlier calls.
    """

    folder: Path
    num_images: int
    num_empty: int
    num_ships: int
    num_scenes: int
    num_made: int
    num_kept: int


@dataclass(frozen=True)
class _Work:
    """A job with the arguments that a worker process needs."""

    folder: Path
    seed: int
    config: WorldConfig
    job: Job


def write_airbus_folder(
    out: Path, *, images: int, seed: int, config: WorldConfig, overlap: float = 0.0, workers: int | None = None
) -> FolderSummary:
    """Write synthetic images and their labels in the format of the Airbus challenge, and return a summary.

    Writes `out/train_v2/*.jpg`, `out/train_ship_segmentations_v2.csv` (`ImageId,EncodedPixels`, sorted by id, one row
    per ship or one without a label) and finally `out/truth.csv` (`ImageId,scene,row0,col0`: the window of each tile in
    its scene). An interrupted call resumes and gives the same files.

    Args:
        out: New or empty folder, or one of an earlier call with the same arguments.
        images: Number of images.
        seed: Seed of all random numbers.
        config: Configuration of the images; `config.size` is their size. The share `config.empty_share` of the images
            is empty, up to rounding.
        overlap: Share of the images that are overlapping tiles of common scenes, cut at a third of their size as in
            the challenge; each tile has its own noise of about one grey level and its own JPEG.
        workers: Number of processes, by default one per core. Scripts that use more than one need the usual
            `if __name__ == "__main__":`.

    Raises:
        ConfigError: An argument is out of range, or the folder has images made with other arguments.
        StorageError: The folder has other files, cannot be written, or its disk is too small.
    """
    out = Path(out)
    _check(images=images, seed=seed, overlap=overlap, workers=workers)
    parameters = _parameters(images=images, seed=seed, config=config, overlap=overlap)
    _claim(out, parameters)
    jobs = plan_jobs(images=images, seed=seed, config=config, overlap=overlap)
    known = _known_labels(out)
    todo = [job for job in jobs if not all(_is_there(out, tile.image_id, known) for tile in job.tiles)]
    num_kept = images - sum(len(job.tiles) for job in todo)
    height, width = config.shape
    needed = int(BYTES_PER_PIXEL * height * width * (images - num_kept))
    files.ensure_space(out, needed_bytes=needed, what=f"a synthetic folder of {images} images")
    files.remove_leftovers(files.ensure_folder(out / IMAGES), alone=True)
    work = [_Work(out, seed, config, job) for job in todo]
    results = run_tasks(_make_images, work, workers=min(available_workers(workers), max(1, len(work))))
    with files.storage_errors(out / JOURNAL), (out / JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write("\n")  # ends a line that an interrupted call may have left incomplete
        for labels in track(
            results,
            "making images",
            total=len(jobs),
            done=len(jobs) - len(todo),
        ):
            known.update(labels)
            journal.write(json.dumps(labels) + "\n")
            journal.flush()
    _write_tables(out, jobs, known)
    return _summary(out, jobs, known, num_kept=num_kept)


def _check(*, images: int, seed: int, overlap: float, workers: int | None) -> None:
    check_count("images", images, most=_MAX_IMAGES)
    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    if not 0.0 <= overlap <= 1.0:
        raise ConfigError(f"overlap must be between 0 and 1, got {overlap}")
    if workers is not None:
        check_count("workers", workers, most=MAX_WORKERS)


def _parameters(*, images: int, seed: int, config: WorldConfig, overlap: float) -> dict[str, Any]:
    return {
        "world_version": WORLD_VERSION,
        "images": images,
        "seed": seed,
        "overlap": overlap,
        **(asdict(config) | {"size": list(config.shape)}),
    }


def _claim(out: Path, parameters: dict[str, Any]) -> None:
    """Take an empty folder for these parameters, or check that it was begun with the same."""
    path = out / PARAMETERS
    if out.exists() and not out.is_dir():
        raise StorageError(f"{out} is a file, not a folder: choose another folder")
    if not path.exists():
        files.remove_leftovers(out)
        if out.exists() and any(out.iterdir()):
            raise StorageError(f"{out} is not empty and has no {PARAMETERS}, so it is not ours: choose another folder")
        files.write_json(path, parameters)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StorageError(f"{path} cannot be read ({error}): remove {out} or choose another folder") from error
    if difference := first_difference(before, parameters):
        raise ConfigError(f"{out} was begun with {difference}: give the same value or choose another folder")


def _known_labels(out: Path) -> dict[str, list[str]]:
    """Return the labels of existing images, from the CSV or from the journal of an interrupted call."""
    known: dict[str, list[str]] = {}
    if (out / LABELS).exists():
        with (out / LABELS).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                known.setdefault(row["ImageId"], []).extend([row["EncodedPixels"]] if row["EncodedPixels"] else [])
    if (out / JOURNAL).exists():
        for line in (out / JOURNAL).read_text(encoding="utf-8").splitlines():
            try:
                known.update(json.loads(line))
            except ValueError:  # an incomplete line of an interrupted call
                continue
    return known


def _is_there(out: Path, image_id: str, known: dict[str, list[str]]) -> bool:
    return image_id in known and (out / IMAGES / image_id).exists()


def _make_images(work: _Work) -> dict[str, list[str]]:
    """Write the images of one job and return the labels of each."""
    job, config, labels = work.job, work.config, {}
    if job.stream == SCENE_STREAM:  # overlaps of tiles of one colour could not be found
        config = replace(config, no_data_share=0.0)
    view = render(work.seed, job.index, job.shape, config, stream=job.stream, empty=job.empty, middle_px=job.middle_px)
    for number, tile in enumerate(job.tiles):
        cut = (
            view
            if job.stream == 0
            else _with_own_noise(view.cut(tile.row0, tile.col0, work.config.shape), work, number)
        )
        data = encode_jpeg(cut.image_hwc, cut.jpeg_quality)
        files.write_bytes(work.folder / IMAGES / tile.image_id, data)
        labels[tile.image_id] = list(image_of(cut, data=data).ship_rles)
    return labels


def _with_own_noise(view: View, work: _Work, number: int) -> View:
    """Return the tile with its own noise and JPEG quality, as if it had been cut and stored separately."""
    key = (work.seed, work.job.index, TILE_STREAM, number)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
    quality = int(rng.integers(*TILE_QUALITY))
    noise = rng.standard_normal(view.image_hwc.shape[:2], dtype=np.float32) * np.float32(rng.uniform(*TILE_NOISE))
    image = np.clip(np.rint(view.image_hwc + noise[..., None]), 0, 255).astype(np.uint8)
    return View(image, view.owner_hw, view.coverage_hw, view.kind, view.cloudy, quality)


def _write_tables(out: Path, jobs: list[Job], known: dict[str, list[str]]) -> None:
    tiles = sorted((tile.image_id, job.scene, tile.row0, tile.col0) for job in jobs for tile in job.tiles)
    labels = ([tile[0], text] for tile in tiles for text in known[tile[0]] or [""])
    files.write_text(out / LABELS, files.csv_text(("ImageId", "EncodedPixels"), labels))
    files.write_text(out / TRUTH, files.csv_text(("ImageId", "scene", "row0", "col0"), tiles))
    with files.storage_errors(out / JOURNAL):
        (out / JOURNAL).unlink(missing_ok=True)


def _summary(out: Path, jobs: list[Job], known: dict[str, list[str]], *, num_kept: int) -> FolderSummary:
    labels = [known[tile.image_id] for job in jobs for tile in job.tiles]
    return FolderSummary(
        folder=out,
        num_images=len(labels),
        num_empty=sum(not texts for texts in labels),
        num_ships=sum(len(texts) for texts in labels),
        num_scenes=sum(job.stream == SCENE_STREAM for job in jobs),
        num_made=len(labels) - num_kept,
        num_kept=num_kept,
    )
