"""Rendering one synthetic image: choosing its parts, painting them in order, resampling, sensor and labels."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.processes import single_threaded_opencv
from shipseg.synth.distributions import (
    IMAGE_KINDS,
    IMAGE_KINDS_BY_SHIPS,
    NATIVE_METRES_PER_PIXEL,
    Rng,
    chance,
    choose,
    uniform,
)
from shipseg.synth.paint.canvas import Canvas, draw_sun
from shipseg.synth.paint.clutter import paint_clutter
from shipseg.synth.paint.fleet import draw_num_ships, place_fleet
from shipseg.synth.paint.harbour import paint_harbour, paint_jetty
from shipseg.synth.paint.land import paint_coast, paint_inland
from shipseg.synth.paint.sea import paint_sea
from shipseg.synth.paint.sensor import draw_sensor, expose
from shipseg.synth.paint.wakes import paint_orphan_wake
from shipseg.synth.paint.weather import paint_weather
from shipseg.synth.view import (
    SMALLEST_SHIP_PX,
    TILE_PX,
    SyntheticImage,
    View,
    WorldConfig,
    image_of,
    split_touching,
    without_leftovers,
)

__all__ = ["is_empty", "make_image", "make_scene", "render", "resample"]

STREAMS = ("kind", "sea", "land", "clutter", "ships", "weather", "sensor")
"""Independent streams of random numbers, so that a change of one part does not change the others."""
ATTEMPTS = 6
"""Attempts to draw an image with ships if no ship is visible; the last half of them use plain open sea."""
ORPHAN_WAKE_SHARE = 0.05
JETTY_SHARE = 0.06


def is_empty(index: int, empty_share: float) -> bool:
    """Return whether image `index` has no ships: of the first n, exactly floor(n * empty_share + 1e-9) have none."""
    return math.floor((index + 1) * empty_share + 1e-9) > math.floor(index * empty_share + 1e-9)


def make_image(seed: int, index: int, config: WorldConfig) -> SyntheticImage:
    """Return synthetic image `index` of `seed`. The result depends on the arguments only.

    Example:
        >>> image = make_image(1, 0, WorldConfig(size=256))
        >>> image.image_hwc.shape, len(image.ship_rles) > 0
        ((256, 256, 3), True)
    """
    return image_of(render(seed, index, config.shape, config))


def make_scene(seed: int, index: int, height: int, width: int, config: WorldConfig) -> SyntheticImage:
    """Return a synthetic image of any size, with ships in proportion to its area; see `make_image`."""
    return image_of(render(seed, index, (height, width), config, stream=1))


def render(
    seed: int,
    index: int,
    shape: tuple[int, int],
    config: WorldConfig,
    *,
    stream: int = 0,
    empty: bool | None = None,
    middle_px: float | None = None,
) -> View:
    """Return the view of ground `index`.

    Args:
        seed: Seed of all random numbers.
        index: Number of the ground.
        shape: (height, width) in pixels.
        config: See `WorldConfig`.
        stream: Images (0), scenes (1) and scenes of overlapping tiles (2) have different grounds.
        empty: Whether there are no ships; None: as `is_empty` says.
        middle_px: Place a ship within this distance of the centre (rows and columns).
    """
    if seed < 0 or index < 0:
        raise ConfigError(f"seed and index must not be negative, got {seed} and {index}")
    empty = is_empty(index, config.empty_share) if empty is None else empty
    with single_threaded_opencv():
        for attempt in range(ATTEMPTS):
            rngs = {
                name: np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index, stream, attempt, part))))
                for part, name in enumerate(STREAMS)
            }
            view = _render_once(rngs, shape, config, empty=empty, plain=attempt >= ATTEMPTS // 2, middle_px=middle_px)
            if empty or _has_ship(view, middle_px):
                return view
    raise AssertionError("open sea always has space for a ship")


def _has_ship(view: View, middle_px: float | None) -> bool:
    if middle_px is None:
        return bool((view.coverage_hw >= 128).any())
    rows, cols = (slice(int(side / 2 - middle_px), int(side / 2 + middle_px)) for side in view.coverage_hw.shape)
    return int((view.coverage_hw[rows, cols] >= 128).sum()) >= 2 * SMALLEST_SHIP_PX


def _render_once(
    rngs: dict[str, Rng],
    shape: tuple[int, int],
    config: WorldConfig,
    *,
    empty: bool,
    plain: bool,
    middle_px: float | None,
) -> View:
    """Paint the parts in order: sea, clutter, land, ships, weather; then the camera."""
    solid = chance(rngs["kind"], config.no_data_share)
    if empty and solid:
        return _no_data(rngs["kind"], shape)
    num_ships = draw_num_ships(rngs["ships"])
    by_ships = next(kinds for limit, kinds in IMAGE_KINDS_BY_SHIPS if num_ships <= limit)
    kind = choose(rngs["kind"], IMAGE_KINDS if empty else by_ships)
    kind = "open-sea" if plain else kind
    factor = config.metres_per_pixel / NATIVE_METRES_PER_PIXEL
    native = tuple(max(16, round(side * factor)) for side in shape)
    canvas = Canvas.blank(
        (native[0], native[1]), sun=draw_sun(rngs["kind"]), wind_rad=uniform(rngs["kind"], 0, 2 * math.pi)
    )
    paint_sea(rngs["sea"], canvas)
    paint_clutter(rngs["clutter"], canvas)
    if chance(rngs["clutter"], ORPHAN_WAKE_SHARE):
        paint_orphan_wake(rngs["clutter"], canvas)
    _paint_ground(rngs["land"], canvas, kind)
    if not empty:
        area = canvas.shape[0] * canvas.shape[1] / TILE_PX**2
        num_ships = max(1, round(num_ships * max(1.0, area)))
        middle = None if middle_px is None else middle_px * factor * 0.5
        place_fleet(rngs["ships"], canvas, num_ships, label=config.label, middle_px=middle)
    cloudy = False if plain else paint_weather(rngs["weather"], canvas)
    if not plain and chance(rngs["weather"], config.no_data_border_share):
        _cut_border(rngs["weather"], canvas)
    resample(canvas, shape)
    sensor = draw_sensor(rngs["sensor"])
    image = expose(rngs["sensor"], sensor, canvas.rgb_hwc)
    owner, coverage = canvas.owner_hw, np.rint(canvas.coverage_hw * 255).astype(np.uint8)
    if config.label == "rectangle":
        owner, coverage = split_touching(owner, coverage)
    owner, coverage = without_leftovers(owner, coverage)
    return View(image, owner, coverage, kind, cloudy, sensor.jpeg_quality)


def _paint_ground(rng: Rng, canvas: Canvas, kind: str) -> None:
    painters: dict[str, Any] = {"coast": paint_coast, "harbour": paint_harbour, "land": paint_inland}
    if kind in painters:
        painters[kind](rng, canvas)
    if kind != "land" and chance(rng, JETTY_SHARE if kind == "open-sea" else 5 * JETTY_SHARE):
        paint_jetty(rng, canvas)


def _no_data(rng: Rng, shape: tuple[int, int]) -> View:
    """Return an image of one colour: black, white cloud or dark blue."""
    dark_blue = (float(rng.integers(0, 6)), float(rng.integers(0, 12)), float(rng.integers(12, 60)))
    color = choose(rng, {(0.0, 0.0, 0.0): 0.5, (255.0, 255.0, 255.0): 0.25, dark_blue: 0.25})
    image = np.broadcast_to(np.asarray(color, np.uint8), (*shape, 3)).copy()
    return View(image, np.zeros(shape, np.int32), np.zeros(shape, np.uint8), "no-data", cloudy=False, jpeg_quality=95)


def _cut_border(rng: Rng, canvas: Canvas) -> None:
    """Fill the image beyond a slanted scene border with black or white, and remove the labels there."""
    height, width = canvas.shape
    turn = choose(rng, {0.0: 1, 0.5: 1, 1.0: 1, 1.5: 1}) * math.pi + rng.normal(0, 0.15)
    x = np.arange(width, dtype=np.float32)[None, :] - width / 2
    y = np.arange(height, dtype=np.float32)[:, None] - height / 2
    beyond = x * math.cos(turn) + y * math.sin(turn) > uniform(rng, 0.0, 0.45) * min(height, width)
    canvas.rgb_hwc[beyond] = 0.0 if chance(rng, 0.8) else 255.0
    canvas.coverage_hw[beyond] = 0.0
    canvas.owner_hw[beyond] = 0


def resample(canvas: Canvas, shape: tuple[int, int]) -> None:
    """Resample the canvas from 1.5 m per pixel to `shape`, in place."""
    if canvas.shape == shape:
        return
    size, smaller = (shape[1], shape[0]), shape[0] < canvas.shape[0]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    canvas.rgb_hwc = np.asarray(cv2.resize(canvas.rgb_hwc, size, interpolation=interpolation), np.float32)
    canvas.owner_hw = _owner_at(canvas.owner_hw, shape)
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    canvas.coverage_hw = np.asarray(cv2.resize(canvas.coverage_hw, size, interpolation=interpolation), np.float32)


def _owner_at(owner_hw: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the owner map at another size: the owner at the centre of each new pixel, or next to it."""
    grown = cv2.dilate(owner_hw.astype(np.float32), np.ones((3, 3), np.uint8))
    filled = np.where(owner_hw > 0, owner_hw.astype(np.float32), grown)
    return np.asarray(cv2.resize(filled, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST_EXACT), np.int32)
