"""A quick look: the whole scene as one picture, its ships drawn and numbered, with a scale and north."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from shipseg import files
from shipseg.geo.georef import GeoReference
from shipseg.scenes.ships import SceneShip, SceneShips

__all__ = [
    "MAX_SIDE_PX",
    "NO_DATA_COLOR",
    "SHIP_COLOR",
    "draw_quicklook",
    "legend_height",
    "look_shape",
    "with_legend",
    "write_png",
    "zoom",
]


# The strip below a quick look: how many ships, a bar of so many metres, an arrow to true north.

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
    return np.concatenate([drawn_hwc, strip.drawn_hwc])


def _count(num_ships: int, num_numbered: int) -> str:
    ships = "1 ship" if num_ships == 1 else f"{num_ships} ships"
    return ships if num_numbered == num_ships else f"{ships}, {num_numbered} numbered"


class _Strip:
    """The legend as it fills: texts from the left, arrow and bar from the right. What has no room is left out."""

    def __init__(self, width: int) -> None:
        self._zoom = zoom(width)
        self._line = round(self._zoom)
        self.drawn_hwc = np.full((legend_height(width), width, 3), _GROUND, np.uint8)
        self._left, self._right = self._px(_MARGIN_PX), width - self._px(_MARGIN_PX)

    def _px(self, length: float) -> int:
        return round(length * self._zoom)

    def _size(self, text: str) -> tuple[int, int]:
        (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE * self._zoom, self._line)
        return width, height

    def _write(self, text: str, left: int, bottom: int) -> None:
        font = (_FONT, _FONT_SCALE * self._zoom, _INK, self._line, cv2.LINE_AA)
        cv2.putText(self.drawn_hwc, text, (left, bottom), *font)

    def text(self, text: str) -> None:
        """Write a text at the left."""
        width, height = self._size(text)
        if self._left + width <= self._right:
            self._write(text, self._left, (self.drawn_hwc.shape[0] + height) // 2)
            self._left += width + self._px(2 * _MARGIN_PX)

    def arrow(self, north_xy: NDArray[np.float64]) -> None:
        """Draw an arrow to north, given as a vector in the picture, with an N."""
        width, height = self._size("N")
        length = self._px(_ARROW_PX)
        left = self._right - length - width - self._px(6)
        if left < self._left:
            return
        along = north_xy / np.hypot(*north_xy) * length / 2
        middle = np.array([self._right - length / 2, self.drawn_hwc.shape[0] / 2])
        tail, head = ([round(float(v)) for v in point] for point in (middle - along, middle + along))
        cv2.arrowedLine(self.drawn_hwc, tail, head, _INK, 2 * self._line, cv2.LINE_AA, tipLength=0.4)
        self._write("N", left, (self.drawn_hwc.shape[0] + height) // 2)
        self._right = left - self._px(2 * _MARGIN_PX)

    def bar(self, metres_per_pixel: float) -> None:
        """Draw a bar of a round number of metres."""
        room = min(_BAR_SHARE * self.drawn_hwc.shape[1], self._right - self._left)
        metres = _round_length(room * metres_per_pixel)
        text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        length, width = round(metres / metres_per_pixel), self._size(text)[0]
        if not length or self._right - max(length, width) < self._left:
            return
        left, bottom, tick = self._right - length, self.drawn_hwc.shape[0] - self._px(16), self._px(6)
        ends = [(left, bottom - tick), (left, bottom), (self._right, bottom), (self._right, bottom - tick)]
        cv2.polylines(self.drawn_hwc, [np.array(ends, np.int32)], False, _INK, 2 * self._line)  # noqa: FBT003
        self._write(text, left + (length - width) // 2, bottom - self._px(8))


def _round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`; 0 where that is not above 0."""
    if most <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


MAX_SIDE_PX: Final = 2048
"""Longer side of the picture at most."""
NO_DATA_COLOR: Final = (88, 92, 98)
"""RGB."""
SHIP_COLOR: Final = (255, 64, 180)
"""RGB, as in the overlays of pictures: neither sea, land, cloud, rust nor wake."""
_MIN_SIDE_PX: Final = 1024  # smaller scenes are enlarged to about this,
_MAX_ENLARGED: Final = 4  # by this at most
_HALO: Final = (16, 8, 20)
_PLATE_OPACITY: Final = 0.65  # of the dark behind a number
_TEXT: Final = (255, 255, 255)
_NUMBER_SCALE: Final = 0.46
_GAP_PX: Final = 3  # between a ship and its outline
_TINY_PX: Final = 12  # ships shorter than this in the picture get a circle instead of an outline
_RADIUS_PX: Final = 8
_CROWDED: Final = 150  # with more ships than this, circles and numbers are smaller
_RADIUS_CROWDED_PX: Final = 5
_SHIFT: Final = 4  # OpenCV draws at 16ths of a pixel


class _Mark(NamedTuple):
    """What is drawn for a ship: lines around it, closed, float (N, 2) in pixels of the picture."""

    rings: tuple[NDArray[np.float64], ...]
    length: float
    """Of the ship in the picture."""


def look_shape(georef: GeoReference) -> tuple[int, int]:
    """Return height and width to read a scene with for its quick look.

    A pixel of it is as wide as it is high on the ground. The longer side, with the legend below, is 2048 px at most.
    """
    height, width = georef.shape
    size = georef.pixel_size_m()
    ratio = size[1] / size[0] if size else 1.0
    high, wide = height * ratio, float(width)
    longest = max(high, wide)
    requested = max(longest, min(_MIN_SIDE_PX, longest * _MAX_ENLARGED))
    scale = min(requested / longest, MAX_SIDE_PX / wide, (MAX_SIDE_PX - legend_height(MAX_SIDE_PX)) / high)
    return max(1, round(high * scale)), max(1, round(wide * scale))


