"""The strip below a quick look: how many ships, a bar of so many metres, an arrow to true north."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.scenes.ships import SceneShips

__all__ = ["legend_height", "with_legend", "zoom"]

_PX_PER_ZOOM: Final = 1300
"""Pages show pictures about so wide: letters of wider ones are larger."""
_HEIGHT_PX: Final = 52  # this and all other sizes at zoom 1
_GROUND: Final = (24, 28, 34)
_INK: Final = (236, 240, 244)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.5
_MARGIN_PX: Final = 16
_BAR_SHARE: Final = 0.22  # of the picture's width, at most
_ARROW_PX: Final = 32


def zoom(width: int) -> float:
    """Return how much larger than usual letters are in a picture of this width, from 1."""
    return max(1.0, width / _PX_PER_ZOOM)


def legend_height(width: int) -> int:
    """Return how much higher a picture of this width becomes by its legend, in pixels."""
    return round(_HEIGHT_PX * zoom(width))


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
    strip = _Strip(drawn_hwc.shape[1])
    strip.text(_count(len(ships.ships), num_numbered))
    height, width = ships.shape
    metres = ships.georef.local_metres(width / 2, height / 2)
    if metres is None:
        strip.text("position unknown, pixels only")
    else:
        per_pixel = metres / scale_xy  # metres (east, north) per pixel of the picture
        strip.arrow(np.linalg.solve(per_pixel, np.array([0.0, 1.0])))
        strip.bar(float(np.hypot(*per_pixel[:, 0])))
    return np.concatenate([drawn_hwc, strip.picture_hwc])


def _count(num_ships: int, num_numbered: int) -> str:
    ships = "1 ship" if num_ships == 1 else f"{num_ships} ships"
    return ships if num_numbered == num_ships else f"{ships}, {num_numbered} numbered"


class _Strip:
    """The legend as it fills: texts from the left, arrow and bar from the right. What has no room is left out."""

    def __init__(self, width: int) -> None:
        self._zoom = zoom(width)
        self._line = round(self._zoom)
        self.picture_hwc = np.full((legend_height(width), width, 3), _GROUND, np.uint8)
        self._left, self._right = self._px(_MARGIN_PX), width - self._px(_MARGIN_PX)

    def _px(self, length: float) -> int:
        return round(length * self._zoom)

    def _size(self, text: str) -> tuple[int, int]:
        (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE * self._zoom, self._line)
        return width, height

    def _write(self, text: str, left: int, bottom: int) -> None:
        font = (_FONT, _FONT_SCALE * self._zoom, _INK, self._line, cv2.LINE_AA)
        cv2.putText(self.picture_hwc, text, (left, bottom), *font)

    def text(self, text: str) -> None:
        """Write a text at the left."""
        width, height = self._size(text)
        if self._left + width <= self._right:
            self._write(text, self._left, (self.picture_hwc.shape[0] + height) // 2)
            self._left += width + self._px(2 * _MARGIN_PX)

    def arrow(self, north_xy: NDArray[np.float64]) -> None:
        """Draw an arrow to north, given as a vector in the picture, with an N."""
        width, height = self._size("N")
        length = self._px(_ARROW_PX)
        left = self._right - length - width - self._px(6)
        if left < self._left:
            return
        along = north_xy / np.hypot(*north_xy) * length / 2
        middle = np.array([self._right - length / 2, self.picture_hwc.shape[0] / 2])
        tail, head = ([round(float(v)) for v in point] for point in (middle - along, middle + along))
        cv2.arrowedLine(self.picture_hwc, tail, head, _INK, 2 * self._line, cv2.LINE_AA, tipLength=0.4)
        self._write("N", left, (self.picture_hwc.shape[0] + height) // 2)
        self._right = left - self._px(2 * _MARGIN_PX)

    def bar(self, metres_per_pixel: float) -> None:
        """Draw a bar of a round number of metres."""
        room = min(_BAR_SHARE * self.picture_hwc.shape[1], self._right - self._left)
        metres = _round_length(room * metres_per_pixel)
        text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        length, width = round(metres / metres_per_pixel), self._size(text)[0]
        if not length or self._right - max(length, width) < self._left:
            return
        left, bottom, tick = self._right - length, self.picture_hwc.shape[0] - self._px(16), self._px(6)
        ends = [(left, bottom - tick), (left, bottom), (self._right, bottom), (self._right, bottom - tick)]
        cv2.polylines(self.picture_hwc, [np.array(ends, np.int32)], False, _INK, 2 * self._line)  # noqa: FBT003
        self._write(text, left + (length - width) // 2, bottom - self._px(8))


def _round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`; 0 where that is not above 0."""
    if most <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)
