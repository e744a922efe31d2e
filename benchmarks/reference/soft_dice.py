"""The reference's score, soft Dice pooled over batches of 16 ship images, compared with the mean over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.masks.metrics import seed_protocol_dice

__all__ = ["pooling_facts"]


def pooling_facts(
    outputs: Sequence[NDArray[np.floating]], truths: Sequence[NDArray[np.bool_]], *, rounds: int = 50, seed: int = 0
) -> dict[str, Any]:
    """Return the soft Dice of the reference, its spread over orders and samples, and the mean over images.

    Args:
        outputs: One array (h, w) per image, 0 to 1.
        truths: One mask (h, w) per image.
        rounds: Number of random orders, and of random halves.
        seed: Seed of orders and halves.

    Returns:
        soft_dice: in the order given; spread_of_order: standard deviation over orders of the same images;
        spread_of_draw: over random halves, as the reference sampled its validation set in every epoch;
        image_soft_dice: mean over images with ships; share_of_largest_tenth: share of all true ship pixels in the tenth
        of the ship images with the most of them; num_images, num_ship_images. Without ships, the
        scores are None.
    """
    with_ships = [place for place, true_hw in enumerate(truths) if true_hw.any()]
    count = {"num_images": len(truths), "num_ship_images": len(with_ships)}
    if not with_ships:
        names = ("soft_dice", "spread_of_order", "spread_of_draw", "image_soft_dice", "share_of_largest_tenth")
        return {**dict.fromkeys(names), **count}

    def soft_dice(places: Sequence[int]) -> float:
        return seed_protocol_dice([outputs[place] for place in places], [truths[place] for place in places])

    generator = np.random.default_rng(seed)
    orders = [soft_dice(generator.permutation(with_ships).tolist()) for _ in range(rounds)]
    half = max(len(with_ships) // 2, 1)
    draws = [soft_dice(generator.choice(with_ships, half, replace=False).tolist()) for _ in range(rounds)]
    areas = np.sort([np.count_nonzero(truths[place]) for place in with_ships])[::-1]
    single = [soft_dice([place]) for place in with_ships]
    return {
        "soft_dice": round(soft_dice(with_ships), 4),
        "spread_of_order": round(float(np.std(orders)), 4),
        "spread_of_draw": round(float(np.std(draws)), 4),
        "image_soft_dice": round(float(np.mean(single)), 4),
        "share_of_largest_tenth": round(float(areas[: -(-len(areas) // 10)].sum() / areas.sum()), 4),
        **count,
    }
