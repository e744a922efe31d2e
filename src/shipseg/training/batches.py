"""Batches for training and validation, loaded here or by processes of their own."""

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

_PATIENCE_S = 900
"""A loading process that gives nothing for so long is stuck (a disk that went away); no batch takes minutes."""


@dataclass(frozen=True)
class Batch:
    """Some images, on the CPU.

    Args:
        images_n3hw: uint8 RGB in 0-255.
        targets_n1hw: float32 coverage in 0-1.
        image_ids: Their names.
    """

    images_n3hw: Tensor
    targets_n1hw: Tensor
    image_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.image_ids)


class TrainingBatches:
    """This process's share of every epoch's batches; batch k is the same whenever the run was stopped in between.

    Args:
        data: The dataset.
        recipe: The recipe.
        processes: Who shares the batches.
        pin_memory: Whether a GPU will fetch them.

    Raises:
        DataError: No training images.
        ConfigError: Shares that the dataset cannot fill, or a batch that cannot be divided among the processes.
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
        """Yield the batches that are left of the epoch in which `step` batches of the run have been used."""
        # Loading processes draw ahead; what counts is what was trained on.
        self._sampler.state = step
        return _batches(self._loader, self._image_ids)


class ValidationBatches:
    """This process's share of the validation split, in a fixed order.

    Resized images come in batches as large as in training. Whole native images come one by one: they may differ in
    size, and one of them is as many pixels as a batch of crops.

    Args:
        data: The dataset.
        recipe: The recipe.
        processes: Who shares the batches.
        pin_memory: Whether a GPU will fetch them.

    Raises:
        DataError: No validation images.
    """

    def __init__(self, data: PreparedDataset, recipe: Recipe, *, processes: Processes, pin_memory: bool) -> None:
        self._image_ids = _image_ids(data, "val")
        dataset = AirbusShipDetectionDataset(data, "val", recipe_input=recipe.input)
        size = recipe.train.batch_size if recipe.input.mode == "resized" else 1
        every = range(len(self._image_ids))
        batches = [list(every[first : first + size]) for first in range(0, len(every), size)]
        self._mine = batches[processes.rank :: processes.world_size]
        self._loader = _loader(
            dataset, self._mine, workers=recipe.train.workers, pin_memory=pin_memory, persistent=False
        )

    def __len__(self) -> int:
        """Return the number of this process's batches."""
        return len(self._mine)

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
        timeout=_PATIENCE_S if workers else 0,
    )


def _batches(loader: DataLoader[Any], image_ids: Sequence[str]) -> Iterator[Batch]:
    with _explained():
        with single_threaded_opencv() if loader.num_workers else contextlib.nullcontext():
            items = iter(loader)  # starts the loading processes
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
    """End the loading processes now.

    torch leaves that to the iterator's finaliser. An error keeps the iterator alive until the garbage collector finds
    it, which finalises its queues first: the processes then never hear that they shall end, and waiting for them in
    vain takes 20 seconds.
    """
    shut_down = getattr(items, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


class _LoadError(ShipsegError):
    """An error of ours on its way from a loading process: torch rebuilds an exception from one text only."""


class _Reporting(Dataset[Any]):
    """A dataset whose errors of ours survive the way from a loading process to the training process."""

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
    """Turn what a loading process died of into one sentence."""
    try:
        yield
    except _LoadError as error:
        # From another process the text comes wrapped in that process's traceback, whose last line is ours.
        raise DataError(str(error).strip().rpartition("_LoadError: ")[2].splitlines()[0]) from error
    except RuntimeError as error:
        if not _DEAD_LOADER.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"a loading process died or hangs ({reason}): often for lack of memory, lower train.workers; "
            "--resume goes on from the last checkpoint"
        ) from error
