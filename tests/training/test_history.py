from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipseg.errors import TrainingError
from shipseg.training.history import CLOCK_COLUMNS, COLUMNS, EpochRow, Scalars, read_history, write_history


def row(epoch: int, loss: float = 0.1) -> EpochRow:
    return EpochRow(
        epoch=epoch, phase=1, step=10 * epoch, lr=1e-3, train_loss=loss, val_loss=loss / 3, val_pooled_dice=0.5,
        val_pooled_iou=1 / 3, val_image_dice=0.4, best=1, seconds=1.5, images_per_s=20.0,
    )  # fmt: skip


def test_the_columns_are_these() -> None:
    assert ",".join(COLUMNS) == (
        "epoch,phase,step,lr,train_loss,val_loss,val_pooled_dice,val_pooled_iou,val_image_dice,best,seconds,images_per_s"
    )
    assert CLOCK_COLUMNS == ("seconds", "images_per_s")


@given(loss=st.floats(min_value=1e-300, max_value=1e300))
def test_every_float_is_read_back_exactly(loss: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("history") / "history.csv"
    rows = [row(1, loss), row(2, math.nextafter(loss, math.inf))]
    write_history(path, rows)
    assert read_history(path) == rows


def test_a_run_without_an_epoch_has_a_header_and_no_rows(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [])
    assert (tmp_path / "history.csv").read_text().count("\n") == 1
    assert read_history(tmp_path / "history.csv") == []


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "epoch\nx\n"])
def test_another_file_is_refused_with_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(TrainingError, match="is not the history of a run"):
        read_history(tmp_path / "history.csv")


def test_scalars_of_steps_after_the_checkpoint_are_purged(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    killed = Scalars(tmp_path, step=0)
    for step in range(1, 6):
        killed.add({"train/loss": float(step)}, step=step)
    killed.close()
    time.sleep(1.1)  # TensorBoard orders its files by the second in their names
    resumed = Scalars(tmp_path, step=3)
    resumed.add({"train/loss": 40.0}, step=4)
    resumed.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 1), (2, 2), (3, 3), (4, 40)]


def test_without_a_folder_no_scalars_are_written(tmp_path: Path) -> None:
    scalars = Scalars(None, step=0)
    scalars.add({"train/loss": 1.0}, step=1)
    scalars.close()
    assert list(tmp_path.iterdir()) == []
