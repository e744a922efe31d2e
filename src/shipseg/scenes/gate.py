"""A cheap first look at a tile: where nothing stands out of its surroundings there is no ship, and no need to look.

The contrast of a place is how far it differs, in any colour, from the mean of what lies within 30 network pixels, at
reduced resolution. A tile is skipped when no place in it reaches the threshold. Contrasts divided by the sea's own
noise, global or local, skipped fewer empty tiles at the same loss (docs/log.md): what keeps an empty tile from being
skipped is land, cloud and foam, not noise, and the faintest ships lie on calm water.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.model.card import Card

__all__ = ["SURROUNDINGS_PX", "Gate", "contrast"]

SURROUNDINGS_PX = 60
"""Side of the square that a place is compared with, in network pixels."""


@dataclass(frozen=True)
class Gate:
    """Says which tiles need not be shown to the network.

    Args:
        reduction: The first look is at 1/reduction of the network's resolution.
        threshold: A tile with less contrast everywhere is skipped; in grey values, 0-255.
    """

    reduction: int
    threshold: float

    @classmethod
    def of_card(cls, card: Card) -> Gate | None:
        """Return the model's gate; None where it has none: then every tile is looked at."""
        return None if card.gate is None else cls(card.gate.reduction, card.gate.threshold)

    def skips(self, image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_]) -> bool:
        """Return whether a tile cannot hold a ship.

        Args:
            image_hwc: uint8 (h, w, 3), RGB, as the network would be shown it.
            valid_hw: bool (h, w), the pixels that are looked at.
        """
        return not bool((contrast(image_hwc, valid_hw, reduction=self.reduction) >= np.float32(self.threshold)).any())

    def as_dict(self) -> dict[str, Any]:
        """Return the gate as plain data."""
        return {"reduction": self.reduction, "threshold": self.threshold}


def contrast(image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], *, reduction: int) -> NDArray[np.float32]:
    """Return how far each place differs from its surroundings: float32 (h, w) at 1/reduction, 0-255.

    Args:
        image_hwc: uint8 (H, W, 3), RGB.
        valid_hw: bool (H, W); other pixels count neither as a place nor as surroundings.
        reduction: Pixels to a side that become one; the last ones of a side may be a little more or less than that.
    """
    height, width = (max(1, side // reduction) for side in valid_hw.shape)
    is_whole = bool(valid_hw.all())
    shown_hwc = image_hwc if is_whole else np.where(valid_hw[..., None], image_hwc, 0).astype(np.uint8)
    small_hwc = np.asarray(_shrunk(shown_hwc, height, width), np.float32)
    side = round(SURROUNDINGS_PX / reduction) | 1
    around_hwc = cv2.blur(small_hwc, (side, side), borderType=cv2.BORDER_REFLECT)
    if is_whole:
        return np.asarray(np.abs(small_hwc - around_hwc).max(axis=2), np.float32)
    share_hw = _shrunk(valid_hw.astype(np.float32), height, width)
    around_share_hw = cv2.blur(share_hw, (side, side), borderType=cv2.BORDER_REFLECT)
    present = share_hw > 0
    mean_hwc = small_hwc / np.where(present, share_hw, 1)[..., None]
    around_hwc = around_hwc / np.where(present, around_share_hw, 1)[..., None]
    return np.where(present, np.abs(mean_hwc - around_hwc).max(axis=2), 0).astype(np.float32)


def _shrunk(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
