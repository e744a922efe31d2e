"""An Airbus-format folder of synthetic pictures: JPEGs, the CSV of run-length labels, where each tile was cut."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shipseg import files
from shipseg.config import MAX_WORKERS
from shipseg.errors import ConfigError, StorageError
from shipseg.processes import available_workers, run_tasks
from shipseg.progress import track
from shipseg.schema import check_count
from shipseg.synth.paint.sensor import encode_jpeg
from shipseg.synth.view import View, WorldConfig, image_of
from shipseg.synth.world import is_empty, render

__all__ = ["FolderSummary", "Job", "Tile", "image_id", "plan_jobs", "write_airbus_folder"]


# Which pictures a synthetic folder consists of, known before the first is drawn.

ID_BITS = 36
"""Nine hexadecimal digits, as the challenge's names have."""
SCENE_STREAM = 2
TILES_PER_SCENE = (2, 9)
"""The challenge has 3.3 tiles per scene on average, up to 25."""
STEPS_PER_TILE = 3
"""Airbus cut 768 px tiles at stride 256."""


@dataclass(frozen=True)
class Tile:
    """One image: its name, and where in its ground it is cut."""

    image_id: str
    row0: int
    col0: int


@dataclass(frozen=True)
class Job:
    """One ground and the images cut from it; the unit of work.

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
    """Return the file name of image `number`: nine hexadecimal digits in no visible order, never the same twice."""
    digest = hashlib.blake2b(f"shipseg-{seed}".encode(), digest_size=16).digest()
    key, factor = int.from_bytes(digest[:8]), int.from_bytes(digest[8:]) | 1
    mask = (1 << ID_BITS) - 1
    # Each step can be undone within 36 bits, so different numbers get different names.
    value = (number ^ key) & mask
    for _ in range(3):
        value = (value * factor) & mask
        value ^= value >> 17
    return f"{value:09x}.jpg"


def plan_jobs(*, images: int, seed: int, config: WorldConfig, overlap: float) -> list[Job]:
    """Return the jobs of a folder: single pictures first, then scenes with 2-9 overlapping tiles each.

    Of all images, `config.empty_share` are empty (to rounding), and the same share of the overlapping ones.
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
    """Return how many tiles each scene gives: 2-9, small numbers more often, `count` in all."""
    sizes: list[int] = []
    low, high = TILES_PER_SCENE
    while sum(sizes) < count:
        left = count - sum(sizes)
        size = min(left, high, low + int(rng.geometric(0.4)) - 1)
        sizes.append(left if left - size == 1 and left <= high else size - 1 if left - size == 1 else size)
    return sizes


