"""Ships of a scene, measured in metres and in degrees from true north, and the results of a scene."""

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

    Positions in pixels are (x right, y down) in pixel-edge coordinates: pixel (0, 0) covers 0 to 1. In a scene without
    a georeference, heading, longitude and latitude are None, and so are metres unless the user gave the pixel size.

    Args:
        id: Number from 1, in order of the centres from the top, then from the left.
        scene: Name of the scene.
        acquired: Acquisition time in ISO 8601, or None.
        ship: The ship in pixels of the scene.
        polygon_px: Outline along the edges of the ship's pixels; a MultiPolygon if parts touch only at corners.
        box_px: float64 (4, 2), corners of the oriented rectangle, which is right-angled on the ground.
        lon: Longitude of the centroid in degrees, WGS 84, from -180 to below 180.
        lat: Latitude of the centroid in degrees.
        length_m: Longer side of the oriented rectangle on the ground.
        width_m: Shorter side of the oriented rectangle on the ground.
        area_m2: Area of the ship's pixels on the ground.
        heading_deg: Direction of the longer side, clockwise from true north, from 0 to below 180. Bow and stern are not
            distinguished: the ship may head in the opposite direction, `heading_deg` + 180.
        cut: Whether the ship touches the scene's edge or pixels without data, so that it may be longer.
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
    """The ships of one scene and its georeference."""

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
    """Return the ships of a scene measured on the ground, numbered from 1 from the top, then from the left.

    Args:
        ships: Each ship in pixels of the scene, in any order, with whether it touches the scene's edge or pixels
            without data.
        georef: Georeference of the scene.
        scene: Name of the scene.
        shape: (height, width) of the scene.
        acquired: Acquisition time in ISO 8601, if known.
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

    The second moments of the rectangle in pixels are transformed to metres with the local Jacobian, and the rectangle
    is computed from them on the ground. This is correct for pixels that are not square, rotated rasters and degrees,
    where transforming the sides of the rectangle would not be.

    Args:
        ship: The ship in pixels of the scene.
        georef: Georeference of the scene.
        number: Id of the ship.
        scene: Name of the scene.
        acquired: Acquisition time in ISO 8601, if known.
        cut: Whether the ship touches the scene's edge or pixels without data.
    """
    polygon = outline(ship)
    row, column = ship.center_rc
    metres = georef.local_metres(column, row)
    lonlat = georef.lonlat(np.array([[column, row]]))
    if metres is None or lonlat is None:
        box = np.asarray(ship.corners_xy, np.float64)
        length_m, width_m, area_m2 = _sizes_by_pixel(ship, georef.stated_m)
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


def _sizes_by_pixel(ship: Ship, pixel_m: float | None) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return length and width in metres and area in square metres from the pixel size; None without one."""
    if pixel_m is None:
        return None, None, None
    return ship.length_px * pixel_m, ship.width_px * pixel_m, ship.area_px * pixel_m**2


def _on_the_ground(ship: Ship, metres: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return length and width in metres and heading in degrees of the rectangle with the ship's moments."""
    angle = math.radians(ship.heading_deg)
    along = np.array([math.sin(angle), -math.cos(angle)])  # (x right, y down)
    across = np.array([math.cos(angle), math.sin(angle)])
    # 12 times the second moments, which for a rectangle are the squares of its sides.
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
    """Return the outline along the edges of a ship's pixels, in pixels of the scene (x right, y down).

    Rasterised, it gives the ship's mask. Holes are kept. Parts that touch only at corners become separate polygons,
    since a valid polygon must not touch itself.
    """
    with needing("geo"):
        from rasterio import Affine
        from rasterio.features import shapes
    mask = np.ascontiguousarray(ship.mask).view(np.uint8)
    row0, col0, _, _ = ship.mask_box
    found = shapes(mask, mask=ship.mask, connectivity=4, transform=Affine.translation(col0, row0))
    rings = [geometry["coordinates"] for geometry, _ in found]  # exterior first, then holes
    polygons = [shapely.Polygon(outer, holes) for outer, *holes in rings]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """A ship in pixels of its scene."""

    ship: Ship
    cut: bool
    """Whether it touches the scene's edge or pixels that were not predicted, so that it may be longer."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A connected component that is too large for a ship and was dropped."""

    box: tuple[int, int, int, int]
    """(row0, col0, row1, col1), half open."""
    area_px: int
    reason: str
    """One sentence."""


@dataclass(frozen=True)
class Seconds:
    """Run times of a scene. Reading and writing run concurrently with the network: only waiting for them adds time."""

    total: float = 0.0
    network: float = 0.0
    """Inference, batch by batch."""
    waiting_for_reader: float = 0.0
    waiting_for_writer: float = 0.0
    finishing: float = 0.0
    """After the last tile: writing cloud-optimised GeoTIFFs, measuring and writing ships, the quicklook."""


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of a scene in pixels."""

    ships: tuple[Detection, ...]
    """In the order of `masks.ships.find_ships`: the largest first, then from the top and from the left."""
    dropped: tuple[Dropped, ...]
    tiles: Mapping[str, int]
    """Number of tiles by status, see `stream.TILE_STATUSES`."""
    valid_px: int
    """Pixels that were predicted or skipped by the gate."""
    seconds: Seconds = field(default=Seconds(), compare=False)


@dataclass(frozen=True, eq=False)
class SceneResult:
    """The result of a finished scene."""

    name: str
    path: str
    folder: Path
    """The complete folder of results."""
    status: Literal["done", "skipped"]
    """`skipped`: an earlier run finished it with the same options and model."""
    facts: Mapping[str, Any]
    """Content of scene.json."""
    ships: tuple[SceneShip, ...] | None
    """In order of their ids; None if the scene was skipped."""
    seconds: Seconds = field(default=Seconds(), compare=False)

    @property
    def num_ships(self) -> int:
        """Number of ships found."""
        return int(self.facts["num_ships"])
