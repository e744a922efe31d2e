"""The strip below a quick look: how many ships, a bar of so many metres, an arrow to true north."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.scenes.ship import SceneShips

__all__ = ["legend_height", "with_legend"]

_HEIGHT_PX: Final = 52
_GROUND: Final = (24, 28, 34)
_INK: Final = (236, 240, 244)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.5
_MARGIN_PX: Final = 16
_BAR_SHARE: Final = 0.22  # of the picture's width, at most
_ARROW_PX: Final = 32


def legend_height() -> int:
    """Return how much higher a picture becomes by its legend, in pixels."""
    return _HEIGHT_PX


def with_legend(
    drawn_hwc: NDArray[np.uint8], ships: SceneShips, scale_xy: NDArray[np.float64], *, num_numbered: int
) -> NDArray[np.uint8]:
    """Return the picture, uint8 (h, w, 3) RGB, with the legend below it: (h + `legend_height`, w, 3).

    Where the scene does not say where it lies there is neither bar nor arrow. In a narrow picture what has no room is
    left out.

    Args:
        drawn_hwc: The scene with its ships.
        ships: The ships.
        scale_xy: Pixels of the picture per pixel of the scene, along x and y.
        num_numbered: How many of them have their number in the picture.
    """
    strip_hwc = np.full((_HEIGHT_PX, drawn_hwc.shape[1], 3), _GROUND, np.uint8)
    free = _text(strip_hwc, _MARGIN_PX, _count(len(ships.ships), num_numbered))
    height, width = ships.shape
    metres = ships.georef.local_metres(width / 2, height / 2)
    if metres is None:
        _text(strip_hwc, free, "position unknown, pixels only")
    else:
        per_pixel = metres / scale_xy  # metres (east, north) per pixel of the picture
        end = drawn_hwc.shape[1] - _MARGIN_PX
        end = _arrow(strip_hwc, free, end, np.linalg.solve(per_pixel, np.array([0.0, 1.0])))
        _bar(strip_hwc, free, end, float(np.hypot(*per_pixel[:, 0])))
    return np.concatenate([drawn_hwc, strip_hwc])


def _count(num_ships: int, num_numbered: int) -> str:
    ships = "1 ship" if num_ships == 1 else f"{num_ships} ships"
    return ships if num_numbered == num_ships else f"{ships}, {num_numbered} numbered"


def _text(strip_hwc: NDArray[np.uint8], left: int, text: str) -> int:
    """Write a text if there is room, and return where the next thing may begin."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    if left + width + _MARGIN_PX > strip_hwc.shape[1]:
        return left
    origin = (left, (_HEIGHT_PX + height) // 2)
    cv2.putText(strip_hwc, text, origin, _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
    return left + width + 2 * _MARGIN_PX


def _arrow(strip_hwc: NDArray[np.uint8], free: int, end: int, north_xy: NDArray[np.float64]) -> int:
    """Draw an arrow to north with an N if there is room, and return where the thing to its left must end."""
    (width, height), _ = cv2.getTextSize("N", _FONT, _FONT_SCALE, 1)
    left = end - _ARROW_PX - width - 6
    if left < free:
        return end
    along = north_xy / np.hypot(*north_xy) * _ARROW_PX / 2
    middle = np.array([end - _ARROW_PX / 2, _HEIGHT_PX / 2])
    tail, head = (tuple(round(v) for v in point) for point in (middle - along, middle + along))
    cv2.arrowedLine(strip_hwc, tail, head, _INK, 2, cv2.LINE_AA, tipLength=0.4)
    cv2.putText(strip_hwc, "N", (left, (_HEIGHT_PX + height) // 2), _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
    return left - 2 * _MARGIN_PX


def _bar(strip_hwc: NDArray[np.uint8], free: int, end: int, metres_per_pixel: float) -> None:
    """Draw a bar of a round number of metres that ends at `end`, if there is room."""
    metres = _round_length(min(_BAR_SHARE * strip_hwc.shape[1], end - free) * metres_per_pixel)
    length = round(metres / metres_per_pixel) if metres else 0
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    (width, _), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    if not length or end - max(length, width) < free:
        return
    left, bottom = end - length, _HEIGHT_PX - 16
    ticks = [(left, bottom - 6), (left, bottom), (end, bottom), (end, bottom - 6)]
    cv2.polylines(strip_hwc, [np.array(ticks, np.int32)], False, _INK, 2)  # noqa: FBT003  (OpenCV's own)
    origin = (left + (length - width) // 2, bottom - 8)
    cv2.putText(strip_hwc, text, origin, _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)


def _round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`; 0 where that is not above 0."""
    if most <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)
