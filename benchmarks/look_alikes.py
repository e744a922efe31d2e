"""The worst errors of a model on synthetic test images, as one image for docs/model.md.

    python -m benchmarks.look_alikes AIRBUS_FOLDER [docs/images/model-mistakes.jpg] [--model MODEL] [--images N]

First two rows: false alarms, by descending peak probability. Last two: the largest true ships without a matching
detection. Yellow: truth, pink: detections. No manual selection; each image gives at most one example to each half.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from benchmarks.world_pictures import joined
from numpy.typing import NDArray

from shipseg import progress
from shipseg.errors import ShipsegError
from shipseg.evaluation.labelled import labelled_from_airbus_folder
from shipseg.evaluation.scores import true_ships, union_mask
from shipseg.inference.predictor import load_model
from shipseg.masks.metrics import match_pairs, ship_iou_matrix
from shipseg.masks.ships import Ship

SIDE, ZOOM, COLUMNS = 96, 2, 6
TRUTH, FOUND = (255, 225, 60), (255, 64, 180)


@dataclass(frozen=True, eq=False)
class Mistake:
    """A drawn crop of an image around an error, and its severity."""

    severity: float
    crop: NDArray[np.uint8]


def cut_out(
    image_hwc: NDArray[np.uint8], center_rc: tuple[float, float], truth: Sequence[Ship], found: Sequence[Ship]
) -> NDArray[np.uint8]:
    """Return an enlarged crop of SIDE x SIDE px around a position, with outlines of true and predicted ships."""
    shape = (image_hwc.shape[0], image_hwc.shape[1])
    row, col = (int(np.clip(at - SIDE / 2, 0, max(0, side - SIDE))) for at, side in zip(center_rc, shape, strict=True))
    window = (slice(row, row + SIDE), slice(col, col + SIDE))
    large = cv2.resize(image_hwc[window], None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    for ships, color in ((found, FOUND), (truth, TRUTH)):
        for ship in ships:
            mask = union_mask([ship], shape)[window].astype(np.uint8)
            mask = np.kron(mask, np.ones((ZOOM, ZOOM), np.uint8))
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(large, contours, -1, color, 1)
    return np.asarray(large, np.uint8)


def mistakes(
    folder: Path, model: str | None, *, num_images: int | None = None
) -> Iterator[tuple[Mistake | None, Mistake | None]]:
    """Yield for each image its false alarm with the highest peak and its largest unmatched ship."""
    predictor = load_model(model)
    for image in progress.track(labelled_from_airbus_folder(folder).images[:num_images], "predicting"):
        pixels = image.read()
        truth, found = true_ships(image.rles, (pixels.shape[0], pixels.shape[1])), predictor.predict(pixels).ships
        iou_tp = ship_iou_matrix(truth, found)
        pairs = match_pairs(iou_tp)
        alarms = [ship for ship, best in zip(found, iou_tp.max(axis=0, initial=0.0), strict=True) if best == 0]
        missed = [ship for place, ship in enumerate(truth) if place not in pairs]
        alarm = max(alarms, key=lambda ship: ship.peak, default=None)
        miss = max(missed, key=lambda ship: ship.area_px, default=None)
        yield (
            None if alarm is None else Mistake(alarm.peak, cut_out(pixels, alarm.center_rc, truth, found)),
            None if miss is None else Mistake(miss.area_px, cut_out(pixels, miss.center_rc, truth, found)),
        )


def main() -> None:
    """Make the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/images/model-mistakes.jpg"))
    parser.add_argument("--model")
    parser.add_argument("--images", type=int, help="number of images to predict; default all")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    found = list(mistakes(given.folder, given.model, num_images=given.images))
    rows = []
    for half in (0, 1):
        worst = sorted((one for pair in found if (one := pair[half]) is not None), key=lambda one: -one.severity)
        crops = [mistake.crop for mistake in worst[: 2 * COLUMNS]]
        print(f"{len(worst)} images with {('a false alarm', 'a ship that is not matched')[half]}")
        blank = np.full((SIDE * ZOOM, SIDE * ZOOM, 3), 255, np.uint8)
        crops += [blank] * (-len(crops) % COLUMNS)
        rows += [joined(crops[at : at + COLUMNS], axis=1) for at in range(0, len(crops), COLUMNS)]
    if not rows:
        sys.exit("the model made no error on these images: give more images")
    cv2.imwrite(str(given.out), joined(rows, axis=0)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    try:
        main()
    except ShipsegError as error:
        sys.exit(f"error: {error}")
