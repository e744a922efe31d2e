from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipseg.config import PhaseConfig, ScheduleConfig
from shipseg.training.schedules import SCHEDULES, Moment, Plateau, learning_rate


def rates(schedule: ScheduleConfig, *, num_steps: int = 100, steps_per_epoch: int = 10, falls: int = 0) -> list[float]:
    phase = PhaseConfig(epochs=num_steps // steps_per_epoch, lr=0.1, schedule=schedule)
    return [learning_rate(phase, Moment(step, num_steps, steps_per_epoch, falls)) for step in range(num_steps)]


def test_constant_does_not_change() -> None:
    assert set(rates(ScheduleConfig(name="constant"))) == {0.1}


def test_warmup_rises_in_equal_steps_to_the_rate() -> None:
    assert rates(ScheduleConfig(name="constant", warmup_steps=4))[:6] == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    )


def test_step_multiplies_by_the_factor_every_few_epochs() -> None:
    values = rates(ScheduleConfig(name="step", factor=0.5, every_epochs=3))
    assert [values[step] for step in (0, 29, 30, 59, 60, 90)] == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.0125])


def test_cosine_ends_at_its_final_share_and_is_halfway_in_the_middle() -> None:
    values = rates(ScheduleConfig(name="cosine", final_share=0.2), num_steps=101, steps_per_epoch=1)
    assert values[0] == pytest.approx(0.1)
    assert values[50] == pytest.approx(0.06)  # the mean of 0.1 and 0.02
    assert values[-1] == pytest.approx(0.02)


def test_cosine_falls_only_after_its_warmup() -> None:
    values = rates(ScheduleConfig(name="cosine", warmup_steps=10, final_share=0.0))
    assert values[9] == pytest.approx(0.1)
    assert values[10] == pytest.approx(0.1)
    assert all(earlier > later for earlier, later in itertools.pairwise(values[10:]))


def test_one_cycle_rises_from_a_25th_for_three_tenths_and_falls_to_its_final_share() -> None:
    values = rates(ScheduleConfig(name="one-cycle", final_share=0.01), num_steps=101, steps_per_epoch=1)
    assert values[0] == pytest.approx(0.004)
    assert values.index(max(values)) == 30
    assert max(values) == pytest.approx(0.1)
    assert values[-1] == pytest.approx(0.001)


def test_plateau_applies_each_reduction() -> None:
    assert rates(ScheduleConfig(name="plateau", factor=0.1), falls=2) == pytest.approx([0.001] * 100)


def test_plateau_tolerates_patience_validations_and_reduces_the_rate_at_the_next() -> None:
    schedule = ScheduleConfig(name="plateau", patience=1)
    plateau, falls = Plateau(), []
    for score in (0.5, 0.6, 0.6, 0.55, 0.59, 0.58, 0.7):
        plateau = plateau.after(score, schedule)
        falls.append(plateau.falls)
    assert falls == [0, 0, 0, 1, 1, 2, 2]
    assert plateau.best == 0.7


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    warmup=st.integers(0, 50),
    epochs=st.integers(1, 8),
    steps_per_epoch=st.integers(1, 9),
)
def test_every_rate_is_above_zero_and_at_most_the_phases(
    name: str, warmup: int, epochs: int, steps_per_epoch: int
) -> None:
    schedule = ScheduleConfig.model_validate({"name": name, "warmup_steps": warmup, "every_epochs": 2})
    for rate in rates(schedule, num_steps=epochs * steps_per_epoch, steps_per_epoch=steps_per_epoch):
        assert 0 < rate <= 0.1 * (1 + 1e-12)
        assert math.isfinite(rate)
