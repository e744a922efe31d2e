"""The training loop: steps, a validation after each epoch, and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from shipseg.errors import NonFiniteLossError
from shipseg.progress import track
from shipseg.training.assembly import Assembly, seed_step, set_learning_rate
from shipseg.training.batches import Batch
from shipseg.training.signals import StopRequest, note_stage
from shipseg.training.state import RunState
from shipseg.training.validation import validate

__all__ = ["Callbacks", "train_epoch", "train_step", "train_to_the_end", "validate_epoch"]


@dataclass(frozen=True)
class Callbacks:
    """Functions that the loop calls; they do not change the training.

    Args:
        save: Writes a checkpoint.
        publish: Writes the output of a finished epoch: history, curves, the best model.
        report: Writes scalars after a step.
    """

    save: Callable[[], None]
    publish: Callable[[], None]
    report: Callable[[dict[str, float]], None]


def train_to_the_end(assembly: Assembly, state: RunState, *, callbacks: Callbacks, stop: StopRequest) -> None:
    """Train from the position in `state` to the end of the last phase, or to early stopping.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite; the message names the batch.
        TrainingInterrupted: A signal came; a checkpoint was saved.
        StorageError: A checkpoint cannot be written; the one before it is complete.
    """
    while not state.is_trained:
        if state.step_of_epoch < state.steps_per_epoch:
            train_epoch(assembly, state, callbacks=callbacks, stop=stop)
            callbacks.save()
        validate_epoch(assembly, state, callbacks=callbacks, stop=stop)
        callbacks.save()
        # Published files are derived from the checkpoint and written after it: a kill in between loses nothing.
        callbacks.publish()


def train_epoch(assembly: Assembly, state: RunState, *, callbacks: Callbacks, stop: StopRequest) -> None:
    """Take the remaining steps of the current epoch."""
    assembly.network.train()
    train, started_s = state.recipe.train, time.perf_counter()
    steps = track(
        assembly.training.after(state.step),
        f"epoch {state.epoch + 1} of {state.num_epochs}",
        total=state.steps_per_epoch,
        done=state.step_of_epoch,
        note=lambda: f"loss {state.loss_sum / max(state.step_of_epoch, 1):.4f}",
    )
    for batch in steps:
        note_stage("training", step=state.step)
        lr = state.learning_rate()
        result = train_step(assembly, batch, state=state, lr=lr, wants_stop=stop.requested)
        _check_finite(result, batch, assembly=assembly, state=state)
        state.step += 1
        state.loss_sum += result.loss
        now_s = time.perf_counter()
        state.train_seconds, started_s = state.train_seconds + now_s - started_s, now_s
        callbacks.report({"train/loss": result.loss, "train/lr": lr, "train/gradient_norm": result.gradient_norm})
        if result.stop_requested:
            callbacks.save()
            assembly.processes.wait()  # otherwise torchrun could end the first process while it writes
            raise stop.interruption()
        if state.step % train.checkpoint_every_steps == 0 and state.step_of_epoch < state.steps_per_epoch:
            callbacks.save()


@dataclass(frozen=True)
class _StepResult:
    """Result of a step; only `own_loss` differs between processes."""

    loss: float
    own_loss: float
    gradient_norm: float
    stop_requested: bool


def train_step(assembly: Assembly, batch: Batch, *, state: RunState, lr: float, wants_stop: bool) -> _StepResult:
    """Take one step: forward, backward, one all-reduce, clip, update, average."""
    train, network, processes = state.recipe.train, assembly.network, assembly.processes
    seed_step(train.seed, step=state.step, rank=processes.rank)
    assembly.optimizer.zero_grad(set_to_none=True)
    own_loss, _, _ = assembly.forward(network, batch)
    own_loss.backward()  # type: ignore[no-untyped-call]
    shared = torch.stack([own_loss.detach(), own_loss.new_tensor(float(wants_stop))])
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    processes.average_([*gradients, *assembly.norm_statistics, shared], weight=len(batch) / train.batch_size)
    norm = nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm or math.inf)
    set_learning_rate(assembly.optimizer, lr)
    assembly.optimizer.step()
    if assembly.average is not None:
        assembly.average.update(network, step=state.step)
    loss, stop_share, norm_value, own_value = torch.stack([*shared, norm, own_loss.detach()]).tolist()
    return _StepResult(loss=loss, own_loss=own_value, gradient_norm=norm_value, stop_requested=stop_share > 0)


def _check_finite(result: _StepResult, batch: Batch, *, assembly: Assembly, state: RunState) -> None:
    """Raise if the loss or the gradient is NaN or infinite; nothing of this step was saved."""
    if math.isfinite(result.loss) and math.isfinite(result.gradient_norm):
        return
    what = f"loss became {result.loss}" if not math.isfinite(result.loss) else "gradient became infinite or NaN"
    batches = assembly.processes.gather((math.isfinite(result.own_loss), batch.image_ids))
    affected = [ids for finite, ids in batches if not finite] or [ids for _, ids in batches]
    images = ", ".join(image_id for ids in affected for image_id in ids)
    raise NonFiniteLossError(
        f"the {what} at step {state.step + 1} (epoch {state.epoch + 1}) on {images}: check these images, "
        "or start a new run with a lower train.lr or with train.clip_norm; the last checkpoint is valid"
    )


def validate_epoch(assembly: Assembly, state: RunState, *, callbacks: Callbacks, stop: StopRequest) -> None:
    """Validate, close the epoch, and copy the weights if they are the best so far."""
    started_s = time.perf_counter()
    note_stage("validating", step=state.step)
    scores = validate(
        assembly.eval_network, assembly.validation, forward=assembly.forward, processes=assembly.processes, stop=stop
    )
    seconds = state.train_seconds + time.perf_counter() - started_s
    if state.close_epoch(scores, lr=_last_rate(assembly), seconds=seconds):
        assembly.keep_as_best()
    callbacks.report({f"val/{name}": value for name, value in vars(scores).items()})


def _last_rate(assembly: Assembly) -> float:
    return float(assembly.optimizer.param_groups[0]["lr"])
