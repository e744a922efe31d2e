"""A ship of a scene: what people need to know of it, in metres and degrees from true north."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from shipseg.extras import needing
from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import Ship

__all__ = [
    "Detection",
    "Detections",
    "Dropped",
    "SceneResult",
    "SceneShip",
    "SceneShips",
    "Seconds",
    "measure_ship",
    "measure_ships",
    "outline",
]


@dataclass(frozen=True, eq=False, slots=True)
class SceneShip:
    """One ship of a scene.

    Positions in pixels are (x to the right, y down) along pixel edges: pixel (0, 0) covers 0 to 1 both ways. Of a scene
    that does not say where on Earth it lies, degrees from north and lon/lat are None, and so is everything in metres
    unless somebody stated what its pixels measure.

    Args:
        id: From 1 in the order of the centres: from the top, then from the left.
        scene: Name of the scene.
        acquired: When it was taken, ISO 8601, where the scene says so.
        ship: The ship in pixels of the scene.
        polygon_px: Polygon, or MultiPolygon where parts touch only at corners, along the edges of the ship's pixels.
        box_px: float64 (4, 2), corners of the oriented rectangle; right-angled on the ground, not always in pixels.
        lon: Longitude of the centre of gravity in degrees, WGS 84, from -180 to below 180.
        lat: Its latitude.
        length_m: Longer side of the oriented rectangle on the ground.
        width_m: Its shorter side.
        area_m2: Area of the ship's pixels on the ground.
        heading_deg: Direction of the longer side, clockwise from true north, from 0 to below 180. Bow and stern are not
            told apart: the ship may head this way or the opposite one, `heading_deg` + 180.
        cut: The ship touches the scene's edge or pixels without data and may be longer than what is seen.
    """

    id: int
    scene: str
    acquired: str | None
    ship: Ship
    polygon_px: shapely.Polygon | shapely.MultiPolygon
    box_px: NDArray[np.float64]
    lon: float | None
    lat: float | None
    length_m: float | None
    width_m: float | None
    area_m2: float | None
    heading_deg: float | None
    cut: bool

    @property
    def confidence(self) -> float:
        """Mean probability of the ship's pixels."""
        return self.ship.confidence

    @property
    def peak(self) -> float:
        """Highest probability of the ship's pixels."""
        return self.ship.peak


@dataclass(frozen=True, eq=False, slots=True)
class SceneShips:
    """The ships of one scene, with what is needed to place them on Earth."""

    scene: str
    """Name of the scene."""
    shape: tuple[int, int]
    """Height and width in pixels."""
    georef: GeoReference
    ships: tuple[SceneShip, ...]
    """In the order of their ids."""


def measure_ships(
    ships: Iterable[tuple[Ship, bool]],
    georef: GeoReference,
    *,
    scene: str,
    shape: tuple[int, int],
    acquired: str | None = None,
) -> SceneShips:
    """Return the ships of a scene, numbered from 1 from the top, then from the left, and measured on the ground.

    Args:
        ships: Each ship in pixels of the scene, in any order, with whether it is cut by the scene's edge or by pixels
            without data.
        georef: Where the scene lies.
        scene: Its name.
        shape: Its height and width in pixels.
        acquired: When it was taken, ISO 8601, if known.
    """
    ordered = sorted(ships, key=lambda pair: (pair[0].center_rc, pair[0].mask_box))
    measured = tuple(
        measure_ship(ship, georef, number=number, scene=scene, acquired=acquired, cut=cut)
        for number, (ship, cut) in enumerate(ordered, start=1)
    )
    return SceneShips(scene, shape, georef, measured)


def measure_ship(
    ship: Ship, georef: GeoReference, *, number: int, scene: str, acquired: str | None = None, cut: bool = False
) -> SceneShip:
    """Return a ship measured on the ground.

    The rectangle in pixels stands for the second moments of the ship's pixels. These are carried to the ground with the
    local matrix from pixels to metres, and the rectangle is taken there: right with pixels that are not square, rotated
    rasters and degrees, where the sides of the rectangle in pixels would not be.

    Args:
        ship: The ship in pixels of the scene.
        georef: Where the scene lies.
        number: Its id.
        scene: Name of the scene.
        acquired: When the scene was taken, ISO 8601, if known.
        cut: The ship touches the scene's edge or pixels without data.
    """
    polygon = outline(ship)
    row, column = ship.center_rc
    metres = georef.local_metres(column, row)
    lonlat = georef.lonlat(np.array([[column, row]]))
    if metres is None or lonlat is None:
        box = np.asarray(ship.corners_xy, np.float64)
        length_m, width_m, area_m2 = _stated_sizes(ship, georef.stated_m)
        return SceneShip(number, scene, acquired, ship, polygon, box, None, None, length_m, width_m, area_m2, None, cut)
    length, width, heading = _on_the_ground(ship, metres)
    return SceneShip(
        id=number,
        scene=scene,
        acquired=acquired,
        ship=ship,
        polygon_px=polygon,
        box_px=_box(ship, metres, length, width, heading),
        lon=_wrapped(float(lonlat[0, 0])),
        lat=float(lonlat[0, 1]),
        length_m=length,
        width_m=width,
        area_m2=ship.area_px * abs(float(np.linalg.det(metres))),
        heading_deg=heading,
        cut=cut,
    )


