"""A process that predicts a scene slowly, to be killed while it runs: SCENE OUT SECONDS_PER_TILE.

Also the small scene and the network without weights shared by the tests of scenes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.inference.predictor import Predictor
from shipseg.model.card import Card, CardInput
from shipseg.scenes.options import SceneOptions
from shipseg.scenes.predict import predict_scene

TILE, OVERLAP = 96, 24
OPTIONS = SceneOptions(formats=("gpkg", "csv", "geojson"), mask=True)


class Red:
    """A network whose probability is red, weighted by the column in the tile: overlapping tiles differ."""

    pixels_per_batch = 2 * TILE * TILE

    def __init__(self, seconds_per_tile: float = 0.0) -> None:
        self.seconds_per_tile = seconds_per_tile
        self.num_tiles = 0

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        self.num_tiles += len(images_n3hw)
        time.sleep(self.seconds_per_tile * len(images_n3hw))
        ramp = np.linspace(0.9, 1, images_n3hw.shape[3], dtype=np.float32)
        return images_n3hw[:, :1] / np.float32(255) * ramp


def make_predictor(seconds_per_tile: float = 0.0, *, scale: float = 1.0) -> Predictor:
    decision = Decision(threshold=0.5, min_peak=0.6, min_area_px=4)
    card = Card(name="red", input=CardInput(tile=TILE, overlap=OVERLAP, scale=scale), decision=decision)
    return Predictor(card, Red(seconds_per_tile))


def ships_image(height: int, width: int, seed: int = 0, *, number: int = 40) -> NDArray[np.uint8]:
    """Return dark noise (H, W, 3) with bright bars along the axes at random positions, also across the edges."""
    random = np.random.default_rng(seed)
    image_hwc = random.integers(0, 60, (height, width, 3), np.uint8)
    for _ in range(number):
        row, column = random.integers(-10, [height, width])
        rows, columns = random.permutation([random.integers(3, 10), random.integers(8, 60)])
        place = slice(max(row, 0), max(row + rows, 0)), slice(max(column, 0), max(column + columns, 0))
        image_hwc[place] = random.integers(100, 255)
    return image_hwc


def write_scene(path: Path, image_hwc: NDArray[np.uint8], *, nodata: int | None = None, metres: float = 1.5) -> Path:
    """Write an image as a tiled GeoTIFF in UTM zone 31 north."""
    import rasterio

    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=image_hwc.shape[0],
        width=image_hwc.shape[1],
        count=3,
        dtype="uint8",
        crs="EPSG:32631",
        transform=rasterio.Affine(metres, 0, 500_000, 0, -metres, 5_600_000),
        tiled=True,
        blockxsize=128,
        blockysize=128,
        nodata=nodata,
    ) as dataset:
        dataset.write(np.moveaxis(image_hwc, -1, 0))
    return path


if __name__ == "__main__":
    predict_scene(sys.argv[1], Path(sys.argv[2]), make_predictor(float(sys.argv[3])), OPTIONS)
