"""One pass over labelled images that counts what a choice and a calibration need, in a fixed amount of memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import DataError
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.overlaps import group_found
from shipseg.evaluation.scores import Stratum, true_ships, union_mask
from shipseg.evaluation.sweep import SWEEP_PEAKS, SWEEP_THRESHOLDS, DecisionSweep
from shipseg.masks.pixels import ProbabilityHistogram
from shipseg.masks.ships import Ship
from shipseg.progress import track

__all__ = ["HALVES", "STRATA", "Survey", "draw_images", "survey_images"]

_LOG = logging.getLogger(__name__)

HALVES = (0, 1)
"""Groups of overlapping images are split into two halves, so that a fit on one can be evaluated on the other."""
STRATA: tuple[Stratum, ...] = ("none", "single", "multiple")
_PILOT_IMAGES = 16
"""Images with ships that are predicted twice: first to measure the scale of the network's probabilities."""
_PIXEL_LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Quantiles of the ship pixels' probabilities that are added to the thresholds of the sweep."""
_PEAK_LEVELS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Quantiles of the ships' highest probabilities that are added to the peak thresholds of the sweep."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Counts over labelled images, by the network's own probability."""

    pixels: tuple[ProbabilityHistogram, ProbabilityHistogram]
    """Of each half."""
    sweeps: dict[tuple[Stratum, int], DecisionSweep]
    """By number of ships and half; all with the same thresholds and peak thresholds."""
    num_groups: int
    """Number of groups of overlapping images, in both halves together."""
    rectangles: bool = False
    """Whether the detections were made rectangles."""

    def sweep(self, *, stratum: Stratum | None = None, half: int | None = None) -> DecisionSweep:
        """Return the sweep over the images of a stratum and a half; None stands for all."""
        first, *others = [
            sweep for (name, number), sweep in self.sweeps.items() if stratum in (None, name) and half in (None, number)
        ]
        return sum(others, first)

    @property
    def num_ships(self) -> int:
        """Return the number of true ships in the images."""
        return int(self.sweep().totals["true"])


def survey_images(
    predictor: GivesProbability, images: Sequence[Labelled], *, at_most: int, seed: int, rectangles: bool = False
) -> Survey:
    """Return the counts over labelled images.

    The sweep contains fixed thresholds and peak thresholds, and quantiles of the probabilities of ship pixels and
    ships. So the choice does not depend on the scale of the network's probabilities: squeezed into 0.0001 to 0.001, or
    into 0.5 to 0.7, they give the same ships.

    Args:
        predictor: The model, without a calibration.
        images: Labelled images; those that cannot be read are skipped with a warning. Unknown groups of overlapping
            images are found first, which reads each image once more.
        at_most: Sample no more than this many, with the shares of images with no, one and several ships kept.
        seed: Of the sampling and of the split into halves.
        rectangles: Whether detections become rectangles.
    """
    drawn = group_found(draw_images(images, at_most=at_most, seed=seed))
    thresholds, peaks = _grid(predictor, drawn)
    card = predictor.card

    def sweep() -> DecisionSweep:
        return DecisionSweep(
            thresholds=thresholds,
            peaks=peaks,
            min_area_px=card.decision.min_area_px,
            rectangles=rectangles,
            metres_per_pixel=card.input.metres_per_pixel,
        )

    halves = _halves(drawn, seed=seed)
    survey = Survey(
        (ProbabilityHistogram("fine"), ProbabilityHistogram("fine")),
        {(stratum, half): sweep() for stratum in STRATA for half in HALVES},
        len({_group(image) for image in drawn}),
        rectangles,
    )
    for labelled, half in zip(track(drawn, "choosing the threshold"), halves, strict=True):
        predicted = _predict(predictor, labelled)
        if predicted is not None:
            probability_hw, truth = predicted
            survey.pixels[half].add(probability_hw, union_mask(truth, _shape(probability_hw)))
            survey.sweeps[STRATA[min(len(truth), 2)], half].add(probability_hw, truth)
    return survey


def draw_images(images: Sequence[Labelled], *, at_most: int, seed: int) -> tuple[Labelled, ...]:
    """Return a sample of at most `at_most` images, in their order, with the shares of no, one and several ships kept.

    Quotas are rounded by largest remainder; a stratum that has images keeps at least one where the number allows.
    """
    if len(images) <= at_most:
        return tuple(images)
    stratum = np.array([min(len(image.rles), 2) for image in images])
    sizes = np.bincount(stratum, minlength=3)
    exact = sizes * at_most / len(images)
    quota = np.maximum(np.floor(exact), sizes > 0).astype(np.int64)
    while quota.sum() < at_most:
        quota[np.argmax(np.where(quota < sizes, exact - quota, -np.inf))] += 1
    while quota.sum() > at_most:
        can_give = quota > 1 if (quota > 1).any() else quota > 0
        quota[np.argmax(np.where(can_give, quota - exact, -np.inf))] -= 1
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(stratum == kind), quota[kind], replace=False) for kind in range(3)]
    return tuple(images[index] for index in np.sort(np.concatenate(chosen)).tolist())


def _predict(predictor: GivesProbability, labelled: Labelled) -> tuple[NDArray[np.float32], tuple[Ship, ...]] | None:
    """Return an image's probability and true ships, or None with a warning where it cannot be read."""
    try:
        image_hwc = labelled.read()
        truth = true_ships(labelled.rles, (image_hwc.shape[0], image_hwc.shape[1]))
    except DataError as error:
        _LOG.warning("%s is skipped in the choice of the threshold: %s", labelled.image_id, error)
        return None
    return predictor.probability(image_hwc), truth