def _stated_sizes(ship: Ship, stated_m: float | None) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return length and width in metres and the area in square metres by the stated pixel, if one was stated."""
    if stated_m is None:
        return None, None, None
    return ship.length_px * stated_m, ship.width_px * stated_m, ship.area_px * stated_m**2


def _on_the_ground(ship: Ship, metres: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return length and width in metres and the heading, of the rectangle with the ship's moments on the ground."""
    angle = math.radians(ship.heading_deg)
    along = np.array([math.sin(angle), -math.cos(angle)])  # (x right, y down)
    across = np.array([math.cos(angle), math.sin(angle)])
    # 12 times the second moments: of a rectangle these are the squares of its sides.
    pixels = ship.length_px**2 * np.outer(along, along) + ship.width_px**2 * np.outer(across, across)
    east_east, east_north, _, north_north = (metres @ pixels @ metres.T).ravel().tolist()
    middle = (east_east + north_north) / 2
    spread = math.hypot((east_east - north_north) / 2, east_north)
    heading = math.degrees(0.5 * math.atan2(2 * east_north, north_north - east_east)) % 180
    # The remainder of a tiny negative number is rounded up to 180.
    return math.sqrt(middle + spread), math.sqrt(max(middle - spread, 0.0)), 0.0 if heading == 180 else heading


def _box(ship: Ship, metres: NDArray[np.float64], length: float, width: float, heading: float) -> NDArray[np.float64]:
    """Return the corners of the rectangle on the ground, float64 (4, 2) in pixels (x right, y down)."""
    angle = math.radians(heading)
    along = np.array([math.sin(angle), math.cos(angle)]) * length / 2  # (east, north)
    across = np.array([math.cos(angle), -math.sin(angle)]) * width / 2
    corners_en = np.stack([-along - across, along - across, along + across, -along + across])
    corners_px: NDArray[np.float64] = np.linalg.solve(metres, corners_en.T).T + np.array(ship.center_rc[::-1])
    return corners_px


def _wrapped(lon: float) -> float:
    wrapped = (lon + 180) % 360 - 180
    return -180.0 if wrapped == 180 else wrapped  # the remainder of a tiny negative number is rounded up


def outline(ship: Ship) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the edges of a ship's pixels in pixels of the scene (x right, y down): rasterised, it is the ship again.

    Holes stay. Parts that touch only at corners are polygons of their own, for a polygon may not cross itself.
    """
    with needing("geo"):
        from rasterio import Affine
        from rasterio.features import shapes
    mask = np.ascontiguousarray(ship.mask).view(np.uint8)
    row0, col0, _, _ = ship.mask_box
    found = shapes(mask, mask=ship.mask, connectivity=4, transform=Affine.translation(col0, row0))
    rings = [geometry["coordinates"] for geometry, _ in found]  # the outer one first, then holes
    polygons = [shapely.Polygon(outer, holes) for outer, *holes in rings]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


# What came of looking for ships in a scene.


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """A ship in pixels of its scene."""

    ship: Ship
    cut: bool
    """It touches the scene's edge or pixels that were not looked at: there may be more of it."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A connected region that no ship can be, and whose pixels were not kept."""

    box: tuple[int, int, int, int]
    """(row0, col0, row1, col1), half open."""
    area_px: int
    reason: str
    """In a sentence."""


@dataclass(frozen=True)
class Seconds:
    """Where the time went. Reading and writing happen beside the network: only waiting for them costs time."""

    total: float = 0.0
    network: float = 0.0
    """In the network, tiles given to it one batch at a time."""
    waiting_for_reader: float = 0.0
    waiting_for_writer: float = 0.0
    finishing: float = 0.0
    """After the last tile: rasters made cloud-optimised, ships measured and written, the quick look."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What the network saw in a scene, before it is measured on the ground."""

    ships: tuple[Detection, ...]
    """In the order of `masks.ships.find_ships`: the largest first, then from the top and from the left."""
    dropped: tuple[Dropped, ...]
    tiles: Mapping[str, int]
    """Number of tiles by what became of them: `network`, or the reason for which they never reached it."""
    valid_px: int
    """Pixels that were looked at, gated ones included."""
    seconds: Seconds = field(default=Seconds(), compare=False)


@dataclass(frozen=True, eq=False)
class SceneResult:
    """A scene that is done with."""

    name: str
    path: str
    folder: Path
    """The folder of results, whole."""
    status: Literal["done", "skipped"]
    """`skipped`: an earlier run had finished it with the same options and model."""
    facts: Mapping[str, Any]
    """What scene.json holds."""
    ships: tuple[SceneShip, ...] | None
    """By number; None where the scene was skipped."""
    seconds: Seconds = field(default=Seconds(), compare=False)

    @property
    def num_ships(self) -> int:
        """Number of ships found."""
        return int(self.facts["num_ships"])
