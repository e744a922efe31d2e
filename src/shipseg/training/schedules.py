"""Learning-rate schedules as pure functions of the step; `plateau` also needs the state in `Plateau`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from shipseg.config import PhaseConfig, ScheduleConfig

__all__ = ["SCHEDULES", "Moment", "Plateau", "learning_rate"]

ONE_CYCLE_RISE_SHARE = 0.3
ONE_CYCLE_START_SHARE = 1 / 25
"""Both as in PyTorch's OneCycleLR, after Smith and Topin, "Super-Convergence" (2018)."""


@dataclass(frozen=True)
class Moment:
    """The position in a phase.

    Args:
        step: Steps of the phase taken so far; 0 at its first step.
        num_steps: Number of steps of the phase.
        steps_per_epoch: Number of steps of an epoch.
        falls: How often `plateau` has reduced the rate in this phase.
    """

    step: int
    num_steps: int
    steps_per_epoch: int
    falls: int = 0


@dataclass(frozen=True)
class Plateau:
    """State of `plateau` between the validations of a phase."""

    best: float | None = None
    """Highest score of the phase so far."""
    waited: int = 0
    """Validations since then, or since the last reduction."""
    falls: int = 0
    """How often the rate was reduced."""

    def after(self, score: float, schedule: ScheduleConfig) -> Plateau:
        """Return the state after one more validation with `score` (higher is better).

        As in the reference and in PyTorch, `patience` validations without improvement are tolerated, and the next one
        reduces the rate.
        """
        if self.best is None or score > self.best:
            return Plateau(best=score, waited=0, falls=self.falls)
        if self.waited >= schedule.patience:
            return Plateau(best=self.best, waited=0, falls=self.falls + 1)
        return Plateau(best=self.best, waited=self.waited + 1, falls=self.falls)


def learning_rate(phase: PhaseConfig, moment: Moment) -> float:
    """Return the learning rate at `moment`; `phase` must have its rate and schedule filled in.

    Example:
        >>> phase = PhaseConfig(epochs=2, lr=0.1, schedule=ScheduleConfig(name="step", every_epochs=1))
        >>> learning_rate(phase, Moment(step=10, num_steps=20, steps_per_epoch=10))
        0.010000000000000002
    """
    assert phase.lr is not None
    assert phase.schedule is not None
    return phase.lr * SCHEDULES[phase.schedule.name](phase.schedule, moment)


def _constant(schedule: ScheduleConfig, moment: Moment) -> float:
    return _warmup(schedule, moment)


def _plateau(schedule: ScheduleConfig, moment: Moment) -> float:
    return _warmup(schedule, moment) * float(schedule.factor**moment.falls)


def _step(schedule: ScheduleConfig, moment: Moment) -> float:
    num_falls = moment.step // moment.steps_per_epoch // schedule.every_epochs
    return _warmup(schedule, moment) * float(schedule.factor**num_falls)


def _cosine(schedule: ScheduleConfig, moment: Moment) -> float:
    if moment.step < schedule.warmup_steps:
        return _warmup(schedule, moment)
    progress = _progress(moment.step, schedule.warmup_steps, moment.num_steps - 1)
    return _between(1.0, schedule.final_share, progress)


def _one_cycle(schedule: ScheduleConfig, moment: Moment) -> float:
    top = int(ONE_CYCLE_RISE_SHARE * (moment.num_steps - 1))
    if moment.step < top:
        return _between(ONE_CYCLE_START_SHARE, 1.0, _progress(moment.step, 0, top))
    return _between(1.0, schedule.final_share, _progress(moment.step, top, moment.num_steps - 1))


def _warmup(schedule: ScheduleConfig, moment: Moment) -> float:
    return min(1.0, (moment.step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0


def _progress(step: int, first: int, last: int) -> float:
    return min(1.0, (step - first) / (last - first)) if last > first else 1.0


def _between(start: float, end: float, progress: float) -> float:
    """Return the half-cosine interpolation from `start` to `end` at `progress` in 0-1."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[ScheduleConfig, Moment], float]] = {
    "constant": _constant,
    "plateau": _plateau,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "step": _step,
}
"""Schedules by name; each returns the share of the phase's learning rate."""
