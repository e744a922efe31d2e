"""Losses between logits and coverage: BCE, Dice, Focal, Lovasz, Tversky and their weighted sums.

Common properties:

- They take **logits**. Values that all lie in 0-1 (and are not all equal) are rejected as probabilities: a sigmoid
  applied twice trains silently to a wrong optimum. Logits of a real network have both signs and start around -3.
- Targets are **coverage**, any value in 0-1, and the minimum for a fractional target is at the target (except Lovasz,
  which is defined for hard targets and thresholds them at 0.5).
- A batch is one set of pixels. A batch **without ships** has a defined loss, and every false alarm in it has a
  gradient that lowers it.
- They compute in float32, also under autocast, and stay finite for logits of any size.
- Pixels may have **weights** (`pixel_weights`): a mean over pixels is then the weighted sum divided by the number of
  pixels.
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
"""Ship pixels are counted in blocks of 8 px: in the 5 x 5 blocks around each block."""
LARGE_SHIP_PX, SMALLEST_SHIP_PX = 512.0, 32.0
"""Ship pixels around a pixel are clipped to this range; from the first on the weight is 1."""
CLOSED_PX = 5
"""Side of the morphological closing: it fills water up to 4 px wide across rows or columns, 5 px diagonally."""


def small_ship_weights(target_n1hw: Tensor, power: float) -> Tensor:
    """Return weights (N, 1, H, W) of at least 1 that are larger on and around small ships.

    In a sum over pixels a tanker counts a hundred times as much as a boat, while scores per ship count both once. A
    pixel with n ship pixels in the 40 x 40 px around it, and some within 8 to 16 px, has the weight (512 / n) ** power,
    n clipped to 32-512: at power 1 an isolated boat of 64 px and the water around it count eight times. The ends of a
    large ship get up to about four times the weight of its middle; a boat beside a large ship gets little extra weight,
    since the window holds both.

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
    """Return the pixels that a closing by 5 x 5 px adds, (N, 1, H, W) in 0-1: narrow water between two ships.

    Outside the image is water: there is no narrow water between the border and a ship that it cuts.
    """
    reach = CLOSED_PX // 2
    grown = F.max_pool2d(F.pad(target_n1hw, (2 * reach,) * 4), CLOSED_PX, stride=1)
    closed = -F.max_pool2d(-grown, CLOSED_PX, stride=1)
    return (closed - target_n1hw).clamp(min=0.0)


def pixel_weights(target_n1hw: Tensor, config: LossConfig) -> Tensor | None:
    """Return the weight of each pixel (N, 1, H, W), or None if all are equal."""
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

    For hard targets this is the focal loss; for fractional targets it is the quality focal loss, whose minimum is at
    the target.

    Source:
        Lin et al., Focal Loss for Dense Object Detection, 2017; Li et al., Generalized Focal Loss, 2020, equation 3.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # The lower bound keeps the gradient of x ** gamma finite at 0 for gamma below 1.
    error = (target - logits.sigmoid()).abs().clamp(min=1e-6)
    values = error**config.focal_gamma * entropy
    if config.focal_alpha is not None:
        values = values * (config.focal_alpha * target + (1 - config.focal_alpha) * (1 - target))
    return _weighted(values, weights).mean()


def dice(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:
    """Return 1 - (2 hits + smooth) / (predicted + true + smooth), sums over all pixels of the batch.

    `hits` is the sum of min(probability, target). For targets 0 and 1 that equals the usual product; for fractional
    targets the product has its optimum at probability 1, the minimum has it at the target. Without ships the loss is
    1 - smooth / (predicted + smooth), which decreases with every false alarm that is removed.

    Source:
        Wang et al., Dice Semimetric Losses: Optimizing the Dice Score with Soft Labels, 2023 (the form DML-1).
    """
    probability = logits.sigmoid()
    hits = _weighted(torch.minimum(probability, target), weights).sum()
    both = _weighted(probability, weights).sum() + _weighted(target, weights).sum()
    return 1 - (2 * hits + config.smooth) / (both + config.smooth)


def tversky(logits: Tensor, target: Tensor, config: LossConfig, weights: Tensor | None = None) -> Tensor:
    """Return 1 - (hits + smooth) / (hits + alpha * false alarms + beta * misses + smooth) over the batch.

    Hits, false alarms and misses are the sums of min(probability, target), of max(probability - target, 0) and of
    max(target - probability, 0).

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

    Targets of 0.5 and more count as ship. The Jaccard index is computed with `smooth` additional ship pixels that are
    always correct. As published (smooth = 0) only the worst pixel of a batch without ships has a gradient; with it,
    each false alarm has one. Weights are ignored, since the loss depends on the order of the pixels.

    Source:
        Berman et al., The Lovasz-Softmax loss, 2018, algorithm 1.
    """
    sign = torch.where(target >= 0.5, 1.0, -1.0).to(logits.dtype).flatten()
    # Stable: equal errors keep their order, so that a resumed run has the same gradient.
    hinge, order = torch.sort(1 - logits.flatten() * sign, descending=True, stable=True)
    # float64: the steps are differences of numbers near 1, for a million pixels below the resolution of float32.
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
        config: The weights of the terms and their parameters.
    """

    config: LossConfig

    def __call__(self, logits_n1hw: Tensor, target_n1hw: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            logits_n1hw: (N, 1, H, W), any float type, before the sigmoid.
            target_n1hw: Same shape, coverage in 0-1.

        Raises:
            ConfigError: Probabilities instead of logits, unequal shapes, or a target outside 0-1.
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
        ConfigError: A parameter has no effect, or false alarms or missed ships would cost nothing with it.
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
    # One tensor, so that there is one synchronisation with a GPU.
    extremes = torch.stack([value.double() for tensor in (target, logits) for value in torch.aminmax(tensor.detach())])
    target_low, target_high, low, high = extremes.tolist()
    if not (target_low >= 0 and target_high <= 1):
        raise ConfigError(
            f"a target must be coverage in 0-1, got values from {target_low:g} to {target_high:g}: divide masks of "
            "0-255 by 255"
        )
    if low >= 0 and high <= 1 and low != high:
        raise ConfigError(
            f"a loss takes logits, got values from {low:g} to {high:g}, which look like probabilities: remove the "
            "sigmoid before the loss"
        )
