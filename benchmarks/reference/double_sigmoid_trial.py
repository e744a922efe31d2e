"""Double sigmoid, measured: a small network trained twice, with logits and with probabilities as input of the loss.

Everything else is the same: initial weights, synthetic images, their order, optimiser, steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from benchmarks.reference.losses import InputKind, focal_loss
from benchmarks.reference.soft_dice import pooling_facts
from numpy.typing import NDArray

from shipseg.config import NetworkConfig
from shipseg.extras import needing
from shipseg.masks.metrics import ProbabilityHistogram, airbus_score_from_iou, ship_iou_matrix
from shipseg.masks.rle import decode
from shipseg.masks.ships import Ship, find_ships, ship_from_mask
from shipseg.model.network import ShipNetwork, build_network
from shipseg.progress import track
from shipseg.synth import SyntheticImage, WorldConfig, make_image

with needing("train"):
    import torch
    from torch import Tensor

__all__ = ["DoubleSigmoidPlan", "train_both"]

_THRESHOLDS = tuple(np.round([*10.0 ** np.linspace(-5, -1.4, 24), *np.arange(1, 20) / 20], 5).tolist())
_BINS = 100_000
"""Thresholds in steps of 0.00001: the reference's is 0.0004."""


@dataclass(frozen=True)
class DoubleSigmoidPlan:
    """Settings of both trainings."""

    images: int = 320
    test_images: int = 96
    size: int = 96
    steps: int = 300
    batch_size: int = 16
    lr: float = 2e-3
    widths: tuple[int, ...] = (12, 24, 48, 64)
    seed: int = 0


def train_both(plan: DoubleSigmoidPlan | None = None) -> dict[str, Any]:
    """Train both networks and return the scores of each against the threshold.

    Returns:
        By input of the loss: threshold, pooled_dice, airbus_score (columns of equal length); best_threshold,
        best_pooled_dice, dice_at_half, loss (of the last fifth of the steps), pooling (see `soft_dice`).
    """
    plan = plan or DoubleSigmoidPlan()
    world = WorldConfig(size=plan.size, empty_share=0.25, no_data_share=0.0)
    train = [make_image(plan.seed, index, world) for index in track(range(plan.images), "drawing images")]
    test = [make_image(plan.seed + 1, index, world) for index in range(plan.test_images)]
    return {input_kind: _trained(plan, input_kind, train, test) for input_kind in get_args(InputKind)}


def _trained(
    plan: DoubleSigmoidPlan, input_kind: InputKind, train: list[SyntheticImage], test: list[SyntheticImage]
) -> dict[str, Any]:
    torch.manual_seed(plan.seed)
    config = NetworkConfig(architecture="compact", widths=plan.widths, normalization="contrast")
    network = build_network(config).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.lr)
    images, targets = _stacked(train)
    generator = np.random.default_rng(plan.seed)
    losses: list[float] = []
    for _ in track(range(plan.steps), f"training on {input_kind}", note=lambda: f"loss {losses[-1]:.4f}"):
        chosen = torch.from_numpy(generator.choice(len(train), plan.batch_size, replace=len(train) < plan.batch_size))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = network(images[chosen])
        loss = focal_loss(z, targets[chosen], input_kind=input_kind)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return {**_scored(network.eval(), test), "loss": round(float(np.mean(losses[-max(plan.steps // 5, 1) :])), 5)}


def _scored(network: ShipNetwork, test: list[SyntheticImage]) -> dict[str, Any]:
    histogram = ProbabilityHistogram(_BINS)
    airbus = np.zeros(len(_THRESHOLDS))
    outputs, truths = [], []
    images, targets = _stacked(test)
    for index, image in enumerate(test):
        with torch.inference_mode():
            output_hw: NDArray[np.float32] = network(images[index : index + 1]).sigmoid()[0, 0].numpy()
        true_hw: NDArray[np.bool_] = targets[index, 0].numpy() >= 0.5
        histogram.add(output_hw, true_hw)
        airbus += _airbus_scores(output_hw, [ship_from_mask(decode(text, true_hw.shape)) for text in image.ship_rles])
        outputs.append(output_hw)
        truths.append(true_hw)
    curves = histogram.curves()
    indices = [round(threshold * _BINS) for threshold in _THRESHOLDS]
    threshold, dice = histogram.best_threshold("dice")
    return {
        "threshold": [float(curves["threshold"][index]) for index in indices],
        "pooled_dice": [round(float(curves["dice"][index]), 4) for index in indices],
        "airbus_score": (airbus / len(test)).round(4).tolist(),
        "best_threshold": threshold,
        "best_pooled_dice": round(dice, 4),
        "dice_at_half": round(float(histogram.counts(0.5).dice), 4),
        "pooling": pooling_facts(outputs, truths),
    }


def _airbus_scores(output_hw: NDArray[np.float32], truth: list[Ship]) -> NDArray[np.float64]:
    """Return the Airbus score of one image at each of the thresholds."""
    found = [find_ships(output_hw, threshold=threshold) for threshold in _THRESHOLDS]
    return np.array([airbus_score_from_iou(ship_iou_matrix(truth, ships)) for ships in found])


def _stacked(images: list[SyntheticImage]) -> tuple[Tensor, Tensor]:
    """Return images uint8 (n, 3, h, w) and coverage float32 (n, 1, h, w) in 0-1."""
    images_n3hw = np.stack([image.image_hwc for image in images]).transpose(0, 3, 1, 2)
    coverage = np.stack([image.coverage_hw for image in images])[:, None].astype(np.float32) / 255
    return torch.from_numpy(np.ascontiguousarray(images_n3hw)), torch.from_numpy(coverage)
