"""Makes the images of docs/synthetic-data.md: one sheet for each part of the synthetic generator.

    python -m benchmarks.world_pictures [docs/images] [--only NAME ...]

A sheet has the first images of a seed with one part forced: its share set to 1, or the dictionary from which it is
drawn reduced to one entry. Everything else is drawn as usual, without manual selection.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.files import ensure_folder
from shipseg.synth import distributions, world
from shipseg.synth.paint import clutter, fleet, land, sea, sensor, ships, town, weather
from shipseg.synth.view import View, WorldConfig

Forced = Sequence[tuple[ModuleType, str, Any]]
SIDE = 192
GAP = 4
SEED = 41
QUALITY = 86
CALM = (
    *((sea, f"{name}_SHARE", 0.0) for name in ("STREAK", "SHALLOWS", "GLINT", "SPARKLE", "DARK_GLITTER")),
    *((sea, f"{name}_SHARE", 0.0) for name in ("WHITECAP", "SLICK")),
    *((clutter, f"{name}_SHARE", 0.0) for name in ("BUOYS", "CAGES", "ROCKS", "SPECKS", "PLATFORMS")),
    (weather, "CLOUD_SHARE", 0.0),
    (weather, "HAZE_SHARE", 0.0),
    (world, "ORPHAN_WAKE_SHARE", 0.0),
    (world, "JETTY_SHARE", 0.0),
)
"""Plain water only, so that a sheet shows one part alone."""
OPEN_SEA = ((world, "IMAGE_KINDS", {"open-sea": 1.0}), (world, "IMAGE_KINDS_BY_SHIPS", ((99, {"open-sea": 1.0}),)))
PLAIN = (*CALM, *OPEN_SEA)
WITH_SHIPS = WorldConfig(size=SIDE, empty_share=0.0, no_data_share=0.0, no_data_border_share=0.0)
EMPTY = replace(WITH_SHIPS, empty_share=1.0)
TILES = replace(EMPTY, size=144)


@dataclass(frozen=True)
class Sheet:
    """A sheet: rows of small images, each row with its own settings."""

    rows: Sequence[Forced]
    config: WorldConfig = EMPTY
    columns: int = 5
    zoom: int = 1
    """Enlargement by repetition of pixels."""
    middle_px: float | None = None
    """Maximum distance of ships from the centre."""
    show: Callable[[View], NDArray[np.uint8]] = field(default=lambda view: view.image_hwc)


def _no_wake(_rng: np.random.Generator, _length: float) -> float:
    """Return a wake strength of 0."""
    return 0.0


def _ship(kind: str, shortest_px: float, longest_px: float) -> Forced:
    """Return the settings for one ship of a kind, without a wake."""
    middle = (shortest_px * longest_px) ** 0.5
    lengths = distributions.LengthMixture(0.0, middle, 0.1, middle, 0.3, shortest_px, longest_px)
    return (
        *PLAIN,
        (ships, "LABEL_LENGTH", lengths),
        (ships, "KINDS_BY_LENGTH", ((float("inf"), {kind: 1.0}),)),
        (fleet, "SHIPS_PER_IMAGE", {1: 1.0}),
        (fleet, "LARGE_FREE_SHARE", 0.0),
        (fleet, "_wake_strength", _no_wake),
    )


def _labelled(view: View) -> NDArray[np.uint8]:
    image = view.image_hwc.copy()
    mask = (view.coverage_hw >= 128).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, (255, 225, 60), 1)
    return image


def _moving(length: tuple[float, float], strength: float) -> Forced:
    kind = "motorboat" if length[1] < 40 else "cargo"
    still = [item for item in _ship(kind, *length) if item[1] != "_wake_strength"]
    return (*still, (fleet, "_wake_strength", lambda _rng, _length: strength))


_GROUND = {name: ((world, "IMAGE_KINDS", {name: 1.0}),) for name in ("coast", "harbour", "land")}
_MOORED = ((world, "IMAGE_KINDS_BY_SHIPS", ((99, {"harbour": 1.0}),)), (fleet, "SHIPS_PER_IMAGE", {7: 1.0}))
_LARGE, _SMALL = (70.0, 150.0), (9.0, 22.0)

SHEETS: Mapping[str, Sheet] = {
    "sea-modes": Sheet(
        [(*PLAIN, (sea, "SEA_MODES", (mode,))) for mode in distributions.SEA_MODES[:6]], columns=6, config=TILES
    ),
    "sea-modes-more": Sheet(
        [(*PLAIN, (sea, "SEA_MODES", (mode,))) for mode in distributions.SEA_MODES[6:]], columns=6, config=TILES
    ),
    "glint": Sheet([(*PLAIN, (sea, f"{name}_SHARE", 1.0)) for name in ("GLINT", "SPARKLE", "DARK_GLITTER")]),
    "whitecaps": Sheet([(*PLAIN, (sea, "WHITECAP_SHARE", 1.0))]),
    "streaks": Sheet(
        [(*PLAIN, (sea, name, 1.0)) for name in ("STREAK_SHARE", "SLICK_SHARE", "SHALLOWS_SHARE")],
        config=replace(EMPTY, size=384),
        show=lambda view: np.asarray(cv2.resize(view.image_hwc, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8),
    ),
    "ships-large": Sheet(
        [_ship(kind, *_LARGE) for kind in ("tanker", "bulker", "container", "cargo", "ferry")],
        config=replace(WITH_SHIPS, size=SIDE - 32),
        middle_px=10,
    ),
    "ships-small": Sheet(
        [_ship(kind, *_SMALL) for kind in ("motorboat", "sailboat", "workboat", "barge")],
        config=replace(WITH_SHIPS, size=SIDE // 2),
        zoom=2,
        middle_px=20,
    ),
    "wakes": Sheet(
        [_moving(_LARGE, 0.6), (*_moving(_SMALL, 1.2), (fleet, "COMET_SHARE", 0.0))], config=WITH_SHIPS, middle_px=24
    ),
    "comets": Sheet(
        [(*_moving(lengths, 1.0), (fleet, "COMET_SHARE", 1.0)) for lengths in ((5.0, 10.0), (10.0, 30.0))],
        config=replace(WITH_SHIPS, size=SIDE // 2),
        zoom=2,
        middle_px=12,
    ),
    "rafts": Sheet(
        [(*_ship("barge", 30, 60), (fleet, "RAFTED_SHARE", 1.0), (fleet, "SHIPS_PER_IMAGE", {5: 1.0}))],
        config=WITH_SHIPS,
        middle_px=30,
    ),
    "coast": Sheet([(*CALM, *_GROUND["coast"], (land, "GROYNES_SHARE", share)) for share in (0.0, 1.0)]),
    "harbour": Sheet([(*CALM, *_GROUND["harbour"])]),
    "moored": Sheet([(*CALM, *_MOORED)], config=WITH_SHIPS),
    "jetty": Sheet([(*PLAIN, (world, "JETTY_SHARE", 1.0))]),
    "town": Sheet([(*CALM, *_GROUND["land"], (town, "SUBURB_SHARE", share)) for share in (0.0, 1.0)]),
    "clutter": Sheet([(*PLAIN, (clutter, f"{name}_SHARE", 1.0)) for name in ("BUOYS", "CAGES", "ROCKS", "PLATFORMS")]),
    "weather": Sheet([(*PLAIN, (weather, "CLOUD_SHARE", 1.0)), (*PLAIN, (weather, "HAZE_SHARE", 1.0))]),
    "labels": Sheet(
        [_ship("cargo", 40, 90)], config=replace(WITH_SHIPS, label="rectangle"), show=_labelled, middle_px=20
    ),
    "labels-hull": Sheet(
        [_ship("cargo", 40, 90)], config=replace(WITH_SHIPS, label="hull"), show=_labelled, middle_px=20
    ),
}


@contextlib.contextmanager
def forced(changes: Forced) -> Iterator[None]:
    """Replace constants of the generator within the context."""
    with contextlib.ExitStack() as stack:
        for module, name, value in changes:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def draw(sheet: Sheet) -> NDArray[np.uint8]:
    """Return a sheet as an image on white, uint8 (H, W, 3)."""
    rows = []
    for number, changes in enumerate(sheet.rows):
        first = number * sheet.columns  # every image of a sheet has another index
        with forced(changes):
            views = [
                world.render(SEED, first + column, sheet.config.shape, sheet.config, middle_px=sheet.middle_px)
                for column in range(sheet.columns)
            ]
        images = [np.kron(sheet.show(view), np.ones((sheet.zoom, sheet.zoom, 1), np.uint8)) for view in views]
        rows.append(joined(images, axis=1))
    return joined(rows, axis=0)


def draw_sensor_steps() -> NDArray[np.uint8]:
    """Return one image, enlarged: as painted, through three sensors, and as a JPEG of quality 90."""
    config = replace(WITH_SHIPS, size=SIDE // 2)
    painted: list[NDArray[np.float32]] = []

    def expose(rng: np.random.Generator, camera: sensor.Sensor, rgb_hwc: NDArray[np.float32]) -> NDArray[np.uint8]:
        painted.append(rgb_hwc.copy())
        return sensor.expose(rng, camera, rgb_hwc)

    with forced((*_ship("cargo", 30, 60), (world, "expose", expose))):
        world.render(SEED, 3, config.shape, config, middle_px=15)
    rgb_hwc, rng = painted[-1], np.random.default_rng
    shown = [np.clip(rgb_hwc, 0, 255).astype(np.uint8)]
    shown += [sensor.expose(rng(k), sensor.draw_sensor(rng(10 + k)), rgb_hwc) for k in range(3)]
    shown.append(sensor.decode_jpeg(sensor.encode_jpeg(shown[-1], 90)))
    return joined([np.kron(image, np.ones((2, 2, 1), np.uint8)) for image in shown], axis=1)


def joined(images: Sequence[NDArray[np.uint8]], *, axis: int) -> NDArray[np.uint8]:
    """Return the images in a row (axis 1) or in a column (axis 0), with white gaps."""
    pad = [(0, 0), (0, 0), (0, 0)]
    pad[axis] = (0, GAP)
    parts = [np.pad(image, pad, constant_values=255) for image in images[:-1]] + [images[-1]]
    return np.ascontiguousarray(np.concatenate(parts, axis=axis), np.uint8)


def main() -> None:
    """Draw the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/images"))
    parser.add_argument("--only", nargs="*", default=[*SHEETS, "sensor"])
    given = parser.parse_args()
    for name in given.only:
        page = draw_sensor_steps() if name == "sensor" else draw(SHEETS[name])
        file = ensure_folder(given.out) / f"world-{name}.jpg"
        cv2.imwrite(str(file), page[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        print(f"{file}: {page.shape[1]} x {page.shape[0]} px, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
