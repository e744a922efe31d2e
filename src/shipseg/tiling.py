"""Windows over an image, and blending the values of overlapping windows without seams."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError

__all__ = ["Accumulator", "Window", "blend_weights", "starts", "windows"]


class Window(NamedTuple):
    """A rectangle of pixels inside an image: first row and column, height and width."""

    row0: int
    col0: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns to index an (H, W, ...) array with."""
        return slice(self.row0, self.row0 + self.height), slice(self.col0, self.col0 + self.width)


def windows(height: int, width: int, *, tile: int, overlap: int) -> list[Window]:
    """Return the windows that cover an image, row by row, all inside it.

    Neighbours overlap by at least `overlap` pixels. The last window of a row or column is shifted back to end with the
    image and overlaps more. Along a side shorter than `tile` there is one window of that side's length.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        tile: Side of a window in pixels.
        overlap: Least overlap of neighbours in pixels, below `tile`.

    Raises:
        ConfigError: A size is below 1, or `overlap` is negative or not below `tile`.

    Example:
        >>> [window.col0 for window in windows(100, 250, tile=100, overlap=20)]
        [0, 80, 150]
    """
    if min(height, width, tile) < 1:
        raise ConfigError(f"image and tile need at least 1 pixel a side, got image {height} x {width} and tile {tile}")
    if not 0 <= overlap < tile:
        raise ConfigError(f"overlap must be from 0 to below the tile ({tile}), got {overlap}")
    rows, columns = (starts(side, tile=tile, overlap=overlap) for side in (height, width))
    return [Window(row, column, min(tile, height), min(tile, width)) for row in rows for column in columns]


def starts(side: int, *, tile: int, overlap: int) -> list[int]:
    """Return the starts of the windows along one side; see `windows`.

    Example:
        >>> starts(250, tile=100, overlap=20)
        [0, 80, 150]
    """
    if side <= tile:
        return [0]
    return [*range(0, side - tile, tile - overlap), side - tile]


def blend_weights(height: int, width: int, *, overlap: int | tuple[int, int]) -> NDArray[np.float32]:
    """Return the weights (h, w) of a window's pixels: 1 inside, falling linearly to the edges over `overlap` pixels.

    All weights are above 0, so the weighted mean is defined wherever there is a window. Across an overlap of exactly
    `overlap` pixels the weights of two neighbours add up to 1.

    Args:
        height: Rows of the window.
        width: Columns of the window.
        overlap: Pixels; or (rows, columns) if the overlaps differ.

    Raises:
        ConfigError: A size is below 1 or `overlap` is negative.
    """
    rows, columns = overlap if isinstance(overlap, tuple) else (overlap, overlap)
    if min(height, width) < 1 or min(rows, columns) < 0:
        raise ConfigError(
            f"a window needs at least 1 pixel a side and no negative overlap, got {height} x {width}, {overlap}"
        )
    return np.outer(_ramp(height, rows), _ramp(width, columns)).astype(np.float32)


def _ramp(side: int, overlap: int) -> NDArray[np.float64]:
    from_edge = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    return np.minimum(1.0, from_edge / max(overlap, 0.5))


class Accumulator:
    """Accumulates the weighted mean of windows over an image, window by window.

    Keeps two float32 arrays of the image's size.

    Args:
        height: Rows of the image.
        width: Columns of the image.

    Example:
        >>> image_hw = np.arange(12, dtype=np.float32).reshape(3, 4)
        >>> mean = Accumulator(3, 4)
        >>> for window in windows(3, 4, tile=2, overlap=1):
        ...     mean.add(window, image_hw[window.slices], blend_weights(window.height, window.width, overlap=1))
        >>> bool(np.allclose(mean.result(), image_hw))
        True
    """

    def __init__(self, height: int, width: int) -> None:
        if min(height, width) < 1:
            raise ConfigError(f"an image needs at least 1 pixel a side, got {height} x {width}")
        self._sum_hw = np.zeros((height, width), np.float32)
        self._weight_hw = np.zeros((height, width), np.float32)

    def add(self, window: Window, values_hw: NDArray[np.floating], weights_hw: NDArray[np.floating]) -> None:
        """Add the values (h, w) of one window with their weights (h, w).

        Raises:
            ConfigError: The window does not lie inside the image, or values or weights have a different shape.
        """
        height, width = self._sum_hw.shape
        inside = 0 <= window.row0 <= height - window.height and 0 <= window.col0 <= width - window.width
        if not inside:
            raise ConfigError(f"{window} does not lie inside the image {height} x {width}")
        if not values_hw.shape == weights_hw.shape == (window.height, window.width):
            raise ConfigError(f"{window} cannot take values {values_hw.shape} with weights {weights_hw.shape}")
        self._sum_hw[window.slices] += values_hw * weights_hw
        self._weight_hw[window.slices] += weights_hw

    def result(self) -> NDArray[np.float32]:
        """Return the weighted mean (H, W).

        Raises:
            ConfigError: A pixel was covered by no window.
        """
        uncovered = self._weight_hw <= 0
        if uncovered.any():
            row, column = np.unravel_index(int(np.argmax(uncovered)), uncovered.shape)
            raise ConfigError(
                f"{int(uncovered.sum())} pixels were covered by no window, the first in row {row}, column {column}"
            )
        return self._sum_hw / self._weight_hw
