"""Sigmoid twice, by calculation: what a loss asks of a network when it is fed probabilities in place of logits.

The network gives u = sigmoid(z). A loss "with logits" applies a sigmoid to whatever it is fed. Fed z it sees u. Fed u
it sees sigmoid(u), which lies between 0.5 and 0.731 whatever the network does: it can never see "no ship".
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "SHIP_SHARE",
    "best_losses",
    "dice_turning_point",
    "lowest_dice_loss",
    "minimiser",
    "printed_losses",
    "probability_meant",
    "seen_by_the_loss",
]

Fed = Literal["logits", "probabilities"]
PixelLoss = Literal["bce", "focal"]
Array = NDArray[np.float64]

SHIP_SHARE = 0.0051
"""Share of ship pixels in the challenge's ship images (published statistics of the training set)."""
_BATCH = 16
_GRID = np.linspace(0.0, 1.0, 20_001)
_TINY = 1e-12
_LOWEST, _HIGHEST = 0.5, 1 / (1 + math.exp(-1.0))
"""What a loss sees of outputs 0 and 1 when it takes them for logits."""


def seen_by_the_loss(output: ArrayLike, *, fed: Fed) -> Array:
    """Return the probability that the loss reckons with, for a network's output u in 0-1."""
    u = np.asarray(output, np.float64)
    return u if fed == "logits" else 1 / (1 + np.exp(-u))


def probability_meant(output: ArrayLike, *, loss: PixelLoss, fed: Fed) -> Array:
    """Return the true ship probability q of the pixels for which a fully trained network gives the output u.

    With f1 and f0 the loss of a ship and of a sea pixel, the expected loss q f1 + (1 - q) f0 is lowest where its slope
    is 0: at q = f0' / (f0' - f1').

    Args:
        output: Outputs u, above 0 and below 1 (the ends are taken as the limits).
        loss: `bce`, or `focal` with gamma 2.
        fed: What the loss was fed in training.

    Example:
        >>> round(float(probability_meant(4e-4, loss="focal", fed="probabilities")), 4)
        0.5003
    """
    s = np.clip(seen_by_the_loss(output, fed=fed), _TINY, 1 - _TINY)
    if loss == "bce":
        return s
    slope_if_ship = 2 * (1 - s) * np.log(s) - (1 - s) ** 2 / s
    slope_if_sea = -2 * s * np.log1p(-s) + s**2 / (1 - s)
    return np.asarray(slope_if_sea / (slope_if_sea - slope_if_ship))


def minimiser(probability: ArrayLike, *, loss: PixelLoss, fed: Fed) -> Array:
    """Return the output u in 0-1 with the lowest expected loss, for pixels that are ship with this probability."""
    # The probability meant rises with the output; beyond its ends the best output is 0 or 1.
    return np.interp(np.asarray(probability, np.float64), probability_meant(_GRID, loss=loss, fed=fed), _GRID)


def dice_turning_point(ship_share: float = SHIP_SHARE, *, fed: Fed) -> float:
    """Return the ship probability above which a pixel's best output is 1, and below it 0, for the Dice loss.

    With A the sum of hits of all other pixels and B that of their predictions and truths, one more pixel pays where its
    probability exceeds A / B: half the Dice that the loss sees. All others are taken as right.
    """
    low, high = (0.0, 1.0) if fed == "logits" else (_LOWEST, _HIGHEST)
    return high * ship_share / (high * ship_share + low * (1 - ship_share) + ship_share)


def lowest_dice_loss(ship_share: float) -> float:
    """Return the lowest Dice loss of a network whose probabilities are fed as logits: every pixel is right."""
    return 1 - 2 * dice_turning_point(ship_share, fed="probabilities")


def best_losses(ship_share: float = SHIP_SHARE) -> dict[str, float]:
    """Return the lowest mean loss that can be reached on fed probabilities: output 1 on ships, 0 elsewhere."""
    sea, ship = 1 - ship_share, ship_share
    return {
        "dice": lowest_dice_loss(ship_share),
        "focal": sea * _LOWEST**2 * -math.log(1 - _LOWEST) + ship * (1 - _HIGHEST) ** 2 * -math.log(_HIGHEST),
        "bce": sea * -math.log(1 - _LOWEST) + ship * -math.log(_HIGHEST),
        # The hinge asks for +1 and -1 and gets 1 and 0: every sea pixel keeps an error of 1.
        "lovasz": sea,
    }


def printed_losses() -> list[dict[str, Any]]:
    """Return the losses that the reference solution printed, each beside what follows from the share of ship pixels.

    Its sampler took int(16 x ratio) images without ships into a batch of 16.
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
