"""Choosing the rules that turn probabilities into ships, and making probabilities true, on labelled images."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shipseg.config import Decision, ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.fitting import fit_calibration
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.operating_points import OperatingPoint, best_peaks, find_point
from shipseg.evaluation.survey import Survey, survey_images
from shipseg.evaluation.sweep import SWEEP_SCORES
from shipseg.model.calibration import Calibration
from shipseg.model.card import Card, Views

__all__ = ["Choice", "as_calibrated", "choose_decision", "choose_from", "in_rectangles"]

_LOG = logging.getLogger(__name__)
_LARGEST = float(np.nextafter(np.float32(1), np.float32(0)))
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Choice:
    """How a model is to be used, and why: what a card keeps of it."""

    decision: Decision = field(default_factory=Decision)
    """Threshold and smallest peak are of calibrated probability."""
    calibration: Calibration | None = None
    curve: dict[str, list[float]] = field(default_factory=dict)
    """Columns of equal length: threshold, the scores of a sweep, and min_peak, the best one at that threshold. A share
    of nothing is 0; a column of which nothing is known is left out."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The card's `choice`."""
    point: OperatingPoint | None = None
    """What was chosen, in the network's own probability; None for a default."""
    views: Views | None = None
    """Over how many mirror images the probability must be averaged for it; None for as many as the card says."""

    @classmethod
    def kept_from(cls, card: Card) -> Choice:
        """Return the choice of another card, with the views that it was made with, and where it is from."""
        data = f"{card.choice.get('data') or 'labelled images'}, for {card.name}, whose rules were kept"
        facts = {"data": data, "counts": card.choice.get("counts", {})}
        return cls(card.decision, card.calibration, facts=facts, views=card.input.views)

    def on(self, card: Card) -> Card:
        """Return the card with this choice in place of its own."""
        changed: dict[str, Any] = {
            "decision": self.decision,
            "calibration": self.calibration,
            "threshold_curve": self.curve,
            "choice": self.facts,
        }
        if self.views is not None:
            changed["input"] = card.input.model_copy(update={"views": self.views})
        return card.model_copy(update=changed)


def choose_decision(
    predictor: GivesProbability, images: Iterable[Labelled], *, config: ThresholdConfig, seed: int = 0, data: str = ""
) -> Choice:
    """Return the rules that give the best score, or grant the wish, on labelled images, at full resolution.

    For `pooled_dice` and `pooled_iou` the threshold alone is chosen; else threshold and smallest peak together:
    components whose highest probability is low are most of the false alarms. A calibration, where the configuration
    asks for one, is fitted first; the rules are given in calibrated probability.

    Nothing here stops a training at its end. A wish that cannot be granted gets the nearest there is, one that nothing
    can be counted for gives way to the metric, and without a ship to choose by the default threshold comes back: each
    with a warning, and the decision's `metric` says so.

    Args:
        predictor: The model, without a calibration.
        images: Validation images; at most `config.max_images` of them are drawn, with the shares of images with no, one
            and several ships kept. Images that cannot be read are left out with a warning.
        config: Which score or wish, which calibration, how many images.
        seed: Decides the draw and the halves.
        data: Name of the images, for the card.
    """
    rectangles = in_rectangles(config, predictor.card.decision)
    survey = survey_images(predictor, tuple(images), at_most=config.max_images, seed=seed, rectangles=rectangles)
    calibration = None if config.calibration == "none" else fit_calibration(config.calibration, survey.pixels)
    try:
        return choose_from(survey, config, calibration=calibration, kept=predictor.card.decision, data=data)
    except DataError as error:
        _LOG.warning("%s", error)
    try:
        plain = config.model_copy(
            update=dict.fromkeys(("precision", "pixel_precision", "false_alarm_images", "false_alarms_per_1000km2"))
        )
        return choose_from(survey, plain, calibration=calibration, kept=predictor.card.decision, data=data)
    except DataError:
        _LOG.warning("the default threshold of %g is kept", Decision().threshold)
        return Choice(Decision(rectangles=rectangles))


def choose_from(
    survey: Survey,
    config: ThresholdConfig,
    *,
    calibration: Calibration | None,
    kept: Decision | None = None,
    data: str = "",
) -> Choice:
    """Return the choice on images that were surveyed before; a wish that is not granted is warned of.

    Args:
        survey: Counts by the network's own probability.
        config: Which score or wish.
        calibration: The one that the model is to have.
        kept: The model's decision: its smallest area, which the survey was made with, and whether it parts ships that
            touch, which the survey does not do, stay as they are.
        data: Name of the images, for the card.

    Raises:
        DataError: There is nothing to choose by.
    """
    point = find_point(survey, config)
    if not point.reached:
        _LOG.warning("%s; the threshold is set to that", point.sentence)
    kept = kept or Decision()
    decision = Decision(
        threshold=as_calibrated(point.threshold, calibration),
        min_peak=as_calibrated(point.min_peak, calibration) if point.min_peak else 0.0,
        min_area_px=kept.min_area_px,
        separate=kept.separate,
        rectangles=survey.rectangles,
        metric=point.name,
    )
    facts = {"data": data, "groups": survey.num_groups, **point.facts()}
    return Choice(decision, calibration, _curve(survey, config, calibration), facts, point)


def in_rectangles(config: ThresholdConfig, kept: Decision) -> bool:
    """Return whether ships are to be rectangles: what the configuration says, else what the model has."""
    return kept.rectangles if config.rectangles is None else config.rectangles


def as_calibrated(threshold: float, calibration: Calibration | None) -> float:
    """Return a threshold on the network's probability as one on the calibrated: the same pixels reach it."""
    if calibration is None:
        return threshold
    value = float(calibration.apply(np.array([threshold], np.float32))[0])
    return min(max(value, _SMALLEST), _LARGEST)


def _curve(survey: Survey, config: ThresholdConfig, calibration: Calibration | None) -> dict[str, list[float]]:
    sweep = survey.sweep()
    at_best = (np.arange(len(sweep.thresholds)), best_peaks(sweep, config))
    scores = {name: sweep.score(name)[at_best] for name in SWEEP_SCORES}
    return {
        "threshold": [as_calibrated(value, calibration) for value in sweep.thresholds.tolist()],
        **{name: np.nan_to_num(values).tolist() for name, values in scores.items() if not np.isnan(values).all()},
        "min_peak": [as_calibrated(peak, calibration) if peak else 0.0 for peak in sweep.peaks[at_best[1]].tolist()],
    }