def _scene_job(rng: np.random.Generator, *, seed: int, config: WorldConfig, number: int, size: int, empty: bool) -> Job:
    """Return a scene of 5 x 5 steps; its nine windows all overlap, and all hold the scene's middle."""
    height, width = config.shape
    step_rows, step_cols = height // STEPS_PER_TILE, width // STEPS_PER_TILE
    places = rng.choice(9, size=size, replace=False)
    tiles = tuple(
        Tile(image_id(seed, number + k), int(place) // 3 * step_rows, int(place) % 3 * step_cols)
        for k, place in enumerate(places)
    )
    shape = (height + 2 * step_rows, width + 2 * step_cols)
    middle_px = None if empty else min(step_rows, step_cols) / 2
    return Job(f"s{number}", number, SCENE_STREAM, shape, empty, middle_px, tiles)


IMAGES = "train_v2"
LABELS = "train_ship_segmentations_v2.csv"
TRUTH = "truth.csv"
_MAX_IMAGES = 1_000_000  # five times the challenge's, planned within seconds
PARAMETERS = "synth.json"
JOURNAL = ".labels.jsonl"
"""Labels of the images written so far, one line per job: what a killed run is taken up from."""
WORLD_VERSION = 14
"""Raised when the same seed gives other pictures: a folder is not continued with another world."""
BYTES_PER_PIXEL = 0.3
"""Upper side of a JPEG's size, for the check of the disk: 178 kB of 768 x 768 px is 0.30."""
TILE_STREAM = 3
"""Random numbers of the noise that a tile gets, apart from those of its ground (0-2, see `world.render`)."""
TILE_NOISE = (0.4, 1.6)
"""Grey levels by which two tiles of one ground differ, besides their JPEG."""
TILE_QUALITY = (91, 97)


@dataclass(frozen=True)
class FolderSummary:
    """What a call of `write_airbus_folder` left behind.

    Attributes:
        folder: The folder.
        num_images: Images in it.
        num_empty: Images without a ship.
        num_ships: Rows with a label.
        num_scenes: Grounds that several tiles were cut from.
        num_made: Images made by this call.
        num_kept: Images that an earlier call had made.
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
    """All that a process needs to do one job."""

    folder: Path
    seed: int
    config: WorldConfig
    job: Job


def write_airbus_folder(
    out: Path, *, images: int, seed: int, config: WorldConfig, overlap: float = 0.0, workers: int | None = None
) -> FolderSummary:
    """Write `images` pictures and their labels as the challenge does, and return what is there.

    `out/train_v2/*.jpg`, `out/train_ship_segmentations_v2.csv` (`ImageId,EncodedPixels`, sorted by id, one row per ship
    or one without a label) and last `out/truth.csv` (`ImageId,scene,row0,col0`: tiles with one scene overlap where
    their windows do). A call that was killed is taken up where it stopped; the result is the same files.

    Args:
        out: New or empty folder, or one that a call with the same arguments began.
        images: How many.
        seed: Which world.
        config: What it looks like; `config.size` is the size of the images. Of the images, `config.empty_share` are
            empty, exactly to rounding.
        overlap: Share of the images that are tiles of common scenes, cut at a third of their size as Airbus did; each
            has its own noise of about one grey level and its own JPEG.
        workers: Processes; as many as processors where None. Programs that call this with more than one need the
            usual `if __name__ == "__main__":`.

    Raises:
        ConfigError: An argument is out of range, or the folder was begun with other arguments.
        StorageError: The folder holds something else, cannot be written, or its disk is too small.
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
    results = run_tasks(_do, work, workers=min(available_workers(workers), max(1, len(work))))
    with files.storage_errors(out / JOURNAL), (out / JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write("\n")  # ends the line that a killed call may have left half written
        for labels in track(
            results,
            "making pictures",
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
        raise ConfigError(f"overlap must lie within 0 and 1, got {overlap}")
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
    for name, value in parameters.items():
        if before.get(name) != value:
            raise ConfigError(
                f"{out} was begun with {name} = {before.get(name)}, now {name} = {value}: "
                "give the same value or choose another folder"
            )


def _known_labels(out: Path) -> dict[str, list[str]]:
    """Return the labels of images made before: from the finished CSV or the journal of an unfinished call."""
    known: dict[str, list[str]] = {}
    if (out / LABELS).exists():
        with (out / LABELS).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                known.setdefault(row["ImageId"], []).extend([row["EncodedPixels"]] if row["EncodedPixels"] else [])
    if (out / JOURNAL).exists():
        for line in (out / JOURNAL).read_text(encoding="utf-8").splitlines():
            try:
                known.update(json.loads(line))
            except ValueError:  # the line that was being written when the process was killed
                continue
    return known


def _is_there(out: Path, image_id: str, known: dict[str, list[str]]) -> bool:
    return image_id in known and (out / IMAGES / image_id).exists()


def _do(work: _Work) -> dict[str, list[str]]:
    """Make the images of one job and return their labels by image."""
    job, config, labels = work.job, work.config, {}
    if job.stream == SCENE_STREAM:  # nobody can tell from which scene a tile of one colour was cut
        config = replace(config, no_data_share=0.0)
    view = render(work.seed, job.index, job.shape, config, stream=job.stream, empty=job.empty, middle_px=job.middle_px)
    for number, tile in enumerate(job.tiles):
        cut = view if job.stream == 0 else _retaken(view.cut(tile.row0, tile.col0, work.config.shape), work, number)
        data = encode_jpeg(cut.image_hwc, cut.jpeg_quality)
        files.write_bytes(work.folder / IMAGES / tile.image_id, data)
        labels[tile.image_id] = list(image_of(cut, data=data).ship_rles)
    return labels


def _retaken(view: View, work: _Work, number: int) -> View:
    """Return the tile with its own noise and JPEG quality, as if it had been cut and stored at another time."""
    key = (work.seed, work.job.index, TILE_STREAM, number)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
    quality = int(rng.integers(*TILE_QUALITY))
    noise = rng.standard_normal(view.image_hwc.shape[:2], dtype=np.float32) * np.float32(rng.uniform(*TILE_NOISE))
    image = np.clip(np.rint(view.image_hwc + noise[..., None]), 0, 255).astype(np.uint8)
    return View(image, view.owner_hw, view.coverage_hw, view.kind, view.cloudy, quality)


def _write_tables(out: Path, jobs: list[Job], known: dict[str, list[str]]) -> None:
    tiles = sorted((tile.image_id, job.scene, tile.row0, tile.col0) for job in jobs for tile in job.tiles)
    labels, truth = io.StringIO(), io.StringIO()
    label_rows, truth_rows = csv.writer(labels, lineterminator="\n"), csv.writer(truth, lineterminator="\n")
    label_rows.writerow(["ImageId", "EncodedPixels"])
    truth_rows.writerow(["ImageId", "scene", "row0", "col0"])
    for image_id, *place in tiles:
        label_rows.writerows([image_id, text] for text in known[image_id] or [""])
        truth_rows.writerow([image_id, *place])
    files.write_text(out / LABELS, labels.getvalue())
    files.write_text(out / TRUTH, truth.getvalue())
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
