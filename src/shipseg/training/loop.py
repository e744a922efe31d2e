"""The training loop: steps, a validation after each epoch, a checkpoint wherever a kill would cost."""

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
    """What the loop tells the outside; none of it changes the training.

    Args:
        save: Writes a checkpoint.
        publish: Writes what a finished epoch gives, for people: history, curves, the best model.
        report: Notes scalars after a step.
    """

    save: Callable[[], None]
    publish: Callable[[], None]
    report: Callable[[dict[str, float]], None]


def train_to_the_end(assembly: Assembly, state: RunState, *, desk: Callbacks, stop: StopRequest) -> None:
    """Train from wherever `state` stands to the end of its last phase, or to early stopping.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite; the message names the batch.
        TrainingInterrupted: A signal came, and a checkpoint is written.
        StorageError: A checkpoint cannot be written; the one before it is whole.
    """
    while not state.is_trained:
        if state.step_of_epoch < state.steps_per_epoch:
            train_epoch(assembly, state, desk=desk, stop=stop)
            desk.save()
        validate_epoch(assembly, state, desk=desk, stop=stop)
        desk.save()
        # What people read follows from the checkpoint and is written after it: a kill in between costs nothing.
        desk.publish()


def train_epoch(assembly: Assembly, state: RunState, *, desk: Callbacks, stop: StopRequest) -> None:
    """Take the steps that are left of the epoch under way."""
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
        outcome = train_step(assembly, batch, state=state, lr=lr, wants_stop=stop.requested)
        _check_finite(outcome, batch, assembly=assembly, state=state)
        state.step += 1
        state.loss_sum += outcome.loss
        now_s = time.perf_counter()
        state.train_seconds, started_s = state.train_seconds + now_s - started_s, now_s
        desk.report({"train/loss": outcome.loss, "train/lr": lr, "train/gradient_norm": outcome.gradient_norm})
        if outcome.someone_wants_stop:
            desk.save()
            assembly.processes.wait()  # or torchrun would end the first process, which writes, with the others
            raise stop.interruption()
        if state.step % train.checkpoint_every_steps == 0 and state.step_of_epoch < state.steps_per_epoch:
            desk.save()


@dataclass(frozen=True)
class _StepResult:
    """What a step gave, the same in every process but for `own_loss`."""

    loss: float
    own_loss: float
    gradient_norm: float
    someone_wants_stop: bool


def train_step(assembly: Assembly, batch: Batch, *, state: RunState, lr: float, wants_stop: bool) -> _StepResult:
    """Take one step: forward, backward, one exchange among the processes, clip, update, average."""
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
    return _StepResult(loss=loss, own_loss=own_value, gradient_norm=norm_value, someone_wants_stop=stop_share > 0)


def _check_finite(outcome: _StepResult, batch: Batch, *, assembly: Assembly, state: RunState) -> None:
    """Stop at the step whose numbers are no numbers; nothing of it was written."""
    if math.isfinite(outcome.loss) and math.isfinite(outcome.gradient_norm):
        return
    what = f"loss became {outcome.loss}" if not math.isfinite(outcome.loss) else "gradient became infinite or NaN"
    found = assembly.processes.gather((math.isfinite(outcome.own_loss), batch.image_ids))
    guilty = [ids for finite, ids in found if not finite] or [ids for _, ids in found]
    images = ", ".join(image_id for ids in guilty for image_id in ids)
    raise NonFiniteLossError(
        f"the {what} at step {state.step + 1} (epoch {state.epoch + 1}) on {images}: look at these images, "
        "or start another run with a lower train.lr or with train.clip_norm; the last checkpoint is whole"
    )


def validate_epoch(assembly: Assembly, state: RunState, *, desk: Callbacks, stop: StopRequest) -> None:
    """Validate, close the epoch, and keep the weights if they are the best so far."""
    started_s = time.perf_counter()
    note_stage("validating", step=state.step)
    scores = validate(
        assembly.judged, assembly.validation, forward=assembly.forward, processes=assembly.processes, stop=stop
    )
    seconds = state.train_seconds + time.perf_counter() - started_s
    if state.close_epoch(scores, lr=_last_rate(assembly), seconds=seconds):
        assembly.keep_as_best()
    desk.report({f"val/{name}": value for name, value in vars(scores).items()})


def _last_rate(assembly: Assembly) -> float:
    return float(assembly.optimizer.param_groups[0]["lr"])
