"""Losses between logits and coverage: BCE, Dice, Focal, Lovasz, Tversky and their weighted sums.

What all of them keep to:

- They take **logits**. Values that all lie in 0-1 (and are not all equal) are taken for probabilities and refused: a
  sigmoid applied twice trains without any sign of trouble to a wrong optimum. Logits of a real network, which spread
  over both signs and start around -3, do not fall there.
- Targets are **coverage**, any value in 0-1, and a perfect prediction of a fractional target is the minimum (Lovasz
  alone is defined for hard targets and cuts them at 0.5).
- A batch is one pool of pixels. A batch **without ships** has a defined loss, and every false alarm in it a gradient
  that lowers it.
- They compute in float32, also under autocast, and stay finite for logits of any size.
- Pixels may have **weights** (`pixel_weights`): a mean over pixels is then the weighted sum, divided by the same number
  of pixels as without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shipseg.config import LossConfig
from shipseg.errors import ConfigError
from shipseg.extras import needing

with needing("train"):
    import torch
    from torch import Tensor
    from torch.nn import functional as F

__all__ = [
    "LOSSES",
    "Loss",
    "bce",
    "build_loss",
    "dice",
    "focal",
    "lovasz",
    "pixel_weights",
    "small_ship_weights",
    "tversky",
    "water_between_ships",
]

LossFunction = Callable[[Tensor, Tensor, LossConfig, Tensor | None], Tensor]

BLOCK_PX, BLOCKS_AROUND = 8, 5
"""Ships are measured in squares of 8 px: how many ship pixels lie in the 5 x 5 squares around each."""
LARGE_SHIP_PX, SMALLEST_SHIP_PX = 512.0, 32.0
"""From so many ship pixels around it on a pixel weighs 1; with less than the second no more than with the second."""
CLOSED_PX = 5
"""Side of the closing that finds narrow water: water up to 4 px wide across rows or columns, 5 px aslant."""


def small_ship_weights(target_n1hw: Tensor, power: float) -> Tensor:
    """Return weights (N, 1, H, W) of at least 1 that are larger on and around small ships.

    Sums over pixels see a tanker a hundred times more than a boat, while scores per ship count both once. A pixel with
    n ship pixels in the 40 x 40 px around it, and some within 8 to 16 px, weighs (512 / n) ** power, n between 32 and
    512: at power 1 a lone boat of 64 px, water around it included, counts eight times. The ends of a large ship weigh
    up to about four times as much as its middle; a boat beside a large ship weighs little, for the window holds both.

    Args:
        target_n1hw: Coverage in 0-1.
        power: 0-1.
    """
    height, width = target_n1hw.shape[-2:]
    padded = F.pad(target_n1hw, (0, -width % BLOCK_PX, 0, -height % BLOCK_PX))
    per_block = F.avg_pool2d(padded, BLOCK_PX) * BLOCK_PX**2
    around = F.avg_pool2d(per_block, BLOCKS_AROUND, stride=1, padding=BLOCKS_AROUND // 2) * BLOCKS_AROUND**2
    near = F.max_pool2d(per_block, 3, stride=1, padding=1) > 0
    weights = (LARGE_SHIP_PX / around.clamp(SMALLEST_SHIP_PX, LARGE_SHIP_PX)) ** power
    blocks = torch.where(near, weights, torch.ones_like(weights))
    return F.interpolate(blocks, scale_factor=float(BLOCK_PX), mode="nearest")[..., :height, :width]


def water_between_ships(target_n1hw: Tensor) -> Tensor:
    """Return what a closing by 5 x 5 px adds, (N, 1, H, W) in 0-1: narrow water, whose loss makes two ships one.

    What lies outside the image is water: a ship that the border cuts has none between itself and the border.
    """
    reach = CLOSED_PX // 2
    grown = F.max_pool2d(F.pad(target_n1hw, (2 * reach,) * 4), CLOSED_PX, stride=1)
    closed = -F.max_pool2d(-grown, CLOSED_PX, stride=1)
    return (closed - target_n1hw).clamp(min=0.0)


def pixel_weights(target_n1hw: Tensor, config: LossConfig) -> Tensor | None:
    """Return what each pixel weighs (N, 1, H, W), or None where all weigh the same."""
    if not config.small_ships and not config.between_ships:
        return None
    weights = torch.ones_like(target_n1hw)
    if config.small_ships:
        weights = small_ship_weights(target_n1hw, config.small_ships)
    if config.between_ships:
        weights = weights + config.between_ships * water_between_ships(target_n1hw)
    return weights


def _weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    return values if weights is None else values * weights


def bce(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:  # noqa: ARG001
    """Return the binary cross entropy, mean over pixels."""
    return F.binary_cross_entropy_with_logits(logits, target, weight=weights)


def focal(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:
    """Return the cross entropy with each pixel weighted by |target - probability| ** gamma, mean over pixels.

    For hard targets this is the focal loss; the form for fractional ones is the quality focal loss, whose minimum is
    the target itself.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, 2017; Li et al., Generalized Focal Loss, 2020, equation 3.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # The floor keeps the slope of x ** gamma finite at 0 for gamma below 1.
    error = (target - logits.sigmoid()).abs().clamp(min=1e-6)
    values = error**config.focal_gamma * entropy
    if config.focal_alpha is not None:
        values = values * (config.focal_alpha * target + (1 - config.focal_alpha) * (1 - target))
    return _weighted(values, weights).mean()


