"""Where a synthetic scene lies on Earth, and its ships as a GeoPackage: from how they were drawn, not from pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg import files
from shipseg.extras import needing
from shipseg.synth.cells import DrawnShip
from shipseg.synth.distributions import Rng

__all__ = ["TRUTH_COLUMNS", "TRUTH_LAYER", "TRUTH_SUFFIX", "Place", "draw_place", "ship_facts", "write_truth"]

TRUTH_SUFFIX = ".ships.gpkg"
TRUTH_LAYER = "ships"
TRUTH_COLUMNS = {
    "id": int,
    "kind": str,
    "length_m": float,
    "width_m": float,
    "heading_deg": float,
    "label_length_m": float,
    "label_width_m": float,
    "lon": float,
    "lat": float,
    "visible_share": float,
    "cut": bool,
}
"""Columns of the truth beside its polygons, which are what a mask of the ship covers inside the scene.

length_m and width_m are the hull's, on the ground; label_length_m and label_width_m those of what the mask covers (the
annotators' rectangle is a little larger than the hull). heading_deg is the direction of the bow, clockwise from true
north, 0 to below 360. visible_share says how much of the label's area inside the scene nothing hides. cut says whether
the scene's edge cuts the label.
"""
_FIXED_DATE = "2000-01-01T00:00:00.000Z"
"""The same scene gives the same bytes; a GeoPackage holds the date of its last change."""


@dataclass(frozen=True)
class Place:
    """Where a scene lies: UTM, north up, square pixels.

    Attributes:
        epsg: Code of the UTM zone.
        east: Of the upper left corner, in metres.
        north: Likewise.
        metres_per_pixel: Size of a pixel on the grid.
    """

    epsg: int
    east: float
    north: float
    metres_per_pixel: float

    def grid(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (N, 2) in pixels, x right and y down along pixel edges, as east and north."""
        return np.asarray((self.east, self.north)) + points_xy * (self.metres_per_pixel, -self.metres_per_pixel)


def draw_place(rng: Rng, shape: tuple[int, int], metres_per_pixel: float) -> Place:
    """Return a place for a scene of `shape` somewhere between 60 degrees south and 60 degrees north."""
    zone, south = int(rng.integers(1, 61)), bool(rng.random() < 0.3)
    east = float(np.round(rng.uniform(200_000, 800_000 - min(shape[1] * metres_per_pixel, 500_000)), -2))
    # UTM counts from the equator, on the southern half from 10,000 km below it.
    north = float(np.round(rng.uniform(3_400_000, 9_800_000) if south else rng.uniform(300_000, 6_600_000), -2))
    return Place((32700 if south else 32600) + zone, east, north, metres_per_pixel)


def write_truth(path: Path, ships: Sequence[DrawnShip], place: Place, shape: tuple[int, int]) -> None:
    """Write the true ships of a scene as a GeoPackage with one layer, whole or not at all; no ship is a layer, too.

    Args:
        path: File to write.
        ships: As they were drawn, in pixels of the scene.
        place: Where the scene lies.
        shape: (height, width) of the scene in pixels.

    Raises:
        MissingExtraError: The extra `geo` is not installed.
        StorageError: The file cannot be written.
    """
    with needing("geo"):
        import geopandas
        import pandas as pd
        import pyogrio
        import shapely
    inside = shapely.box(0, 0, shape[1], shape[0])
    labels = [shapely.Polygon(ship.label_xy) for ship in ships]
    rows = [
        {"id": number, **ship_facts(ship, place), "cut": not inside.covers(label)}
        for number, (ship, label) in enumerate(zip(ships, labels, strict=True), start=1)
    ]
    seen = [max(shapely.get_parts(label.intersection(inside)), key=lambda part: part.area) for label in labels]
    polygons = [shapely.transform(part, place.grid) for part in seen]
    table = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in TRUTH_COLUMNS.items()}
    )
    frame = geopandas.GeoDataFrame(table, geometry=polygons, crs=f"EPSG:{place.epsg}")
    with tempfile.TemporaryDirectory() as folder, files.storage_errors(path):
        temporary = Path(folder) / path.name  # GDAL wants the right suffix
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_DATE})
        try:
            pyogrio.write_dataframe(
                frame, temporary, layer=TRUTH_LAYER, driver="GPKG", geometry_type="Polygon", VERSION="1.2"
            )
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
        files.write_bytes(path, temporary.read_bytes())


def ship_facts(ship: DrawnShip, place: Place) -> dict[str, Any]:
    """Return a ship's measures on the ground, by geodesics between its ends."""
    import pyproj

    along = np.array([np.cos(ship.heading_rad), np.sin(ship.heading_rad)])
    across = np.array([-along[1], along[0]])
    middle = np.array([ship.x, ship.y])
    half_long, half_wide = along * ship.length_px / 2, across * ship.beam_px / 2
    points = np.stack([middle, middle - half_long, middle + half_long, middle - half_wide, middle + half_wide])
    to_lonlat = pyproj.Transformer.from_crs(place.epsg, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(*place.grid(points).T)
    heading, _, length = pyproj.Geod(ellps="WGS84").inv(lon[1], lat[1], lon[2], lat[2])
    _, _, width = pyproj.Geod(ellps="WGS84").inv(lon[3], lat[3], lon[4], lat[4])
    grown = 2 * ship.margin_px
    return {
        "kind": ship.kind,
        "length_m": length,
        "width_m": width,
        "heading_deg": heading % 360,
        "label_length_m": length * (1 + grown / ship.length_px),
        "label_width_m": width * (1 + grown / ship.beam_px),
        "lon": float(lon[0]),
        "lat": float(lat[0]),
        "visible_share": min(1.0, ship.visible_share),
    }
