"""The exponential moving average of a network, which is what gets validated and kept."""

from __future__ import annotations

import copy

import torch

from shipseg.model.network import ShipNetwork

__all__ = ["AveragedNetwork", "share_of_new"]


def share_of_new(step: int, decay: float) -> float:
    """Return how much of the average the weights after step `step` (0 for the first) make up.

    The average forgets faster at the start, min(decay, (1 + step) / (10 + step)), or a short training would end with
    the weights it began with.
    """
    return 1.0 - min(decay, (1 + step) / (10 + step))


class AveragedNetwork:
    """A network's running average: weights and the statistics of its norms.

    Args:
        network: The one that learns; the average starts as its copy.
        decay: What the average keeps at each step, once it has warmed up.
    """

    def __init__(self, network: ShipNetwork, *, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.network.eval().requires_grad_(requires_grad=False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: ShipNetwork, *, step: int) -> None:
        """Move the average towards `network` as it is after step `step` (0 for the first)."""
        share = share_of_new(step, self.decay)
        averages, values = self.network.state_dict(), network.state_dict()
        for name, average in averages.items():
            if average.is_floating_point():
                average.lerp_(values[name], share)
            else:
                average.copy_(values[name])
