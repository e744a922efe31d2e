from __future__ import annotations

import pytest
import torch
from torch import nn

from shipseg.config import TrainConfig
from shipseg.training.optimizers import OPTIMIZERS, build_optimizer, set_learning_rate


def one_weight() -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    return layer


@pytest.mark.parametrize(
    ("name", "after"),
    [
        # The gradient is 2 and the rate 0.1 for each, without decay.
        ("sgd", 1 - 0.1 * 2),
        ("adam", 1 - 0.1),  # the first step of Adam is the rate, whatever the gradient
        ("adamw", 1 - 0.1),
        ("adagrad", 1 - 0.1),  # gradient over the root of its square
        ("rmsprop", 1 - 0.1 * 2 / (0.01 * 4) ** 0.5),  # its mean square starts with a hundredth of the gradient's
    ],
)
def test_the_first_step_of_each_optimiser_is_the_one_worked_out_by_hand(name: str, after: float) -> None:
    layer = one_weight()
    config = TrainConfig.model_validate({"optimizer": name, "lr": 0.1, "weight_decay": 0})
    optimizer = build_optimizer(layer, config)
    (2 * layer.weight).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert layer.weight.item() == pytest.approx(after, abs=1e-5)


def test_every_optimiser_of_a_recipe_is_known() -> None:
    assert sorted(OPTIMIZERS) == ["adagrad", "adam", "adamw", "rmsprop", "sgd"]


def test_decay_pulls_kernels_and_leaves_biases_and_norms() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    optimizer = build_optimizer(network, TrainConfig(lr=0.1, weight_decay=0.5))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    values = {name: parameter.item() for name, parameter in network.named_parameters()}
    # adamw: the weight times (1 - lr * decay)
    assert values == pytest.approx({"0.weight": 0.95, "0.bias": 1.0, "1.weight": 1.0, "1.bias": 1.0})


def test_the_learning_rate_reaches_all_groups() -> None:
    network = nn.Conv2d(1, 1, 1)
    optimizer = build_optimizer(network, TrainConfig())
    set_learning_rate(optimizer, 0.03)
    assert [group["lr"] for group in optimizer.param_groups] == [0.03, 0.03]
