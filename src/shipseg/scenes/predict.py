"""A scene in, a folder of ships, rasters and pages out."""

from __future__ import annotations

from pathlib import Path

from shipseg.inference.predictor import Predictor
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.result import SceneResult

__all__ = ["predict_scene"]


def predict_scene(
    scene_path: str | Path, out: Path, predictor: Predictor, options: SceneOptions | None = None
) -> SceneResult:
    """Look for ships in a scene and write `out/NAME/`, whole or not at all; go on where a killed run stopped.

    Args:
        scene_path: A raster that GDAL reads: a local path, or an http, https or s3 address.
        out: Folder of results; `out/.NAME.work/` holds unfinished work until it is done.
        predictor: The model.
        options: What to look at and what to write.

    Raises:
        DataError: The scene cannot be read, or a part of it.
        ConfigError: Finished results of other options are in the way, or the options do not fit the scene.
        ModelError: The network gave something other than probabilities.
        StorageError: The results cannot be written; nothing half-written has a final name.
        MissingExtraError: rasterio or another part of the extra `geo` is not installed.
    """
    raise NotImplementedError
