"""A GeoPackage with described columns: the same content gives the same bytes."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from shipseg import files
from shipseg.errors import StorageError
from shipseg.extras import needing
from shipseg.geo.gdal import ogr_path
from shipseg.scenes.columns import Column

if TYPE_CHECKING:
    import geopandas

__all__ = ["Layer", "write_geopackage"]

_VERSION: Final = "1.2"
"""Old programs, such as the GDAL of Debian 12, warn of versions above 1.3."""
_DATE: Final = "2000-01-01T00:00:00.000Z"
"""Said of every layer's last change: with the true one the same ships would not give the same file."""
_NO_CRS: Final = -1
"""The standard's number for coordinates that are nowhere on Earth: "undefined Cartesian"."""
_FULL_BELOW: Final = 1 << 20  # bytes left on a disk
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
"""Source: OGC GeoPackage 1.2.1, annex F.9, the extension that describes columns."""


class Layer(NamedTuple):
    """A layer of a GeoPackage, without its rows."""

    name: str
    geometry_type: str
    """As OGR names it, such as "MultiPolygon"."""
    description: str
    columns: Sequence[Column]


def write_geopackage(path: Path, layers: Sequence[tuple[Layer, geopandas.GeoDataFrame]]) -> None:
    """Write layers with their rows, whole or not at all.

    Args:
        path: File to write; it must end in .gpkg.
        layers: Each with a frame of its columns and a geometry; a frame may be empty.

    Raises:
        StorageError: The disk is full or the place cannot be written.
    """
    with files.all_or_none(path.parent) as folder, _refusals(path):
        whole = folder / path.name
        with _dated(), ogr_path(whole) as named:
            for layer, frame in layers:
                _add_layer(named, layer, frame)
        with contextlib.closing(sqlite3.connect(whole)) as database, database:
            database.executescript(_SCHEMA_EXTENSION)
            database.executemany(
                "INSERT INTO gpkg_data_columns (table_name, column_name, description) VALUES (?, ?, ?)",
                [(layer.name, column.name, column.description) for layer, _ in layers for column in layer.columns],
            )


def _add_layer(path: Path, layer: Layer, frame: geopandas.GeoDataFrame) -> None:
    options = {"SRID": str(_NO_CRS)} if frame.crs is None else {}
    frame.to_file(
        path,
        layer=layer.name,
        driver="GPKG",
        engine="pyogrio",
        geometry_type=layer.geometry_type,
        dataset_options={"VERSION": _VERSION},
        layer_options={"DESCRIPTION": layer.description, **options},
        mode="a" if path.exists() else "w",
    )


@contextlib.contextmanager
def _dated() -> Iterator[None]:
    """Let GDAL write the same date always, and say nothing of coordinates that are nowhere on Earth."""
    with needing("geo"):
        import pyogrio
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn what GDAL and SQLite say of a disk that takes no more into one sentence."""
    with needing("geo"):
        from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
    try:
        yield
    except (DataSourceError, DataLayerError, FeatureError, GeometryError, sqlite3.Error) as error:
        if shutil.disk_usage(path.parent).free < _FULL_BELOW:
            raise StorageError(
                f"no space left on the disk while writing {path}: free some space and run again"
            ) from error
        raise StorageError(f"{path} cannot be written ({error}): choose another folder") from error
