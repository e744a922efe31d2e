"""The report of a scene: its quicklook, a table of its ships with close-ups, and what was predicted or skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.number_formats import amount, counted
from shipseg.reports.examples import to_jpeg
from shipseg.reports.page import image_url, write_page
from shipseg.scenes.columns import AMBIGUITY
from shipseg.scenes.quicklook import NO_DATA_COLOR, SHIP_COLOR
from shipseg.scenes.ships import SceneShip, SceneShips
from shipseg.tiling import Window

__all__ = ["PageRow", "read_close_ups", "write_scene_page"]


_MAX_ROWS: Final = 2000
"""Most ships in the table; of more the longest are shown."""
_MAX_DROPPED: Final = 20
_STATUS_TEXTS: Final = {
    "network": "predicted by the network",
    "no data": "skipped: no valid pixels",
    "outside": "skipped: outside the water or area polygons",
    "gate": "skipped: empty according to the gate, a contrast check before the network",
}
_LIMITS: Final = ("water", "area")
"""Options with polygons outside of which nothing is predicted."""


class PageRow(NamedTuple):
    """A row of the table of ships: texts, and the numbers to sort by."""

    id: int
    close_up: str | None
    """Data URL of an image."""
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
    """Write the report of a scene as one HTML page with embedded images, and return its path.

    The page has no date, so the same scene gives the same page.

    Args:
        path: File to write.
        drawn_hwc: The quicklook, uint8 (h, w, 3) RGB.
        ships: The ships of the scene.
        facts: Content of scene.json.
        close_ups: Images of ships by id, uint8 (h, w, 3) RGB.

    Raises:
        StorageError: The file cannot be written.
    """
    shown = ships.ships
    if len(shown) > _MAX_ROWS:
        longest = sorted(shown, key=lambda ship: -ship.ship.length_px)[:_MAX_ROWS]
        shown = tuple(sorted(longest, key=lambda ship: ship.id))
    urls = {number: image_url(to_jpeg(each_hwc)) for number, each_hwc in (close_ups or {}).items()}
    has_georef = ships.georef.crs_wkt is not None
    return write_page(
        path,
        "scene.html",
        name=ships.scene,
        headline=_headline(ships, facts),
        image=image_url(to_jpeg(drawn_hwc, quality=88)),
        has_georef=has_georef,
        in_metres=ships.georef.stated_m is not None,
        has_close_ups=bool(urls),
        columns=_COLUMNS if has_georef else _COLUMNS_PX,
        rows=[_row(ship, urls.get(ship.id)) for ship in shown],
        num_ships=len(ships.ships),
        ambiguity=AMBIGUITY,
        facts=_fact_lines(ships, facts),
        tiles=[
            (f"{facts['tiles'][status]:,}", text)
            for status, text in _STATUS_TEXTS.items()
            if facts["tiles"].get(status)
        ],
        dropped=[_dropped(part) for part in facts["dropped"][:_MAX_DROPPED]],
        num_more_dropped=max(0, len(facts["dropped"]) - _MAX_DROPPED),
        georef_note="" if has_georef else ships.georef.note,
        files=facts["files"],
    )


_COLUMNS: Final = ("Length", "Width", "Heading", "Confidence", "Latitude", "Longitude")
_COLUMNS_PX: Final = ("Length", "Width", "Direction in the image", "Confidence", "Row", "Column")


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
    found = counted(count, "ship was found", "ships were found") if count else "No ship was found"
    area = facts["looked_at_km2"]
    where = f"{facts['looked_at_px']:,} pixels" if area is None else f"{amount(area)} km²"
    sentences = [f"{found} in {where}."]
    lengths = [ship.length_m for ship in ships.ships if ship.length_m is not None]
    if len(lengths) > 1:
        low, middle, high = (f"{value:.0f}" for value in np.percentile(lengths, [0, 50, 100]))
        sentences.append(f"They are {low} to {high} m long, half of them above {middle} m.")
    if facts["num_cut"]:
        cut = "1 touches" if facts["num_cut"] == 1 else f"{facts['num_cut']} touch"
        sentences.append(f"{cut} the edge of the predicted pixels and may be longer than measured.")
    return tuple(sentences)


def _fact_lines(ships: SceneShips, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    scene, decision = facts["scene"], facts["decision"]
    height, width = ships.shape
    lines = [("Scene", scene["path"]), ("Size", f"{width:,} × {height:,} pixels of {scene['dtype']}")]
    size = scene["metres_per_row_and_column"]
    if size is not None:
        lines.append(("On the ground", f"{amount(width * size[1] / 1000)} × {amount(height * size[0] / 1000)} km"))
        lines.append(("Pixel size", f"{size[1]:.4g} × {size[0]:.4g} m at the centre of the scene"))
    lines.append(("Coordinates", scene["crs"]))
    options = facts["identity"]["options"]
    lines += [(f"Only {name}", f"inside the polygons of {options[name]['name']}") for name in _LIMITS if options[name]]
    lines.append(("Acquired", scene["acquired"] or "unknown"))
    lines.append(("Read as", "; ".join(scene["notes"])))
    lines.append(("Model", facts["model"]))
    lines.append(("Decision rule", _rule(decision)))
    return lines


def _rule(decision: Mapping[str, Any]) -> str:
    parts = [f"threshold {decision['threshold']:.3g}"]
    if decision["min_peak"] > 0:
        parts.append(f"peak threshold {decision['min_peak']:.3g}")
    if decision["min_area_px"] > 1:
        parts.append(f"at least {decision['min_area_px']} pixels")
    if decision.get("separate"):
        parts.append("touching ships are split")
    return ", ".join(parts)


def _dropped(part: Mapping[str, Any]) -> tuple[str, str]:
    row0, col0, row1, col1 = part["box"]
    return f"rows {row0:,} to {row1:,}, columns {col0:,} to {col1:,}", part["reason"]


# Close-ups of ships.

_MAX_CLOSE_UPS: Final = 100
"""Each needs a read of the scene; of more ships the longest are shown."""
_SIDE_PX: Final = 144
_AROUND: Final = 1.5  # side of a close-up relative to the extent of the ship
_MIN_WINDOW_PX: Final = 40  # least side of a close-up in scene pixels

Read = Callable[[Window], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Returns RGB uint8 (h, w, 3) of a window of the scene and its valid pixels (h, w)."""


