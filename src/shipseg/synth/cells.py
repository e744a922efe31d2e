"""Painting one cell of a large synthetic scene, independently of the others and without seams to its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.processes import single_threaded_opencv
from shipseg.synth.distributions import Rng, chance, uniform
from shipseg.synth.endless_noise import PlacedRng, endless_white
from shipseg.synth.ground import Cell, Grid, ScenePlan
from shipseg.synth.paint.canvas import Canvas, PlacedShip, draw_sun
from shipseg.synth.paint.clutter import paint_clutter
from shipseg.synth.paint.coastline import paint_coastline
from shipseg.synth.paint.fields import FloatArray
from shipseg.synth.paint.fleet import place_anchorage, place_fleet
from shipseg.synth.paint.harbour import paint_terminal
from shipseg.synth.paint.sea import paint_sea
from shipseg.synth.paint.sensor import WhiteNoise, draw_sensor, expose
from shipseg.synth.paint.wakes import paint_orphan_wake
from shipseg.synth.paint.weather import paint_weather
from shipseg.synth.view import SMALLEST_SHIP_PX
from shipseg.synth.world import ORPHAN_WAKE_SHARE, resample

__all__ = ["CellImage", "DrawnShip", "paint_cell"]

FADE_PX = 40
"""Width of the border in which features of one cell (wakes, clutter, villages) fade out; no ship is placed there."""
HIDDEN_SHARE = 0.5
"""A ship with a smaller visible share (because of clouds or another ship) is not in the truth."""
TERMINAL_ALONG_PX = (420.0, 780.0)
TERMINAL_DEPTH_PX = (140.0, 330.0)


@dataclass(frozen=True, eq=False)
class DrawnShip:
    """A ship of a scene as it was drawn, in pixels of the scene.

    Attributes:
        kind: E.g. tanker.
        x: Column of its centre, in pixel-edge coordinates.
        y: Row of its centre, likewise.
        heading_rad: Direction of the bow, from x towards y.
        length_px: Length of the hull.
        beam_px: Beam of the hull.
        margin_px: How much wider the label is on each side; 0 if the label is the hull.
        label_xy: (N, 2) outline of the label, not clipped to the scene.
        visible_share: Visible share of the label's area inside the scene, about 0-1.
    """

    kind: str
    x: float
    y: float
    heading_rad: float
    length_px: float
    beam_px: float
    margin_px: float
    label_xy: NDArray[np.float64]
    visible_share: float


@dataclass(frozen=True, eq=False)
class CellImage:
    """A painted cell without its margin.

    Attributes:
        image_hwc: (h, w, 3) uint8, RGB.
        coverage_hw: (h, w) uint8, share of the pixel inside a ship's label, 255 = all.
        ships: The visible ships.
    """

    image_hwc: NDArray[np.uint8]
    coverage_hw: NDArray[np.uint8]
    ships: tuple[DrawnShip, ...]


def paint_cell(plan: ScenePlan, cell: Cell) -> CellImage:
    """Return one cell of a scene. The result depends on the arguments only, not on other cells."""
    with single_threaded_opencv():
        grid = plan.grid
        corner = (grid.native(cell.window.row0 - grid.margin), grid.native(cell.window.col0 - grid.margin))
        scene_rngs = {
            name: PlacedRng((*plan.key, 2, part), origin_rc=corner)
            for part, name in enumerate(("light", "sea", "land", "weather", "sensor"))
        }
        own_rngs = {
            name: np.random.Generator(np.random.PCG64(np.random.SeedSequence((*plan.key, 3, cell.number, part))))
            for part, name in enumerate(("clutter", "town", "terminal", "ships"))
        }
        side = grid.native(grid.core + 2 * grid.margin)
        sun, wind = draw_sun(scene_rngs["light"]), uniform(scene_rngs["light"], 0, 2 * math.pi)
        canvas = Canvas.blank((side, side), sun=sun, wind_rad=wind)
        core = _paint_parts(plan, cell, canvas, scene_rngs, own_rngs)
        resample(canvas, (grid.core + 2 * grid.margin,) * 2)
        sensor = draw_sensor(scene_rngs["sensor"])
        origin_rc = (cell.window.row0 - grid.margin, cell.window.col0 - grid.margin)
        image = expose(None, sensor, canvas.rgb_hwc, noise=_noise(plan, origin_rc, canvas.shape))
    rows = slice(grid.margin, grid.margin + cell.window.height)
    cols = slice(grid.margin, grid.margin + cell.window.width)
    coverage = np.rint(canvas.coverage_hw[rows, cols] * 255).astype(np.uint8)
    owner = np.where(coverage >= 128, canvas.owner_hw[rows, cols], 0)
    ships = _visible_ships(plan, cell, core.ships, owner)
    return CellImage(np.ascontiguousarray(image[rows, cols]), coverage, ships)


def _noise(plan: ScenePlan, origin_rc: tuple[int, int], shape: tuple[int, int]) -> WhiteNoise:
    """Return the sensor noise of a window of the scene; overlapping windows have the same noise in common pixels."""
    pan_hw = endless_white((*plan.key, 5), origin_rc=origin_rc, shape=shape)
    half_origin_rc = (origin_rc[0] // 2, origin_rc[1] // 2)
    half_shape = (-(-shape[0] // 2), -(-shape[1] // 2))
    bands = [endless_white((*plan.key, 6, band), origin_rc=half_origin_rc, shape=half_shape) for band in range(3)]
    return WhiteNoise(pan_hw, np.dstack(bands))


def _paint_parts(
    plan: ScenePlan, cell: Cell, canvas: Canvas, scene_rngs: dict[str, PlacedRng], own_rngs: dict[str, Rng]
) -> Canvas:
    """Paint sea, clutter, land, ships and weather, and return the part of the canvas that has the ships."""
    margin = plan.grid.native(plan.grid.margin)
    rows = slice(margin, margin + plan.grid.native(cell.window.height))
    cols = slice(margin, margin + plan.grid.native(cell.window.width))
    fade = _fade(plan.grid, cell)
    paint_sea(scene_rngs["sea"], canvas)
    core = canvas.part(rows, cols)
    before = core.rgb_hwc.copy()
    paint_clutter(own_rngs["clutter"], core)
    if cell.role != "harbour" and chance(own_rngs["clutter"], ORPHAN_WAKE_SHARE):
        paint_orphan_wake(own_rngs["clutter"], core)
    _blend(core, before, fade)
    if plan.coastline is not None and cell.role in ("coast", "harbour"):
        town = own_rngs["town"]
        paint_coastline(scene_rngs["land"], canvas, plan.coastline, town_rng=town, town_part=(rows, cols), fade=fade)
    if cell.terminal is not None:
        _paint_terminal(own_rngs["terminal"], core, plan.grid, cell)
    before = core.rgb_hwc.copy()
    core.blocked_hw[fade < 1] = 1
    rng = own_rngs["ships"]
    if cell.role == "anchorage":
        heading = canvas.wind_rad + math.pi  # bows into the wind
        place_anchorage(rng, core, cell.num_ships, label=plan.config.label, heading_rad=heading)
    else:
        # Twice for harbours: a second fleet fills the berths that the first one left free.
        parts = (cell.num_ships - cell.num_ships // 2, cell.num_ships // 2) if cell.terminal else (cell.num_ships,)
        for num_ships in parts:
            if num_ships:
                place_fleet(rng, core, num_ships, label=plan.config.label)
    _blend(core, before, fade)
    paint_weather(scene_rngs["weather"], canvas)
    return core


def _paint_terminal(rng: Rng, core: Canvas, grid: Grid, cell: Cell) -> None:
    assert cell.terminal is not None
    middle_xy = (
        cell.terminal.x - grid.native(cell.window.col0),
        cell.terminal.y - grid.native(cell.window.row0),
    )
    side = min(core.shape)
    along, depth = min(uniform(rng, *TERMINAL_ALONG_PX), 0.5 * side), min(uniform(rng, *TERMINAL_DEPTH_PX), 0.22 * side)
    paint_terminal(rng, core, middle_xy=middle_xy, angle=cell.terminal.angle, along_px=along, depth_px=depth)


def _fade(grid: Grid, cell: Cell) -> FloatArray:
    """Return the weight of the features of this cell: 0 at borders with other cells, 1 inside."""
    sides = []
    for start, count, end in (
        (cell.window.row0, cell.window.height, grid.shape[0]),
        (cell.window.col0, cell.window.width, grid.shape[1]),
    ):
        size = grid.native(count)
        ramp = np.ones(size, np.float32)
        rising = (np.arange(size, dtype=np.float32) + 0.5) / FADE_PX
        if start > 0:
            ramp = np.minimum(ramp, rising)
        if start + count < end:
            ramp = np.minimum(ramp, rising[::-1])
        sides.append(ramp)
    return np.asarray(np.minimum(sides[0][:, None], sides[1][None, :]), np.float32)


def _blend(core: Canvas, before: FloatArray, fade: FloatArray) -> None:
    core.rgb_hwc[:] = before + (core.rgb_hwc - before) * fade[..., None]


def _visible_ships(
    plan: ScenePlan, cell: Cell, ships: list[PlacedShip], owner_hw: NDArray[np.int32]
) -> tuple[DrawnShip, ...]:
    import shapely

    scale = 1.0 / float(plan.grid.factor)
    inside = shapely.box(0, 0, plan.grid.shape[1], plan.grid.shape[0])
    visible_px = np.bincount(owner_hw.ravel(), minlength=1 + max((ship.number for ship in ships), default=0))
    drawn = []
    for ship in ships:
        x = cell.window.col0 + ship.x * scale
        y = cell.window.row0 + ship.y * scale
        label = _label_uv(ship, plan.config.label) * scale
        cos, sin = math.cos(ship.heading_rad), math.sin(ship.heading_rad)
        label_xy = label @ np.array([(cos, sin), (-sin, cos)]) + (x, y)
        area = shapely.Polygon(label_xy).intersection(inside).area
        share = float(visible_px[ship.number]) / max(area, 1.0)
        if visible_px[ship.number] >= SMALLEST_SHIP_PX and share >= HIDDEN_SHARE:
            margin = 0.0 if plan.config.label == "hull" else ship.margin_px
            sizes = (ship.length_px * scale, ship.beam_px * scale, margin * scale)
            drawn.append(DrawnShip(ship.kind, x, y, ship.heading_rad, *sizes, label_xy, share))
    return tuple(drawn)


def _label_uv(ship: PlacedShip, label: str) -> NDArray[np.float64]:
    if label == "hull":
        return ship.outline_uv
    size = (ship.length_px + 2 * ship.margin_px, ship.beam_px + 2 * ship.margin_px)
    return np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) * size
