"""Random fields of unlimited size, evaluated in windows without seams.

A large scene is painted window by window. Each window draws the same sequence of single numbers, so that all parameters
are equal; a field of noise is the part of one unlimited field at the position of the window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["PlacedRng", "endless_noise", "endless_white"]

LATTICE = 256
"""Period of the noise in cells: noise with cells of 2 px repeats after 512 px, with cells of 300 px after 77,000 px."""
WHITE_BLOCK = 512
"""White noise is drawn in squares of this side in pixels, each with its own random numbers."""
_BLOCK_OFFSET = 1 << 20
"""Added to block numbers, which can be negative; seeds cannot."""
EXACT_FROM_PX = 8.0
"""Noise of at least this cell size is interpolated exactly. OpenCV's warp, faster for finer noise, rounds positions to
1/32 of a cell, so that two windows of coarse noise would not agree."""
_CUBIC = -0.75
"""Parameter of OpenCV's cubic kernel, so that both interpolations agree."""

FloatArray = NDArray[np.float32]


class PlacedRng(np.random.Generator):
    """Random generator for one window of a larger area.

    Single numbers depend only on the key, not on the window. Fields of noise (`fields.fractal_noise`,
    `fields.even_noise`, `fields.wave_field`) depend on the position of the window. Windows of different shapes may only
    draw single numbers and such fields.

    Args:
        key: Key of the area.
        origin_rc: Row and column of the window's first pixel.
        step: Pixels of the area per pixel of the window: 1, or more for a coarse sampling.
    """

    def __init__(self, key: Sequence[int], *, origin_rc: tuple[int, int], step: int = 1) -> None:
        super().__init__(np.random.PCG64(np.random.SeedSequence(tuple(key))))
        self.origin_rc = origin_rc
        self.step = step


def endless_noise(
    rng: PlacedRng, shape: tuple[int, int], wavelength_px: float, *, octaves: int, gain: float
) -> FloatArray:
    """Return a window of an unlimited field of noise with the statistics of `fields.fractal_noise`."""
    total = np.zeros(shape, np.float32)
    weight, power = 1.0, 0.0
    for _ in range(octaves):
        grid = rng.standard_normal((LATTICE, LATTICE), dtype=np.float32)
        scale = max(wavelength_px, 1.0)
        shift_rc = rng.uniform(0.0, LATTICE, 2)
        positions = [
            (start + np.arange(side) * rng.step) / scale + shift
            for start, side, shift in zip(rng.origin_rc, shape, shift_rc, strict=True)
        ]
        layer = _exact(grid, *positions) if scale >= EXACT_FROM_PX else _warped(grid, *positions, cubic=scale > 4)
        total += np.float32(weight) * layer
        power += weight * weight
        weight *= gain
        wavelength_px /= 2.0
        if wavelength_px < 1.2:
            break
    return np.asarray(total * np.float32(1.6 / math.sqrt(power)), np.float32)


def endless_white(key: Sequence[int], *, origin_rc: tuple[int, int], shape: tuple[int, int]) -> FloatArray:
    """Return a window of an unlimited field of independent normal numbers, (H, W) float32, e.g. sensor noise."""
    field = np.empty(shape, np.float32)
    first = [start // WHITE_BLOCK for start in origin_rc]
    last = [(start + side - 1) // WHITE_BLOCK for start, side in zip(origin_rc, shape, strict=True)]
    for row in range(first[0], last[0] + 1):
        for col in range(first[1], last[1] + 1):
            block_rc = (row + _BLOCK_OFFSET, col + _BLOCK_OFFSET)
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*key, *block_rc))))
            block = rng.standard_normal((WHITE_BLOCK, WHITE_BLOCK), dtype=np.float32)
            down, right = row * WHITE_BLOCK - origin_rc[0], col * WHITE_BLOCK - origin_rc[1]
            rows = slice(max(down, 0), min(down + WHITE_BLOCK, shape[0]))
            cols = slice(max(right, 0), min(right + WHITE_BLOCK, shape[1]))
            field[rows, cols] = block[rows.start - down : rows.stop - down, cols.start - right : cols.stop - right]
    return field


def _exact(grid: FloatArray, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> FloatArray:
    row_weights, row_cells = _taps(rows)
    col_weights, col_cells = _taps(cols)
    return np.asarray(row_weights @ (grid[np.ix_(row_cells, col_cells)] @ col_weights.T), np.float32)


def _taps(positions: NDArray[np.float64]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the cubic weights (N, cells) of positions along one axis, and the numbers of the lattice cells."""
    cells = np.floor(positions).astype(np.int64)
    first, last = int(cells[0]) - 1, int(cells[-1]) + 2
    weights = np.zeros((len(positions), last - first + 1), np.float32)
    for tap in (-1, 0, 1, 2):
        weights[np.arange(len(positions)), cells - first + tap] = _kernel(positions - cells - tap)
    return weights, np.arange(first, last + 1) % LATTICE


def _kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    d, a = np.abs(distance), _CUBIC
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _warped(grid: FloatArray, rows: NDArray[np.float64], cols: NDArray[np.float64], *, cubic: bool) -> FloatArray:
    first = [math.floor(positions[0]) - 1 for positions in (rows, cols)]
    counts = [math.floor(positions[-1]) + 3 - start for positions, start in zip((rows, cols), first, strict=True)]
    cells = [(start + np.arange(count)) % LATTICE for start, count in zip(first, counts, strict=True)]
    step = cols[1] - cols[0] if len(cols) > 1 else 1.0
    matrix = np.array([[step, 0, cols[0] - first[1]], [0, step, rows[0] - first[0]]], np.float64)
    flags = (cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    part = np.ascontiguousarray(grid[np.ix_(*cells)])
    return np.asarray(
        cv2.warpAffine(part, matrix, (len(cols), len(rows)), flags=flags, borderMode=cv2.BORDER_REFLECT), np.float32
    )
