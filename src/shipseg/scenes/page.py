"""The page of a scene: its quick look, a table of its ships, what was looked at and what was not, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.reports.examples import to_jpeg
from shipseg.reports.page import image_url, write_page
from shipseg.scenes.columns import AMBIGUITY
from shipseg.scenes.quicklook import NO_DATA_COLOR, SHIP_COLOR
from shipseg.scenes.ships import SceneShip, SceneShips
from shipseg.tiling import Window

__all__ = ["PageRow", "read_close_ups", "write_scene_page"]


_MOST_ROWS: Final = 2000
"""Ships in the table; of more the longest are shown."""
_MOST_DROPPED: Final = 20
_FATES: Final = {
    "network": "shown to the network",
    "no data": "not shown: no pixel with data",
    "outside": "not shown: outside the water or area asked for",
    "gate": "not shown: the model's quick check calls them empty",
}
_LIMITS: Final = ("water", "area")
"""Options that name polygons outside of which nothing was looked at."""


class PageRow(NamedTuple):
    """A line of the table of ships: texts, and the numbers to sort by."""

    id: int
    close_up: str | None
    """Address of a picture."""
    cells: tuple[tuple[str, float], ...]
    remark: str


def write_scene_page(
    path: Path,
    drawn_hwc: NDArray[np.uint8],
    ships: SceneShips,
    facts: Mapping[str, Any],
    *,
    close_ups: Mapping[int, NDArray[np.uint8]] | None = None,
) -> Path:
    """Write a scene as one HTML page that holds every picture in itself, and return its path.

    The same scene gives the same page: it bears no date.

    Args:
        path: File to write.
        drawn_hwc: The quick look, uint8 (h, w, 3) RGB.
        ships: The scene's ships.
        facts: What scene.json holds.
        close_ups: Of ships, by id: uint8 (h, w, 3) RGB.

    Raises:
        StorageError: The file cannot be written.
    """
    shown = ships.ships
    if len(shown) > _MOST_ROWS:
        longest = sorted(shown, key=lambda ship: -ship.ship.length_px)[:_MOST_ROWS]
        shown = tuple(sorted(longest, key=lambda ship: ship.id))
    urls = {number: image_url(to_jpeg(each_hwc)) for number, each_hwc in (close_ups or {}).items()}
    has_place = ships.georef.crs_wkt is not None
    return write_page(
        path,
        "scene.html",
        name=ships.scene,
        headline=_headline(ships, facts),
        picture=image_url(to_jpeg(drawn_hwc, quality=88)),
        has_place=has_place,
        in_metres=ships.georef.stated_m is not None,
        has_close_ups=bool(urls),
        heads=_HEADS if has_place else _HEADS_PX,
        rows=[_row(ship, urls.get(ship.id)) for ship in shown],
        num_ships=len(ships.ships),
        ambiguity=AMBIGUITY,
        facts=_fact_lines(ships, facts),
        tiles=[(f"{facts['tiles'][fate]:,}", text) for fate, text in _FATES.items() if facts["tiles"].get(fate)],
        dropped=[_dropped(part) for part in facts["dropped"][:_MOST_DROPPED]],
        num_more_dropped=max(0, len(facts["dropped"]) - _MOST_DROPPED),
        nowhere="" if has_place else ships.georef.note,
        files=facts["files"],
    )


_HEADS: Final = ("Length", "Width", "Heading", "Confidence", "Latitude", "Longitude")
_HEADS_PX: Final = ("Length", "Width", "Direction in the picture", "Confidence", "Row", "Column")


def _row(ship: SceneShip, close_up: str | None) -> PageRow:
    cells = (
        _size(ship.length_m, ship.ship.length_px),
        _size(ship.width_m, ship.ship.width_px),
        _heading(ship.ship.heading_deg if ship.heading_deg is None else ship.heading_deg),
        (f"{ship.confidence:.2f}", ship.confidence),
        *_place(ship),
    )
    return PageRow(ship.id, close_up, cells, "cut by the edge: may be longer" if ship.cut else "")


def _size(metres: float | None, pixels: float) -> tuple[str, float]:
    return (f"{pixels:.1f} px", pixels) if metres is None else (f"{metres:.0f} m", metres)


def _place(ship: SceneShip) -> tuple[tuple[str, float], tuple[str, float]]:
    if ship.lat is None or ship.lon is None:
        row, column = ship.ship.center_rc
        return (f"{row:.0f}", row), (f"{column:.0f}", column)
    return (f"{ship.lat:.5f}", ship.lat), (f"{ship.lon:.5f}", ship.lon)


def _heading(degrees: float) -> tuple[str, float]:
    whole = round(degrees) % 180
    return f"{whole}° or {whole + 180}°", degrees


def _headline(ships: SceneShips, facts: Mapping[str, Any]) -> tuple[str, ...]:
    count = len(ships.ships)
    found = "No ship was found" if count == 0 else "1 ship was found" if count == 1 else f"{count:,} ships were found"
    area = facts["looked_at_km2"]
    where = f"{facts['looked_at_px']:,} pixels" if area is None else f"{_number(area)} km²"
    sentences = [f"{found} in {where}."]
    lengths = [ship.length_m for ship in ships.ships if ship.length_m is not None]
    if len(lengths) > 1:
        low, middle, high = (f"{value:.0f}" for value in np.percentile(lengths, [0, 50, 100]))
        sentences.append(f"They are {low} to {high} m long, half of them above {middle} m.")
    if facts["num_cut"]:
        cut = "1 touches" if facts["num_cut"] == 1 else f"{facts['num_cut']} touch"
        sentences.append(f"{cut} the edge of what was looked at and may be longer than measured.")
    return tuple(sentences)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _fact_lines(ships: SceneShips, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    scene, decision = facts["scene"], facts["decision"]
    height, width = ships.shape
    lines = [("Scene", scene["path"]), ("Size", f"{width:,} × {height:,} pixels of {scene['dtype']}")]
    size = scene["metres_per_row_and_column"]
    if size is not None:
        lines.append(("On the ground", f"{_number(width * size[1] / 1000)} × {_number(height * size[0] / 1000)} km"))
        lines.append(("A pixel", f"{size[1]:.4g} × {size[0]:.4g} m in the middle of the scene"))
    lines.append(("Coordinates", scene["crs"]))
    options = facts["identity"]["options"]
    lines += [(f"Only {name}", f"inside the polygons of {options[name]['name']}") for name in _LIMITS if options[name]]
    lines.append(("Taken", scene["acquired"] or "the file does not say when"))
    lines.append(("Read as", "; ".join(scene["notes"])))
    lines.append(("Model", facts["model"]))
    lines.append(("Ship from", _rule(decision)))
    return lines


def _rule(decision: Mapping[str, Any]) -> str:
    parts = [f"probability {decision['threshold']:.3g}"]
    if decision["min_peak"] > 0:
        parts.append(f"reaching {decision['min_peak']:.3g} somewhere")
    if decision["min_area_px"] > 1:
        parts.append(f"{decision['min_area_px']} pixels or more")
    if decision.get("separate"):
        parts.append("ships that touch are parted")
    return ", ".join(parts)


def _dropped(part: Mapping[str, Any]) -> tuple[str, str]:
    row0, col0, row1, col1 = part["box"]
    return f"rows {row0:,} to {row1:,}, columns {col0:,} to {col1:,}", part["reason"]


# Ships of a scene from near by.

_MOST: Final = 100
"""Each costs a read of the scene; of more ships the longest are shown."""
_SIDE_PX: Final = 144
_AROUND: Final = 1.5  # of the ship's extent, the side of what is shown,
_LEAST_PX: Final = 40  # and this many pixels of the scene at least

Read = Callable[[Window], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Gives uint8 RGB (h, w, 3) of a window of the scene, and where it has data (h, w)."""


