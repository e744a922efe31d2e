"""The plan of a large scene, known before anything is painted: its cells, what lies in each, how many ships."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.synth.distributions import NATIVE_METRES_PER_PIXEL, Rng, uniform
from shipseg.synth.paint.coastline import LOOK_STEP_PX, Coastline
from shipseg.synth.paint.fields import FloatArray
from shipseg.synth.view import WorldConfig
from shipseg.tiling import Window

__all__ = ["SCENE_KINDS", "Cell", "Grid", "SceneKind", "ScenePlan", "Terminal", "plan_scene"]

SceneKind = Literal["mixed", "coast", "harbour", "anchorage", "open-sea"]
SCENE_KINDS: tuple[SceneKind, ...] = get_args(SceneKind)
GROUND_STREAM = 4
"""Random numbers of large scenes, apart from those of pictures (0-3, see `world.render` and `folder`)."""
CORE_PX = 1536
MARGIN_PX = 192
"""A cell is painted so much wider on each side than what is kept of it: blurs, shadows and shores reach across."""
BLOCK_STEP_PX = 16
"""Sides of a TIFF's blocks are multiples of this."""
LAND_SHARE = {"mixed": (0.15, 0.32), "coast": (0.15, 0.45), "harbour": (0.2, 0.4)}
HARBOUR_SHARE = {"mixed": 0.35, "harbour": 0.8}
"""Of the cells on the coast that have room for one."""
ANCHORAGE_SHARE = {"mixed": 0.15, "anchorage": 0.6}
"""Of the cells without land, those nearest to a harbour first."""
SHIPS_PER_CELL = {"sea": 1.6, "coast": 2.5}
"""Mean number; a cell has the area of four of the challenge's tiles, of which every fourth has two ships."""
HARBOUR_SHIPS = (12, 40)
ANCHORED_SHIPS = (6, 16)
_ROOM_PX, _ROOM_SHARE = 430, 0.28
"""The middle of a terminal's quay is at least so many pixels, or this share of its cell, inside the cell."""


@dataclass(frozen=True)
class Grid:
    """The cells of a scene: where they are kept, in its own pixels, and how they are painted, at 1.5 m per pixel.

    Attributes:
        shape: (height, width) of the scene.
        factor: Pixels of 1.5 m per pixel of the scene.
        core: Side of a cell in pixels of the scene; a whole number of pixels of 1.5 m, too.
        margin: Likewise.
    """

    shape: tuple[int, int]
    factor: Fraction
    core: int
    margin: int

    @classmethod
    def of(cls, shape: tuple[int, int], metres_per_pixel: float) -> Grid:
        """Return the grid of a scene.

        Raises:
            ConfigError: The pixel size has more than two decimals.
        """
        size = Fraction(str(metres_per_pixel))
        if (100 * size).denominator != 1:
            raise ConfigError(f"metres_per_pixel of a scene must have at most two decimals, got {metres_per_pixel}")
        factor = size / Fraction(str(NATIVE_METRES_PER_PIXEL))
        unit = factor.denominator
        blocks = math.lcm(unit, BLOCK_STEP_PX)
        # Fine pixels: less ground, with room for the longest ships still, keeps the arrays in bounds.
        ground_px = CORE_PX * min(1.0, max(0.5, float(factor)))
        core = blocks * max(1, round(ground_px / float(factor) / blocks))
        return cls(shape, factor, core, blocks * math.ceil(MARGIN_PX / factor / blocks))

    @property
    def block_px(self) -> int:
        """Side of the largest block of a TIFF, at most 512, of which a cell holds a whole number."""
        return max(side for side in range(BLOCK_STEP_PX, 513, BLOCK_STEP_PX) if self.core % side == 0)

    def native(self, pixels: int) -> int:
        """Return pixels of the scene as pixels of 1.5 m, rounded up."""
        return math.ceil(pixels * self.factor)

    def windows(self) -> list[list[Window]]:
        """Return what is kept of each cell: rows of windows, all inside the scene."""
        height, width = self.shape
        return [
            [
                Window(row, col, min(self.core, height - row), min(self.core, width - col))
                for col in range(0, width, self.core)
            ]
            for row in range(0, height, self.core)
        ]


@dataclass(frozen=True)
class Terminal:
    """A harbour: the middle of its quay in the scene's pixels of 1.5 m, and the quay's direction."""

    x: float
    y: float
    angle: float


@dataclass(frozen=True)
class Cell:
    """One cell of a scene.

    Attributes:
        number: Counted row by row.
        window: What is kept of it, in pixels of the scene.
        role: What lies there; harbour is coast with a terminal.
        num_ships: How many are to be placed.
        terminal: Of a harbour.
    """

    number: int
    window: Window
    role: Literal["sea", "coast", "harbour", "anchorage"]
    num_ships: int = 0
    terminal: Terminal | None = None


@dataclass(frozen=True)
class ScenePlan:
    """All that is needed to paint any cell of a scene, alone."""

    key: tuple[int, ...]
    kind: SceneKind
    config: WorldConfig
    grid: Grid
    coastline: Coastline | None
    cells: tuple[Cell, ...]


