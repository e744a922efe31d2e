"""Effect of splitting touching ships: ships found with and without it, everything else equal.

    python benchmarks/separate.py [--images 600] [--seed 77] [--smooth 1.2] [--noise 0.05] [--model MODEL]

Synthetic images with ships, many of them in harbours, with a seed that is not used for training. Without a model the
probability is the true coverage, smoothed by `--smooth` px and with noise where it is neither 0 nor 1. A ship is found
if its IoU with a predicted one is above 0.5; ships below 8 px do not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.masks.metrics import match_pairs, ship_iou_matrix
from shipseg.masks.ships import Ship, find_ships, ship_from_mask
from shipseg.synth import WorldConfig
from shipseg.synth.paint.sensor import decode_jpeg, encode_jpeg
from shipseg.synth.view import View
from shipseg.synth.world import render

MIN_PX = 8


@dataclass
class Tally:
    """Counts with or without splitting."""

    found: int = 0
    predicted: int = 0
    true: int = 0
    touching_found: int = 0
    touching: int = 0
    broken: int = 0
    """True ships of which at least two predicted ships each cover a fifth or more."""
    elapsed_s: float = 0.0

    def line(self) -> str:
        """Return the scores on one line."""
        precision, recall = self.found / max(self.predicted, 1), self.found / max(self.true, 1)
        f1 = 2 * self.found / max(self.predicted + self.true, 1)
        return (
            f"F1 {f1:.3f}  precision {precision:.3f}  recall {recall:.3f}  recall of touching ships "
            f"{self.touching_found}/{self.touching} = {self.touching_found / max(self.touching, 1):.3f}  "
            f"ships broken {self.broken}  {1000 * self.elapsed_s:.0f} ms"
        )


def true_ships(view: View) -> tuple[list[Ship], list[bool]]:
    """Return the true ships of an image, and whether each touches another."""
    solid = np.where(view.coverage_hw >= 128, view.owner_hw, 0)
    _, together = cv2.connectedComponents((solid > 0).astype(np.uint8), connectivity=8)
    ships, touching = [], []
    for number in np.flatnonzero(np.bincount(solid.ravel())):
        if number and np.count_nonzero(solid == number) >= MIN_PX:
            groups = np.unique(np.asarray(together)[solid == number])
            ships.append(ship_from_mask(solid == number))
            touching.append(len(np.unique(solid[np.isin(together, groups) & (solid > 0)])) > 1)
    return ships, touching


def simulated(view: View, rng: np.random.Generator, *, smooth: float, noise: float) -> NDArray[np.float32]:
    """Return a simulated probability: the smoothed coverage with noise at the ships' edges."""
    smoothed = np.asarray(cv2.GaussianBlur(view.coverage_hw.astype(np.float32) / 255, (0, 0), smooth), np.float32)
    grain = cv2.GaussianBlur(rng.normal(size=smoothed.shape).astype(np.float32), (0, 0), 1.0)
    # Smoothing scales white noise by 1 / (2 sqrt(pi)); this is undone.
    strength = noise * 2 * np.sqrt(np.pi) * np.sqrt(np.clip(smoothed * (1 - smoothed), 0, 1))
    return np.asarray(np.clip(smoothed + grain * strength, 0, 1), np.float32)


def count(
    tally: Tally, ships: list[Ship], touching: list[bool], predicted: tuple[Ship, ...], shape: tuple[int, int]
) -> None:
    """Add an image to the tally."""
    labels = np.zeros(shape, np.int32)
    for number, ship in enumerate(predicted, start=1):
        labels[ship.full_mask(shape)] = number
    pairs = match_pairs(ship_iou_matrix(ships, predicted))
    tally.predicted += len(predicted)
    for place, (ship, is_touching) in enumerate(zip(ships, touching, strict=True)):
        under = np.bincount(labels[ship.full_mask(shape)], minlength=len(predicted) + 1)
        under[0] = 0
        is_found = place in pairs
        tally.true += 1
        tally.found += is_found
        tally.touching += is_touching
        tally.touching_found += is_found and is_touching
        tally.broken += bool(np.count_nonzero(under >= ship.area_px / 5) > 1)


def main() -> None:
    """Print one line with and one without splitting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--smooth", type=float, default=1.2)
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--model")
    options = parser.parse_args()
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    rule = {"threshold": options.threshold}
    if options.model:
        from shipseg import load_model

        predictor = load_model(options.model)
        predict, decision = predictor.probability, predictor.card.decision
        rule = {"threshold": decision.threshold, "min_peak": decision.min_peak, "min_area_px": decision.min_area_px}
    rng = np.random.default_rng(options.seed)
    config = WorldConfig(size=options.size)
    tallies = {False: Tally(), True: Tally()}
    for index in range(options.images):
        view = render(options.seed, index, config.shape, config, empty=False)
        ships, touching = true_ships(view)
        if predict is None:
            probability_hw = simulated(view, rng, smooth=options.smooth, noise=options.noise)
        else:
            probability_hw = predict(decode_jpeg(encode_jpeg(view.image_hwc, view.jpeg_quality)))
        for separate, tally in tallies.items():
            start = time.process_time()
            predicted = find_ships(probability_hw, **rule, separate=separate)
            tally.elapsed_s += (time.process_time() - start) / options.images
            count(tally, ships, touching, predicted, config.shape)
    for separate, tally in tallies.items():
        print(f"{'split' if separate else 'not split':14} {tally.line()}")


if __name__ == "__main__":
    main()
