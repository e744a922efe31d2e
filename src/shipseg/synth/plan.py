"""Which pictures a synthetic folder consists of, known before the first is drawn."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from shipseg.synth.view import WorldConfig
from shipseg.synth.world import is_empty

__all__ = ["Job", "Tile", "image_id", "plan_jobs"]

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
