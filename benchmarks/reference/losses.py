"""The mistake itself: losses that can be fed probabilities. `shipseg.model.losses` refuses them."""

from __future__ import annotations

from typing import Literal

from shipseg.extras import needing

with needing("train"):
    from torch import Tensor
    from torch.nn import functional as F

__all__ = ["Fed", "focal_loss"]

Fed = Literal["logits", "probabilities"]
_GAMMA = 2.0


def focal_loss(z: Tensor, target: Tensor, *, fed: Fed) -> Tensor:
    """Return the focal loss (gamma 2, mean over pixels) of a network's last values, fed rightly or wrongly.

    Args:
        z: The network's values before its sigmoid, any shape.
        target: Same shape, coverage in 0-1.
        fed: `logits`: the loss gets z. `probabilities`: it gets sigmoid(z) and applies its own sigmoid to that.
    """
    taken_for_logits = z.float() if fed == "logits" else z.float().sigmoid()
    entropy = F.binary_cross_entropy_with_logits(taken_for_logits, target, reduction="none")
    return ((target - taken_for_logits.sigmoid()).abs() ** _GAMMA * entropy).mean()