def dice(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:
    """Return 1 - (2 hits + smooth) / (predicted + true + smooth), sums over all pixels of the batch.

    `hits` is the sum of min(probability, target). For targets 0 and 1 that is the usual product; for fractional ones
    the product would have its minimum at probability 1, the minimum has it at the target. Without ships the loss is
    1 - smooth / (predicted + smooth), which falls with every false alarm taken back.

    Source:
        Wang et al., Dice Semimetric Losses: Optimizing the Dice Score with Soft Labels, 2023 (the form DML-1).
    """
    probability = logits.sigmoid()
    hits = _weighted(torch.minimum(probability, target), weights).sum()
    both = _weighted(probability, weights).sum() + _weighted(target, weights).sum()
    return 1 - (2 * hits + config.smooth) / (both + config.smooth)


def tversky(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:
    """Return 1 - (hits + smooth) / (hits + alpha * false alarms + beta * misses + smooth) over the batch.

    Hits, false alarms and misses are the sums of min(probability, target), of what the probability exceeds the target
    by, and of what it falls short by.

    Source:
        Salehi et al., Tversky Loss Function for Image Segmentation, 2017.
    """
    probability = logits.sigmoid()
    hits = _weighted(torch.minimum(probability, target), weights).sum()
    false_alarms = _weighted((probability - target).relu(), weights).sum()
    misses = _weighted((target - probability).relu(), weights).sum()
    weighted = config.tversky_alpha * false_alarms + config.tversky_beta * misses
    return 1 - (hits + config.smooth) / (hits + weighted + config.smooth)


def lovasz(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:  # noqa: ARG001
    """Return the Lovasz hinge: the convex extension of the Jaccard loss to the hinge errors 1 - logit * sign.

    Targets of 0.5 and more count as ship. The Jaccard index is taken with `smooth` more pixels that are ship and
    always right. As published (smooth = 0) a batch without ships is decided by its one worst pixel; with it, each
    false alarm has its share of the gradient. Weights change nothing: the loss goes by the order of the pixels.

    Source:
        Berman et al., The Lovasz-Softmax loss, 2018, algorithm 1.
    """
    sign = torch.where(target >= 0.5, 1.0, -1.0).to(logits.dtype).flatten()
    # Stable: equal errors keep their order, so that a resumed run sees the same gradient.
    hinge, order = torch.sort(1 - logits.flatten() * sign, descending=True, stable=True)
    # Double: the steps are differences of numbers near 1, for a million pixels far below what float32 resolves.
    ship = (sign[order] > 0).double()
    intersection = ship.sum() + config.smooth - ship.cumsum(0)
    union = ship.sum() + config.smooth + (1 - ship).cumsum(0)
    jaccard_loss = 1 - intersection / union
    steps = torch.diff(jaccard_loss, prepend=jaccard_loss.new_zeros(1))
    return (hinge.relu() * steps.to(logits.dtype)).sum()


LOSSES: dict[str, LossFunction] = {"bce": bce, "dice": dice, "focal": focal, "lovasz": lovasz, "tversky": tversky}
"""Every loss by its name in a recipe."""


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses: `loss(logits_n1hw, target_n1hw)` gives a scalar, float32.

    Attributes:
        config: Its weights and parameters.
    """

    config: LossConfig

    def __call__(self, logits_n1hw: Tensor, target_n1hw: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            logits_n1hw: (N, 1, H, W), any float type, before any sigmoid.
            target_n1hw: Same shape, coverage in 0-1.

        Raises:
            ConfigError: Probabilities in place of logits, unequal shapes, or a target outside 0-1.
        """
        _check(logits_n1hw, target_n1hw)
        precise = torch.float64 if logits_n1hw.dtype == torch.float64 else torch.float32
        with torch.autocast(device_type=logits_n1hw.device.type, enabled=False):
            logits, target = logits_n1hw.to(precise), target_n1hw.to(precise)
            pixels = pixel_weights(target, self.config)
            terms = [
                weight * LOSSES[name](logits, target, self.config, pixels)
                for name, weight in self.config.weights.items()
            ]
            return torch.stack(terms).sum()


def build_loss(config: LossConfig) -> Loss:
    """Return the loss that the configuration describes.

    Raises:
        ConfigError: A parameter with which false alarms or missed ships would cost nothing, or that has no effect.
    """
    if "tversky" in config.weights and not (config.tversky_alpha and config.tversky_beta):
        which, what = ("alpha", "a false alarm") if not config.tversky_alpha else ("beta", "a missed ship")
        raise ConfigError(f"loss.tversky_{which} must be above 0: with 0 {what} would cost nothing")
    for name in ("small_ships", "between_ships"):
        if getattr(config, name) and set(config.weights) == {"lovasz"}:
            raise ConfigError(f"loss.{name} has no effect on lovasz alone: set it to 0, or give dice or bce a weight")
    if "focal" in config.weights and config.focal_alpha in (0, 1):
        what = "a false alarm" if config.focal_alpha else "a missed ship"
        raise ConfigError(
            f"loss.focal_alpha must lie between 0 and 1: with {config.focal_alpha:g} {what} costs nothing"
        )
    return Loss(config)


def _check(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ConfigError(
            f"logits and target must have the same shape, got {tuple(logits.shape)} and {tuple(target.shape)}"
        )
    if not logits.numel():
        raise ConfigError(f"a loss needs at least one pixel, got shape {tuple(logits.shape)}")
    # One tensor, so that a GPU is waited for once.
    extremes = torch.stack([value.double() for tensor in (target, logits) for value in torch.aminmax(tensor.detach())])
    target_low, target_high, low, high = extremes.tolist()
    if not (target_low >= 0 and target_high <= 1):
        raise ConfigError(
            f"a target must be coverage in 0-1, got values from {target_low:g} to {target_high:g}: divide masks of "
            "0-255 by 255"
        )
    if low >= 0 and high <= 1 and low != high:
        raise ConfigError(
            f"a loss takes logits, got values from {low:g} to {high:g}, which look like probabilities: leave out the "
            "sigmoid before the loss"
        )
