"""What came of looking for ships in a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shipseg.masks.ships import Ship

if TYPE_CHECKING:
    from shipseg.scenes.ships import SceneShip

__all__ = ["Dropped", "Finds", "FoundShip", "SceneResult", "Seconds"]


@dataclass(frozen=True, eq=False, slots=True)
class FoundShip:
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
class Finds:
    """What the network saw in a scene, before it is measured on the ground."""

    ships: tuple[FoundShip, ...]
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
