from __future__ import annotations

import pytest
import torch

from shipseg.config import NetworkConfig
from shipseg.model.network import ShipNetwork, build_network
from shipseg.training.averaging import AveragedNetwork, share_of_new


@pytest.fixture
def network() -> ShipNetwork:
    return build_network(NetworkConfig(architecture="compact", widths=(8, 8)))


def test_the_average_starts_as_a_copy_that_does_not_learn(network: ShipNetwork) -> None:
    average = AveragedNetwork(network, decay=0.9).network
    for name, value in network.state_dict().items():
        assert torch.equal(average.state_dict()[name], value)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_weights_and_norm_statistics_move_by_the_share_of_the_new(network: ShipNetwork) -> None:
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


def test_the_average_forgets_faster_at_the_start() -> None:
    # min(decay, (1 + step) / (10 + step)): keeps 1/10, then 2/11, at last the decay
    assert share_of_new(0, 0.999) == pytest.approx(0.9)
    assert share_of_new(1, 0.999) == pytest.approx(9 / 11)
    assert share_of_new(10**6, 0.999) == pytest.approx(0.001)
