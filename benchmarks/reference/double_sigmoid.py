"""Double sigmoid, calculated: the best outputs of a network for a loss that gets probabilities instead of logits.

The network returns u = sigmoid(z). A loss "with logits" applies a sigmoid to its input: with z it computes the loss of
u, with u the loss of sigmoid(u), which is always between 0.5 and 0.731: never "no ship".
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "SHIP_SHARE",
    "best_losses",
    "dice_switch_probability",
    "implied_probability",
    "lowest_dice_loss",
    "minimiser",
    "probability_seen",
    "reported_losses",
]

InputKind = Literal["logits", "probabilities"]
PixelLoss = Literal["bce", "focal"]
Array = NDArray[np.float64]

SHIP_SHARE = 0.0051
"""Share of ship pixels in the challenge's ship images (published statistics of the training set)."""
_BATCH = 16
_GRID = np.linspace(0.0, 1.0, 20_001)
_TINY = 1e-12
_LOWEST, _HIGHEST = 0.5, 1 / (1 + math.exp(-1.0))
"""Probabilities in the loss for the outputs 0 and 1, if these are its input."""


def probability_seen(output: ArrayLike, *, input_kind: InputKind) -> Array:
    """Return the probability that the loss computes with, for a network's output u in 0-1."""
    u = np.asarray(output, np.float64)
    return u if input_kind == "logits" else 1 / (1 + np.exp(-u))


def implied_probability(output: ArrayLike, *, loss: PixelLoss, input_kind: InputKind) -> Array:
    """Return the true ship probability q of the pixels for which a fully trained network returns u.

    With f1 and f0 the loss of a ship and of a sea pixel, the expected loss q f1 + (1 - q) f0 is lowest where its slope
    is 0: at q = f0' / (f0' - f1').

    Args:
        output: Outputs u, above 0 and below 1 (0 and 1 give the limits).
        loss: `bce`, or `focal` with gamma 2.
        input_kind: Input of the loss in training.

    Example:
        >>> round(float(implied_probability(4e-4, loss="focal", input_kind="probabilities")), 4)
        0.5003
    """
    s = np.clip(probability_seen(output, input_kind=input_kind), _TINY, 1 - _TINY)
    if loss == "bce":
        return s
    slope_if_ship = 2 * (1 - s) * np.log(s) - (1 - s) ** 2 / s
    slope_if_sea = -2 * s * np.log1p(-s) + s**2 / (1 - s)
    return np.asarray(slope_if_sea / (slope_if_sea - slope_if_ship))


def minimiser(probability: ArrayLike, *, loss: PixelLoss, input_kind: InputKind) -> Array:
    """Return the output u in 0-1 with the lowest expected loss, for pixels with this ship probability."""
    # The implied probability rises with the output; outside its range the best output is 0 or 1.
    implied = implied_probability(_GRID, loss=loss, input_kind=input_kind)
    return np.interp(np.asarray(probability, np.float64), implied, _GRID)


def dice_switch_probability(ship_share: float = SHIP_SHARE, *, input_kind: InputKind) -> float:
    """Return the ship probability above which a pixel's best output is 1, and below it 0, for the Dice loss.

    With A the sum of true positives of all other pixels and B that of their predictions and truths, one more pixel
    lowers the loss if its probability exceeds A / B: half the Dice in the loss. All other pixels are assumed correct.
    """
    low, high = (0.0, 1.0) if input_kind == "logits" else (_LOWEST, _HIGHEST)
    return high * ship_share / (high * ship_share + low * (1 - ship_share) + ship_share)


def lowest_dice_loss(ship_share: float) -> float:
    """Return the lowest Dice loss for probabilities as input, with every pixel correct."""
    return 1 - 2 * dice_switch_probability(ship_share, input_kind="probabilities")


def best_losses(ship_share: float = SHIP_SHARE) -> dict[str, float]:
    """Return the lowest mean loss for probabilities as input: output 1 on ships, 0 elsewhere."""
    sea, ship = 1 - ship_share, ship_share
    return {
        "dice": lowest_dice_loss(ship_share),
        "focal": sea * _LOWEST**2 * -math.log(1 - _LOWEST) + ship * (1 - _HIGHEST) ** 2 * -math.log(_HIGHEST),
        "bce": sea * -math.log(1 - _LOWEST) + ship * -math.log(_HIGHEST),
        # The hinge needs +1 and -1 and gets 1 and 0: every sea pixel keeps an error of 1.
        "lovasz": sea,
    }


def reported_losses() -> list[dict[str, Any]]:
    """Return the losses reported by the reference solution, each with the value calculated from the ship share.

    Its batches of 16 had int(16 x ratio) images without ships.
    """
    rows = []
    for ratio, printed in ((0.25, 0.989), (0.15, 0.987), (0.10, 0.986), (0.0, 0.985)):
        empty = int(_BATCH * ratio)
        share = SHIP_SHARE * (_BATCH - empty) / _BATCH
        rows.append(_row(f"Dice, zero_ships_ratio {ratio:.2f}: {empty} of 16 empty", printed, lowest_dice_loss(share)))
    best = best_losses()
    rows.append(_row("Focal, every batch size", 0.172, best["focal"]))
    rows.append(_row("BCE with logits", 0.691, best["bce"]))
    rows.append(_row("Lovasz, output 0 everywhere", 1.000, 1.0))
    return rows


def _row(what: str, printed: float, calculated: float) -> dict[str, Any]:
    return {
        "what": what,
        "printed": printed,
        "calculated": round(calculated, 5),
        "to_the_third_digit": abs(calculated - printed) <= 0.0005 + _TINY,
    }
