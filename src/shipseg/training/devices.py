"""Device of a run, deterministic computation, and messages for failures on the device."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import torch

from shipseg.errors import ConfigError, TrainingError

__all__ = ["explained_failures", "numerics", "resolve_device"]

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")
_FILLING: Any = torch.utils.deterministic  # a module whose only attribute is a property made at run time
# Without it cuBLAS may use another workspace, and with it another order of summation, in each run.
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def resolve_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Return the device for a recipe's `train.device`, in the process `local_rank` of this machine.

    Raises:
        ConfigError: The name is invalid, or the device does not exist.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"train.device must be auto, cpu, cuda or cuda:N, got {name!r}")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(name.partition(":")[2] or local_rank) if name != "auto" else local_rank
    if index >= num_gpus:
        raise ConfigError(
            f"train.device {name} needs GPU {index}, and torch finds {num_gpus} GPUs: "
            "use train.device=cpu, or start at most one process per GPU"
        )
    return torch.device("cuda", index)


@contextlib.contextmanager
def numerics(*, deterministic: bool) -> Iterator[None]:
    """Make torch deterministic, or as fast as possible, inside the block.

    Its settings and the state of its random generator are restored afterwards.
    """
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        _FILLING.fill_uninitialized_memory,
        torch.get_rng_state(),
    )
    if deterministic:
        os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    # Filling new tensors with NaN reveals bugs in kernels and costs a pass over memory; ours read no unset memory.
    _FILLING.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]
        _FILLING.fill_uninitialized_memory = before[3]
        torch.set_rng_state(before[4])


@contextlib.contextmanager
def explained_failures() -> Iterator[None]:
    """Turn failures on the device into one sentence.

    These are: not enough memory, an operation that is not deterministic, batch normalisation of a single value.

    Raises:
        TrainingError: One of these.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text:
            raise TrainingError(
                "the device has too little memory for this batch: lower train.batch_size or input.crop_size, then "
                "start again (a changed recipe needs another run folder)"
            ) from error
        if "does not have a deterministic implementation" in text:
            raise TrainingError(
                f"this recipe needs {text.split(maxsplit=1)[0]}, which is not deterministic: use another architecture "
                "or loss, or train.deterministic=false, which gives up exact resume"
            ) from error
        raise
    except ValueError as error:
        if "more than 1 value per channel" in str(error):  # torch's batch normalisation
            raise TrainingError(
                "batch normalisation needs more than one value per channel, and one image of this size has one: raise "
                "train.batch_size, input.crop_size or the dataset's size"
            ) from error
        raise
