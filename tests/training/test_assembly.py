from __future__ import annotations

import pytest
import torch
from torch import nn

from shipseg.config import NetworkConfig, TrainConfig
from shipseg.model.network import ShipNetwork, build_network
from shipseg.training.assembly import OPTIMIZERS, AveragedNetwork, build_optimizer, ema_weight, set_learning_rate


@pytest.fixture
def network() -> ShipNetwork:
    return build_network(NetworkConfig(architecture="compact", widths=(8, 8)))


def test_the_average_starts_as_a_copy_that_does_not_learn(network: ShipNetwork) -> None:
    average = AveragedNetwork(network, decay=0.9).network
    for name, value in network.state_dict().items():
        assert torch.equal(average.state_dict()[name], value)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_weights_and_norm_statistics_move_by_the_ema_weight(network: ShipNetwork) -> None:
    average = AveragedNetwork(network, decay=0.9)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.zero_()
        for value in average.network.state_dict().values():
            value.fill_(1)
    average.update(network, step=1000)  # long after the warm-up: it keeps 0.9
    for name, value in average.network.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, torch.full_like(value, 0.9)), name
    assert any(name.endswith("running_var") for name in average.network.state_dict())


def test_counts_are_copied(network: ShipNetwork) -> None:
    average = AveragedNetwork(network, decay=0.9)
    counts = [name for name in network.state_dict() if name.endswith("num_batches_tracked")]
    for name in counts:
        network.state_dict()[name].fill_(7)
    average.update(network, step=3)
    assert counts
    assert all(average.network.state_dict()[name].item() == 7 for name in counts)


def test_the_decay_is_lower_at_the_start() -> None:
    # The decay is min(decay, (1 + step) / (10 + step)): 1/10, 2/11 ... 0.999.
    assert ema_weight(0, 0.999) == pytest.approx(0.9)
    assert ema_weight(1, 0.999) == pytest.approx(9 / 11)
    assert ema_weight(10**6, 0.999) == pytest.approx(0.001)


def one_weight() -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    return layer


@pytest.mark.parametrize(
    ("name", "after"),
    [
        # For each, the gradient is 2, the rate 0.1, without weight decay.
        ("sgd", 1 - 0.1 * 2),
        ("adam", 1 - 0.1),  # the first step of Adam is the rate, whatever the gradient
        ("adamw", 1 - 0.1),
        ("adagrad", 1 - 0.1),  # gradient over the root of its square
        ("rmsprop", 1 - 0.1 * 2 / (0.01 * 4) ** 0.5),  # its mean square starts with a hundredth of the gradient's
    ],
)
def test_the_first_step_of_each_optimiser_is_as_worked_out_by_hand(name: str, after: float) -> None:
    layer = one_weight()
    config = TrainConfig.model_validate({"optimizer": name, "lr": 0.1, "weight_decay": 0})
    optimizer = build_optimizer(layer, config)
    (2 * layer.weight).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert layer.weight.item() == pytest.approx(after, abs=1e-5)


def test_every_optimiser_of_a_recipe_is_known() -> None:
    assert sorted(OPTIMIZERS) == ["adagrad", "adam", "adamw", "rmsprop", "sgd"]


def test_weight_decay_applies_to_kernels_and_not_to_biases_and_norms() -> None:
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
