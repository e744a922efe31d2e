"""The plan of a large synthetic scene, made before painting: its cells, their roles and numbers of ships."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.synth.distributions import NATIVE_METRES_PER_PIXEL, Rng, uniform
from shipseg.synth.paint.coastline import COARSE_STEP_PX, Coastline
from shipseg.synth.paint.fields import FloatArray
from shipseg.synth.view import WorldConfig
from shipseg.tiling import Window

__all__ = ["SCENE_KINDS", "Cell", "Grid", "SceneKind", "ScenePlan", "Terminal", "plan_scene"]

SceneKind = Literal["mixed", "coast", "harbour", "anchorage", "open-sea"]
SCENE_KINDS: tuple[SceneKind, ...] = get_args(SceneKind)
GROUND_STREAM = 4
"""Stream of large scenes, separate from those of images (0-3, see `world.render` and `folder`)."""
CORE_PX = 1536
"""Side of a cell at 1.5 m per pixel."""
MARGIN_PX = 192
"""Margin that is painted around a cell and then cut off: blurs, shadows and shores extend over its border."""
BLOCK_STEP_PX = 16
"""The sides of a TIFF's blocks are multiples of this."""
LAND_SHARE = {"mixed": (0.15, 0.32), "coast": (0.15, 0.45), "harbour": (0.2, 0.4)}
HARBOUR_SHARE = {"mixed": 0.35, "harbour": 0.8}
"""Share of the coast cells with enough space for a harbour that get one."""
ANCHORAGE_SHARE = {"mixed": 0.15, "anchorage": 0.6}
"""Share of the cells without land that are anchorages, those nearest to a harbour first."""
SHIPS_PER_CELL = {"sea": 1.6, "coast": 2.5}
"""Mean number of ships; a cell has the area of four of the challenge's tiles, of which every fourth has two ships."""
HARBOUR_SHIPS = (12, 40)
ANCHORED_SHIPS = (6, 16)
_INSET_PX, _INSET_SHARE = 430, 0.28
"""Least distance of the centre of a quay to the border of its cell: the smaller of pixels and share of the cell."""


@dataclass(frozen=True)
class Grid:
    """The cells of a scene, in pixels of the scene and in native pixels of 1.5 m, in which they are painted.

    Attributes:
        shape: (height, width) of the scene.
        factor: Native pixels per pixel of the scene.
        core: Side of a cell in pixels of the scene; also a whole number of native pixels.
        margin: Margin around a cell, likewise.
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
        # With fine pixels a cell covers less ground, to limit the size of arrays; the longest ships still fit.
        ground_px = CORE_PX * min(1.0, max(0.5, float(factor)))
        core = blocks * max(1, round(ground_px / float(factor) / blocks))
        return cls(shape, factor, core, blocks * math.ceil(MARGIN_PX / factor / blocks))

    @property
    def block_px(self) -> int:
        """Side of the largest TIFF block, at most 512, that divides the side of a cell."""
        return max(side for side in range(BLOCK_STEP_PX, 513, BLOCK_STEP_PX) if self.core % side == 0)

    def native(self, pixels: int) -> int:
        """Return pixels of the scene in native pixels of 1.5 m, rounded up."""
        return math.ceil(pixels * self.factor)

    def windows(self) -> list[list[Window]]:
        """Return the windows of the cells without margins: rows of windows, clipped to the scene."""
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
    """A harbour: centre of its quay in native pixels of the scene, and direction of the quay."""

    x: float
    y: float
    angle: float


@dataclass(frozen=True)
class Cell:
    """One cell of a scene.

    Attributes:
        number: Number, counted row by row.
        window: Window without margin, in pixels of the scene.
        role: Content of the cell; harbour is coast with a terminal.
        num_ships: Number of ships to place.
        terminal: Terminal of a harbour.
    """

    number: int
    window: Window
    role: Literal["sea", "coast", "harbour", "anchorage"]
    num_ships: int = 0
    terminal: Terminal | None = None


@dataclass(frozen=True)
class ScenePlan:
    """The plan of a scene, from which each cell can be painted independently."""

    key: tuple[int, ...]
    kind: SceneKind
    config: WorldConfig
    grid: Grid
    coastline: Coastline | None
    cells: tuple[Cell, ...]


def plan_scene(seed: int, index: int, shape: tuple[int, int], kind: SceneKind, config: WorldConfig) -> ScenePlan:
    """Return the plan of scene `index` of `seed`. The result depends on the arguments only.

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
        coastline = Coastline.draw((*key, 1), native, land_share=uniform(rng, *LAND_SHARE[kind]))
    coarse_hw = None if coastline is None else coastline.coarse_height()
    windows = [window for row in grid.windows() for window in row]
    cells = [Cell(k, window, _first_role(grid, window, coarse_hw)) for k, window in enumerate(windows)]
    if coarse_hw is not None:
        cells = _with_harbours(rng, grid, cells, coarse_hw, share=HARBOUR_SHARE.get(kind, 0.0))
    cells = _with_anchorages(rng, cells, share=ANCHORAGE_SHARE.get(kind, 0.0))
    cells = [replace(cell, num_ships=_num_ships(rng, grid, cell)) for cell in cells]
    if not any(cell.num_ships for cell in cells):
        cells[0] = replace(cells[0], num_ships=1)
    return ScenePlan(key, kind, config, grid, coastline, tuple(cells))


def _coarse_slices(grid: Grid, window: Window, coarse_hw: FloatArray, *, inset_px: int = 0) -> tuple[slice, slice]:
    """Return the rows and columns of the coarse heights inside a window, `inset_px` native pixels from its border."""
    starts = (grid.native(window.row0) + inset_px, grid.native(window.col0) + inset_px)
    ends = (
        grid.native(window.row0 + window.height) - inset_px,
        grid.native(window.col0 + window.width) - inset_px,
    )
    rows, cols = (
        slice(max(0, -(-start // COARSE_STEP_PX)), max(0, min(side, end // COARSE_STEP_PX)))
        for start, end, side in zip(starts, ends, coarse_hw.shape, strict=True)
    )
    return rows, cols


def _first_role(grid: Grid, window: Window, coarse_hw: FloatArray | None) -> Literal["sea", "coast"]:
    if coarse_hw is None:
        return "sea"
    # Wider than the cell: land between the coarse points may extend into it.
    rows, cols = _coarse_slices(grid, window, coarse_hw, inset_px=-2 * MARGIN_PX)
    return "coast" if coarse_hw[rows, cols].size and float(coarse_hw[rows, cols].max()) > -2 * COARSE_STEP_PX else "sea"


def _with_harbours(rng: Rng, grid: Grid, cells: list[Cell], coarse_hw: FloatArray, *, share: float) -> list[Cell]:
    found = {cell.number: _place_terminal(grid, cell.window, coarse_hw) for cell in cells if cell.role == "coast"}
    candidates = [number for number, terminal in found.items() if terminal is not None]
    wanted = math.ceil(len(candidates) * share) if share else 0
    chosen = set(rng.permutation(candidates)[:wanted].tolist()) if candidates else set()
    return [
        replace(cell, role="harbour", terminal=found[cell.number]) if cell.number in chosen else cell for cell in cells
    ]


def _place_terminal(grid: Grid, window: Window, coarse_hw: FloatArray) -> Terminal | None:
    """Return a harbour on the shore well inside a cell with its quay along the coast, or None if there is none."""
    side = grid.native(min(window.height, window.width))
    rows, cols = _coarse_slices(grid, window, coarse_hw, inset_px=min(_INSET_PX, round(_INSET_SHARE * side)))
    inside = coarse_hw[rows, cols]
    if not inside.size or not (inside.min() < 0 < inside.max()):
        return None
    row, col = (int(place) for place in np.unravel_index(int(np.abs(inside).argmin()), inside.shape))
    row, col = row + rows.start, col + cols.start
    reach = 8  # coarse points, 256 px, so that a small bay does not rotate the quay
    low_row, high_row = max(0, row - reach), min(coarse_hw.shape[0] - 1, row + reach)
    low_col, high_col = max(0, col - reach), min(coarse_hw.shape[1] - 1, col + reach)
    inland = np.array(
        [
            float(coarse_hw[row, high_col] - coarse_hw[row, low_col]),
            float(coarse_hw[high_row, col] - coarse_hw[low_row, col]),
        ],
        np.float64,
    )
    if not np.linalg.norm(inland):
        return None
    seaward: NDArray[np.float64] = -inland / np.linalg.norm(inland)
    # The water is on the right of the quay, (-sin, cos) of its direction.
    angle = math.atan2(-seaward[0], seaward[1])
    out = 70.0  # the quay is in deep water
    return Terminal(col * COARSE_STEP_PX + seaward[0] * out, row * COARSE_STEP_PX + seaward[1] * out, angle)


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
