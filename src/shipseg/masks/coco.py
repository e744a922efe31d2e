"""COCO run-length encoding, compressed and not, in numpy alone: writing COCO needs no optional package.

Source: the file format of the COCO data set, as pycocotools reads and writes it. Counts of background and object pixels
alternate, background first, down the columns first. The compressed form writes each count from the fourth on as the
difference to the count two before it, as groups of 5 bits, lowest first, in two's complement, each plus 32 when another
group follows, plus 48 to make it printable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, RleError
from shipseg.masks.runs import Runs, checked_shape, paint, runs_of_mask

__all__ = ["from_coco", "to_coco"]

_GROUP_BITS = 5
_CONTINUES = 32
_SIGN = 16
_PRINTABLE = 48
_MAX_GROUPS = 7  # 35 bits: more than any difference of two 32-bit counts needs


def to_coco(mask_hw: NDArray[np.generic], *, compressed: bool = True) -> dict[str, Any]:
    """Return the COCO run-length form of `mask_hw`: `{"size": [H, W], "counts": ...}`, ready for JSON.

    Args:
        mask_hw: (H, W); any pixel that is not 0 belongs to the object.
        compressed: Counts as text, as pycocotools writes them, character for character; else as a list of integers.

    Raises:
        ConfigError: The mask is not two-dimensional or has no pixel.
    """
    runs = runs_of_mask(mask_hw)
    height, width = mask_hw.shape
    bounds = np.concatenate([[0], np.stack([runs.starts, runs.starts + runs.lengths], axis=1).ravel()])
    counts = np.diff(bounds, append=height * width)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    return {"size": [height, width], "counts": _to_text(counts) if compressed else counts.tolist()}


def from_coco(encoded: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the (H, W) mask of a COCO run-length object, compressed (str or bytes) or not (integers).

    Raises:
        RleError: Size or counts are missing or malformed, or the counts do not add up to the pixels of the image.
    """
    try:
        size, raw = encoded["size"], encoded["counts"]
        if not all(isinstance(side, int | np.integer) for side in size):
            raise RleError(f"COCO run-length size must be [height, width] in whole pixels, got {size!r}")
        height, width = checked_shape(tuple(size))
    except KeyError as error:
        raise RleError(f"a COCO run-length object needs size and counts, {error} is missing") from error
    except (TypeError, ConfigError) as error:
        raise RleError(f"COCO run-length size must be [height, width], each at least 1, got {size!r}") from error
    counts = _from_text(raw) if isinstance(raw, str | bytes) else _from_list(raw)
    if len(counts) and counts.min() < 0:
        raise RleError(f"COCO run-length count {int(np.argmax(counts < 0)) + 1} is {counts[counts < 0][0]}, below 0")
    # Summed as Python integers: no list of int64 can wrap around to the right total.
    total = sum(counts.tolist())
    if total != height * width:
        raise RleError(f"COCO run-length counts add up to {total}, the image {height} x {width} has {height * width}")
    bounds = np.cumsum(counts)
    return paint(Runs(bounds[:-1:2], counts[1::2]), (height, width))


def _to_text(counts: NDArray[np.int64]) -> str:
    values = counts.copy()
    values[3:] -= counts[1:-2]
    groups = np.ones(len(values), np.int64)
    for number in range(1, _MAX_GROUPS):
        limit = 1 << (_GROUP_BITS * number - 1)
        groups += (values >= limit) | (values < -limit)
    place = _places(groups)
    bits = (np.repeat(values, groups) >> (_GROUP_BITS * place)) & (_CONTINUES - 1)
    bits[place < np.repeat(groups, groups) - 1] += _CONTINUES
    return (bits + _PRINTABLE).astype(np.uint8).tobytes().decode("ascii")


def _from_text(text: str | bytes) -> NDArray[np.int64]:
    encoded = text.encode("ascii", "replace") if isinstance(text, str) else text
    bits = np.frombuffer(encoded, np.uint8).astype(np.int64) - _PRINTABLE
    strange = (bits < 0) | (bits >= 2 * _CONTINUES)
    if strange.any():
        raise RleError(f"COCO run-length text has a character that is none of its own at {int(np.argmax(strange)) + 1}")
    last = (bits & _CONTINUES) == 0
    if not len(bits) or not last[-1]:
        raise RleError(f"COCO run-length text ends within a count, after {len(bits)} characters")
    ends = np.flatnonzero(last) + 1
    groups = np.diff(ends, prepend=0)
    if groups.max() > _MAX_GROUPS:
        raise RleError(f"COCO run-length count {int(np.argmax(groups > _MAX_GROUPS)) + 1} is beyond any image")
    values = np.add.reduceat((bits & (_CONTINUES - 1)) << (_GROUP_BITS * _places(groups)), ends - groups)
    negative = (bits[ends - 1] & _SIGN) != 0
    values[negative] -= np.int64(1) << (_GROUP_BITS * groups[negative])
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... n - 1 for each n of `groups`, one after the other."""
    return np.arange(groups.sum()) - np.repeat(np.cumsum(groups) - groups, groups)


def _from_list(raw: object) -> NDArray[np.int64]:
    try:
        counts = np.asarray(raw)
    except ValueError as error:
        raise RleError("COCO run-length counts must be a flat list of whole numbers or a text") from error
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or len(counts) == 0 or int(counts.max()) >= 1 << 62:
        raise RleError("COCO run-length counts must be a flat list of whole numbers or a text")
    return counts.astype(np.int64)
