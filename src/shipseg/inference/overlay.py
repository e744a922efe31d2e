"""Drawing of ships on an image: outlines, numbers and confidences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.masks.ships import Ship

__all__ = ["draw_ships"]

_COLOR: Final = (255, 64, 180)  # a pink that does not occur in sea, land, cloud, rust or wakes
_HALO: Final = (16, 8, 20)
_HALO_OPACITY: Final = 0.6  # of the dark halo around outlines and behind labels
_LABEL_TEXT: Final = (255, 255, 255)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.4
# Lines are one pixel wide in images of up to 1152 px, two pixels up to 1920 px and so on.
_PX_PER_LINE_WIDTH: Final = 768
# A ship smaller than this, in line widths, also gets a circle: its outline alone is easily missed.
_TINY: Final = 14
_LABEL_GAP: Final = 8  # between ship and label, in line widths
_LABELLED_SHARE: Final = 0.5  # largest share of the image's width or height that a label may take


class _Box(NamedTuple):
    """Half-open bounds in pixels."""

    row0: int
    col0: int
    row1: int
    col1: int

    def overlaps(self, other: _Box) -> bool:
        return self.row0 < other.row1 and other.row0 < self.row1 and self.col0 < other.col1 and other.col0 < self.col1


def draw_ships(image_hwc: NDArray[np.uint8], ships: Sequence[Ship]) -> NDArray[np.uint8]:
    """Return a copy of the image, uint8 (H, W, 3) RGB, with each ship outlined and numbered.

    The outline lies outside the ship's pixels and has a dark halo, so that it is visible on dark sea and white cloud
    and covers no ship. Each ship is labelled with its number, from 1 in the order given, and its confidence in percent;
    ships of a few pixels are circled. Line width and font size scale with the image.

    Args:
        image_hwc: uint8 (H, W, 3), RGB.
        ships: The ships of that image.
    """
    drawn_hwc = image_hwc.copy()
    line = max(1, round(max(image_hwc.shape[:2]) / _PX_PER_LINE_WIDTH))
    for ship in ships:
        _darken_around(drawn_hwc, ship, 2 * line)
    for ship in ships:
        _outline(drawn_hwc, ship, line)
    boxes = [_Box(*ship.mask_box) for ship in ships]
    labels: list[_Box] = []
    for number, ship in enumerate(ships, start=1):
        if max(ship.mask.shape) < _TINY * line:
            _circle(drawn_hwc, ship, line)
        others = [*boxes[: number - 1], *boxes[number:], *labels]
        labels += _label(drawn_hwc, ship, f"{number}  {100 * ship.confidence:.0f}%", line, others)
    return drawn_hwc


def _grown(ship: Ship, radius: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the slices of the image that hold the ship dilated by `radius`, and the dilated mask in them."""
    row0, col0, row1, col1 = ship.mask_box
    padded = np.pad(ship.mask.astype(np.uint8), radius)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = cv2.dilate(padded, disc).astype(bool)
    above, left = max(0, radius - row0), max(0, radius - col0)
    bottom, right = min(shape[0], row1 + radius), min(shape[1], col1 + radius)
    place = (slice(row0 - radius + above, bottom), slice(col0 - radius + left, right))
    return place, grown[above : above + place[0].stop - place[0].start, left : left + place[1].stop - place[1].start]


def _darken_around(drawn_hwc: NDArray[np.uint8], ship: Ship, radius: int) -> None:
    place, grown = _grown(ship, radius, drawn_hwc.shape)
    around = grown & ~_own_pixels(ship, place)
    drawn_hwc[place][around] = _darkened(drawn_hwc[place][around])


def _darkened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    halo = np.asarray(_HALO, np.float32)
    return (pixels * (1 - _HALO_OPACITY) + halo * _HALO_OPACITY).astype(np.uint8)


