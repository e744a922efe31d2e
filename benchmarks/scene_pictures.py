"""Makes docs/images/scene.jpg: the first synthetic scene of a seed with its true ships outlined.

python benchmarks/scene_pictures.py docs/images
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import shapely

from shipseg.geo.reader import open_scene
from shipseg.scenes.matching import read_ships, truth_path
from shipseg.synth import write_scenes
from shipseg.tiling import Window

SEED = 5
SHAPE = (3000, 4000)
WIDTH = 1000
TRUE = (255, 205, 0)
QUALITY = 82


def main() -> None:
    """Make the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder), scenes=1, seed=SEED, shape=SHAPE, workers=1)
        path = Path(folder) / "scene-000.tif"
        with open_scene(path) as scene:
            shape = (WIDTH * SHAPE[0] // SHAPE[1], WIDTH)
            image, _ = scene.read(Window(0, 0, *SHAPE), shape)
            ships = read_ships(truth_path(path), scene.georef)
    image = np.ascontiguousarray(image)
    for ship in ships:
        for part in shapely.get_parts(ship.polygon_px.buffer(6, join_style="mitre")):
            points = np.asarray(part.exterior.coords) * (WIDTH / SHAPE[1])
            line = [np.round((points - 0.5) * 16).astype(np.int32)]
            cv2.polylines(image, line, isClosed=True, color=TRUE, thickness=1, lineType=cv2.LINE_AA, shift=4)
    given.out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(given.out / "scene.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
