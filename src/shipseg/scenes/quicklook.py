"""The quicklook of a scene: one image of all of it with outlined and numbered ships, a scale bar and a north arrow."""

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
from shipseg.number_formats import counted
from shipseg.scenes.ships import SceneShip, SceneShips

__all__ = [
    "MAX_SIDE_PX",
    "NO_DATA_COLOR",
    "SHIP_COLOR",
    "draw_quicklook",
    "legend_height",
    "quicklook_shape",
    "with_legend",
    "write_png",
    "zoom",
]


# The legend below the quicklook: number of ships, scale bar, arrow to true north.

_PX_PER_ZOOM: Final = 1300
"""Width at which pages show images; wider images get larger text."""
_HEIGHT_PX: Final = 52  # this and all other sizes at zoom 1
_BACKGROUND: Final = (24, 28, 34)
_LEGEND_COLOR: Final = (236, 240, 244)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.5
_MARGIN_PX: Final = 16
_BAR_SHARE: Final = 0.22  # longest bar relative to the width of the image
_ARROW_PX: Final = 32


def zoom(width: int) -> float:
    """Return the text scale for an image of this width, at least 1."""
    return max(1.0, width / _PX_PER_ZOOM)


def legend_height(width: int) -> int:
    """Return the height of the legend of an image of this width, in pixels."""
    return round(_HEIGHT_PX * zoom(width))


def with_legend(
    drawn_hwc: NDArray[np.uint8], ships: SceneShips, scale_xy: NDArray[np.float64], *, num_numbered: int
) -> NDArray[np.uint8]:
    """Return the image, uint8 (h, w, 3) RGB, with the legend below it: (h + `legend_height`, w, 3).

    Without a georeference there is neither bar nor arrow. Parts that do not fit a narrow image are omitted.

    Args:
        drawn_hwc: The scene with its ships.
        ships: The ships.
        scale_xy: Image pixels per scene pixel, along x and y.
        num_numbered: Number of ships with their number in the image.
    """
    legend = _Legend(drawn_hwc.shape[1])
    legend.text(_count(len(ships.ships), num_numbered))
    height, width = ships.shape
    metres = ships.georef.local_metres(width / 2, height / 2)
    if metres is None:
        legend.text("no georeference, pixels only")
    else:
        per_pixel = metres / scale_xy  # metres (east, north) per image pixel
        legend.arrow(np.linalg.solve(per_pixel, np.array([0.0, 1.0])))
        legend.bar(float(np.hypot(*per_pixel[:, 0])))
    return np.concatenate([drawn_hwc, legend.drawn_hwc])


def _count(num_ships: int, num_numbered: int) -> str:
    ships = counted(num_ships, "ship", form="d")
    return ships if num_numbered == num_ships else f"{ships}, {num_numbered} numbered"