def _outline(drawn_hwc: NDArray[np.uint8], ship: Ship, radius: int) -> None:
    place, grown = _grown(ship, radius, drawn_hwc.shape)
    drawn_hwc[place][grown & ~_own_pixels(ship, place)] = _COLOR


def _own_pixels(ship: Ship, place: tuple[slice, slice]) -> NDArray[np.bool_]:
    row0, col0, row1, col1 = ship.mask_box
    own = np.zeros((place[0].stop - place[0].start, place[1].stop - place[1].start), bool)
    top, left = row0 - place[0].start, col0 - place[1].start
    own[top : top + row1 - row0, left : left + col1 - col0] = ship.mask
    return own


def _circle(drawn_hwc: NDArray[np.uint8], ship: Ship, line: int) -> None:
    row0, col0, row1, col1 = ship.mask_box
    center = ((col0 + col1) // 2, (row0 + row1) // 2)
    for color, thickness in ((_HALO, 2 * line + 1), (_COLOR, line)):
        cv2.circle(drawn_hwc, center, _TINY * line, color, thickness, cv2.LINE_AA)


def _label(drawn_hwc: NDArray[np.uint8], ship: Ship, text: str, line: int, others: Sequence[_Box]) -> list[_Box]:
    """Draw the label beside the ship, clear of `others`, and return its box; return nothing if the image is small."""
    height, width = drawn_hwc.shape[:2]
    scale, margin = _FONT_SCALE * line, 3 * line
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, line)
    box_width, box_height = text_width + 2 * margin, text_height + baseline + margin
    if box_width > width * _LABELLED_SHARE or box_height > height * _LABELLED_SHARE:
        return []
    box = _free_place(ship, box_height, box_width, (height, width), others, gap=_LABEL_GAP * line)
    area = drawn_hwc[box.row0 : box.row1, box.col0 : box.col1]
    area[:] = _darkened(area)
    area[:, :line] = _COLOR
    origin = (box.col0 + margin + line, box.row0 + margin // 2 + text_height)
    cv2.putText(drawn_hwc, text, origin, _FONT, scale, _LABEL_TEXT, line, cv2.LINE_AA)
    return [box]


def _free_place(
    ship: Ship, height: int, width: int, shape: tuple[int, int], others: Sequence[_Box], *, gap: int
) -> _Box:
    """Return a box for a label close to the ship's pixels that overlaps the fewest of the others."""
    row0, col0, row1, col1 = ship.mask_box
    top, left = (row0 + row1 - height) // 2, (col0 + col1 - width) // 2
    # Extent of the ship in the rows of a label beside it, and in the columns of a label above or below it: a diagonal
    # ship leaves the corners of its bounding box free.
    reach = np.flatnonzero(ship.mask[max(0, top - row0) : max(0, top - row0) + height].any(axis=0)) + col0
    climb = np.flatnonzero(ship.mask[:, max(0, left - col0) : max(0, left - col0) + width].any(axis=1)) + row0
    corners = (
        (top, int(reach[-1]) + 1 + gap),
        (top, int(reach[0]) - gap - width),
        (int(climb[0]) - gap - height, left),
        (int(climb[-1]) + 1 + gap, left),
        *((row, column) for row in (row0 - gap - height, row1 + gap) for column in (col1 + gap, col0 - gap - width)),
    )
    places = []
    for row, column in corners:
        row, column = min(max(row, 0), shape[0] - height), min(max(column, 0), shape[1] - width)
        places.append(_Box(row, column, row + height, column + width))
    # A box that was moved back into the image can cover the ship itself.
    return min(places, key=lambda place: _covers(place, ship) + sum(place.overlaps(other) for other in others))


def _covers(place: _Box, ship: Ship) -> bool:
    row0, col0, _, _ = ship.mask_box
    rows = slice(max(0, place.row0 - row0), max(0, place.row1 - row0))
    columns = slice(max(0, place.col0 - col0), max(0, place.col1 - col0))
    return bool(ship.mask[rows, columns].any())
