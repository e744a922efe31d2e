"""Choose the decision rule (threshold and peak threshold) and the calibration of a model on labelled images.

`choose_decision` does so at the end of a training, `retune` for a finished model, with all usual operating points.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shipseg.config import Decision, ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.calibration import ReliabilityBin, cross_fitted, fit_calibration, judged_bins
from shipseg.evaluation.evaluate import GivesProbability
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.evaluation.operating_points import OperatingPoint, best_peaks, describe_target, find_point
from shipseg.evaluation.results import curves_csv
from shipseg.evaluation.survey import STRATA, Survey, survey_images
from shipseg.evaluation.sweep import ALL_IMAGES, SWEEP_SCORES, Curve, Curves, DecisionSweep, sweep_curve
from shipseg.files import write_json, write_text
from shipseg.inference.predictor import Predictor
from shipseg.model.calibration import Calibration
from shipseg.model.card import Card, CardChoice, TtaViews

__all__ = [
    "CURVES_FILE",
    "FACTS_FILE",
    "USUAL_TARGETS",
    "Choice",
    "Retuned",
    "as_calibrated",
    "choose_decision",
    "choose_from",
    "in_rectangles",
    "retune",
    "write_retuned",
]


_LOG = logging.getLogger(__name__)
_LARGEST = float(np.nextafter(np.float32(1), np.float32(0)))
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Choice:
    """A decision rule and a calibration with the scores that they were chosen by, as a card stores them."""

    decision: Decision = field(default_factory=Decision)
    """Threshold and peak threshold are of calibrated probability."""
    calibration: Calibration | None = None
    curve: dict[str, list[float]] = field(default_factory=dict)
    """Columns of equal length: threshold, the scores of a sweep, and min_peak, the best one at that threshold. An
    undefined score is 0; a column without any defined score is left out."""
    facts: CardChoice = field(default_factory=CardChoice)
    """The card's `choice`."""
    point: OperatingPoint | None = None
    """The chosen point, in the network's own probability; None for a default."""
    views: TtaViews | None = None
    """The number of TTA views that it was made with; None for as many as the card says."""

    @classmethod
    def kept_from(cls, card: Card) -> Choice:
        """Return the choice of another card, with its TTA views and its source."""
        data = f"{card.choice.data or 'labelled images'}, for {card.name}, whose decision rule was kept"
        facts = CardChoice(data=data, counts=card.choice.counts)
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
    """Return the decision rule with the best score, or that meets the target, on labelled images at full resolution.

    For `pooled_dice` and `pooled_iou` only the threshold is chosen, else threshold and peak threshold together:
    components whose highest probability is low are most of the false alarms. A calibration, where the configuration
    requests one, is fitted first; the decision rule is then in calibrated probability.

    A training must not fail at its end, so no DataError is raised. Where the target cannot be met, the nearest point is
    chosen; where the images lack what it counts, the metric is used instead; without ships the default threshold is
    returned. Each case logs a warning, and the decision's `metric` says which it was.

    Args:
        predictor: The model, without a calibration.
        images: Validation images; at most `config.max_images` of them are sampled, with the shares of images with no,
            one and several ships kept. Images that cannot be read are skipped with a warning.
        config: Which score or target, which calibration, how many images.
        seed: Of the sampling and of the split into halves.
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
    """Return the choice from a survey of images; a target that is not met is logged as a warning.

    Args:
        survey: Counts by the network's own probability.
        config: Which score or target.
        calibration: The model's calibration after the choice.
        kept: The model's decision: its minimum area, which the survey used, and whether it splits touching ships, which
            the survey does not do, are kept.
        data: Name of the images, for the card.

    Raises:
        DataError: There is nothing to choose by.
    """
    point = find_point(survey, config)
    if not point.reached:
        _LOG.warning("%s; this point is used", point.sentence)
    kept = kept or Decision()
    decision = Decision(
        threshold=as_calibrated(point.threshold, calibration),
        min_peak=as_calibrated(point.min_peak, calibration) if point.min_peak else 0.0,
        min_area_px=kept.min_area_px,
        separate=kept.separate,
        rectangles=survey.rectangles,
        metric=point.name,
    )
    facts = CardChoice(data=data, groups=survey.num_groups, **point.facts())
    return Choice(decision, calibration, _curve(survey, config, calibration), facts, point)


def in_rectangles(config: ThresholdConfig, kept: Decision) -> bool:
    """Return whether ships become rectangles: as the configuration says, else as the model's decision does."""
    return kept.rectangles if config.rectangles is None else config.rectangles


def as_calibrated(threshold: float, calibration: Calibration | None) -> float:
    """Return a threshold on the network's probability as one on calibrated probability: the same pixels reach it."""
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


# The choice for a finished model, with the usual operating points, curves and reliability.

CURVES_FILE = "curves.csv"
FACTS_FILE = "thresholds.json"
USUAL_TARGETS: tuple[ThresholdConfig, ...] = (
    ThresholdConfig(metric="airbus_score"),
    ThresholdConfig(metric="ship_f1"),
    ThresholdConfig(metric="pooled_dice"),
    *(ThresholdConfig(precision=value) for value in (0.5, 0.7, 0.8, 0.9, 0.95)),
    *(ThresholdConfig(false_alarm_images=value) for value in (0.01, 0.02, 0.05, 0.1)),
)
"""Common metrics and targets; the table shows the operating point of each."""


