"""Makes the images ships.jpg and world.jpg in docs/images from a finished demo, without manual selection.

    python benchmarks/docs_pictures.py demo docs/images

ships.jpg: the first eight unseen images with at least two true ships, with the detections of the default network.
world.jpg: the first twelve synthetic training images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.data.labels import find_airbus_folder, read_table
from shipseg.inference.overlay import draw_ships
from shipseg.inference.predictor import load_model
from shipseg.reading import list_images, read_image

SIDE = 384
GAP = 6
MIN_SHIPS = 2


def sheet(images: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Return the images side by side on white, uint8 (H, W, 3)."""
    step = SIDE + GAP
    rows = -(-len(images) // columns)
    page = np.full((rows * step - GAP, columns * step - GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        page[row * step : row * step + SIDE, column * step : column * step + SIDE] = image[:SIDE, :SIDE]
    return page


def save(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image as JPEG."""
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])


def main() -> None:
    """Make both images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    model = load_model()
    folder = find_airbus_folder(given.demo / "unseen")
    labels = read_table(folder.csv).frame
    shown = labels["ImageId"][labels["rles"].map(len) >= MIN_SHIPS].tolist()[:8]
    images = [read_image(folder.images / name) for name in shown]
    save(given.out / "ships.jpg", sheet([draw_ships(image, model.predict(image).ships) for image in images], 4))
    world = list_images(given.demo / "airbus" / "train_v2")[:12]
    save(given.out / "world.jpg", sheet([read_image(path) for path in world], 6))


if __name__ == "__main__":
    main()
