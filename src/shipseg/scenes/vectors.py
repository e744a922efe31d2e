"""Ships of a scene as files: GeoPackage, GeoJSON, GeoParquet, COCO, CSV. A scene without ships gets them, too."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from shipseg import files
from shipseg.errors import ConfigError, StorageError, unknown_name
from shipseg.extras import needing
from shipseg.geo.gdal import ogr_path
from shipseg.geo.georef import GeoReference
from shipseg.inference.formats import ImageShips, write_coco
from shipseg.scenes.columns import AMBIGUITY, COLUMNS, Column
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


LONLAT_DIGITS = 7
"""Decimals of degrees in files: a centimetre, as RFC 7946 recommends."""
_FULL_TURN = 360.0

Outline = shapely.Polygon | shapely.MultiPolygon


def on_map(polygon: Outline, georef: GeoReference) -> Outline:
    """Return a polygon in pixels (x right, y down) in the scene's map coordinates.

    In a scene without a geotransform these are (x, -y): map programs show such an image with its upper left corner at
    (0, 0) and rows downwards, so the polygons lie on it.
    """
    if georef.is_in_pixels:
        return shapely.transform(polygon, lambda points: points * np.array([1.0, -1.0]))
    return shapely.transform(polygon, georef.xy)


def in_lonlat(polygon: Outline, georef: GeoReference) -> Outline | None:
    """Return a polygon in pixels in longitude and latitude (WGS 84), or None if the scene has no georeference.

    It has 7 decimals and rings as in RFC 7946, with the exterior counter-clockwise. A polygon across longitude 180 is
    cut there into parts on both sides.
    """
    if georef.crs_wkt is None:
        return None

    def lonlat(points_n2: NDArray[np.float64]) -> NDArray[np.float64]:
        lonlat_n2 = georef.lonlat(points_n2)
        assert lonlat_n2 is not None
        return lonlat_n2

    transformed = shapely.transform(polygon, lonlat)
    west, _, east, _ = transformed.bounds
    parts = _cut_at_180(transformed) if east - west > _FULL_TURN / 2 or east > 180 or west < -180 else [transformed]
    polygons = [orient(each) for part in parts for each in shapely.get_parts(part) if each.geom_type == "Polygon"]
    rounded = [shapely.transform(each, lambda points: np.round(points, LONLAT_DIGITS)) for each in polygons]
    return rounded[0] if len(rounded) == 1 else shapely.MultiPolygon(rounded)


def _cut_at_180(polygon: Outline) -> list[shapely.Geometry]:
    """Return the parts within -180 to 180 of a polygon with vertices on both sides of longitude 180."""
    eastward = shapely.transform(polygon, lambda points: np.stack([points[:, 0] % _FULL_TURN, points[:, 1]], axis=1))
    east = shapely.intersection(eastward, shapely.box(0, -90, 180, 90))
    west = shapely.intersection(eastward, shapely.box(180, -90, _FULL_TURN, 90))
    west = shapely.transform(west, lambda points: points - np.array([_FULL_TURN, 0.0]))
    return [part for part in (east, west) if not part.is_empty]


_NUMPY_TYPES: Final = {"integer": "int64", "real": "float64", "text": "string", "boolean": "bool"}
_BOX_COLUMNS: Final = ("ship", "length_m", "width_m", "heading_deg", "confidence", "cut", "length_px", "width_px")
_NEEDS_GEOREF: Final = ("geojson",)
"""Formats that need a georeference."""

_GPKG_VERSION: Final = "1.2"
"""Old programs, such as the GDAL of Debian 12, warn of versions above 1.3."""
_GPKG_DATE: Final = "2000-01-01T00:00:00.000Z"
"""Last change of every layer; the true date would make files of the same ships differ."""
_NO_CRS: Final = -1
"""SRS id of the standard for coordinates without a reference system: "undefined Cartesian"."""
_FULL_BELOW: Final = 1 << 20  # free bytes below which a disk counts as full
_SCHEMA_EXTENSION: Final = """
CREATE TABLE gpkg_data_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
  constraint_name TEXT,
  CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), CONSTRAINT gdc_tn UNIQUE (table_name, name),
  CONSTRAINT fk_gdc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name)
);
CREATE TABLE gpkg_data_column_constraints (
  constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
  max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
  CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value)
);
CREATE TABLE IF NOT EXISTS gpkg_extensions (
  table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL,
  CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
INSERT INTO gpkg_extensions VALUES
  ('gpkg_data_columns', NULL, 'gpkg_schema', 'http://www.geopackage.org/spec121/#extension_schema', 'read-write'),
  ('gpkg_data_column_constraints', NULL, 'gpkg_schema', 'http://www.geopackage.org/spec121/#extension_schema',
   'read-write');
"""
"""Source: OGC GeoPackage 1.2.1, annex F.9, the schema extension."""


def check_formats(names: Sequence[str], georef: GeoReference, *, scene: str) -> None:
    """Check that the formats exist and can hold the ships of a scene.

    Raises:
        ConfigError: A name is unknown, or a format needs a georeference that the scene lacks.
    """
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
        if name in _NEEDS_GEOREF and georef.crs_wkt is None:
            raise ConfigError(
                f"{scene} has no georeference and {name} holds longitudes and latitudes only: "
                "choose gpkg, csv, parquet or coco, which then hold pixels"
            )


def write_gpkg(path: Path, ships: SceneShips) -> None:
    """Write a GeoPackage in the scene's map coordinates: layer `ships` of outlines, layer `boxes` of rectangles.

    Without a coordinate reference system see `on_map`.

    Raises:
        StorageError: The file cannot be written.
    """
    units = "" if ships.georef.crs_wkt else " Without a coordinate reference system: x is the column, y minus the row."
    if units and not ships.georef.is_in_pixels:
        units = " In the map units of the scene, which has no coordinate reference system."
    outlines = [_multi(on_map(ship.polygon_px, ships.georef)) for ship in ships.ships]
    boxes = [on_map(shapely.Polygon(ship.box_px), ships.georef) for ship in ships.ships]
    short = [column for column in COLUMNS if column.name in _BOX_COLUMNS]
    crs = ships.georef.crs_wkt
    layers = [
        _Layer("ships", "MultiPolygon", f"Outlines of ships along the edges of their pixels.{units}", COLUMNS),
        _Layer("boxes", "Polygon", f"Oriented rectangles of the same ships. {AMBIGUITY}{units}", short),
    ]
    frames = [_frame(ships.ships, COLUMNS, outlines, crs), _frame(ships.ships, short, boxes, crs)]
    _write_layers(path, list(zip(layers, frames, strict=True)))


class _Layer(NamedTuple):
    """A layer of a GeoPackage, without its rows."""

    name: str
    geometry_type: str
    """Name in OGR, such as "MultiPolygon"."""
    description: str
    columns: Sequence[Column]


def _write_layers(path: Path, layers: Sequence[tuple[_Layer, geopandas.GeoDataFrame]]) -> None:
    """Write layers with their rows, completely or not at all.

    Args:
        path: File to write; it must end in .gpkg.
        layers: Each with a frame of its columns and the geometry; a frame may be empty.

    Raises:
        StorageError: The disk is full or `path` cannot be written.
    """
    with files.all_or_none(path.parent) as folder, _storage_errors(path):
        database_path = folder / path.name
        with _fixed_date(), ogr_path(database_path) as named:
            for layer, frame in layers:
                _add_layer(named, layer, frame)
        with contextlib.closing(sqlite3.connect(database_path)) as database, database:
            database.executescript(_SCHEMA_EXTENSION)
            database.executemany(
                "INSERT INTO gpkg_data_columns (table_name, column_name, description) VALUES (?, ?, ?)",
                [(layer.name, column.name, column.description) for layer, _ in layers for column in layer.columns],
            )


def _add_layer(path: Path, layer: _Layer, frame: geopandas.GeoDataFrame) -> None:
    options = {"SRID": str(_NO_CRS)} if frame.crs is None else {}
    frame.to_file(
        path,
        layer=layer.name,
        driver="GPKG",
        engine="pyogrio",
        geometry_type=layer.geometry_type,
        dataset_options={"VERSION": _GPKG_VERSION},
        layer_options={"DESCRIPTION": layer.description, **options},
        mode="a" if path.exists() else "w",
    )


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """Make GDAL write a fixed date, without warnings about missing reference systems."""
    with needing("geo"):
        import pyogrio
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _GPKG_DATE})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Raise errors of GDAL and SQLite as one StorageError."""
    with needing("geo"):
        from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
    try:
        yield
    except (DataSourceError, DataLayerError, FeatureError, GeometryError, sqlite3.Error) as error:
        if shutil.disk_usage(path.parent).free < _FULL_BELOW:
            raise files.no_space_left(path) from error
        raise StorageError(f"{path} cannot be written ({error}): choose another folder") from error


def write_parquet(path: Path, ships: SceneShips) -> None:
    """Write GeoParquet in longitude and latitude, so that many scenes can be read as one table.

    Without a georeference it is in pixels (x right, y down) and has no coordinate reference system.

    Raises:
        StorageError: The file cannot be written.
    """
    with needing("geo"):
        import pyarrow as pa
        from pyarrow import parquet
    has_georef = ships.georef.crs_wkt is not None
    outlines = [in_lonlat(ship.polygon_px, ships.georef) or ship.polygon_px for ship in ships.ships]
    frame = _frame(ships.ships, COLUMNS, outlines, "OGC:CRS84" if has_georef else None)
    descriptions = {column.name: column.description for column in COLUMNS}
    with files.atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False, schema_version="1.1.0", write_covering_bbox=True)
        table = parquet.read_table(temporary)
        fields = [field.with_metadata({"description": descriptions.get(field.name, "")}) for field in table.schema]
        schema = pa.schema(fields, metadata=table.schema.metadata)
        parquet.write_table(pa.Table.from_arrays(table.columns, schema=schema), temporary)