@dataclass(frozen=True, eq=False)
class Retuned:
    """A choice with the other operating points, the curves and the reliability of the same images."""

    card: Card
    """The model's card with the choice."""
    choice: Choice
    survey: Survey
    target: str
    """The metric or target of the choice, as text."""
    usual: tuple[OperatingPoint, ...]
    """The points for USUAL_TARGETS; those that cannot be chosen on these images are left out."""
    curves: Curves
    """Scores against the (calibrated) threshold, with the chosen peak threshold."""
    reliability: dict[str, tuple[ReliabilityBin, ...]]
    """Pixels by the network's own probability, and by the calibrated one where there is one: each half with the
    calibration fitted on the other half."""
    source: str
    """Name of the labelled images."""

    def facts(self) -> dict[str, Any]:
        """Return the choice and the usual points as plain data; thresholds are of calibrated probability."""
        return {
            "model": self.card.name,
            "data": self.source,
            "wish": self.target,
            "decision": self.card.decision.model_dump(),
            "network_threshold": self.card.network_threshold,
            "calibration": None if self.card.calibration is None else self.card.calibration.model_dump(mode="json"),
            "chosen": self.choice.facts.model_dump(mode="json"),
            "operating_points": [
                {
                    "wish": describe_target(point.config),
                    "threshold": as_calibrated(point.threshold, self.card.calibration),
                    "min_peak": self.peak(point),
                    "sentence": point.sentence,
                    **point.facts(),
                }
                for point in self.usual
            ],
        }

    def peak(self, point: OperatingPoint) -> float:
        """Return a point's peak threshold in calibrated probability; 0 where it has none."""
        return as_calibrated(point.min_peak, self.card.calibration) if point.min_peak else 0.0


def retune(
    predictor: Predictor,
    images: Source | Sequence[Labelled],
    *,
    config: ThresholdConfig,
    keep_calibration: bool = True,
    seed: int = 0,
    data: str = "",
) -> Retuned:
    """Return a new choice of decision rule for a model, on labelled images that it was not trained on.

    Args:
        predictor: The model.
        images: The labelled images to choose on.
        config: Which score or target; how many images.
        keep_calibration: Keep the model's calibration instead of fitting `config.calibration`.
        seed: Of the sampling and of the split into halves.
        data: Name of the images, for the card.

    Raises:
        DataError: There is nothing to choose by.
    """
    source = images if isinstance(images, Source) else Source("a list of labelled images", tuple(images))
    survey = survey_images(
        predictor.without_calibration(),
        source.images,
        at_most=config.max_images,
        seed=seed,
        rectangles=in_rectangles(config, predictor.card.decision),
    )
    if not survey.num_ships:
        raise DataError(f"no threshold can be chosen on {source.name}: none of its readable images holds a ship")
    calibration = _calibration(predictor.card, survey, config, keep=keep_calibration)
    choice = choose_from(survey, config, calibration=calibration, kept=predictor.card.decision, data=data)
    usual = []
    for target in USUAL_TARGETS:
        with contextlib.suppress(DataError):  # no image without ships: their false alarms are undefined
            usual.append(find_point(survey, target))
    return Retuned(
        card=choice.on(predictor.card),
        choice=choice,
        survey=survey,
        target=describe_target(config),
        usual=tuple(usual),
        curves=_curves(survey, choice),
        reliability=_reliability(survey, config, calibration, keep=keep_calibration),
        source=source.name,
    )


def write_retuned(retuned: Retuned, out: Path) -> None:
    """Write curves.csv and thresholds.json into a folder.

    Raises:
        StorageError: It cannot be written.
    """
    write_text(out / CURVES_FILE, curves_csv(retuned.curves))
    write_json(out / FACTS_FILE, retuned.facts())


def _calibration(card: Card, survey: Survey, config: ThresholdConfig, *, keep: bool) -> Calibration | None:
    if keep:
        return card.calibration
    return None if config.calibration == "none" else fit_calibration(config.calibration, survey.pixels)


def _curves(survey: Survey, choice: Choice) -> dict[str, Curve]:
    assert choice.point is not None
    sweeps: dict[str, DecisionSweep] = {ALL_IMAGES: survey.sweep()}
    sweeps |= {str(name): survey.sweep(stratum=name) for name in STRATA}
    curves: dict[str, Curve] = {}
    for name, sweep in sweeps.items():
        if sweep.totals["images"]:
            network = sweep.thresholds
            curve = sweep_curve(sweep, min_peaks=np.full(len(network), choice.point.min_peak))
            calibrated = np.array([as_calibrated(value, choice.calibration) for value in network.tolist()])
            peaks = np.full(len(network), choice.decision.min_peak)
            curves[name] = {**curve, "threshold": calibrated, "min_peak": peaks, "network_threshold": network}
    return curves


def _reliability(
    survey: Survey, config: ThresholdConfig, calibration: Calibration | None, *, keep: bool
) -> dict[str, tuple[ReliabilityBin, ...]]:
    plain = judged_bins([(pixels, None) for pixels in survey.pixels])
    if calibration is None:
        return {"network": plain}
    if keep or config.calibration == "none":
        # Not fitted on these pixels: all of them are held out.
        return {"network": plain, "calibrated": judged_bins([(pixels, calibration) for pixels in survey.pixels])}
    pairs = cross_fitted(config.calibration, survey.pixels)
    return {"network": plain, "calibrated": judged_bins(pairs)} if pairs else {"network": plain}
