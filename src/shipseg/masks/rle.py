"""Run-length text of the Airbus challenge to mask and back.

A text is a list of pairs `start length`; pixels are counted from 1, down the columns first; the empty text is an
image without ships. See `find_malformed` for what is refused.

Source: the file format of the Kaggle Airbus Ship Detection Challenge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, RleError
from shipseg.masks.malformed import MAX_DIGITS, explain, find_malformed

__all__ = [
    "Runs",
    "area_px",
    "check",
    "checked_shape",
    "decode",
    "decode_many",
    "encode",
    "find_malformed",
    "paint",
    "parse",
    "runs_of_mask",
]


@dataclass(frozen=True, eq=False, slots=True)
class Runs:
    """Runs of consecutive ship pixels of an image whose pixels are numbered down the columns first.

    Args:
        starts: int64 (n,), number of the first pixel of each run, counted from 0.
        lengths: int64 (n,), pixels in each run.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def area_px(self) -> int:
        """Pixels in all runs together."""
        return int(self.lengths.sum())


def checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return `shape` as (height, width) when both are at least 1.

    Raises:
        ConfigError: It is not two whole numbers of at least 1.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ConfigError(f"the shape of a mask must be (height, width), each at least 1, got {tuple(shape)}")
    return int(shape[0]), int(shape[1])


def runs_of_mask(mask_hw: NDArray[np.generic]) -> Runs:
    """Return the runs of `mask_hw`, in ascending order and of maximal length (a run may continue in the next column).

    Args:
        mask_hw: (H, W); any pixel that is not 0 belongs to a ship.

    Raises:
        ConfigError: The mask is not two-dimensional or has no pixel.
    """
    if mask_hw.ndim != 2:
        raise ConfigError(f"a mask must be two-dimensional (height, width), got an array of shape {mask_hw.shape}")
    height, _ = checked_shape(mask_hw.shape)
    ship_hw = mask_hw.astype(bool, copy=False)
    occupied = np.flatnonzero(ship_hw.any(axis=0))
    if not len(occupied):
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    # Only the columns from the first to the last with a ship are transposed, because ships are small.
    first, last = int(occupied[0]), int(occupied[-1]) + 1
    padded = np.zeros((last - first) * height + 2, bool)
    padded[1:-1] = ship_hw[:, first:last].T.ravel()
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    starts, ends = changes[0::2], changes[1::2]
    return Runs(starts + first * height, ends - starts)


def paint(runs: Runs, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of `runs`, in C order. The runs must lie inside the image; they may overlap."""
    height, width = shape
    mask_hw = np.zeros((height, width), bool)
    ends = np.cumsum(runs.lengths)
    total = int(ends[-1]) if len(ends) else 0
    # Pixel k of the concatenated runs: the start of its run plus its index within the run.
    offsets = np.repeat(runs.starts - (ends - runs.lengths), runs.lengths)
    pixels = offsets + np.arange(total)
    columns = pixels // height
    mask_hw[pixels - columns * height, columns] = True
    return mask_hw


def parse(text: str) -> Runs:
    """Return the runs of a run-length text, in the order of the text.

    Raises:
        RleError: The text is malformed; the message names the number and its character. Whether the runs lie inside
            an image is for `check`.

    Example:
        >>> parse("1 3 10 2").area_px
        5
    """
    numbers = _plain_numbers(text)
    if numbers is not None and len(numbers) % 2 == 0:
        runs = Runs(numbers[0::2] - 1, numbers[1::2])
        if _are_sound(runs):
            return runs
    raise RleError(f"malformed run-length text: {explain(text)}")


def _plain_numbers(text: str) -> NDArray[np.int64] | None:
    """Return the numbers of a text that holds only digits and spaces and none above MAX_DIGITS digits, else None."""
    if not isinstance(text, str) or not text.isascii():
        return None
    tokens = text.split(" ")
    if not "".join(tokens).isdigit():
        return None if text.strip(" ") else np.zeros(0, np.int64)
    if len(max(tokens, key=len)) > MAX_DIGITS:
        return None
    return np.fromstring(text, dtype=np.int64, sep=" ")


def _are_sound(runs: Runs) -> bool:
    """Return whether all starts and lengths are in range and no pixel is covered twice."""
    if not len(runs.starts):
        return True
    if runs.starts.min() < 0 or runs.lengths.min() < 1:
        return False
    starts, ends = runs.starts, runs.starts + runs.lengths
    if (starts[1:] >= ends[:-1]).all():
        return True
    order = np.argsort(starts)
    return bool((starts[order[1:]] >= ends[order[:-1]]).all())


def check(runs: Runs, shape: tuple[int, int]) -> None:
    """Check that runs lie inside an image of `shape` (height, width).

    Raises:
        RleError: A run starts before the first pixel, has no pixel or ends beyond the last one; the message names it.
        ConfigError: `shape` is not that of an image.
    """
    height, width = checked_shape(shape)
    fault = (runs.starts < 0) | (runs.lengths < 1) | (runs.starts + runs.lengths > height * width)
    if fault.any():
        run = int(np.argmax(fault))
        start, length = int(runs.starts[run]) + 1, int(runs.lengths[run])
        raise RleError(
            f"run {run + 1} ({start} {length}, at number {2 * run + 1} of its text) does not lie inside the "
            f"{height * width} pixels of the image {height} x {width}"
        )


def decode(text: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of a run-length text.

    Args:
        text: Run-length text; empty for no ship.
        shape: (height, width) of the image.

    Raises:
        RleError: The text is malformed or does not fit the image.
        ConfigError: `shape` is not that of an image.

    Example:
        >>> decode("2 1 4 1", (2, 2)).astype(int).tolist()
        [[0, 0], [1, 1]]
    """
    runs = parse(text)
    check(runs, shape)
    return paint(runs, shape)


def decode_many(texts: Sequence[str], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) union of the masks of `texts`, one text per ship; ships may overlap one another.

    Raises:
        RleError: A text is malformed or does not fit the image; the message names the ship, counted from 1.
        ConfigError: `shape` is not that of an image.
    """
    runs_of_ships = []
    for position, text in enumerate(texts):
        try:
            runs = parse(text)
            check(runs, shape)
        except RleError as error:
            raise RleError(f"ship {position + 1} of {len(texts)}: {error}") from error
        runs_of_ships.append(runs)
    starts = [np.zeros(0, np.int64), *(runs.starts for runs in runs_of_ships)]
    lengths = [np.zeros(0, np.int64), *(runs.lengths for runs in runs_of_ships)]
    return paint(Runs(np.concatenate(starts), np.concatenate(lengths)), checked_shape(shape))


def encode(mask_hw: NDArray[np.generic]) -> str:
    """Return the run-length text of `mask_hw`: ascending runs of maximal length; empty for an empty mask.

    Args:
        mask_hw: (H, W); any pixel that is not 0 belongs to a ship.

    Raises:
        ConfigError: The mask is not two-dimensional or has no pixel.

    Example:
        >>> encode(np.array([[0, 0], [1, 1]]))
        '2 1 4 1'
    """
    runs = runs_of_mask(mask_hw)
    pairs = np.stack([runs.starts + 1, runs.lengths], axis=1).ravel()
    return " ".join(map(str, pairs.tolist()))


def area_px(text: str) -> int:
    """Return the number of ship pixels in a run-length text.

    Raises:
        RleError: The text is malformed.
    """
    return parse(text).area_px
