"""What a validation gives."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Scores"]


@dataclass(frozen=True)
class Scores:
    """Scores of a network on the whole validation split.

    Args:
        loss: Mean of the batches' losses, weighted by their images.
        pooled_dice: Dice of all pixels of the split together, at `threshold`.
        pooled_iou: IoU likewise, at the threshold that is best for it.
        pooled_dice_at_half: Dice of all pixels together at threshold 0.5.
        pooled_iou_at_half: IoU likewise.
        image_dice: Mean over the images with ships of Dice at threshold 0.5; 0 where there are none.
        threshold: The one with the highest pooled Dice.
    """

    loss: float
    pooled_dice: float
    pooled_iou: float
    pooled_dice_at_half: float
    pooled_iou_at_half: float
    image_dice: float
    threshold: float