def read_close_ups(read: Read, ships: SceneShips) -> dict[int, NDArray[np.uint8]]:
    """Return close-ups of the longest ships with their rectangles by id, uint8 (144, 144, 3) RGB.

    Raises:
        DataError: The scene cannot be read there.
    """
    longest = sorted(ships.ships, key=lambda ship: -ship.ship.length_px)[:_MAX_CLOSE_UPS]
    # In the order of the scene's rows, since neighbours share blocks of the file.
    return {ship.id: _close_up(read, ship, ships.shape) for ship in sorted(longest, key=lambda ship: ship.id)}


def _close_up(read: Read, ship: SceneShip, shape: tuple[int, int]) -> NDArray[np.uint8]:
    row0, col0, row1, col1 = ship.ship.mask_box
    side = max(_MIN_WINDOW_PX, round(_AROUND * max(row1 - row0, col1 - col0)))
    top, left = (row0 + row1 - side) // 2, (col0 + col1 - side) // 2
    window = _clipped(top, left, side, shape)
    square_hwc = np.full((side, side, 3), NO_DATA_COLOR, np.uint8)
    covered = (
        slice(window.row0 - top, window.row0 - top + window.height),
        slice(window.col0 - left, window.col0 - left + window.width),
    )
    image_hwc, valid_hw = read(window)
    square_hwc[covered][valid_hw] = image_hwc[valid_hw]
    interpolation = cv2.INTER_AREA if side > _SIDE_PX else cv2.INTER_CUBIC
    scaled_hwc = np.asarray(cv2.resize(square_hwc, (_SIDE_PX, _SIDE_PX), interpolation=interpolation), np.uint8)
    corners = (ship.box_px - np.array([left, top])) * (_SIDE_PX / side) - 0.5
    # In 16ths of a pixel.
    cv2.polylines(scaled_hwc, [np.round(corners * 16).astype(np.int32)], True, SHIP_COLOR, 1, cv2.LINE_AA, 4)  # noqa: FBT003
    return scaled_hwc


def _clipped(top: int, left: int, side: int, shape: tuple[int, int]) -> Window:
    row0, col0 = max(0, top), max(0, left)
    return Window(row0, col0, min(top + side, shape[0]) - row0, min(left + side, shape[1]) - col0)