def plan_scene(seed: int, index: int, shape: tuple[int, int], kind: SceneKind, config: WorldConfig) -> ScenePlan:
    """Return the plan of scene `index` of the world `seed`; the same for the same arguments.

    Raises:
        ConfigError: A number is out of range.
    """
    if seed < 0 or index < 0:
        raise ConfigError(f"seed and index must not be negative, got {seed} and {index}")
    grid = Grid.of(shape, config.metres_per_pixel)
    key = (seed, index, GROUND_STREAM)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*key, 0))))
    native = (grid.native(shape[0]), grid.native(shape[1]))
    coastline = None
    if kind in LAND_SHARE:
        coastline = Coastline.drawn((*key, 1), native, land_share=uniform(rng, *LAND_SHARE[kind]))
    look = None if coastline is None else coastline.look()
    windows = [window for row in grid.windows() for window in row]
    cells = [Cell(k, window, _first_role(grid, window, look)) for k, window in enumerate(windows)]
    if look is not None:
        cells = _with_harbours(rng, grid, cells, look, share=HARBOUR_SHARE.get(kind, 0.0))
    cells = _with_anchorages(rng, cells, share=ANCHORAGE_SHARE.get(kind, 0.0))
    cells = [replace(cell, num_ships=_num_ships(rng, grid, cell)) for cell in cells]
    if not any(cell.num_ships for cell in cells):
        cells[0] = replace(cells[0], num_ships=1)
    return ScenePlan(key, kind, config, grid, coastline, tuple(cells))


def _seen(grid: Grid, window: Window, look: FloatArray, *, inset_px: int = 0) -> tuple[slice, slice]:
    """Return which points of the coarse look lie in a window, so many pixels of 1.5 m inside it."""
    starts = (grid.native(window.row0) + inset_px, grid.native(window.col0) + inset_px)
    ends = (
        grid.native(window.row0 + window.height) - inset_px,
        grid.native(window.col0 + window.width) - inset_px,
    )
    rows, cols = (
        slice(max(0, -(-start // LOOK_STEP_PX)), max(0, min(side, end // LOOK_STEP_PX)))
        for start, end, side in zip(starts, ends, look.shape, strict=True)
    )
    return rows, cols


def _first_role(grid: Grid, window: Window, look: FloatArray | None) -> Literal["sea", "coast"]:
    if look is None:
        return "sea"
    # Wider than the cell: what the coarse look does not see may still reach into it.
    rows, cols = _seen(grid, window, look, inset_px=-2 * MARGIN_PX)
    return "coast" if look[rows, cols].size and float(look[rows, cols].max()) > -2 * LOOK_STEP_PX else "sea"


def _with_harbours(rng: Rng, grid: Grid, cells: list[Cell], look: FloatArray, *, share: float) -> list[Cell]:
    found = {cell.number: _place_terminal(grid, cell.window, look) for cell in cells if cell.role == "coast"}
    candidates = [number for number, terminal in found.items() if terminal is not None]
    wanted = math.ceil(len(candidates) * share) if share else 0
    chosen = set(rng.permutation(candidates)[:wanted].tolist()) if candidates else set()
    return [
        replace(cell, role="harbour", terminal=found[cell.number]) if cell.number in chosen else cell for cell in cells
    ]


def _place_terminal(grid: Grid, window: Window, look: FloatArray) -> Terminal | None:
    """Return a harbour on the shore well inside a cell, its quay along the coast, or None where none has room."""
    side = grid.native(min(window.height, window.width))
    rows, cols = _seen(grid, window, look, inset_px=min(_ROOM_PX, round(_ROOM_SHARE * side)))
    inside = look[rows, cols]
    if not inside.size or not (inside.min() < 0 < inside.max()):
        return None
    row, col = (int(place) for place in np.unravel_index(int(np.abs(inside).argmin()), inside.shape))
    row, col = row + rows.start, col + cols.start
    reach = 8  # of the coarse look: 256 px, so that a bay does not turn the quay
    low_row, high_row = max(0, row - reach), min(look.shape[0] - 1, row + reach)
    low_col, high_col = max(0, col - reach), min(look.shape[1] - 1, col + reach)
    inland = np.array(
        [float(look[row, high_col] - look[row, low_col]), float(look[high_row, col] - look[low_row, col])], np.float64
    )
    if not np.linalg.norm(inland):
        return None
    seaward: NDArray[np.float64] = -inland / np.linalg.norm(inland)
    # The quay's right-hand side, (-sin, cos) of its direction, is the water.
    angle = math.atan2(-seaward[0], seaward[1])
    out = 70.0  # the quay stands in deep water
    return Terminal(col * LOOK_STEP_PX + seaward[0] * out, row * LOOK_STEP_PX + seaward[1] * out, angle)


def _with_anchorages(rng: Rng, cells: list[Cell], *, share: float) -> list[Cell]:
    harbours = [cell.window for cell in cells if cell.role == "harbour"]
    open_water = [cell for cell in cells if cell.role == "sea"]
    order = rng.permutation(len(open_water)).tolist()
    nearest = sorted((_distance(open_water[k].window, harbours), place, k) for place, k in enumerate(order))
    wanted = math.ceil(share * len(open_water))
    chosen = {open_water[k].number for _, _, k in nearest[:wanted]}
    return [replace(cell, role="anchorage") if cell.number in chosen else cell for cell in cells]


def _distance(window: Window, others: list[Window]) -> float:
    return min((math.hypot(window.row0 - o.row0, window.col0 - o.col0) for o in others), default=0.0)


def _num_ships(rng: Rng, grid: Grid, cell: Cell) -> int:
    area = cell.window.height * cell.window.width * float(grid.factor) ** 2 / CORE_PX**2
    if cell.role in SHIPS_PER_CELL:
        return int(rng.poisson(SHIPS_PER_CELL[cell.role] * area))
    low, high = HARBOUR_SHIPS if cell.role == "harbour" else ANCHORED_SHIPS
    return int(int(rng.integers(low, high)) * area + rng.random())
