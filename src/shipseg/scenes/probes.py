"""Where to look at a scene to learn what its values are like, without reading all of it."""

from __future__ import annotations

from collections.abc import Sequence

from shipseg.tiling import Window

__all__ = ["probe_places"]

_LOOK_PX = 1024  # side of a look at the whole scene
_PLACES, _PLACE_PX = 8, 128  # without small overviews: so many places a side, each so large: 1024 px together
_OVERVIEW_AT_MOST_PX = 4096  # side; larger ones are as slow to read as the scene


def probe_places(height: int, width: int, overviews: Sequence[int]) -> list[tuple[Window, tuple[int, int]]]:
    """Return the windows to look at and the (h, w) to read each in: the whole scene reduced, or places all over it.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        overviews: By how much the reduced copies in the file are smaller.
    """
    longest = max(height, width)
    if longest / max([1, *overviews]) <= _OVERVIEW_AT_MOST_PX:
        reduction = max(1.0, longest / _LOOK_PX)
        return [(Window(0, 0, height, width), (max(1, round(height / reduction)), max(1, round(width / reduction))))]
    shape = min(_PLACE_PX, height), min(_PLACE_PX, width)
    return [(Window(row, col, *shape), shape) for row in _starts(height) for col in _starts(width)]


def _starts(side: int) -> list[int]:
    """Return where places begin along a side: in the middle of equal parts."""
    starts = [int(side * (part + 0.5) / _PLACES - _PLACE_PX / 2) for part in range(_PLACES)]
    return sorted({min(max(start, 0), max(side - _PLACE_PX, 0)) for start in starts})
