"""Ships of a scene as files: GeoPackage, GeoJSON, GeoParquet, COCO, CSV. A scene without ships gives them too."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from shipseg import files
from shipseg.errors import ConfigError, unknown_name
from shipseg.extras import needing
from shipseg.geo.georef import GeoReference
from shipseg.inference.formats import ImageShips, csv_text, write_coco
from shipseg.scenes.columns import AMBIGUITY, COLUMNS, Column
from shipseg.scenes.geopackage import Layer, write_geopackage
from shipseg.scenes.ships import SceneShip, SceneShips

if TYPE_CHECKING:
    import geopandas

__all__ = [
    "FORMATS",
    "LONLAT_DIGITS",
    "Outline",
    "check_formats",
    "in_lonlat",
    "on_map",
    "write_csv",
    "write_geojson",
    "write_gpkg",
    "write_parquet",
    "write_scene_coco",
]


# Polygons of a scene's pixels, brought to its map or to longitude and latitude.

LONLAT_DIGITS = 7
"""Decimals of a degree that are written: a centimetre, as RFC 7946 advises."""
_FULL_TURN = 360.0

Outline = shapely.Polygon | shapely.MultiPolygon


def on_map(polygon: Outline, georef: GeoReference) -> Outline:
    """Return a polygon in pixels (x right, y down) in the scene's map coordinates.

    Of a scene without any geotransform these are (x, -y): programs show such a picture with its top left corner at
    (0, 0) and rows downwards, so there the polygons lie on it.
    """
    if georef.is_in_pixels:
        return shapely.transform(polygon, lambda points: points * np.array([1.0, -1.0]))
    return shapely.transform(polygon, georef.xy)


def in_lonlat(polygon: Outline, georef: GeoReference) -> Outline | None:
    """Return a polygon in pixels in longitude and latitude (WGS 84), or None where the scene does not say where it is.

    To 7 decimals, rings as RFC 7946 wants them: the outer one counter-clockwise. What crosses longitude 180 is cut
    there, and each part stands on its own side.
    """
    if georef.crs_wkt is None:
        return None

    def lonlat(points_n2: NDArray[np.float64]) -> NDArray[np.float64]:
        found = georef.lonlat(points_n2)
        assert found is not None
        return found

    placed = shapely.transform(polygon, lonlat)
    west, _, east, _ = placed.bounds
    parts = _cut_at_180(placed) if east - west > _FULL_TURN / 2 or east > 180 or west < -180 else [placed]
    polygons = [orient(each) for part in parts for each in shapely.get_parts(part) if each.geom_type == "Polygon"]
    rounded = [shapely.transform(each, lambda points: np.round(points, LONLAT_DIGITS)) for each in polygons]
    return rounded[0] if len(rounded) == 1 else shapely.MultiPolygon(rounded)


def _cut_at_180(placed: Outline) -> list[shapely.Geometry]:
    """Return the parts of a polygon within -180 to 180, of one whose vertices lie on both sides of longitude 180."""
    eastward = shapely.transform(placed, lambda points: np.stack([points[:, 0] % _FULL_TURN, points[:, 1]], axis=1))
    east = shapely.intersection(eastward, shapely.box(0, -90, 180, 90))
    west = shapely.intersection(eastward, shapely.box(180, -90, _FULL_TURN, 90))
    west = shapely.transform(west, lambda points: points - np.array([_FULL_TURN, 0.0]))
    return [part for part in (east, west) if not part.is_empty]


_NUMPY_TYPES: Final = {"whole": "int64", "real": "float64", "text": "string", "truth": "bool"}
_BOX_COLUMNS: Final = ("ship", "length_m", "width_m", "heading_deg", "confidence", "cut", "length_px", "width_px")
_NEEDS_PLACE: Final = ("geojson",)
"""Formats that can say nothing of a scene that does not say where on Earth it lies."""


def check_formats(names: Sequence[str], georef: GeoReference, *, scene: str) -> None:
    """Refuse formats that do not exist or cannot hold the ships of this scene.

    Raises:
        ConfigError: A name is unknown, or a format needs to know where on Earth the scene lies.
    """
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
        if name in _NEEDS_PLACE and georef.crs_wkt is None:
            raise ConfigError(
                f"{scene} does not say where on Earth it lies and {name} holds longitudes and latitudes only: "
                "choose gpkg, csv, parquet or coco, which then hold pixels"
            )


def write_gpkg(path: Path, ships: SceneShips) -> None:
    """Write a GeoPackage in the scene's own coordinates: layer `ships` of outlines, layer `boxes` of rectangles.

    Without a coordinate reference system it is in pixels, see `outlines.on_map`.

    Raises:
        StorageError: The file cannot be written.
    """
    where = "" if ships.georef.crs_wkt else " Without a coordinate reference system: x is the column, y minus the row."
    if where and not ships.georef.is_in_pixels:
        where = " In the scene's own map units: it names no coordinate reference system."
    outlines = [_multi(on_map(ship.polygon_px, ships.georef)) for ship in ships.ships]
    boxes = [on_map(shapely.Polygon(ship.box_px), ships.georef) for ship in ships.ships]
    short = [column for column in COLUMNS if column.name in _BOX_COLUMNS]
    crs = ships.georef.crs_wkt
    layers = [
        Layer("ships", "MultiPolygon", f"Outlines of ships along the edges of their pixels.{where}", COLUMNS),
        Layer("boxes", "Polygon", f"Oriented rectangles of the same ships. {AMBIGUITY}{where}", short),
    ]
    frames = [_frame(ships.ships, COLUMNS, outlines, crs), _frame(ships.ships, short, boxes, crs)]
    write_geopackage(path, list(zip(layers, frames, strict=True)))


def write_parquet(path: Path, ships: SceneShips) -> None:
    """Write GeoParquet in longitude and latitude, so that many scenes can be read as one table.

    Without a coordinate reference system it is in pixels (x right, y down) and says that it has none.

    Raises:
        StorageError: The file cannot be written.
    """
    with needing("geo"):
        import pyarrow as pa
        from pyarrow import parquet
    has_place = ships.georef.crs_wkt is not None
    outlines = [in_lonlat(ship.polygon_px, ships.georef) or ship.polygon_px for ship in ships.ships]
    frame = _frame(ships.ships, COLUMNS, outlines, "OGC:CRS84" if has_place else None)
    said = {column.name: column.description for column in COLUMNS}
    with files.atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False, schema_version="1.1.0", write_covering_bbox=True)
        table = parquet.read_table(temporary)
        fields = [field.with_metadata({"description": said.get(field.name, "")}) for field in table.schema]
        schema = pa.schema(fields, metadata=table.schema.metadata)
        parquet.write_table(pa.Table.from_arrays(table.columns, schema=schema), temporary)


def _frame(
    ships: Sequence[SceneShip], columns: Sequence[Column], geometry: Sequence[Outline], crs: str | None
) -> geopandas.GeoDataFrame:
    """Return the ships as a table with the types of the columns, whether there are any or not."""
    with needing("geo"):
        import geopandas
        import pandas as pd
    values = {
        column.name: pd.Series([column.value(ship) for ship in ships], dtype=_NUMPY_TYPES[column.kind])
        for column in columns
    }
    return geopandas.GeoDataFrame(values, geometry=geopandas.GeoSeries(list(geometry), crs=crs), crs=crs)


def _multi(outline: Outline) -> shapely.MultiPolygon:
    return outline if isinstance(outline, shapely.MultiPolygon) else shapely.MultiPolygon([outline])


def write_geojson(path: Path, ships: SceneShips) -> None:
    """Write GeoJSON as RFC 7946 has it: WGS 84, outer rings counter-clockwise, cut at longitude 180.

    Raises:
        ConfigError: The scene does not say where on Earth it lies.
        StorageError: The file cannot be written.
    """
    check_formats(["geojson"], ships.georef, scene=ships.scene)
    features = [
        {
            "type": "Feature",
            "id": ship.id,
            "properties": {column.name: column.value(ship) for column in COLUMNS},
            "geometry": shapely.geometry.mapping(_placed(ship.polygon_px, ships.georef)),
        }
        for ship in ships.ships
    ]
    collection = {"type": "FeatureCollection", "description": AMBIGUITY, "features": features}
    files.write_text(path, json.dumps(collection, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def _placed(outline: Outline, georef: GeoReference) -> Outline:
    placed = in_lonlat(outline, georef)
    assert placed is not None
    return placed


def write_csv(path: Path, ships: SceneShips) -> None:
    """Write one row per ship, its outline and its box as well-known text in longitude and latitude.

    Without a coordinate reference system the texts are in pixels (x right, y down).

    Raises:
        StorageError: The file cannot be written.
    """
    rows: list[list[Any]] = []
    for ship in ships.ships:
        shapes = [ship.polygon_px, shapely.Polygon(ship.box_px)]
        texts = [
            shapely.to_wkt(in_lonlat(each, ships.georef) or each, rounding_precision=LONLAT_DIGITS) for each in shapes
        ]
        rows.append([*(_in_csv(column.value(ship)) for column in COLUMNS), *texts])
    files.write_text(path, csv_text([*(column.name for column in COLUMNS), "wkt", "box_wkt"], rows))


def _in_csv(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def write_scene_coco(path: Path, ships: SceneShips) -> None:
    """Write a COCO instance file, in pixels of the scene; the ids of its annotations are the numbers of the ships.

    Raises:
        StorageError: The file cannot be written.
    """
    write_coco(path, [ImageShips(ships.scene, ships.shape, tuple(ship.ship for ship in ships.ships))])


FORMATS: Final[dict[str, tuple[str, Callable[[Path, SceneShips], None]]]] = {
    "gpkg": ("ships.gpkg", write_gpkg),
    "geojson": ("ships.geojson", write_geojson),
    "parquet": ("ships.parquet", write_parquet),
    "coco": ("ships.coco.json", write_scene_coco),
    "csv": ("ships.csv", write_csv),
}
"""Files that can be asked for: name of the file, and what writes it."""
