"""The parts of a run, built from a recipe: network, moving average, optimiser, forward pass and batches."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from shipseg.config import Recipe, TrainConfig
from shipseg.data.prepared import PreparedDataset
from shipseg.model.losses import Loss, build_loss
from shipseg.model.network import ShipNetwork, build_network
from shipseg.training.batches import Batch, TrainingBatches, ValidationBatches
from shipseg.training.distributed import Processes

__all__ = [
    "OPTIMIZERS",
    "Assembly",
    "AveragedNetwork",
    "Forward",
    "assemble",
    "build_optimizer",
    "ema_weight",
    "padded_logits",
    "seed_step",
    "set_learning_rate",
]


# Exponential moving average.


def ema_weight(step: int, decay: float) -> float:
    """Return the weight of the new parameters in the moving average after step `step` (0 for the first).

    The decay starts lower, at min(decay, (1 + step) / (10 + step)); otherwise a short training would end close to its
    initial weights.
    """
    return 1.0 - min(decay, (1 + step) / (10 + step))


class AveragedNetwork:
    """Exponential moving average of a network: its weights and normalisation statistics.

    Args:
        network: The network in training; the average starts as a copy of it.
        decay: Share of the average that each step keeps, after warm-up.
    """

    def __init__(self, network: ShipNetwork, *, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.network.eval().requires_grad_(requires_grad=False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: ShipNetwork, *, step: int) -> None:
        """Update the average with `network` after step `step` (0 for the first)."""
        weight = ema_weight(step, self.decay)
        averages, values = self.network.state_dict(), network.state_dict()
        for name, average in averages.items():
            if average.is_floating_point():
                average.lerp_(values[name], weight)
            else:
                average.copy_(values[name])


# Optimisers.

Groups = list[dict[str, Any]]


def _adam(groups: Groups, config: TrainConfig) -> Optimizer:
    return torch.optim.Adam(groups, lr=config.lr)


def _adamw(groups: Groups, config: TrainConfig) -> Optimizer:
    return torch.optim.AdamW(groups, lr=config.lr)


def _sgd(groups: Groups, config: TrainConfig) -> Optimizer:
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def _rmsprop(groups: Groups, config: TrainConfig) -> Optimizer:
    return torch.optim.RMSprop(groups, lr=config.lr, momentum=config.momentum)


def _adagrad(groups: Groups, config: TrainConfig) -> Optimizer:
    return torch.optim.Adagrad(groups, lr=config.lr)


OPTIMIZERS: dict[str, Callable[[Groups, TrainConfig], Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}
"""Optimisers by their name in a recipe's `train.optimizer`."""


def build_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the recipe's optimiser over all trainable weights of `network`.

    Weight decay applies to kernels only: shrinking the one-dimensional weights, biases and normalisation scales,
    regularises nothing.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[config.optimizer]([group for group in groups if group["params"]], config)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr


# Forward pass.


@dataclass(frozen=True)
class Forward:
    """The forward pass of a batch and its loss, in training and validation.

    Args:
        loss: Function of logits and coverage that returns a scalar.
        device: Device of the network.
        bf16: Whether to autocast to bfloat16; the loss is computed in fp32.
        channels_last: Whether images use the channels-last memory layout.
    """

    loss: Loss
    device: torch.device
    bf16: bool
    channels_last: bool

    @classmethod
    def from_config(cls, train: TrainConfig, *, loss: Loss, device: torch.device) -> Forward:
        """Return the forward pass that a recipe configures."""
        return cls(loss=loss, device=device, bf16=train.precision == "bf16", channels_last=train.channels_last)

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss (scalar), the logits (n, 1, h, w) and the targets on the device, all float32."""
        images = batch.images_n3hw.to(self.device, non_blocking=True)
        targets_n1hw = batch.targets_n1hw.to(self.device, non_blocking=True)
        if self.channels_last:
            images = images.to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits_n1hw = padded_logits(network, images)
        logits_n1hw = logits_n1hw.float()
        return self.loss(logits_n1hw, targets_n1hw), logits_n1hw, targets_n1hw


def padded_logits(network: nn.Module, images_n3hw: Tensor) -> Tensor:
    """Return logits (n, 1, h, w) for images of any size, padded at the right and bottom to the network's multiple."""
    height, width = images_n3hw.shape[-2:]
    multiple = int(network.multiple)  # type: ignore[arg-type]  # an attribute of ShipNetwork
    below, right = -height % multiple, -width % multiple
    if below or right:
        mode = "reflect" if below < height and right < width else "replicate"
        images_n3hw = F.pad(images_n3hw, (0, right, 0, below), mode=mode)
    logits: Tensor = network(images_n3hw)
    return logits[..., :height, :width]


# The parts together.


@dataclass
class Assembly:
    """The parts of a run.

    Args:
        network: The network in training.
        average: Its moving average, or None if the recipe has none.
        optimizer: Optimiser of the network's weights.
        forward: Forward pass with the loss.
        training: Training batches.
        validation: Batches of the whole validation split.
        processes: The processes that share the batches.
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
        """Running means and variances of batch norms; each process computes its own, and all keep their average."""
        names = ("running_mean", "running_var")
        found = [getattr(module, name, None) for module in self.network.modules() for name in names]
        return [statistic for statistic in found if isinstance(statistic, Tensor)]

    @property
    def eval_network(self) -> ShipNetwork:
        """The network that is validated and saved: the moving average, if there is one."""
        return self.network if self.average is None else self.average.network

    def keep_as_best(self) -> None:
        """Copy the weights of the validated network as the best so far."""
        self.best = {name: value.detach().cpu().clone() for name, value in self.eval_network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return all weights and the optimiser state, as stored in a checkpoint."""
        return {
            "network": dict(self.network.state_dict()),
            "average": None if self.average is None else dict(self.average.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Load the weights and the optimiser state of a checkpoint."""
        self.network.load_state_dict(content["network"])
        if self.average is not None:
            self.average.network.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.best = content["best"]


def assemble(
    recipe: Recipe, data: PreparedDataset, *, processes: Processes, initial: Mapping[str, Tensor] | None = None
) -> Assembly:
    """Return the parts of a new run, identical in every process.

    Args:
        recipe: The complete configuration.
        data: Dataset to train and validate on.
        processes: The processes that share the batches.
        initial: Weights to start from, as in a model folder; None: random weights from the seed.

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
        forward=Forward.from_config(train, loss=build_loss(recipe.loss), device=device),
        training=TrainingBatches(data, recipe, processes=processes, pin_memory=on_gpu),
        validation=ValidationBatches(data, recipe, processes=processes, pin_memory=on_gpu),
        processes=processes,
    )


def seed_step(seed: int, *, step: int, rank: int) -> None:
    """Seed torch's generators for one step, so that dropout and the like depend on (seed, step, rank) only."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))