class _Legend:
    """The legend, filled with texts from the left, arrow and bar from the right. Parts that do not fit are omitted."""

    def __init__(self, width: int) -> None:
        self._zoom = zoom(width)
        self._line = round(self._zoom)
        self.drawn_hwc = np.full((legend_height(width), width, 3), _BACKGROUND, np.uint8)
        self._left, self._right = self._px(_MARGIN_PX), width - self._px(_MARGIN_PX)

    def _px(self, length: float) -> int:
        return round(length * self._zoom)

    def _size(self, text: str) -> tuple[int, int]:
        (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE * self._zoom, self._line)
        return width, height

    def _write(self, text: str, left: int, bottom: int) -> None:
        font = (_FONT, _FONT_SCALE * self._zoom, _LEGEND_COLOR, self._line, cv2.LINE_AA)
        cv2.putText(self.drawn_hwc, text, (left, bottom), *font)

    def text(self, text: str) -> None:
        """Write a text on the left."""
        width, height = self._size(text)
        if self._left + width <= self._right:
            self._write(text, self._left, (self.drawn_hwc.shape[0] + height) // 2)
            self._left += width + self._px(2 * _MARGIN_PX)

    def arrow(self, north_xy: NDArray[np.float64]) -> None:
        """Draw an arrow to north, given as a vector in the image, with an N."""
        width, height = self._size("N")
        length = self._px(_ARROW_PX)
        left = self._right - length - width - self._px(6)
        if left < self._left:
            return
        along = north_xy / np.hypot(*north_xy) * length / 2
        middle = np.array([self._right - length / 2, self.drawn_hwc.shape[0] / 2])
        tail, head = ([round(float(v)) for v in point] for point in (middle - along, middle + along))
        cv2.arrowedLine(self.drawn_hwc, tail, head, _LEGEND_COLOR, 2 * self._line, cv2.LINE_AA, tipLength=0.4)
        self._write("N", left, (self.drawn_hwc.shape[0] + height) // 2)
        self._right = left - self._px(2 * _MARGIN_PX)

    def bar(self, metres_per_pixel: float) -> None:
        """Draw a scale bar of a round number of metres."""
        max_length = min(_BAR_SHARE * self.drawn_hwc.shape[1], self._right - self._left)
        metres = _round_length(max_length * metres_per_pixel)
        text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
        length, width = round(metres / metres_per_pixel), self._size(text)[0]
        if not length or self._right - max(length, width) < self._left:
            return
        left, bottom, tick = self._right - length, self.drawn_hwc.shape[0] - self._px(16), self._px(6)
        ends = [(left, bottom - tick), (left, bottom), (self._right, bottom), (self._right, bottom - tick)]
        cv2.polylines(self.drawn_hwc, [np.array(ends, np.int32)], False, _LEGEND_COLOR, 2 * self._line)  # noqa: FBT003
        self._write(text, left + (length - width) // 2, bottom - self._px(8))


def _round_length(limit: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most `limit`; 0 if `limit` is not above 0."""
    if limit <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(limit))
    return max(step * power for step in (1, 2, 5) if step * power <= limit)


MAX_SIDE_PX: Final = 2048
"""Most pixels of the longer side of the image."""
NO_DATA_COLOR: Final = (88, 92, 98)
"""RGB."""
SHIP_COLOR: Final = (255, 64, 180)
"""RGB, as in the overlays of images: unlike sea, land, clouds, rust and wakes."""
_MIN_SIDE_PX: Final = 1024  # smaller scenes are enlarged to about this side
_MAX_ENLARGED: Final = 4  # largest factor of that
_HALO: Final = (16, 8, 20)
_PLATE_OPACITY: Final = 0.65  # of the dark background of a number
_NUMBER_COLOR: Final = (255, 255, 255)
_NUMBER_SCALE: Final = 0.46
_GAP_PX: Final = 3  # between a ship and its outline
_TINY_PX: Final = 12  # ships shorter than this in the image are circled instead of outlined
_RADIUS_PX: Final = 8
_CROWDED: Final = 150  # with more ships than this, circles and numbers are smaller
_RADIUS_CROWDED_PX: Final = 5
_SHIFT: Final = 4  # OpenCV draws at 16ths of a pixel


class _Mark(NamedTuple):
    """The mark of a ship."""

    rings: tuple[NDArray[np.float64], ...]
    """Closed lines around the ship, float64 (N, 2) each, in image pixels."""
    length: float
    """Length of the ship in image pixels."""


def quicklook_shape(georef: GeoReference) -> tuple[int, int]:
    """Return the (height, width) at which a scene is read for its quicklook.

    Its pixels are square on the ground. The longer side, with the legend, is at most 2048 px.
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
    overview_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], ships: SceneShips
) -> tuple[NDArray[np.uint8], frozenset[int]]:
    """Return the quicklook, uint8 (H, W, 3) RGB, and the ids of the ships that are numbered in it.

    Ships are outlined to scale; very small ones are circled. Numbers are placed from the longest ship on, if there is
    space: no number covers a ship or another number.

    Args:
        overview_hwc: uint8 (h, w, 3) RGB, the scene read with `quicklook_shape`.
        valid_hw: bool (h, w), its valid pixels.
        ships: The ships of the scene.
    """
    drawn_hwc = np.where(valid_hw[..., None], overview_hwc, np.array(NO_DATA_COLOR, np.uint8))
    scale_xy = np.array(overview_hwc.shape[1::-1]) / np.array(ships.shape[::-1])
    text_scale = zoom(overview_hwc.shape[1]) if len(ships.ships) <= _CROWDED else 1.0
    marks = _marks(ships.ships, scale_xy, text_scale)
    occupied_hw = np.zeros(overview_hwc.shape[:2], np.uint8)
    for mark in marks:
        _draw_rings(drawn_hwc, mark, _HALO, 5)
        _fill_rings(occupied_hw, mark)
    for mark in marks:
        _draw_rings(drawn_hwc, mark, SHIP_COLOR, 2)
    numbered = set()
    for ship, mark in sorted(zip(ships.ships, marks, strict=True), key=lambda pair: -pair[1].length):
        if _draw_number(drawn_hwc, occupied_hw, mark, str(ship.id), text_scale):
            numbered.add(ship.id)
    return with_legend(drawn_hwc, ships, scale_xy, num_numbered=len(numbered)), frozenset(numbered)


def write_png(path: Path, drawn_hwc: NDArray[np.uint8]) -> None:
    """Write an image, uint8 (H, W, 3) RGB, as PNG, completely or not at all.

    Raises:
        StorageError: The file cannot be written.
    """
    encoded = cv2.imencode(".png", np.ascontiguousarray(drawn_hwc[..., ::-1]))[1]
    files.write_bytes(path, encoded.tobytes())


def _marks(ships: Sequence[SceneShip], scale_xy: NDArray[np.float64], text_scale: float) -> list[_Mark]:
    boxes = [ship.box_px * scale_xy for ship in ships]
    lengths = [float(np.hypot(*np.diff(box, axis=0).T).max()) for box in boxes]
    radius = text_scale * _RADIUS_PX if len(ships) <= _CROWDED else _RADIUS_CROWDED_PX
    marks = []
    for ship, box, length in zip(ships, boxes, lengths, strict=True):
        if length < _TINY_PX:
            around = shapely.Point(box.mean(axis=0)).buffer(radius)
        else:
            scaled = shapely.transform(ship.polygon_px, lambda points: points * scale_xy)
            # Removes the small steps along pixel edges, which make the line uneven.
            around = shapely.simplify(scaled, 0.5).buffer(_GAP_PX, join_style="mitre")
        rings = tuple(np.array(part.exterior.coords[:-1]) for part in shapely.get_parts(around))
        marks.append(_Mark(rings, length))
    return marks


def _draw_rings(drawn_hwc: NDArray[np.uint8], mark: _Mark, color: tuple[int, int, int], thickness: int) -> None:
    cv2.polylines(drawn_hwc, _fixed(mark), True, color, thickness, cv2.LINE_AA, _SHIFT)  # noqa: FBT003  (OpenCV's signature)


def _fill_rings(occupied_hw: NDArray[np.uint8], mark: _Mark) -> None:
    cv2.fillPoly(occupied_hw, _fixed(mark), 1, cv2.LINE_8, _SHIFT)


def _fixed(mark: _Mark) -> list[NDArray[np.int32]]:
    """Return the rings in OpenCV's fixed-point coordinates, with the origin at the centre of the first pixel."""
    return [np.round((ring - 0.5) * (1 << _SHIFT)).astype(np.int32) for ring in mark.rings]


def _draw_number(
    drawn_hwc: NDArray[np.uint8], occupied_hw: NDArray[np.uint8], mark: _Mark, text: str, text_scale: float
) -> bool:
    """Write a number beside a ship where it covers nothing; return whether there is such a position."""
    font_scale, line = _NUMBER_SCALE * text_scale, round(text_scale)
    (width, height), _ = cv2.getTextSize(text, _FONT, font_scale, line)
    width, height = width + 6, height + 6
    points = np.concatenate(mark.rings)
    (left, top), (right, bottom) = points.min(axis=0).astype(int), np.ceil(points.max(axis=0)).astype(int)
    middle_x, middle_y = (left + right - width) // 2, (top + bottom - height) // 2
    candidates = (
        (right + 3, middle_y),
        (left - 3 - width, middle_y),
        (middle_x, top - 3 - height),
        (middle_x, bottom + 3),
        (right, top - height),
        (right, bottom),
        (left - width, top - height),
        (left - width, bottom),
    )
    for x, y in candidates:
        inside = x >= 0 and y >= 0 and x + width <= occupied_hw.shape[1] and y + height <= occupied_hw.shape[0]
        if inside and not occupied_hw[y : y + height, x : x + width].any():
            occupied_hw[y : y + height, x : x + width] = 1
            plate_hwc = drawn_hwc[y : y + height, x : x + width]
            plate_hwc[:] = plate_hwc * (1 - _PLATE_OPACITY) + np.array(_HALO) * _PLATE_OPACITY
            origin = (int(x + 3), int(y + height - 3))
            cv2.putText(drawn_hwc, text, origin, _FONT, font_scale, _NUMBER_COLOR, line, cv2.LINE_AA)
            return True
    return False