def _grid(predictor: GivesProbability, drawn: Sequence[Labelled]) -> tuple[list[float], list[float]]:
    """Return the thresholds and peak thresholds of the sweep."""
    with_ships = [image for image in drawn if image.rles]
    pilot = with_ships[:: -(-len(with_ships) // _PILOT_IMAGES) or 1]
    pixels, peaks = ProbabilityHistogram("fine"), []
    for labelled in track(pilot, "measuring the scale of probabilities"):
        predicted = _predict(predictor, labelled)
        if predicted is not None:
            probability_hw, truth = predicted
            pixels.add(probability_hw, union_mask(truth, _shape(probability_hw)))
            peaks += [float(probability_hw[ship.full_mask(_shape(probability_hw))].max()) for ship in truth]
    thresholds = {*SWEEP_THRESHOLDS, *pixels.ship_quantiles(_PIXEL_LEVELS).tolist()}
    peak_thresholds = {*SWEEP_PEAKS, *(np.quantile(peaks, _PEAK_LEVELS, method="lower").tolist() if peaks else ())}
    in_range = sorted(value for value in thresholds if 0 < value < 1)
    return in_range, sorted(value for value in peak_thresholds if value < 1)


def _halves(drawn: Sequence[Labelled], *, seed: int) -> list[int]:
    """Return the half of each image: whole groups in random order, each to the half with fewer images of its kind."""
    members: dict[tuple[str, str], list[Labelled]] = {}
    for image in drawn:
        members.setdefault(_group(image), []).append(image)
    keys = list(members)
    has_ships = {key: any(image.rles for image in group) for key, group in members.items()}
    half, sizes = {}, {True: [0, 0], False: [0, 0]}
    for index in np.random.default_rng(seed).permutation(len(keys)).tolist():
        key = keys[index]
        counts = sizes[has_ships[key]]
        half[key] = int(counts[1] < counts[0])
        counts[half[key]] += len(members[key])
    return [half[_group(image)] for image in drawn]


def _group(image: Labelled) -> tuple[str, str]:
    return ("image", image.image_id) if image.group is None else ("group", image.group)


def _shape(probability_hw: NDArray[np.float32]) -> tuple[int, int]:
    return probability_hw.shape[0], probability_hw.shape[1]
