"""Options for predicting a scene."""

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
    """What to predict in a scene and which files to write.

    Raises:
        ConfigError: The threshold is outside 0-1, or another number is not positive.
    """

    formats: tuple[str, ...] = ("gpkg", "csv")
    """Formats of the ships' files, names of `scenes.vectors.FORMATS`."""
    probability: bool = True
    """Write probability.tif."""
    mask: bool = False
    """Write mask.tif."""
    quicklook: bool = True
    """Write quicklook.png and report.html."""
    water: Path | None = None
    """File of water polygons; pixels outside are not predicted."""
    area: Path | None = None
    """File of polygons of interest; pixels outside are not predicted."""
    bands: tuple[int, ...] | None = None
    """Bands to read as red, green and blue, counted from 1; None selects them by the file's metadata."""
    stretch: str | None = None
    """Stretch of the values to 8 bits: `none`, `LOW,HIGH` or `percent:LOW,HIGH`; None keeps 8-bit values."""
    metres_per_pixel: float | None = None
    """Pixel size on the ground; None takes it from the file."""
    gate: bool = True
    """Skip tiles that are empty according to the model's gate, if it has one."""
    threshold: float | None = None
    """Above 0 and at most 1; None takes the model's."""
    batch: int | None = None
    """Tiles per batch; None takes the number that suits the backend."""
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
        """Return the model's decision rule with the requested threshold.

        Ships keep their outlines, since a map shows what was detected and rectangles would extend beyond the blocks in
        which ships are found.
        """
        requested: dict[str, Any] = {"rectangles": False}
        if self.threshold is not None:
            requested["threshold"] = self.threshold
        return of_model.model_copy(update=requested)

    def probability_options(self) -> dict[str, Any]:
        """Return the options that determine the probability as plain data, with files of polygons by their content.

        Raises:
            DataError: A file of polygons cannot be read.
        """
        return {
            "bands": None if self.bands is None else list(self.bands),
            "stretch": self.stretch,
            "metres_per_pixel": self.metres_per_pixel,
            "water": _file_identity(self.water, "--water"),
            "area": _file_identity(self.area, "--area"),
            "gate": self.gate,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the options that determine the content of the results as plain data.

        Raises:
            DataError: A file of polygons cannot be read.
        """
        written = {"formats": sorted(self.formats), "probability": self.probability, "mask": self.mask}
        return {**self.probability_options(), **written, "quicklook": self.quicklook, "threshold": self.threshold}


def _file_identity(path: Path | None, flag: str) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        with Path(path).open("rb") as stream:
            return {"name": Path(path).name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
    except OSError as error:
        raise DataError(f"the polygons {path} of {flag} cannot be read ({error.strerror}): check the path") from error
