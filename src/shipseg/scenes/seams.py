"""Where two blocks of a scene meet: which groups hang together across the border, which pixels lie beside no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Border", "Seam", "seam"]


@dataclass(frozen=True, eq=False, slots=True)
class Border:
    """A line of pixels along the border of a block."""

    ids: NDArray[np.int64]
    """(N,): the group that each pixel belongs to; 0 for none."""
    no_data: NDArray[np.bool_]
    """(N,): pixels without data."""

    @classmethod
    def empty(cls, length: int) -> Border:
        """Return a line without groups and with data everywhere."""
        return cls(np.zeros(length, np.int64), np.zeros(length, bool))

    def part(self, start: int, end: int) -> Border:
        """Return pixels `start` to below `end`; those beyond the line are of no group and have data."""
        before, after = max(-start, 0), max(end - len(self.ids), 0)
        inside = slice(max(start, 0), min(end, len(self.ids)))
        return Border(np.pad(self.ids[inside], (before, after)), np.pad(self.no_data[inside], (before, after)))

    def put(self, start: int, other: Border) -> None:
        """Copy a shorter line into this one."""
        self.ids[start : start + len(other.ids)] = other.ids
        self.no_data[start : start + len(other.ids)] = other.no_data


class Seam(NamedTuple):
    """What meets along a border."""

    pairs: list[tuple[int, int]]
    """Groups (ours, theirs) that touch."""
    ours_beside: list[tuple[int, int]]
    """(group, place) of our pixels that touch one of theirs without data."""
    theirs_beside: list[tuple[int, int]]
    """(group, place) of their pixels that touch one of ours without data; places count from our first pixel."""


def seam(ours: Border, theirs: Border) -> Seam:
    """Return what meets along a border, at sides and corners.

    Args:
        ours: N pixels.
        theirs: The N + 2 pixels opposite, one further at both ends.

    Example:
        >>> ours = Border(np.array([1, 0, 0]), np.zeros(3, bool))
        >>> theirs = Border(np.array([7, 0, 0, 0, 8]), np.zeros(5, bool))
        >>> seam(ours, theirs).pairs
        [(1, 7)]
    """
    length = len(ours.ids)
    if not (ours.ids.any() or theirs.ids.any()):
        return Seam([], [], [])
    pairs: set[tuple[int, int]] = set()
    ours_beside, theirs_beside = np.zeros(length, bool), np.zeros(length + 2, bool)
    for shift in range(3):
        opposite = Border(theirs.ids[shift : shift + length], theirs.no_data[shift : shift + length])
        both = (ours.ids > 0) & (opposite.ids > 0)
        pairs.update(zip(ours.ids[both].tolist(), opposite.ids[both].tolist(), strict=True))
        ours_beside |= (ours.ids > 0) & opposite.no_data
        theirs_beside[shift : shift + length] |= (opposite.ids > 0) & ours.no_data
    return Seam(sorted(pairs), list(_places(ours, ours_beside, 0)), list(_places(theirs, theirs_beside, -1)))


def _places(border: Border, chosen: NDArray[np.bool_], first: int) -> Iterator[tuple[int, int]]:
    for place in np.flatnonzero(chosen).tolist():
        yield int(border.ids[place]), place + first
