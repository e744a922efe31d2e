"""A run that was stopped, by any cause at any point, resumes bit for bit as if it had not been stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F

from shipseg.config import NetworkConfig, Recipe
from shipseg.errors import NonFiniteLossError, StorageError, TrainingInterrupted
from shipseg.model.network import ShipNetwork, build_network
from shipseg.training import assembly
from shipseg.training.checkpoint import LAST, PREVIOUS, find_checkpoint, read_checkpoint
from shipseg.training.equality import run_differences
from shipseg.training.run import TrainAndTestModel
from shipseg.training.signals import STAGES
from shipseg.training.state import RunState

RecipeMaker = Callable[..., Recipe]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and everything after it is left undone, as after a real kill."""


def kill_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let the run die at its `number`-th flush or rename (from 0), and at every one after; return the counter."""
    count = [0]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] > number:
                raise Killed
            return original(*arguments, **named)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    return count


def die_at_every_write(expected: Path, recipe: Recipe, dataset: Path, out: Path, *, first: int, every: int) -> int:
    """Kill one run after another at different writes, resume each, compare; return the number of kills."""
    kills, number = 0, first
    while True:
        trainer = TrainAndTestModel(recipe, dataset, out / f"run-{number}")
        with pytest.MonkeyPatch.context() as patch:
            kill_at_write(patch, number)
            try:
                trainer.train()
            except Killed:
                kills += 1
            else:
                return kills
        trainer.train(resume=True)
        assert run_differences(expected, trainer.run) == [], f"killed at write {number}"
        number += every


def test_killed_at_any_write_and_resumed_it_is_the_same_run(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    assert die_at_every_write(finished_run, tiny(), dataset_folder, tmp_path, first=2, every=17) >= 4


@pytest.mark.slow
def test_killed_at_every_single_write_and_resumed_it_is_the_same_run(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    assert die_at_every_write(finished_run, tiny(), dataset_folder, tmp_path, first=0, every=1) >= 60


def stop_at(monkeypatch: pytest.MonkeyPatch, stage: str, number: signal.Signals) -> None:
    """Send this process a signal at the beginning of a stage, once."""
    sent: list[bool] = []

    def listen(message: str, *arguments: Any) -> None:
        if not sent and message % arguments == stage:
            sent.append(True)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(STAGES, "debug", listen)


@pytest.mark.parametrize(
    ("stage", "number", "steps"),
    [
        ("training 1", signal.SIGTERM, 2),  # the current step is finished
        ("training 4", signal.SIGINT, 5),
        ("checkpoint 4", signal.SIGTERM, 5),
        ("validating 3", signal.SIGINT, 3),  # the last checkpoint is the one before the validation
        ("choosing 6", signal.SIGTERM, 6),
    ],
)
def test_a_signal_ends_the_run_with_a_checkpoint_and_a_resume_is_exact(
    stage: str, number: signal.Signals, steps: int, finished_run: Path, dataset_folder: Path, tiny: RecipeMaker,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    trainer = TrainAndTestModel(tiny(), dataset_folder, tmp_path / "run")
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        stop_at(patch, stage, number)
        with pytest.raises(TrainingInterrupted, match=f"{number.name} stopped the run .* with --resume to continue"):
            trainer.train()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    stored = find_checkpoint(trainer.run)
    assert stored is not None
    state = RunState.from_json(read_checkpoint(stored.data, origin=trainer.run)["state"])
    assert state.step == steps
    assert trainer.train(resume=True).resumed_at_step == steps
    assert run_differences(finished_run, trainer.run) == []


def test_a_continuation_that_was_stopped_resumes_exactly(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    uninterrupted, stopped = (Path(shutil.copytree(finished_run, tmp_path / name)) for name in ("a", "b"))
    TrainAndTestModel(tiny(), dataset_folder, uninterrupted).continue_training(epochs=1, lr=1e-3)
    trainer = TrainAndTestModel(tiny(), dataset_folder, stopped)
    with monkeypatch.context() as patch:
        stop_at(patch, "training 7", signal.SIGTERM)
        with pytest.raises(TrainingInterrupted):
            trainer.continue_training(epochs=1, lr=1e-3)
    trainer.train(resume=True)
    assert run_differences(uninterrupted, stopped) == []


def test_a_network_that_draws_random_numbers_resumes_exactly(
    dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_dropout(config: NetworkConfig) -> ShipNetwork:
        network = build_network(config)
        network.body.register_forward_hook(lambda module, _, logits: F.dropout(logits, 0.3, module.training))
        return network

    monkeypatch.setattr(assembly, "build_network", with_dropout)
    uninterrupted = TrainAndTestModel(tiny(), dataset_folder, tmp_path / "uninterrupted")
    uninterrupted.train()
    stopped = TrainAndTestModel(tiny(), dataset_folder, tmp_path / "stopped")
    with monkeypatch.context() as patch:
        stop_at(patch, "training 3", signal.SIGTERM)
        with pytest.raises(TrainingInterrupted):
            stopped.train()
    stopped.train(resume=True)
    assert run_differences(uninterrupted.run, stopped.run) == []


def test_a_damaged_last_checkpoint_costs_steps_and_no_bit(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    trainer = TrainAndTestModel(tiny(), dataset_folder, tmp_path / "run")
    with monkeypatch.context() as patch:
        stop_at(patch, "training 4", signal.SIGTERM)
        with pytest.raises(TrainingInterrupted):
            trainer.train()
    (trainer.run / LAST).write_bytes((trainer.run / LAST).read_bytes()[:-1000])
    assert (trainer.run / PREVIOUS).exists()
    assert trainer.train(resume=True).resumed_at_step == 4
    assert "last.ckpt is damaged" in caplog.text
    assert run_differences(finished_run, trainer.run) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_stops_the_run_with_one_sentence_and_with_more_space_it_resumes_exactly(
    finished_run: Path, dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    # The checkpoint before the first step fits (200 kB); a second one with the optimiser state does not.
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", run], check=False).returncode:
        pytest.skip("this machine does not let even root mount a disk")
    try:
        trainer = TrainAndTestModel(tiny(), dataset_folder, run)
        with pytest.raises(StorageError, match=r"no space left on the disk while writing .*last\.ckpt"):
            trainer.train()
        assert find_checkpoint(run) is not None
        subprocess.run(["mount", "-o", "remount,size=20m", run], check=True)
        trainer.train(resume=True)
        assert run_differences(finished_run, run) == []
    finally:
        subprocess.run(["umount", run], check=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(
    dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path
) -> None:
    from shipseg.data.prepared import open_dataset

    # Decay of 100 times the weights a step: they grow a hundredfold each time until the loss overflows.
    exploding = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 1.0, "clip_norm": None, "ema_decay": None}
    recipe = tiny(train=exploding, sampling={"batches_per_epoch": 9})
    trainer = TrainAndTestModel(recipe, dataset_folder, tmp_path / "run")
    with pytest.raises(NonFiniteLossError, match=r"became (nan|inf) at step \d \(epoch 1\) on ") as caught:
        trainer.train()
    named = str(caught.value).partition(" on ")[2].partition(":")[0].split(", ")
    assert len(named) == 4
    assert set(named) <= set(open_dataset(dataset_folder).rows("train")["ImageId"])
    stored = find_checkpoint(trainer.run)
    assert stored is not None
    state = RunState.from_json(read_checkpoint(stored.data, origin=trainer.run)["state"])
    assert state.step < int(str(caught.value).partition("at step ")[2].partition(" ")[0])


def test_two_trainings_cannot_use_one_folder(dataset_folder: Path, tiny: RecipeMaker, tmp_path: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from shipseg.training.run_folder import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    run = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", holder, str(run)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        from shipseg.errors import TrainingError

        with pytest.raises(TrainingError, match="another process is training in"):
            TrainAndTestModel(tiny(), dataset_folder, run).train()
    finally:
        process.kill()
        process.communicate()
    TrainAndTestModel(tiny(train={"epochs": 1}), dataset_folder, run).train()  # the lock ended with its holder


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--workers", "0"),
        ("--workers", "2", "--crops"),
        ("--workers", "1", "--processes", "2"),
    ],
    ids=["no workers", "two workers, crops", "two processes"],
)
@pytest.mark.timeout(3000)
def test_twenty_kills_by_sigkill_change_no_bit(options: tuple[str, ...]) -> None:
    trial = Path(__file__).parents[2] / "benchmarks" / "resume_trial.py"
    done = subprocess.run(
        [sys.executable, str(trial), "--kills", "20", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 kills: all runs equal the undisturbed one bit for bit" in done.stdout
