"""Evaluate a model on labelled images in one pass at full resolution: all scores, by number of ships and by size."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision, validated
from shipseg.errors import ConfigError, DataError, ImageError
from shipseg.evaluation.bootstrap import group_numbers, intervals, seed_dice, set_scores
from shipseg.evaluation.calibration import PixelReliability, calibration_error, ship_reliability
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.evaluation.overlaps import OverlapTally
from shipseg.evaluation.results import Evaluation, FailedImage, write_evaluation
from shipseg.evaluation.scores import SIZE_BINS, ImageScore, Scored, score_image, true_ships, union_mask
from shipseg.evaluation.sweep import CurveTally
from shipseg.masks.ships import find_ships
from shipseg.model.card import Card
from shipseg.progress import track

__all__ = [
    "EvaluateOptions",
    "Evaluation",
    "FailedImage",
    "GivesProbability",
    "decision_of",
    "evaluate",
    "write_evaluation",
]

_LOG = logging.getLogger(__name__)
_FEWEST_ROUNDS = 10
_LIKELY = 0.01
"""Probability from which a pixel counts in the calibration error without the open sea."""
_NESTED = {
    "recall_by_size": {f"recall {name}": name for name in SIZE_BINS},
    "precision_by_size": {f"precision {name}": name for name in SIZE_BINS},
    "dice_by_group": {f"dice {name}": name for name in ("none", "single", "multiple")},
}


class GivesProbability(Protocol):
    """The interface of a model that can be evaluated: `shipseg.inference.predictor.Predictor` is one."""

    @property
    def card(self) -> Card:
        """The model's card."""

    def probability(self, image_hwc: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """Return the probability of ship, float32 (H, W) in 0..1, for an RGB image, uint8 (H, W, 3)."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of an evaluation.

    Raises:
        ConfigError: A value is out of its range.
    """

    threshold: float | None = None
    """Instead of the model's own; above 0 and below 1."""
    min_peak: float | None = None
    """Instead of the model's own; 0 to 1."""
    min_area_px: int | None = None
    """Instead of the model's own; 1 or more."""
    rectangles: bool | None = None
    """Instead of the model's own: whether ships are filled rectangles."""
    bootstrap_rounds: int = 1000
    """Number of resampled sets for the intervals; 10 or more."""
    seed: int = 0
    """Seed of the resampling; 0 or more."""

    def __post_init__(self) -> None:
        decision_of(Card(), self)
        if self.bootstrap_rounds < _FEWEST_ROUNDS or self.seed < 0:
            raise ConfigError(
                f"bootstrap_rounds must be {_FEWEST_ROUNDS} or more and seed 0 or more, "
                f"got {self.bootstrap_rounds} and {self.seed}"
            )


def decision_of(card: Card, options: EvaluateOptions) -> Decision:
    """Return the model's decision rule, with the values that the options replace.

    Raises:
        ConfigError: A value is out of its range.
    """
    own = card.decision
    replaced = {
        name: value
        for name in ("threshold", "min_peak", "min_area_px", "rectangles")
        if (value := getattr(options, name)) is not None and value != getattr(own, name)
    }
    return validated(Decision, {**own.model_dump(), **replaced, "metric": "none"}, "evaluation") if replaced else own


def evaluate(
    predictor: GivesProbability, images: Source | Sequence[Labelled], *, options: EvaluateOptions | None = None
) -> Evaluation:
    """Return the scores of a model on labelled images, at the images' own resolution.

    Images are read, predicted and scored one at a time: memory grows only by the rows of the tables. An image that
    cannot be read, or whose masks are malformed, is listed in `failed` and not scored.

    Args:
        predictor: The model.
        images: The labelled images.
        options: See EvaluateOptions.

    Raises:
        DataError: There is no image, or none that can be read.
    """
    options = options or EvaluateOptions()
    source = images if isinstance(images, Source) else Source("a list of labelled images", tuple(images))
    if not len(source):
        raise DataError(f"there are no images to score in {source.name}")
    decision = decision_of(predictor.card, options)
    metres_per_pixel = predictor.card.input.metres_per_pixel
    tally = _Tally(
        PixelReliability(), CurveTally(decision, metres_per_pixel=metres_per_pixel), OverlapTally(len(source))
    )
    scored, failed = _score_all(predictor, source, decision, tally)
    scores = tally.overlaps.grouped([each.image for each in scored])
    ships = tuple(ship for each in scored for ship in each.ships)
    pixel_bins = tally.pixels.bins()
    metrics = {
        "model": predictor.card.name,
        "data": source.name,
        **_counts(scores, failed),
        **decision.rules,
        "threshold_chosen_for": decision.metric,
        **_scores(scores, metres_per_pixel, options),
        "calibration_error": calibration_error(pixel_bins),
        "calibration_error_where_likely": calibration_error(pixel_bins, from_probability=_LIKELY),
        "best_in_hindsight": tally.curves.in_hindsight(),
    }
    return Evaluation(
        metrics=metrics,
        images=scores,
        ships=ships,
        failed=tuple(failed),
        pixel_curves=tally.curves.pixel_curves(scores),
        ship_curves=tally.curves.ship_curves(),
        pixel_reliability=pixel_bins,
        ship_reliability=ship_reliability(ships),
        card=predictor.card,
        source=source.name,
    )


@dataclass(frozen=True)
class _Tally:
    """The accumulated counts of the pixels of all images."""

    pixels: PixelReliability
    curves: CurveTally
    overlaps: OverlapTally


def _score_all(
    predictor: GivesProbability, source: Source, decision: Decision, tally: _Tally
) -> tuple[list[Scored], list[FailedImage]]:
    """Return the scores of the images that can be read, and the other images with their errors.

    Raises:
        DataError: None can be read.
    """
    scored: list[Scored] = []
    failed: list[FailedImage] = []
    for labelled in track(source, "scoring images", total=len(source)):
        try:
            scored.append(_score(predictor, labelled, decision, tally))
        except DataError as error:
            failed.append(FailedImage(labelled.image_id, _reason(error), str(error)))
            _LOG.warning("%s is skipped: %s", labelled.image_id, error)
    if not scored:
        raise DataError(
            f"none of the {len(failed)} images in {source.name} can be scored, the first: {failed[0].detail}"
        )
    return scored, failed


def _score(predictor: GivesProbability, labelled: Labelled, decision: Decision, tally: _Tally) -> Scored:
    """Read, predict and score one image, and add its pixels to the tally.

    Raises:
        DataError: The image or its masks cannot be read.
    """
    image_hwc = labelled.read()
    shape = (image_hwc.shape[0], image_hwc.shape[1])
    truth = true_ships(labelled.rles, shape)
    probability_hw = predictor.probability(image_hwc)
    predicted = find_ships(probability_hw, **decision.rules)
    scored = score_image(
        labelled.image_id, group=labelled.group, probability_hw=probability_hw, truth=truth, predicted=predicted
    )
    true_hw = union_mask(truth, shape)
    tally.pixels.add(probability_hw, true_hw)
    tally.curves.add(scored.image, probability_hw, true_hw, truth)
    if labelled.group is None:
        tally.overlaps.add(labelled.image_id, image_hwc)
    return scored


def _reason(error: DataError) -> str:
    return error.reason if isinstance(error, ImageError) else "labels"


def _counts(scores: Sequence[ImageScore], failed: Sequence[FailedImage]) -> dict[str, Any]:
    strata = Counter(image.stratum for image in scores)
    sizes = np.sum([image.true_by_size for image in scores], axis=0)
    return {
        "num_images": len(scores),
        "num_images_with_ships": strata["single"] + strata["multiple"],
        "num_images_by_group": {name: strata[name] for name in ("none", "single", "multiple")},
        "num_ships": sum(image.num_true for image in scores),
        "num_ships_by_size": dict(zip(SIZE_BINS, sizes.tolist(), strict=True)),
        "num_predicted": sum(image.num_predicted for image in scores),
        "num_failed": len(failed),
        "num_groups": int(group_numbers(scores).max()) + 1,
    }


def _scores(scores: Sequence[ImageScore], metres_per_pixel: float, options: EvaluateOptions) -> dict[str, Any]:
    point = set_scores(scores, metres_per_pixel=metres_per_pixel)
    bounds = intervals(scores, metres_per_pixel=metres_per_pixel, rounds=options.bootstrap_rounds, seed=options.seed)
    return {
        **_nested(point),
        "seed_dice": seed_dice(scores),
        "intervals": _nested(bounds),
        "interval_rounds": options.bootstrap_rounds,
    }


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores with recall and precision by size, and Dice by group, as nested dictionaries."""
    inner = {key for names in _NESTED.values() for key in names}
    nested = {key: {short: flat[name] for name, short in names.items()} for key, names in _NESTED.items()}
    return {**{key: value for key, value in flat.items() if key not in inner}, **nested}
