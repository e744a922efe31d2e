"""The processes of one run: a single one, or several started by torchrun; gloo on CPUs, nccl on GPUs.

Gradients are reduced in one flat tensor, without DistributedDataParallel: that regroups its buckets after its first
step, so with three or more processes the first step after a resume would sum in another order than in the uninterrupted
run. The same tensor holds the normalisation statistics, the loss and the request to stop: one all-reduce per step.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from shipseg.errors import ShipsegError, TrainingError

__all__ = ["LostProcessError", "Processes", "joined"]

Result = TypeVar("Result")
Number = TypeVar("Number", np.float64, np.int64)

# Long enough for the first process to write a checkpoint of some GB to a slow disk while the others wait.
_TIMEOUT = dt.timedelta(minutes=30)


class LostProcessError(TrainingError):
    """Another process of the run has stopped."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as seen from this one.

    Args:
        rank: Rank of this process.
        world_size: Number of processes.
        device: Device of the tensors to exchange.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def agree(self, decide: Callable[[], Result]) -> Result:
        """Call `decide` in the first process; return its result, or raise its `ShipsegError`, in all processes."""
        if self.world_size == 1:
            return decide()
        answer: list[Any] = [None, None]
        failure: ShipsegError | None = None
        if self.is_first:
            try:
                answer = [decide(), None]
            except ShipsegError as error:
                failure, answer = error, [None, str(error)]
        with _explained(self):
            dist.broadcast_object_list(answer, src=0, device=self.device)
        if failure is not None:
            raise failure
        if answer[1] is not None:
            raise TrainingError(answer[1])
        result: Result = answer[0]
        return result

    def gather(self, value: Result) -> list[Result]:
        """Return the value of every process, in the order of their ranks."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        with _explained(self):
            dist.all_gather_object(values, value)
        return values

    def add_up(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return the sum of `values` (any shape, a dtype of torch) over all processes."""
        if self.world_size == 1:
            return values
        with _explained(self):
            total = torch.from_numpy(values.copy()).to(self.device)
            dist.all_reduce(total)
        summed: NDArray[Number] = total.cpu().numpy()
        return summed

    @torch.no_grad()
    def average_(self, tensors: Sequence[Tensor], *, weight: float) -> None:
        """Replace every tensor by its weighted sum over the processes, in one all-reduce.

        Args:
            tensors: float32, of equal shapes in every process.
            weight: Weight of this process; the weights of all processes add up to 1.
        """
        if self.world_size == 1:
            return
        with _explained(self):
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).mul_(weight)
            dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, values in zip(tensors, parts, strict=True):
            tensor.copy_(values.view(tensor.shape))

    def wait(self) -> None:
        """Wait until every process has called this."""
        self.gather(None)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the process group that torchrun started, if any, and leave it at the end of the block.

    Raises:
        LostProcessError: The other processes cannot be reached.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Processes(rank=0, world_size=1, device=device)
        return
    processes = Processes(rank=int(os.environ["RANK"]), world_size=world_size, device=device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _explained(processes):
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield processes
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _explained(processes: Processes) -> Iterator[None]:
    """Turn a lost connection into one sentence."""
    try:
        yield
    except RuntimeError as error:  # base class of the errors of torch.distributed
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LostProcessError(
            f"process {processes.rank} of {processes.world_size} lost the connection, because another process stopped "
            f"(see its message): resume from the last checkpoint with --resume ({reason[:160]})"
        ) from error