def read_close_ups(read: Read, ships: SceneShips) -> dict[int, NDArray[np.uint8]]:
    """Return squares around the longest ships with their rectangles, by id: uint8 (144, 144, 3) RGB.

    Raises:
        DataError: The scene cannot be read there.
    """
    longest = sorted(ships.ships, key=lambda ship: -ship.ship.length_px)[:_MOST]
    # In the order of the scene's rows: neighbours share the blocks that the file stores together.
    return {ship.id: _close_up(read, ship, ships.shape) for ship in sorted(longest, key=lambda ship: ship.id)}


def _close_up(read: Read, ship: SceneShip, shape: tuple[int, int]) -> NDArray[np.uint8]:
    row0, col0, row1, col1 = ship.ship.mask_box
    side = max(_LEAST_PX, round(_AROUND * max(row1 - row0, col1 - col0)))
    top, left = (row0 + row1 - side) // 2, (col0 + col1 - side) // 2
    window = _inside(top, left, side, shape)
    square_hwc = np.full((side, side, 3), NO_DATA_COLOR, np.uint8)
    place = (
        slice(window.row0 - top, window.row0 - top + window.height),
        slice(window.col0 - left, window.col0 - left + window.width),
    )
    image_hwc, valid_hw = read(window)
    square_hwc[place][valid_hw] = image_hwc[valid_hw]
    interpolation = cv2.INTER_AREA if side > _SIDE_PX else cv2.INTER_CUBIC
    shown_hwc = np.asarray(cv2.resize(square_hwc, (_SIDE_PX, _SIDE_PX), interpolation=interpolation), np.uint8)
    corners = (ship.box_px - np.array([left, top])) * (_SIDE_PX / side) - 0.5
    # At 16ths of a pixel.
    cv2.polylines(shown_hwc, [np.round(corners * 16).astype(np.int32)], True, SHIP_COLOR, 1, cv2.LINE_AA, 4)  # noqa: FBT003
    return shown_hwc


def _inside(top: int, left: int, side: int, shape: tuple[int, int]) -> Window:
    row0, col0 = max(0, top), max(0, left)
    return Window(row0, col0, min(top + side, shape[0]) - row0, min(left + side, shape[1]) - col0)
