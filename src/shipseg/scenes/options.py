"""What is asked for when ships are looked for in a scene."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipseg.config import Decision
from shipseg.errors import ConfigError, DataError
from shipseg.inference.predictor import checked_threshold

__all__ = ["SceneOptions"]


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """What to look at in a scene and what to write about it.

    Raises:
        ConfigError: A threshold outside 0-1, a number that must be positive and is not.
    """

    formats: tuple[str, ...] = ("gpkg", "csv")
    """Files of ships, of `scenes.vectors.FORMATS`."""
    probability: bool = True
    """Write probability.tif."""
    mask: bool = False
    """Write mask.tif."""
    quicklook: bool = True
    """Write quicklook.png and report.html."""
    water: Path | None = None
    """Polygons of water; what lies outside is not looked at."""
    area: Path | None = None
    """Polygons of interest; what lies outside is not looked at."""
    bands: tuple[int, ...] | None = None
    """Bands to take for red, green and blue, counted from 1; None chooses by the file."""
    stretch: str | None = None
    """How values become 8 bits: `none`, `LOW,HIGH`, `percent:LOW,HIGH`; None leaves 8 bits as they are."""
    metres_per_pixel: float | None = None
    """Size of a pixel on the ground; None asks the file."""
    gate: bool = True
    """Skip tiles that the model's gate calls empty, where the model has a gate."""
    threshold: float | None = None
    """Above 0 and at most 1; None takes the model's own."""
    batch: int | None = None
    """Tiles given to the network at once; None as many as suit what runs it."""
    overwrite: bool = False
    """Replace finished results that were made with other options."""

    def __post_init__(self) -> None:
        if self.threshold is not None:
            checked_threshold(self.threshold)
        if self.metres_per_pixel is not None and not 0 < self.metres_per_pixel < float("inf"):
            raise ConfigError(f"metres-per-pixel must be above 0, got {self.metres_per_pixel}")
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f"batch must be at least 1, got {self.batch}")

    def decision(self, of_model: Decision) -> Decision:
        """Return what makes a ship: the model's decision, with the threshold that was asked for.

        Ships keep their outlines: a map shall show what was seen. Rectangles reach beyond the blocks that scenes are
        searched in, too.
        """
        asked: dict[str, Any] = {"rectangles": False}
        if self.threshold is not None:
            asked["threshold"] = self.threshold
        return of_model.model_copy(update=asked)

    def probability_options(self) -> dict[str, Any]:
        """Return the options that decide which probability comes out, as plain data: polygons by their content.

        Raises:
            DataError: A file of polygons cannot be read.
        """
        return {
            "bands": None if self.bands is None else list(self.bands),
            "stretch": self.stretch,
            "metres_per_pixel": self.metres_per_pixel,
            "water": _content(self.water, "--water"),
            "area": _content(self.area, "--area"),
            "gate": self.gate,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the options that decide what the result's files hold, as plain data.

        Raises:
            DataError: A file of polygons cannot be read.
        """
        written = {"formats": sorted(self.formats), "probability": self.probability, "mask": self.mask}
        return {**self.probability_options(), **written, "quicklook": self.quicklook, "threshold": self.threshold}


def _content(path: Path | None, flag: str) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        with Path(path).open("rb") as stream:
            return {"name": Path(path).name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
    except OSError as error:
        raise DataError(f"the polygons {path} of {flag} cannot be read ({error.strerror}): check the path") from error
