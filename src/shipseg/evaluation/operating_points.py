"""Choose an operating point: the threshold and peak threshold with the best score, or those that meet a target."""

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
    """A limit on one score, and the score to maximise among the points that meet it."""

    score: str
    limit: float
    is_lower_bound: bool
    """Whether the limit is a lower bound; else it is an upper bound."""
    gain: str
    text: str


@dataclass(frozen=True, eq=False)
class OperatingPoint:
    """A threshold and a peak threshold on the network's own probability, and the counts at them."""

    config: ThresholdConfig
    threshold: float
    min_peak: float
    reached: bool
    """Whether the target is met; if not, this is the nearest point. Always true for a metric."""
    on_selection: DecisionSweep
    """The counts at this point on the images that it was chosen on."""
    held_out: DecisionSweep | None
    """The counts on each half of the groups at the point chosen on the other half: what the same choice gives on images
    that it did not use. None where no point can be chosen on one of the halves."""

    @property
    def name(self) -> str:
        """Return what it was chosen for, as `Decision.metric` stores it: a metric, or the description of a target."""
        target = _target_of(self.config)
        if target is None:
            return self.config.metric
        return target.text if self.reached else f"{target.text}, not reached: {self._shown(target.score)}"

    @property
    def sentence(self) -> str:
        """Return whether the target is met, in one sentence with the counts and the interval behind it."""
        target, at = _target_of(self.config), f"threshold {self.threshold:.3g}, peak threshold {self.min_peak:.4g}"
        if target is None:
            return f"{describe_target(self.config)}: {self._shown(self.config.metric)}"
        whose = "a recall of pixels" if target.gain == "recall" else "a ship recall"
        gain = f"{whose} of {self._shown(target.gain)}"
        if not self.reached:
            return (
                f"{target.text} cannot be met on these images: the best is {self._shown(target.score)}, "
                f"with {gain} ({at} of the network's own probability)"
            )
        return f"{target.text}: met, with {gain}; {self._basis(target)}"

    def facts(self) -> dict[str, Any]:
        """Return the scores and counts at the point as plain data; a score without anything to count is None."""
        return {
            "chosen_for": self.name,
            "reached": self.reached,
            "scores": _scores(self.on_selection),
            "intervals": _intervals(self.on_selection),
            "counts": _counts(self.on_selection),
            "held_out_scores": None if self.held_out is None else _scores(self.held_out),
        }

    def _shown(self, score: str) -> str:
        return f"{self.on_selection.score(score)[0, 0]:.3g}"

    def _basis(self, target: _Target) -> str:
        """Return the counts that a met target is based on, as text."""
        point = self.on_selection
        counts, (low, high) = _counts(point), _intervals(point).get(target.score) or (None, None)
        if target.score == "false_alarm_images":
            return (
                f"based on {counts['alarmed_images']} of {counts['images_without_ships']} images without ships, "
                f"which is evidence for at most {100 * (high or 0):.2g} %"
            )
        if target.score == "ship_precision":
            return (
                f"based on {counts['right']} of {counts['predicted']} detections, which is evidence for at least "
                f"{low or 0:.2f}"
            )
        if target.score == "false_alarms_per_1000km2":
            alarms, km2 = counted(counts["false_alarms"], "false alarm", form="d"), amount(point.totals["km2"])
            most = amount(high or 0)
            return f"based on {alarms} on {km2} km2, which is evidence for at most {most} per 1000 km2"
        return f"based on {counts['images']} images"


def find_point(survey: Survey, config: ThresholdConfig) -> OperatingPoint:
    """Return the point with the best metric, or with the highest recall of those that meet the target, or the nearest.

    For `pooled_dice` and `pooled_iou` only the threshold is chosen. Of equally good points the one nearest to their
    middle is chosen; where a metric is the same at all points, the threshold is 0.5 without a peak threshold.

    Raises:
        DataError: No ship is found at any threshold, or the images lack what the target counts.
    """
    whole = survey.sweep()
    row, col, reached = _choose(whole, config)
    held_out = []
    for half in HALVES:
        try:
            chosen = _choose(survey.sweep(half=half), config)
        except DataError:
            break
        held_out.append(survey.sweep(half=1 - half).at(chosen[0], chosen[1]))
    return OperatingPoint(
        config,
        float(whole.thresholds[row]),
        float(whole.peaks[col]),
        reached,
        whole.at(row, col),
        held_out[0] + held_out[1] if len(held_out) == len(HALVES) else None,
    )


def best_peaks(sweep: DecisionSweep, config: ThresholdConfig) -> NDArray[np.int64]:
    """Return for each threshold the position of the best peak threshold for the metric or the target."""
    return np.array([_choose(sweep, config, row=row)[1] for row in range(len(sweep.thresholds))], np.int64)


def describe_target(config: ThresholdConfig) -> str:
    """Return the metric or the target of a choice as text."""
    target = _target_of(config)
    return f"best {_METRICS[config.metric]}" if target is None else target.text


