"""Opening a scene of any kind, and reading windows of it as RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shipseg.scenes.georef import GeoReference
from shipseg.scenes.stretch import Stretch
from shipseg.tiling import Window

__all__ = ["Scene", "open_scene"]


class Scene:
    """A scene that is open for reading, from one thread at a time. Made by `open_scene`."""

    name: str
    """The file's name without folder and ending."""
    path: str
    """The path or address as it was given."""
    height: int
    width: int
    bands: tuple[int, ...]
    """Which bands (from 1) become red, green and blue; one for grey."""
    dtype: str
    """Of the file's values, such as "uint16"."""
    georef: GeoReference
    metres_per_pixel_rc: tuple[float, float] | None
    """Metres of one row step and of one column step: as stated by the caller, else at the scene's centre, else None."""
    acquired: str | None
    """When the picture was taken, ISO 8601, where the file says so."""
    block_shape: tuple[int, int]
    """(rows, columns) that the file stores together."""
    stretch: Stretch
    notes: tuple[str, ...]
    """Sentences about how this scene is read that people should see beside the result."""

    def read(
        self, window: Window, out_shape: tuple[int, int] | None = None, *, from_overviews: bool = False
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return RGB uint8 (h, w, 3) and where there is data bool (h, w); black where there is none.

        Args:
            window: Inside the scene.
            out_shape: (h, w) to resize to, edges to edges: area means when shrinking, bilinear when growing, as
                `Predictor` does; None gives the window's own pixels.
            from_overviews: Take reduced copies in the file where there are some: fast and not exact.

        Raises:
            DataError: The file is damaged there, or the connection was lost.
            ConfigError: The window does not lie inside the scene.
        """
        raise NotImplementedError

    def fingerprint(self) -> dict[str, int | str]:
        """Return what tells this file from another version of it: size, time of change and a hash of its header."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_scene(
    path_or_url: str | Path,
    *,
    bands: Sequence[int] | None = None,
    stretch: str | None = None,
    metres_per_pixel: float | None = None,
) -> Scene:
    """Return a scene, open for reading.

    Args:
        path_or_url: A file, or an address that starts with http://, https://, s3://, gs:// or az://.
        bands: One band (grey) or three (red, green, blue), counted from 1; None chooses by what the file says.
        stretch: "LOW,HIGH", "none" or "percent:LOW,HIGH"; None takes 8 bits as they are and chooses for others.
        metres_per_pixel: What a pixel measures; None takes it from the georeference.

    Raises:
        DataError: There is no such raster, or it cannot be read.
        ConfigError: A band, stretch or pixel size that does not fit.
        MissingExtraError: rasterio is not installed.
    """
    raise NotImplementedError
