"""Where to operate a model: the threshold and smallest peak that give the best score, or that grant a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision, ThresholdConfig
from shipseg.errors import DataError
from shipseg.evaluation.bootstrap import count_interval, share_interval
from shipseg.evaluation.survey import HALVES, Survey
from shipseg.evaluation.sweep import SWEEP_SCORES, DecisionSweep
from shipseg.number_formats import amount, counted

__all__ = ["OperatingPoint", "best_peaks", "describe_target", "find_point", "middle_of_best"]

_TIE = 1e-12
"""Scores this close are equal: they differ by rounding."""
_METRICS = {
    "airbus_score": "Airbus score",
    "ship_f1": "ship F1",
    "pooled_dice": "pooled Dice",
    "pooled_iou": "pooled IoU",
}
_PIXEL_METRICS = ("pooled_dice", "pooled_iou")


class _Target(NamedTuple):
    """What a score must reach, and what is to be as high as it can be there."""

    score: str
    limit: float
    is_least: bool
    """Whether the limit is the least value that will do, or the most."""
    gain: str
    words: str


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """A threshold and a smallest peak, in the network's own probability, and what they give."""

    config: ThresholdConfig
    threshold: float
    min_peak: float
    reached: bool
    """Whether the target is met; if not, this is the nearest point. A best metric is always reached."""
    here: DecisionSweep
    """The counts at this point, on the images it was chosen on."""
    elsewhere: DecisionSweep | None
    """Counts on each half of the groups at the point chosen on the other half: what the same target gives on images
    that played no part in the choice. None where a half is too poor to choose on."""

    @property
    def name(self) -> str:
        """Return what it was chosen for, as it stands in a decision: a metric, or a target in words."""
        target = _target_of(self.config)
        if target is None:
            return self.config.metric
        return target.words if self.reached else f"{target.words}, not reached: {self._shown(target.score)}"

    @property
    def sentence(self) -> str:
        """Return what became of the target, in one sentence that does not promise more than was counted."""
        target, at = _target_of(self.config), f"threshold {self.threshold:.3g}, smallest peak {self.min_peak:.4g}"
        if target is None:
            return f"{describe_target(self.config)}: {self._shown(self.config.metric)}"
        whose = "a recall of pixels" if target.gain == "recall" else "a ship recall"
        gain = f"{whose} of {self._shown(target.gain)}"
        if not self.reached:
            return (
                f"{target.words} cannot be had on these images: the best is {self._shown(target.score)}, "
                f"with {gain} ({at} of the network's own probability)"
            )
        return f"{target.words}: reached, with {gain}; {self._ground(target)}"

    def facts(self) -> dict[str, Any]:
        """Return the scores and counts at the point as plain data; a score without anything to count is None."""
        return {
            "chosen_for": self.name,
            "reached": self.reached,
            "scores": _scores(self.here),
            "intervals": _intervals(self.here),
            "counts": _counts(self.here),
            "held_out_scores": None if self.elsewhere is None else _scores(self.elsewhere),
        }

    def _shown(self, score: str) -> str:
        return f"{self.here.score(score)[0, 0]:.3g}"

    def _ground(self, target: _Target) -> str:
        """Return in words how much the met target rests on."""
        counts, (low, high) = _counts(self.here), _intervals(self.here).get(target.score) or (None, None)
        if target.score == "false_alarm_images":
            return (
                f"it rests on {counts['alarmed_images']} of {counts['images_without_ships']} images without ships, "
                f"which is evidence for at most {100 * (high or 0):.2g} %"
            )
        if target.score == "ship_precision":
            return (
                f"it rests on {counts['right']} of {counts['predicted']} detections, which is evidence for at least "
                f"{low or 0:.2f}"
            )
        if target.score == "false_alarms_per_1000km2":
            alarms, km2 = counted(counts["false_alarms"], "false alarm", form="d"), amount(self.here.totals["km2"])
            most = amount(high or 0)
            return f"it rests on {alarms} on {km2} km2, which is evidence for at most {most} per 1000 km2"
        return f"it rests on {counts['images']} images"


def find_point(survey: Survey, config: ThresholdConfig) -> OperatingPoint:
    """Return the point with the best metric, or the one that meets the target with the highest recall, or the nearest.

    For `pooled_dice` and `pooled_iou` the threshold alone is chosen. Of equally good points the one in their middle is
    taken; where a metric is the same everywhere, the threshold is 0.5 without a smallest peak.

    Raises:
        DataError: Nothing is ever found, or there is nothing to count what is requested.
    """
    whole = survey.sweep()
    row, col, reached = _place(whole, config)
    crossed = []
    for half in HALVES:
        try:
            there = _place(survey.sweep(half=half), config)
        except DataError:
            break
        crossed.append(survey.sweep(half=1 - half).at(there[0], there[1]))
    return OperatingPoint(
        config,
        float(whole.thresholds[row]),
        float(whole.peaks[col]),
        reached,
        whole.at(row, col),
        crossed[0] + crossed[1] if len(crossed) == len(HALVES) else None,
    )


def best_peaks(sweep: DecisionSweep, config: ThresholdConfig) -> NDArray[np.int64]:
    """Return for each threshold the position of the smallest peak that serves the metric or the target best."""
    return np.array([_place(sweep, config, row=row)[1] for row in range(len(sweep.thresholds))], np.int64)


def describe_target(config: ThresholdConfig) -> str:
    """Return what a threshold is to be chosen for."""
    target = _target_of(config)
    return f"best {_METRICS[config.metric]}" if target is None else target.words


