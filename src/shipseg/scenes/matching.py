"""Matching of the true and predicted ships of a scene, and the errors of their measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from shipseg.errors import DataError
from shipseg.extras import needing
from shipseg.geo.gdal import reason_of
from shipseg.geo.georef import GeoReference
from shipseg.masks.metrics import match_pairs

if TYPE_CHECKING:
    import geopandas

__all__ = ["MapShip", "ShipRecord", "heading_apart", "lies_on", "match_ships", "read_ships", "truth_path"]

CENTER_SHARE, CENTER_LEAST_M = 0.5, 10.0
"""A match by centre needs a distance of at most the larger of half the true length and 10 m."""
_LAYER = "ships"
_NEEDED = ("length_m", "width_m", "heading_deg")

Status = Literal["found", "missed", "unmatched", "false alarm"]


@dataclass(frozen=True, eq=False, slots=True)
class MapShip:
    """A ship read from a vector file.

    Attributes:
        number: In its table, from 1.
        polygon_px: In pixels of the scene (x right, y down along pixel edges).
        lon: Of the polygon's centre of gravity, degrees.
        lat: Likewise.
        length_m: On the ground; the true one is the hull's.
        width_m: Likewise.
        heading_deg: Clockwise from true north; of the true ship's bow, of a predicted one's bow or stern.
        label_m: Length and width of what the mask of a true ship covers, where the table has them.
        kind: Of a true ship, e.g. tanker, or "".
        confidence: Of a predicted ship.
        cut: The scene's edge cuts it.
    """

    number: int
    polygon_px: shapely.Polygon | shapely.MultiPolygon
    lon: float
    lat: float
    length_m: float
    width_m: float
    heading_deg: float
    label_m: tuple[float, float] | None
    kind: str
    confidence: float | None
    cut: bool

    @property
    def area_px(self) -> float:
        """Area in pixels of the scene."""
        return float(self.polygon_px.area)


@dataclass(frozen=True, eq=False, slots=True)
class ShipRecord:
    """A true ship with its matched prediction, or an unmatched prediction.

    Attributes:
        scene: Name of the scene.
        true: None for an unmatched prediction.
        predicted: By IoU; None for a true ship that was missed.
        iou: Of the two; the best with any true ship where `true` is None, 0 for a missed ship.
        by_center: Whether the ship has a match by the distance of the centres.
    """

    scene: str
    true: MapShip | None
    predicted: MapShip | None
    iou: float
    by_center: bool

    @property
    def status(self) -> Status:
        """found, missed, unmatched (overlaps a true ship without matching it) or false alarm (overlaps none)."""
        if self.true is not None:
            return "missed" if self.predicted is None else "found"
        return "unmatched" if self.iou > 0 else "false alarm"


def lies_on(ship: MapShip, shape: tuple[int, int]) -> bool:
    """Return whether any part of a ship lies on a scene of this height and width in pixels."""
    height, width = shape
    return bool(ship.polygon_px.intersects(shapely.box(0, 0, width, height)))


def truth_path(scene: Path) -> Path:
    """Return where the true ships of a scene lie: NAME.ships.gpkg beside it."""
    return scene.with_name(f"{scene.stem}.ships.gpkg")


def read_ships(path: Path, georef: GeoReference) -> list[MapShip]:
    """Return the ships of a GeoPackage, in the order of its rows.

    Args:
        path: With a layer `ships` (or only one layer) of polygons and the columns length_m, width_m, heading_deg.
        georef: Of the scene, whose pixels the polygons are brought to.

    Raises:
        DataError: The file cannot be read, lacks a column or a coordinate reference system, or holds other shapes.
        MissingExtraError: The extra `geo` is not installed.
    """
    if georef.crs_wkt is None:
        raise DataError(f"the ships in {path} cannot be placed on a scene without a place on Earth: {georef.note}")
    from pyproj.exceptions import ProjError

    given = _frame(path)
    try:
        frame = given.to_crs(georef.crs_wkt)
    except ProjError as error:
        raise DataError(
            f"the ships in {path} cannot be placed on the scene ({georef.crs_name}), no transformation leads there: "
            "bring them to another coordinate reference system"
        ) from error
    if len(frame) and not np.isfinite(frame.total_bounds).all():
        raise DataError(
            f"the ships in {path} lie outside the world of {given.crs.name!r}, the system that the file states: is it "
            "the one they were drawn in?"
        )
    polygons = [shapely.transform(shape, georef.pixels) for shape in frame.geometry]
    columns = {name: frame[name].tolist() for name in frame.columns if name != frame.geometry.name}
    ships = []
    for k, polygon in enumerate(polygons):
        lonlat = georef.lonlat(np.array([[polygon.centroid.x, polygon.centroid.y]]))
        assert lonlat is not None
        row = {name: values[k] for name, values in columns.items()}
        ships.append(_ship(k + 1, polygon, (float(lonlat[0, 0]), float(lonlat[0, 1])), row))
    return ships


def _frame(path: Path) -> geopandas.GeoDataFrame:
    with needing("geo"):
        import geopandas
        import pyogrio
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        frame = geopandas.read_file(path, layer=_LAYER if _LAYER in layers else layers[0])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError, IndexError) as error:
        reason = reason_of(error, str(path)).partition(".;")[0]
        raise DataError(f"the ships in {path} cannot be read ({reason}): is it a whole GeoPackage?") from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise DataError(f"the ships in {path} have no shapes: draw each as a polygon")
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise DataError(f"{path} has no column {missing[0]}: true ships need {', '.join(_NEEDED)}")
    if frame.crs is None:
        raise DataError(
            f"{path} does not say in which coordinate reference system its ships are: assign one, for example with "
            "ogr2ogr -a_srs"
        )
    shapeless = np.flatnonzero((frame.geometry.isna() | frame.geometry.is_empty).to_numpy())
    if shapeless.size:
        raise DataError(f"ship {shapeless[0] + 1} of {path} has no shape: draw it as a polygon, or remove it")
    kinds = set(frame.geometry.geom_type) - {"Polygon", "MultiPolygon"}
    if kinds:
        raise DataError(f"the ships in {path} must be polygons, found {min(map(str, kinds))}: draw them as polygons")
    for name in _NEEDED:
        unusable = [row for row, value in enumerate(frame[name].tolist(), start=1) if not _is_number(value)]
        if unusable:
            raise DataError(f"ship {unusable[0]} of {path} has no number in the column {name}: fill it in")
    return frame


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _ship(
    number: int, polygon: shapely.Polygon | shapely.MultiPolygon, lonlat: tuple[float, float], row: dict[str, Any]
) -> MapShip:
    label = (row.get("label_length_m"), row.get("label_width_m"))
    confidence = row.get("confidence")
    return MapShip(
        number=next((value for value in (row.get("id"), row.get("ship")) if isinstance(value, int)), number),
        polygon_px=polygon,
        lon=lonlat[0],
        lat=lonlat[1],
        length_m=float(row["length_m"]),
        width_m=float(row["width_m"]),
        heading_deg=float(row["heading_deg"]),
        label_m=None if label[0] is None or label[1] is None else (float(label[0]), float(label[1])),
        kind=str(row.get("kind") or ""),
        confidence=None if confidence is None else float(confidence),
        cut=bool(row.get("cut", False)),
    )


def match_ships(
    scene: str, true: Sequence[MapShip], predicted: Sequence[MapShip], georef: GeoReference
) -> list[ShipRecord]:
    """Return a record for each true ship, in order, then for each unmatched prediction.

    Ships are paired by the IoU of their polygons, as those of images are, and, apart from that, by the distance of
    their centres, nearest first: see `shipseg.masks.metrics.match_pairs`.
    """
    iou = _ious(true, predicted)
    hits = match_pairs(iou)
    near = match_pairs({pair: -metres for pair, metres in _near(true, predicted, georef).items()}, above=-math.inf)
    records = []
    for t, ship in enumerate(true):
        p = hits.get(t)
        value = 0.0 if p is None else iou[t, p]
        records.append(ShipRecord(scene, ship, None if p is None else predicted[p], value, t in near))
    taken, near_taken = set(hits.values()), set(near.values())
    for p, ship in enumerate(predicted):
        if p not in taken:
            best = max((value for (_, other), value in iou.items() if other == p), default=0.0)
            records.append(ShipRecord(scene, None, ship, best, p in near_taken))
    return records


def _ious(true: Sequence[MapShip], predicted: Sequence[MapShip]) -> dict[tuple[int, int], float]:
    """Return the IoU of each pair that shares ground."""
    if not true or not predicted:
        return {}
    shapes = np.array([ship.polygon_px for ship in predicted], object)
    tree = shapely.STRtree(shapes)
    found = {}
    for t, ship in enumerate(true):
        outline = shapely.make_valid(ship.polygon_px)
        for p in tree.query(outline, predicate="intersects").tolist():
            shared = float(outline.intersection(shapes[p]).area)
            if shared > 0:
                found[t, int(p)] = shared / (outline.area + shapes[p].area - shared)
    return found


def _near(true: Sequence[MapShip], predicted: Sequence[MapShip], georef: GeoReference) -> dict[tuple[int, int], float]:
    """Return the distance in metres of each pair whose centres are near enough."""
    if not true or not predicted:
        return {}
    centers: NDArray[np.float64] = np.array([(s.polygon_px.centroid.x, s.polygon_px.centroid.y) for s in predicted])
    found = {}
    for t, ship in enumerate(true):
        x, y = ship.polygon_px.centroid.x, ship.polygon_px.centroid.y
        metres = georef.local_metres(x, y)
        assert metres is not None
        away = np.hypot(*(metres @ (centers - (x, y)).T))
        for p in np.flatnonzero(away <= max(CENTER_SHARE * ship.length_m, CENTER_LEAST_M)).tolist():
            found[t, int(p)] = float(away[p])
    return found


def heading_apart(one_deg: float, other_deg: float) -> float:
    """Return the difference `one` minus `other` of two headings, -90 to 90; bow and stern are not distinguished.

    Example:
        >>> heading_apart(179.0, 1.0), heading_apart(350.0, 168.0)
        (-2.0, 2.0)
    """
    return math.remainder(one_deg - other_deg, 180.0)
