"""Optimisers by name, over two groups of weights: those that decay, and biases and norms, which do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from shipseg.config import TrainConfig

__all__ = ["OPTIMIZERS", "build_optimizer", "set_learning_rate"]

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
"""By the name in a recipe's `train.optimizer`."""


def build_optimizer(network: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the recipe's optimiser over all weights of `network` that learn.

    Weight decay acts on kernels only. Biases and the scales of norms are one-dimensional; pulling them to zero
    regularises nothing.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[config.optimizer]([group for group in groups if group["params"]], config)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Let the next step of `optimizer` use `lr` for all its groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr
