"""Columns of the tables of ships, one list for all file formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from shipseg.number_formats import rounded
from shipseg.scenes.ships import SceneShip

__all__ = ["AMBIGUITY", "COLUMNS", "Column", "Value"]

Value = int | float | str | bool | None

AMBIGUITY: Final = (
    "Bow and stern are not distinguished: a ship heads in the given direction or in the opposite one, 180 degrees more."
)


class Column(NamedTuple):
    """A column of the tables of ships."""

    name: str
    kind: Literal["integer", "real", "text", "boolean"]
    description: str
    value: Callable[[SceneShip], Value]
    """Returns the value for a ship, rounded as it is written; None if it is unknown."""


def _heading(value: float | None) -> float | None:
    return None if value is None else round(value, 2) % 180  # 179.999 must not become 180


COLUMNS: Final = (
    Column("ship", "integer", "Number of the ship in its scene, from 1, as in the quicklook.", lambda ship: ship.id),
    Column("scene", "text", "Name of the scene.", lambda ship: ship.scene),
    Column("acquired", "text", "Acquisition time of the scene, ISO 8601, if known.", lambda ship: ship.acquired),
    Column("lon", "real", "Longitude of the centre, degrees, WGS 84.", lambda ship: rounded(ship.lon, 7)),
    Column("lat", "real", "Latitude of the centre, degrees, WGS 84.", lambda ship: rounded(ship.lat, 7)),
    Column("length_m", "real", "Length on the ground, metres.", lambda ship: rounded(ship.length_m, 2)),
    Column("width_m", "real", "Width on the ground, metres.", lambda ship: rounded(ship.width_m, 2)),
    Column("area_m2", "real", "Area on the ground, square metres.", lambda ship: rounded(ship.area_m2, 2)),
    Column(
        "heading_deg",
        "real",
        f"Degrees clockwise from true north, 0 to below 180. {AMBIGUITY}",
        lambda ship: _heading(ship.heading_deg),
    ),
    Column("confidence", "real", "Mean probability of the ship's pixels, 0-1.", lambda ship: round(ship.confidence, 4)),
    Column("peak", "real", "Highest probability of the ship's pixels, 0-1.", lambda ship: round(ship.peak, 4)),
    Column(
        "cut",
        "boolean",
        "The ship touches the scene's edge or pixels that were not predicted: it may be longer than measured.",
        lambda ship: ship.cut,
    ),
    Column(
        "x_px",
        "real",
        "Column of the centre in the scene, 0 at the left edge.",
        lambda s: round(s.ship.center_rc[1], 2),
    ),
    Column("y_px", "real", "Row of the centre in the scene, 0 at the top.", lambda s: round(s.ship.center_rc[0], 2)),
    Column("length_px", "real", "Length in pixels of the scene.", lambda ship: round(ship.ship.length_px, 2)),
    Column("width_px", "real", "Width in pixels of the scene.", lambda ship: round(ship.ship.width_px, 2)),
    Column("area_px", "integer", "Number of pixels.", lambda ship: ship.ship.area_px),
    Column(
        "heading_px_deg",
        "real",
        f"Degrees clockwise from up in the image, 0 to below 180. {AMBIGUITY}",
        lambda ship: _heading(ship.ship.heading_deg),
    ),
)
"""In the order of the files. In a scene without a georeference the columns on the ground are empty; sizes in metres are
filled in if the user gave the pixel size."""
