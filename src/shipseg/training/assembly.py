"""The moving parts of a run: network, its average, optimiser, loss, batches; made from a recipe."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from shipseg.config import Recipe
from shipseg.data.prepared import PreparedDataset
from shipseg.model.losses import build_loss
from shipseg.model.network import ShipNetwork, build_network
from shipseg.training.averaging import AveragedNetwork
from shipseg.training.batches import TrainingBatches, ValidationBatches
from shipseg.training.distributed import Processes
from shipseg.training.forward import Forward
from shipseg.training.optimizers import build_optimizer

__all__ = ["Assembly", "assemble", "seed_step"]


@dataclass
class Assembly:
    """What a run trains with.

    Args:
        network: The one that learns.
        average: Its running average, or None where the recipe wants none.
        optimizer: Over the network's weights.
        forward: One pass of a batch, with the loss.
        training: Batches to learn from.
        validation: The whole validation split.
        processes: Who shares the batches.
        best: Weights of the best validation, on the CPU.
    """

    network: ShipNetwork
    average: AveragedNetwork | None
    optimizer: Optimizer
    forward: Forward
    training: TrainingBatches
    validation: ValidationBatches
    processes: Processes
    best: dict[str, Tensor] | None = None

    @functools.cached_property
    def norm_statistics(self) -> list[Tensor]:
        """The batch norms' running means and variances: each process computes its own, all keep the average."""
        names = ("running_mean", "running_var")
        found = [getattr(module, name, None) for module in self.network.modules() for name in names]
        return [statistic for statistic in found if isinstance(statistic, Tensor)]

    @property
    def judged(self) -> ShipNetwork:
        """The network that is validated and kept: the average, where there is one."""
        return self.network if self.average is None else self.average.network

    def keep_as_best(self) -> None:
        """Copy the judged network's weights as the best so far."""
        self.best = {name: value.detach().cpu().clone() for name, value in self.judged.state_dict().items()}

    def tensors(self) -> dict[str, Any]:
        """Return all weights and the optimiser's memory, as a checkpoint holds them."""
        return {
            "network": dict(self.network.state_dict()),
            "average": None if self.average is None else dict(self.average.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take the weights and the optimiser's memory of a checkpoint."""
        self.network.load_state_dict(tensors["network"])
        if self.average is not None:
            self.average.network.load_state_dict(tensors["average"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.best = tensors["best"]


def assemble(
    recipe: Recipe, data: PreparedDataset, *, processes: Processes, initial: Mapping[str, Tensor] | None = None
) -> Assembly:
    """Return the parts of a new run, in every process the same.

    Args:
        recipe: The complete configuration.
        data: What to train and validate on.
        processes: Who shares the batches.
        initial: Weights to start from, as a model folder holds them; None takes those that follow from the seed.

    Raises:
        DataError: The dataset has no images to train or to validate on.
        ConfigError: The recipe contradicts the dataset or itself.
        ModelError: The network cannot be built, or its encoder's weights cannot be read.
    """
    train, device = recipe.train, processes.device
    torch.manual_seed(train.seed)
    network = build_network(recipe.network)
    if initial is not None:
        network.body.load_state_dict(initial)
    network.to(device)
    if train.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    on_gpu = device.type == "cuda"
    return Assembly(
        network=network,
        average=None if train.ema_decay is None else AveragedNetwork(network, decay=train.ema_decay),
        optimizer=build_optimizer(network, train),
        forward=Forward.of(train, loss=build_loss(recipe.loss), device=device),
        training=TrainingBatches(data, recipe, processes=processes, pin_memory=on_gpu),
        validation=ValidationBatches(data, recipe, processes=processes, pin_memory=on_gpu),
        processes=processes,
    )


def seed_step(seed: int, *, step: int, rank: int) -> None:
    """Set torch's generators for one step, so that dropout and the like follow from (seed, step, rank) alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))