def draw_quicklook(
    look_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], ships: SceneShips
) -> tuple[NDArray[np.uint8], frozenset[int]]:
    """Return the quick look, uint8 (H, W, 3) RGB, and the ids of the ships whose numbers had room in it.

    Ships are outlined to scale; those too small to be seen are circled. The longest get their numbers first, and no
    number covers a ship or another number.

    Args:
        look_hwc: uint8 (h, w, 3) RGB, the scene read with `look_shape`.
        valid_hw: bool (h, w), where it has data.
        ships: The scene's ships.
    """
    drawn_hwc = np.where(valid_hw[..., None], look_hwc, np.array(NO_DATA_COLOR, np.uint8))
    scale_xy = np.array(look_hwc.shape[1::-1]) / np.array(ships.shape[::-1])
    larger = zoom(look_hwc.shape[1]) if len(ships.ships) <= _CROWDED else 1.0
    marks = _marks(ships.ships, scale_xy, larger)
    taken_hw = np.zeros(look_hwc.shape[:2], np.uint8)
    for mark in marks:
        _draw_rings(drawn_hwc, mark, _HALO, 5)
        _fill_rings(taken_hw, mark)
    for mark in marks:
        _draw_rings(drawn_hwc, mark, SHIP_COLOR, 2)
    numbered = set()
    for ship, mark in sorted(zip(ships.ships, marks, strict=True), key=lambda pair: -pair[1].length):
        if _number(drawn_hwc, taken_hw, mark, str(ship.id), larger):
            numbered.add(ship.id)
    return with_legend(drawn_hwc, ships, scale_xy, num_numbered=len(numbered)), frozenset(numbered)


def write_png(path: Path, drawn_hwc: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 (H, W, 3) RGB, as PNG, whole or not at all.

    Raises:
        StorageError: The file cannot be written.
    """
    encoded = cv2.imencode(".png", np.ascontiguousarray(drawn_hwc[..., ::-1]))[1]
    files.write_bytes(path, encoded.tobytes())


def _marks(ships: Sequence[SceneShip], scale_xy: NDArray[np.float64], larger: float) -> list[_Mark]:
    boxes = [ship.box_px * scale_xy for ship in ships]
    lengths = [float(np.hypot(*np.diff(box, axis=0).T).max()) for box in boxes]
    radius = larger * _RADIUS_PX if len(ships) <= _CROWDED else _RADIUS_CROWDED_PX
    marks = []
    for ship, box, length in zip(ships, boxes, lengths, strict=True):
        if length < _TINY_PX:
            around = shapely.Point(box.mean(axis=0)).buffer(radius)
        else:
            placed = shapely.transform(ship.polygon_px, lambda points: points * scale_xy)
            # Small steps of the pixels' edges only make the line uneven.
            around = shapely.simplify(placed, 0.5).buffer(_GAP_PX, join_style="mitre")
        rings = tuple(np.array(part.exterior.coords[:-1]) for part in shapely.get_parts(around))
        marks.append(_Mark(rings, length))
    return marks


def _draw_rings(drawn_hwc: NDArray[np.uint8], mark: _Mark, color: tuple[int, int, int], thickness: int) -> None:
    cv2.polylines(drawn_hwc, _fixed(mark), True, color, thickness, cv2.LINE_AA, _SHIFT)  # noqa: FBT003  (OpenCV's own)


def _fill_rings(taken_hw: NDArray[np.uint8], mark: _Mark) -> None:
    cv2.fillPoly(taken_hw, _fixed(mark), 1, cv2.LINE_8, _SHIFT)


def _fixed(mark: _Mark) -> list[NDArray[np.int32]]:
    """Return the rings as OpenCV takes them: counted from the centre of the first pixel."""
    return [np.round((ring - 0.5) * (1 << _SHIFT)).astype(np.int32) for ring in mark.rings]


def _number(drawn_hwc: NDArray[np.uint8], taken_hw: NDArray[np.uint8], mark: _Mark, text: str, larger: float) -> bool:
    """Write a number beside a ship where that covers nothing, and return whether there was such a place."""
    font_scale, line = _NUMBER_SCALE * larger, round(larger)
    (width, height), _ = cv2.getTextSize(text, _FONT, font_scale, line)
    width, height = width + 6, height + 6
    points = np.concatenate(mark.rings)
    (left, top), (right, bottom) = points.min(axis=0).astype(int), np.ceil(points.max(axis=0)).astype(int)
    middle_x, middle_y = (left + right - width) // 2, (top + bottom - height) // 2
    places = (
        (right + 3, middle_y),
        (left - 3 - width, middle_y),
        (middle_x, top - 3 - height),
        (middle_x, bottom + 3),
        (right, top - height),
        (right, bottom),
        (left - width, top - height),
        (left - width, bottom),
    )
    for x, y in places:
        inside = x >= 0 and y >= 0 and x + width <= taken_hw.shape[1] and y + height <= taken_hw.shape[0]
        if inside and not taken_hw[y : y + height, x : x + width].any():
            taken_hw[y : y + height, x : x + width] = 1
            plate_hwc = drawn_hwc[y : y + height, x : x + width]
            plate_hwc[:] = plate_hwc * (1 - _PLATE_OPACITY) + np.array(_HALO) * _PLATE_OPACITY
            origin = (int(x + 3), int(y + height - 3))
            cv2.putText(drawn_hwc, text, origin, _FONT, font_scale, _TEXT, line, cv2.LINE_AA)
            return True
    return False
