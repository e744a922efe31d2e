"""Scores on the whole validation split, images without ships included, computed by all processes of the run."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shipseg.errors import NonFiniteLossError
from shipseg.masks.metrics import ProbabilityHistogram
from shipseg.progress import track
from shipseg.training.assembly import Forward
from shipseg.training.batches import ValidationBatches
from shipseg.training.distributed import Processes
from shipseg.training.signals import StopRequest
from shipseg.training.state import Scores

__all__ = ["validate"]

_HALF = 0.5


def validate(
    network: nn.Module,
    batches: ValidationBatches,
    *,
    forward: Forward,
    processes: Processes,
    stop: StopRequest,
) -> Scores:
    """Return the scores of `network` on the whole split; equal in every process.

    Raises:
        NonFiniteLossError: The loss of a batch is NaN or infinite.
        TrainingInterrupted: A signal came; the checkpoint before the validation is the last one.
    """
    network.eval()
    histogram = ProbabilityHistogram()
    sums = np.zeros(4)  # loss x images, images, Dice over ship images, ship images
    with torch.inference_mode():
        for batch in track(batches, "validating", total=len(batches)):
            stop.check()
            loss, logits_n1hw, targets_n1hw = forward(network, batch)
            if not math.isfinite(loss.item()):
                raise NonFiniteLossError(
                    f"the validation loss became {loss.item()} on {', '.join(batch.image_ids)}: check these images, "
                    "or start a new run with a lower train.lr; the last checkpoint is valid"
                )
            probability_n1hw = logits_n1hw.sigmoid()
            histogram.add(probability_n1hw.cpu().numpy(), targets_n1hw.cpu().numpy())
            sums += (loss.item() * len(batch), len(batch), *_dice_of_ship_images(probability_n1hw, targets_n1hw))
    stop.check()
    return _scores(histogram, sums, processes)


def _dice_of_ship_images(probability_n1hw: Tensor, targets_n1hw: Tensor) -> tuple[float, int]:
    """Return the sum of Dice at threshold 0.5 over the batch's images with ships, and their number."""
    predicted = (probability_n1hw >= _HALF).double().flatten(1)
    coverage = targets_n1hw.double().flatten(1)
    has_ship = coverage.sum(1) > 0
    dice = 2 * (predicted * coverage).sum(1) / (predicted.sum(1) + coverage.sum(1)).clamp(min=1e-12)
    return float(dice[has_ship].sum()), int(has_ship.sum())


def _scores(histogram: ProbabilityHistogram, sums: NDArray[np.float64], processes: Processes) -> Scores:
    total = ProbabilityHistogram.from_array(processes.add_up(histogram.to_array()))
    loss_sum, num_images, dice_sum, num_ship_images = processes.add_up(sums).tolist()
    threshold, pooled_dice = total.best_threshold("dice")
    at_half = total.counts(_HALF)
    return Scores(
        loss=loss_sum / num_images,
        pooled_dice=float(pooled_dice),
        pooled_iou=float(total.best_threshold("iou")[1]),
        pooled_dice_at_half=float(at_half.dice),
        pooled_iou_at_half=float(at_half.iou),
        image_dice=dice_sum / num_ship_images if num_ship_images else 0.0,
        threshold=float(threshold),
    )
