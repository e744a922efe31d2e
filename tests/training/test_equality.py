from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shipseg.errors import TrainingError
from shipseg.training.checkpoint import find_checkpoint, read_checkpoint, save_checkpoint
from shipseg.training.equality import run_differences


@pytest.fixture
def copy(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))


def test_a_copy_is_equal(finished_run: Path, copy: Path) -> None:
    assert run_differences(finished_run, copy) == []


def test_times_may_differ(finished_run: Path, copy: Path) -> None:
    text = (copy / "history.csv").read_text()
    seconds = text.splitlines()[1].split(",")[-2]
    (copy / "history.csv").write_text(text.replace(f",{seconds},", ",123.0,"))
    assert run_differences(finished_run, copy) == []


def test_one_bit_of_one_tensor_is_a_difference(finished_run: Path, copy: Path) -> None:
    stored = find_checkpoint(copy)
    assert stored is not None
    content = read_checkpoint(stored.data, origin=copy)
    name = next(name for name in content["average"] if name.endswith("weight"))
    content["average"][name][0, 0, 0, 0] *= -1
    content.pop("format")
    save_checkpoint(copy, content)
    assert run_differences(finished_run, copy) == [f"checkpoint: /average/{name}"]


def test_another_last_digit_in_the_history_is_a_difference(finished_run: Path, copy: Path) -> None:
    text = (copy / "history.csv").read_text()
    loss = text.splitlines()[1].split(",")[4]
    (copy / "history.csv").write_text(text.replace(loss, f"{loss[:-1]}{(int(loss[-1]) + 5) % 10}"))
    assert run_differences(finished_run, copy) == ["history.csv"]


def test_other_weights_are_a_difference(finished_run: Path, copy: Path) -> None:
    weights = copy / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert run_differences(finished_run, copy) == ["model.safetensors"]


def test_a_run_without_a_checkpoint_cannot_be_compared(finished_run: Path, copy: Path) -> None:
    for checkpoint in copy.glob("*.ckpt"):
        checkpoint.unlink()
    with pytest.raises(TrainingError, match="holds no checkpoint to compare"):
        run_differences(finished_run, copy)