def middle_of_best(scores: NDArray[np.float64], *, allowed: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
    """Return the position of the highest score; of several equal ones, that nearest to the middle of them all.

    Args:
        scores: Of any shape; NaN is below every number.
        allowed: Same shape: which positions may be taken; None allows all.
    """
    usable = np.where(np.isnan(scores), -np.inf, scores)
    if allowed is not None:
        usable = np.where(allowed, usable, -np.inf)
    best_nd = np.argwhere(usable >= usable.max() - _TIE)
    from_middle = np.square(best_nd - best_nd.mean(axis=0)).sum(axis=1)
    return tuple(int(place) for place in best_nd[from_middle.argmin()])


def _target_of(config: ThresholdConfig) -> _Target | None:
    recall, share = "ship_recall", config.false_alarm_images
    if config.precision is not None:
        words = f"ship precision of at least {config.precision:g}"
        return _Target("ship_precision", config.precision, is_least=True, gain=recall, words=words)
    if config.pixel_precision is not None:
        words = f"pixel precision of at least {config.pixel_precision:g}"
        return _Target("precision", config.pixel_precision, is_least=True, gain="recall", words=words)
    if share is not None:
        words = f"a false alarm in at most {100 * share:g} % of the images without ships"
        return _Target("false_alarm_images", share, is_least=False, gain=recall, words=words)
    if config.false_alarms_per_1000km2 is not None:
        words = f"at most {config.false_alarms_per_1000km2:g} false alarms per 1000 km2"
        limit = config.false_alarms_per_1000km2
        return _Target("false_alarms_per_1000km2", limit, is_least=False, gain=recall, words=words)
    return None


def _place(sweep: DecisionSweep, config: ThresholdConfig, *, row: int | None = None) -> tuple[int, int, bool]:
    """Return row, column and whether the target is met there; in one row only, where one is given.

    Raises:
        DataError: There is nothing to choose by; never for a given row.
    """
    # A smallest peak at or below the threshold is no rule at all: only 0 stands for that, so that it counts once.
    allowed = (sweep.peaks == 0) | (sweep.peaks > sweep.thresholds[:, None])
    if row is not None:
        allowed = allowed & (np.arange(len(sweep.thresholds)) == row)[:, None]
    target = _target_of(config)
    if target is None:
        return _best_metric(sweep, config.metric, allowed)
    # Both as "the more the better".
    sign = 1.0 if target.is_least else -1.0
    value, gain = sign * sweep.score(target.score), sweep.score(target.gain)
    useful = allowed & (gain > 0) & ~np.isnan(value)
    if not useful.any():
        if row is not None:
            return row, 0, False
        raise DataError(_hopeless(sweep, target))
    met = useful & (value >= sign * target.limit - _TIE)
    reached = bool(met.any())
    first, second, among = (gain, value, met) if reached else (value, gain, useful)
    best = among & (first >= first[among].max() - _TIE)
    return (*_two(middle_of_best(second, allowed=best)), reached)


def _best_metric(sweep: DecisionSweep, metric: str, allowed: NDArray[np.bool_]) -> tuple[int, int, bool]:
    scores = sweep.score(metric)
    if metric in _PIXEL_METRICS:
        allowed = allowed & (sweep.peaks == 0)
    if not sweep.totals["true"]:
        raise DataError("no threshold can be chosen: the labelled images hold no ship")
    compared = scores[allowed & ~np.isnan(scores)]
    if allowed.any(axis=1).all() and np.ptp(compared) <= _TIE:
        return int(np.abs(sweep.thresholds - Decision().threshold).argmin()), int(np.argmin(sweep.peaks)), True
    return (*_two(middle_of_best(scores, allowed=allowed)), True)


def _two(place: tuple[int, ...]) -> tuple[int, int]:
    return place[0], place[1]


def _hopeless(sweep: DecisionSweep, target: _Target) -> str:
    if not sweep.totals["true"]:
        return "no threshold can be chosen: the labelled images hold no ship"
    if np.isnan(sweep.score(target.score)).all():
        return f"no threshold can be chosen for {target.words}: there is no image without ships among the labelled ones"
    return f"no threshold can be chosen for {target.words}: the model finds no ship at any threshold"


def _scores(point: DecisionSweep) -> dict[str, float | None]:
    values = {name: float(point.score(name)[0, 0]) for name in SWEEP_SCORES}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def _counts(point: DecisionSweep) -> dict[str, int]:
    named = {"right": "matched", "predicted": "predicted", "alarmed_images": "alarmed", "false_alarms": "false_alarms"}
    totals = {"images": "images", "images_without_ships": "empty", "ships": "true"}
    return {
        **{name: int(point.totals[key]) for name, key in totals.items()},
        **{name: int(point.sums[key][0, 0]) for name, key in named.items()},
    }


def _intervals(point: DecisionSweep) -> dict[str, tuple[float, float] | None]:
    """Return 90 % intervals of the shares, and of the rate, of things that are counted one by one."""
    matched, predicted, alarmed = (float(point.sums[key][0, 0]) for key in ("matched", "predicted", "alarmed"))
    low, high = count_interval(float(point.sums["false_alarms"][0, 0]))
    per_alarm = 1000 / point.totals["km2"] if point.totals["km2"] else None
    return {
        "ship_precision": share_interval(matched, predicted),
        "ship_recall": share_interval(matched, point.totals["true"]),
        "false_alarm_images": share_interval(alarmed, point.totals["empty"]),
        "false_alarms_per_1000km2": None if per_alarm is None else (low * per_alarm, high * per_alarm),
    }
