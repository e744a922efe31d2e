"""Batches for training and validation, loaded in this process or by worker processes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from shipseg.config import Recipe
from shipseg.data.dataset import AirbusShipDetectionDataset
from shipseg.data.prepared import PreparedDataset
from shipseg.data.sampling import ShipStratifiedSampler
from shipseg.errors import DataError, ShipsegError, TrainingError
from shipseg.processes import single_threaded_opencv
from shipseg.training.distributed import Processes
from shipseg.training.signals import ignore_in_loader

__all__ = ["Batch", "TrainingBatches", "ValidationBatches"]

_LOADER_TIMEOUT_S = 900
"""A worker process without output for this long is stuck, e.g. on a lost disk; no batch takes minutes."""


@dataclass(frozen=True)
class Batch:
    """A batch of images, on the CPU.

    Args:
        images_n3hw: uint8 RGB in 0-255.
        targets_n1hw: float32 coverage in 0-1.
        image_ids: Names of the images.
    """

    images_n3hw: Tensor
    targets_n1hw: Tensor
    image_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image_ids)


class TrainingBatches:
    """This process's share of every epoch's batches; batch k is the same in an interrupted and an uninterrupted run.

    Args:
        data: The dataset.
        recipe: The recipe.
        processes: The processes that share the batches.
        pin_memory: Whether to pin memory, for a GPU.

    Raises:
        DataError: There are no training images.
        ConfigError: The dataset cannot fill the sampling shares, or a batch cannot be divided among the processes.
    """

    def __init__(self, data: PreparedDataset, recipe: Recipe, *, processes: Processes, pin_memory: bool) -> None:
        train = recipe.train
        self._image_ids = _image_ids(data, "train")
        dataset = AirbusShipDetectionDataset(
            data, "train", recipe_input=recipe.input, augment=recipe.augment, seed=train.seed
        )
        self._sampler = ShipStratifiedSampler(
            dataset.ships,
            batch_size=train.batch_size,
            zero_ships_ratio=recipe.sampling.zero_ships_ratio,
            multiple_ships_ratio=recipe.sampling.multiple_ships_ratio,
            batches_per_epoch=recipe.sampling.batches_per_epoch,
            seed=train.seed,
            rank=processes.rank,
            world_size=processes.world_size,
        )
        self._loader = _loader(
            dataset, self._sampler, workers=train.workers, pin_memory=pin_memory, persistent=train.workers > 0
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._sampler)

    def after(self, step: int) -> Iterator[Batch]:
        """Yield the remaining batches of the epoch, after the run has trained on `step` batches in total."""
        # Worker processes load ahead: the position is the number of batches trained on.
        self._sampler.state = step
        return _batches(self._loader, self._image_ids)


class ValidationBatches:
    """This process's share of the validation split, in a fixed order.

    Resized images come in batches of the training size. Native images come one by one: their sizes may differ, and one
    image has as many pixels as a batch of crops.

    Args:
        data: The dataset.
        recipe: The recipe.
        processes: The processes that share the batches.
        pin_memory: Whether to pin memory, for a GPU.

    Raises:
        DataError: There are no validation images.
    """

    def __init__(self, data: PreparedDataset, recipe: Recipe, *, processes: Processes, pin_memory: bool) -> None:
        self._image_ids = _image_ids(data, "val")
        dataset = AirbusShipDetectionDataset(data, "val", recipe_input=recipe.input)
        size = recipe.train.batch_size if recipe.input.mode == "resized" else 1
        indices = range(len(self._image_ids))
        batches = [list(indices[first : first + size]) for first in range(0, len(indices), size)]
        self._batches = batches[processes.rank :: processes.world_size]
        self._loader = _loader(
            dataset, self._batches, workers=recipe.train.workers, pin_memory=pin_memory, persistent=False
        )

    def __len__(self) -> int:
        """Return the number of this process's batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return _batches(self._loader, self._image_ids)


def _image_ids(data: PreparedDataset, split: str) -> tuple[str, ...]:
    return tuple(str(image_id) for image_id in data.rows(split)["ImageId"])


def _loader(
    dataset: Dataset[Any], batches: Any, *, workers: int, pin_memory: bool, persistent: bool
) -> DataLoader[Any]:
    return DataLoader(
        _Reporting(dataset),
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin_memory,
        persistent_workers=persistent,
        worker_init_fn=ignore_in_loader if workers else None,
        timeout=_LOADER_TIMEOUT_S if workers else 0,
    )


def _batches(loader: DataLoader[Any], image_ids: Sequence[str]) -> Iterator[Batch]:
    with _explained():
        with single_threaded_opencv() if loader.num_workers else contextlib.nullcontext():
            items = iter(loader)  # starts the worker processes
        try:
            for item in items:
                yield Batch(
                    images_n3hw=item["image"],
                    targets_n1hw=item["mask"],
                    image_ids=tuple(image_ids[index] for index in item["index"].tolist()),
                )
        except BaseException:
            _end_processes(items)
            raise


def _end_processes(items: Iterator[Any]) -> None:
    """Stop the worker processes now.

    torch leaves this to the iterator's finaliser. An error keeps the iterator alive until garbage collection, which
    finalises its queues first: the processes then never receive the message to stop, and joining them takes 20 seconds.
    """
    shut_down = getattr(items, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


class _LoadError(ShipsegError):
    """A `ShipsegError` in a worker process: torch can rebuild an exception from a single text only."""


class _Reporting(Dataset[Any]):
    """A dataset whose `ShipsegError`s can be passed from a worker process to the training process."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._dataset[index]
        except ShipsegError as error:
            raise _LoadError(str(error)) from None

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]  # a map-style dataset has a length


_DEAD_LOADER = re.compile(r"DataLoader worker.*(exited unexpectedly|killed by signal)|DataLoader timed out", re.DOTALL)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn the failure of a worker process into one sentence."""
    try:
        yield
    except _LoadError as error:
        # From a worker process the text is a traceback that ends with our message.
        raise DataError(str(error).strip().rpartition("_LoadError: ")[2].splitlines()[0]) from error
    except RuntimeError as error:
        if not _DEAD_LOADER.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"a data-loading process died or hangs ({reason}): if memory ran out, lower train.workers; "
            "--resume continues from the last checkpoint"
        ) from error
