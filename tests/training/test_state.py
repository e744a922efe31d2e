from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipseg.config import PhaseConfig, Recipe, ScheduleConfig, TrainConfig
from shipseg.training.state import RunState, Scores

CONSTANT = ScheduleConfig(name="constant")


def scores(pooled_dice: float = 0.5, loss: float = 1.0) -> Scores:
    return Scores(
        loss=loss, pooled_dice=pooled_dice, pooled_iou=0.4, pooled_dice_at_half=0.3, pooled_iou_at_half=0.2,
        image_dice=0.1, threshold=0.35,
    )  # fmt: skip


def state(*epochs: int, train: TrainConfig | None = None, schedule: ScheduleConfig = CONSTANT) -> RunState:
    phases = tuple(PhaseConfig(epochs=number, lr=0.1, schedule=schedule) for number in epochs)
    return RunState(
        recipe=Recipe(train=train or TrainConfig(batch_size=4)), phases=phases, steps_per_epoch=5, dataset="abc",
        world_size=1, environment={"torch": "2"},
    )  # fmt: skip


def run_epoch(run: RunState, result: Scores) -> bool:
    run.step += run.steps_per_epoch
    run.loss_sum, run.train_seconds = 10.0, 2.0
    return run.close_epoch(result, lr=0.1, seconds=3.0)


def test_the_row_of_an_epoch_has_mean_loss_and_speed() -> None:
    run = state(2)
    run_epoch(run, scores())
    row = run.history[0]
    assert (row.epoch, row.phase, row.step, row.best, row.seconds) == (1, 1, 5, 1, 3.0)
    assert row.train_loss == 2.0  # 10 over 5 steps
    assert row.images_per_s == 10.0  # 5 steps of 4 images in 2 seconds
    assert (run.loss_sum, run.train_seconds) == (0.0, 0.0)


def test_the_best_is_the_first_with_the_highest_score() -> None:
    run = state(4)
    assert [run_epoch(run, scores(value)) for value in (0.5, 0.6, 0.6, 0.55)] == [True, True, False, False]
    assert run.best is not None
    assert (run.best.epoch, run.best.step) == (2, 10)
    assert [row.best for row in run.history] == [1, 1, 0, 0]


def test_the_lowest_loss_is_best() -> None:
    run = state(3, train=TrainConfig(best_metric="loss"))
    assert [run_epoch(run, scores(loss=value)) for value in (0.5, 0.6, 0.4)] == [True, False, True]


def test_the_schedule_restarts_in_each_phase() -> None:
    run = state(1, 2, schedule=ScheduleConfig(name="step", every_epochs=1, factor=0.5))
    rates = []
    for _ in range(3):
        rates.append(run.learning_rate())
        run_epoch(run, scores())
    assert rates == pytest.approx([0.1, 0.1, 0.05])  # the second phase begins at its full rate
    assert [row.phase for row in run.history] == [1, 2, 2]
    assert run.is_trained


def test_plateau_is_reset_at_the_end_of_a_phase() -> None:
    run = state(3, 2, schedule=ScheduleConfig(name="plateau", patience=0, factor=0.5))
    rates = []
    for value in (0.5, 0.4, 0.4, 0.4, 0.4):
        rates.append(run.learning_rate())
        run_epoch(run, scores(value))
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.1, 0.1])


def test_early_stopping_ends_the_run_after_that_many_validations_without_improvement() -> None:
    run = state(10, train=TrainConfig(early_stopping_epochs=2))
    for value in (0.5, 0.4, 0.6, 0.6):
        run_epoch(run, scores(value))
        assert not run.is_trained
    run_epoch(run, scores(0.5))
    assert run.is_trained
    assert run.stopped_early


def test_a_phase_appended_after_early_stopping_starts_where_the_run_stopped() -> None:
    run = state(1, 10, 5, train=TrainConfig(early_stopping_epochs=1))
    run_epoch(run, scores(0.5))
    run_epoch(run, scores(0.4))
    run.append(PhaseConfig(epochs=3, lr=0.02, schedule=CONSTANT))
    assert [phase.epochs for phase in run.phases] == [1, 1, 3]
    assert (run.phase_number, run.learning_rate(), run.is_trained, run.appended) == (2, 0.02, False, 1)


def test_a_phase_appended_to_an_interrupted_run_comes_after_the_others() -> None:
    run = state(2)
    run.step = 3
    run.append(PhaseConfig(epochs=1, lr=0.02, schedule=CONSTANT))
    assert run.learning_rate() == 0.1
    run.step = 0
    run_epoch(run, scores())
    run_epoch(run, scores())
    assert run.learning_rate() == 0.02


def test_the_current_recipe_has_the_appended_phases() -> None:
    run = state(2)
    run.append(PhaseConfig(epochs=1, lr=0.02, schedule=CONSTANT))
    assert [phase.epochs for phase in run.current_recipe().phases] == [2, 1]
    assert run.recipe.phases == ()


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    loss=st.floats(allow_nan=False, allow_infinity=False, min_value=0),
    patience=st.integers(0, 2),
)
def test_the_state_is_read_back_exactly(values: list[float], loss: float, patience: int) -> None:
    run = state(3, 9, schedule=ScheduleConfig(name="plateau", patience=patience))
    for value in values:
        run_epoch(run, scores(value, loss=math.nextafter(loss, 0)))
    run.step, run.loss_sum = run.step + 2, loss
    again = RunState.from_json(run.to_json())
    assert dataclasses.asdict(again) == dataclasses.asdict(run)
    assert again.learning_rate() == run.learning_rate()
