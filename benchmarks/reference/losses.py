"""The focal loss with logits or with probabilities as input; `shipseg.model.losses` refuses probabilities."""

from __future__ import annotations

from typing import Literal

from shipseg.extras import needing

with needing("train"):
    from torch import Tensor
    from torch.nn import functional as F

__all__ = ["InputKind", "focal_loss"]

InputKind = Literal["logits", "probabilities"]
_GAMMA = 2.0


def focal_loss(z: Tensor, target: Tensor, *, input_kind: InputKind) -> Tensor:
    """Return the focal loss (gamma 2, mean over pixels) of logits or, as in the reference, of probabilities.

    Args:
        z: Logits of the network, any shape.
        target: Same shape, coverage in 0-1.
        input_kind: `logits`: the loss gets z. `probabilities`: it gets sigmoid(z), to which it applies another sigmoid.
    """
    loss_input = z.float() if input_kind == "logits" else z.float().sigmoid()
    entropy = F.binary_cross_entropy_with_logits(loss_input, target, reduction="none")
    return ((target - loss_input.sigmoid()).abs() ** _GAMMA * entropy).mean()
