"""One pass of a batch through a network: the same in training and in validation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shipseg.config import TrainConfig
from shipseg.model.losses import Loss
from shipseg.training.batches import Batch

__all__ = ["Forward", "padded_logits"]


@dataclass(frozen=True)
class Forward:
    """How batches go through a network.

    Args:
        loss: Logits and coverage -> scalar.
        device: Where the network is.
        bf16: Whether to autocast to bfloat16; the loss is computed in fp32 all the same.
        channels_last: Whether images are laid out so.
    """

    loss: Loss
    device: torch.device
    bf16: bool
    channels_last: bool

    @classmethod
    def of(cls, train: TrainConfig, *, loss: Loss, device: torch.device) -> Forward:
        """Return the pass that a recipe asks for."""
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
    """Return logits (n, 1, h, w) for images of any size: mirrored at the right and bottom to the network's multiple."""
    height, width = images_n3hw.shape[-2:]
    multiple = int(network.multiple)  # type: ignore[arg-type]  # an attribute of ShipNetwork
    below, right = -height % multiple, -width % multiple
    if below or right:
        mode = "reflect" if below < height and right < width else "replicate"
        images_n3hw = F.pad(images_n3hw, (0, right, 0, below), mode=mode)
    logits: Tensor = network(images_n3hw)
    return logits[..., :height, :width]
