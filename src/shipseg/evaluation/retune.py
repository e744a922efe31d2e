"""A finished model's rules chosen anew on labelled images, with all that is worth knowing about the choice."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shipseg.config import ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.calibration import ReliabilityBin
from shipseg.evaluation.curves import ALL_IMAGES, Curve, Curves, sweep_curve
from shipseg.evaluation.fitting import cross_fitted, fit_calibration, judged_bins
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.evaluation.operating_points import OperatingPoint, find_point, wish_in_words
from shipseg.evaluation.survey import STRATA, Survey, survey_images
from shipseg.evaluation.sweep import DecisionSweep
from shipseg.evaluation.tables import curves_csv
from shipseg.evaluation.thresholds import Choice, as_calibrated, choose_from, in_rectangles
from shipseg.files import write_json, write_text
from shipseg.inference.predictor import Predictor
from shipseg.model.calibration import Calibration
from shipseg.model.card import Card

__all__ = ["CURVES_FILE", "FACTS_FILE", "USUAL_WISHES", "Retuned", "retune", "write_retuned"]

CURVES_FILE = "curves.csv"
FACTS_FILE = "thresholds.json"
USUAL_WISHES: tuple[ThresholdConfig, ...] = (
    ThresholdConfig(metric="airbus_score"),
    ThresholdConfig(metric="ship_f1"),
    ThresholdConfig(metric="pooled_dice"),
    *(ThresholdConfig(precision=value) for value in (0.5, 0.7, 0.8, 0.9, 0.95)),
    *(ThresholdConfig(false_alarm_images=value) for value in (0.01, 0.02, 0.05, 0.1)),
)
"""What people ask for; the table shows what each of them gives."""


@dataclass(frozen=True, eq=False)
class Retuned:
    """A choice, and what else there was to choose from."""

    card: Card
    """The model's, with the choice in it."""
    choice: Choice
    survey: Survey
    wish: str
    """What the choice was to be made for, in words."""
    usual: tuple[OperatingPoint, ...]
    """The points for USUAL_WISHES, as far as there is something to choose by."""
    curves: Curves
    """Scores against the (calibrated) threshold, with the chosen smallest peak."""
    reliability: dict[str, tuple[ReliabilityBin, ...]]
    """Pixels by the network's own probability, and by the calibrated one where there is one: each half as judged by
    what was fitted on the other half."""
    source: str
    """The labelled images, in words."""

    def facts(self) -> dict[str, Any]:
        """Return the choice and the usual points as plain data; thresholds are of calibrated probability."""
        return {
            "model": self.card.name,
            "data": self.source,
            "wish": self.wish,
            "decision": self.card.decision.model_dump(),
            "network_threshold": self.card.network_threshold,
            "calibration": None if self.card.calibration is None else self.card.calibration.model_dump(mode="json"),
            "chosen": self.choice.facts,
            "operating_points": [
                {
                    "wish": wish_in_words(point.config),
                    "threshold": as_calibrated(point.threshold, self.card.calibration),
                    "min_peak": self.peak(point),
                    "sentence": point.sentence,
                    **point.facts(),
                }
                for point in self.usual
            ],
        }

    def peak(self, point: OperatingPoint) -> float:
        """Return a point's smallest peak in calibrated probability; 0 where it has none."""
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
    """Return a model's rules chosen anew, on labelled images that it was not trained on.

    Args:
        predictor: The model.
        images: What to choose on.
        config: Which score or wish; how many images.
        keep_calibration: Keep the model's calibration as it is, instead of making `config.calibration`.
        seed: Decides the draw and the halves.
        data: Name of the images, for the card.

    Raises:
        DataError: There is nothing to choose by.
    """
    source = images if isinstance(images, Source) else Source("a list of labelled images", tuple(images))
    survey = survey_images(
        predictor.uncalibrated(),
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
    for wish in USUAL_WISHES:
        with contextlib.suppress(DataError):  # no image without ships: nothing is known of false alarms there
            usual.append(find_point(survey, wish))
    return Retuned(
        card=choice.on(predictor.card),
        choice=choice,
        survey=survey,
        wish=wish_in_words(config),
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
        # Made elsewhere: all these pixels are new to it.
        return {"network": plain, "calibrated": judged_bins([(pixels, calibration) for pixels in survey.pixels])}
    pairs = cross_fitted(config.calibration, survey.pixels)
    return {"network": plain, "calibrated": judged_bins(pairs)} if pairs else {"network": plain}