def _frame(
    ships: Sequence[SceneShip], columns: Sequence[Column], geometry: Sequence[Outline], crs: str | None
) -> geopandas.GeoDataFrame:
    """Return the ships as a table with the types of the columns, also if there are none."""
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
    """Write GeoJSON as in RFC 7946: WGS 84, exteriors counter-clockwise, cut at longitude 180.

    Raises:
        ConfigError: The scene has no georeference.
        StorageError: The file cannot be written.
    """
    check_formats(["geojson"], ships.georef, scene=ships.scene)
    features = [
        {
            "type": "Feature",
            "id": ship.id,
            "properties": {column.name: column.value(ship) for column in COLUMNS},
            "geometry": shapely.geometry.mapping(_to_lonlat(ship.polygon_px, ships.georef)),
        }
        for ship in ships.ships
    ]
    collection = {"type": "FeatureCollection", "description": AMBIGUITY, "features": features}
    files.write_text(path, json.dumps(collection, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def _to_lonlat(outline: Outline, georef: GeoReference) -> Outline:
    transformed = in_lonlat(outline, georef)
    assert transformed is not None
    return transformed


def write_csv(path: Path, ships: SceneShips) -> None:
    """Write a CSV with one row per ship, outline and box as well-known text in longitude and latitude.

    Without a georeference the geometries are in pixels (x right, y down).

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
    files.write_text(path, files.csv_text([*(column.name for column in COLUMNS), "wkt", "box_wkt"], rows))


def _in_csv(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def write_scene_coco(path: Path, ships: SceneShips) -> None:
    """Write a COCO instance file in pixels of the scene; the ids of its annotations are the numbers of the ships.

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
"""File name and writer of each format."""