def middle_of_best(scores: NDArray[np.float64], *, allowed: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
    """Return the position of the highest score; of several equal ones, the nearest to their middle.

    Args:
        scores: Of any shape; NaN is below every number.
        allowed: Same shape, the positions to choose from; None allows all.
    """
    usable = np.where(np.isnan(scores), -np.inf, scores)
    if allowed is not None:
        usable = np.where(allowed, usable, -np.inf)
    best_nd = np.argwhere(usable >= usable.max() - _TIE)
    from_middle = np.square(best_nd - best_nd.mean(axis=0)).sum(axis=1)
    return tuple(int(index) for index in best_nd[from_middle.argmin()])


def _target_of(config: ThresholdConfig) -> _Target | None:
    recall, share = "ship_recall", config.false_alarm_images
    if config.precision is not None:
        text = f"ship precision of at least {config.precision:g}"
        return _Target("ship_precision", config.precision, is_lower_bound=True, gain=recall, text=text)
    if config.pixel_precision is not None:
        text = f"pixel precision of at least {config.pixel_precision:g}"
        return _Target("precision", config.pixel_precision, is_lower_bound=True, gain="recall", text=text)
    if share is not None:
        text = f"a false alarm in at most {100 * share:g} % of the images without ships"
        return _Target("false_alarm_images", share, is_lower_bound=False, gain=recall, text=text)
    if config.false_alarms_per_1000km2 is not None:
        text = f"at most {config.false_alarms_per_1000km2:g} false alarms per 1000 km2"
        limit = config.false_alarms_per_1000km2
        return _Target("false_alarms_per_1000km2", limit, is_lower_bound=False, gain=recall, text=text)
    return None


def _choose(sweep: DecisionSweep, config: ThresholdConfig, *, row: int | None = None) -> tuple[int, int, bool]:
    """Return the row and column of the chosen point, and whether the target is met there.

    Args:
        sweep: Of the images to choose on.
        config: Which metric or target.
        row: Choose among the points of this row only.

    Raises:
        DataError: There is nothing to choose by; never for a given row.
    """
    # A peak threshold at or below the threshold has no effect: of those only 0 is allowed, so that it counts once.
    allowed = (sweep.peaks == 0) | (sweep.peaks > sweep.thresholds[:, None])
    if row is not None:
        allowed = allowed & (np.arange(len(sweep.thresholds)) == row)[:, None]
    target = _target_of(config)
    if target is None:
        return _best_metric(sweep, config.metric, allowed)
    # With this sign a higher value is always better.
    sign = 1.0 if target.is_lower_bound else -1.0
    value, gain = sign * sweep.score(target.score), sweep.score(target.gain)
    useful = allowed & (gain > 0) & ~np.isnan(value)
    if not useful.any():
        if row is not None:
            return row, 0, False
        raise DataError(_explain_failure(sweep, target))
    met = useful & (value >= sign * target.limit - _TIE)
    reached = bool(met.any())
    first, second, among = (gain, value, met) if reached else (value, gain, useful)
    best = among & (first >= first[among].max() - _TIE)
    return (*_row_col(middle_of_best(second, allowed=best)), reached)


def _best_metric(sweep: DecisionSweep, metric: str, allowed: NDArray[np.bool_]) -> tuple[int, int, bool]:
    scores = sweep.score(metric)
    if metric in _PIXEL_METRICS:
        allowed = allowed & (sweep.peaks == 0)
    if not sweep.totals["true"]:
        raise DataError("no threshold can be chosen: the labelled images hold no ship")
    compared = scores[allowed & ~np.isnan(scores)]
    if allowed.any(axis=1).all() and np.ptp(compared) <= _TIE:
        return int(np.abs(sweep.thresholds - Decision().threshold).argmin()), int(np.argmin(sweep.peaks)), True
    return (*_row_col(middle_of_best(scores, allowed=allowed)), True)


def _row_col(index: tuple[int, ...]) -> tuple[int, int]:
    return index[0], index[1]


def _explain_failure(sweep: DecisionSweep, target: _Target) -> str:
    if not sweep.totals["true"]:
        return "no threshold can be chosen: the labelled images hold no ship"
    if np.isnan(sweep.score(target.score)).all():
        return f"no threshold can be chosen for {target.text}: none of the labelled images is without ships"
    return f"no threshold can be chosen for {target.text}: the model finds no ship at any threshold"


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
    """Return 90 % intervals of the scores that are a share or a rate of single counts."""
    matched, predicted, alarmed = (float(point.sums[key][0, 0]) for key in ("matched", "predicted", "alarmed"))
    low, high = count_interval(float(point.sums["false_alarms"][0, 0]))
    per_alarm = 1000 / point.totals["km2"] if point.totals["km2"] else None
    return {
        "ship_precision": share_interval(matched, predicted),
        "ship_recall": share_interval(matched, point.totals["true"]),
        "false_alarm_images": share_interval(alarmed, point.totals["empty"]),
        "false_alarms_per_1000km2": None if per_alarm is None else (low * per_alarm, high * per_alarm),
    }
