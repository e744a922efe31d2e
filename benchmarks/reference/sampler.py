"""The reference's sampler compared with ours, and the effect of a learning rate of 1e-10."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.data.sampling import ShipStratifiedSampler

__all__ = ["NUM_MULTIPLE", "NUM_SINGLE", "RATIO", "covered_shares", "moved_by", "reference_batches"]

NUM_MULTIPLE = 12_217
NUM_SINGLE = 33_662 - NUM_MULTIPLE
"""The challenge's images with several ships, and with one, after the reference's cleaning."""
RATIO = 0.3629
_BATCH = 16
_FIVE_EPOCHS = 5 * (33_662 // _BATCH)


def reference_batches(
    ships: NDArray[np.int64], *, generator: np.random.Generator, batch_size: int = _BATCH
) -> Iterator[NDArray[np.int64]]:
    """Yield batches without end, sampled as in the reference: indices into `ships`, without images without ships.

    int(batch_size x 0.3629) images with several ships and the rest with one; each batch is sampled from all, so that
    an epoch repeats some images and leaves out others.

    Args:
        ships: (n,) number of ships of each image; at least one has some.
        generator: Random generator.
        batch_size: Images in a batch.
    """
    single, multiple = np.flatnonzero(ships == 1), np.flatnonzero(ships > 1)
    num_multiple = int(batch_size * RATIO) if len(single) else batch_size
    if not len(multiple):
        num_multiple = 0
    while True:
        yield np.concatenate(
            [
                generator.choice(stratum, count, replace=count > len(stratum))
                for stratum, count in ((multiple, num_multiple), (single, batch_size - num_multiple))
                if count
            ]
        )


def covered_shares(*, epochs: int = 8, seed: int = 0) -> dict[str, Any]:
    """Return the share of the challenge's ship images used at least once after each epoch, and the ratio of strata.

    Returns:
        epoch: 1, 2 ...; reference and ours: `single` and `multiple`, shares after each epoch; multiple_ships_ratio: the
            share of images with several ships among all sampled.
    """
    ships = np.repeat(np.array([1, 2], np.int64), (NUM_SINGLE, NUM_MULTIPLE))
    batches = reference_batches(ships, generator=np.random.default_rng(seed))
    per_epoch = len(ships) // _BATCH
    sampler = ShipStratifiedSampler(ships, batch_size=_BATCH, zero_ships_ratio=0, multiple_ships_ratio=RATIO, seed=seed)
    drawn: dict[str, list[list[int]]] = {"reference": [], "ours": []}
    for _ in range(epochs):
        drawn["reference"].append([int(index) for _ in range(per_epoch) for index in next(batches)])
        drawn["ours"].append([draw.index for batch in sampler for draw in batch])
    facts: dict[str, Any] = {"epoch": list(range(1, epochs + 1)), "multiple_ships_ratio": {}}
    for name, epochs_drawn in drawn.items():
        used = np.zeros(len(ships), bool)
        shares: dict[str, list[float]] = {"single": [], "multiple": []}
        for indices in epochs_drawn:
            used[indices] = True
            shares["single"].append(round(float(used[:NUM_SINGLE].mean()), 4))
            shares["multiple"].append(round(float(used[NUM_SINGLE:].mean()), 4))
        facts[name] = shares
        everything = np.concatenate([np.array(indices) for indices in epochs_drawn])
        facts["multiple_ships_ratio"][name] = round(float((ships[everything] > 1).mean()), 4)
    return facts


def moved_by(lr: float, *, steps: int = _FIVE_EPOCHS, weights: int = 20_000, seed: int = 0) -> dict[str, float]:
    """Return how far Adam can move float32 weights by `steps` steps in the same direction.

    A step of Adam is about as long as the learning rate. float32 has a relative precision of 2**-24, so a shorter step
    is rounded to nothing.

    Args:
        lr: Learning rate.
        steps: Number of steps; by default five epochs of the challenge's ship images.
        weights: Number of weights, initialised as a 3 x 3 convolution over 64 channels (deviation 0.06).
        seed: Seed of the weights.

    Returns:
        share_unmoved: share of weights that are bit-identical; largest_move: largest change; share_of_typical: that
        change relative to the mean absolute weight.
    """
    before = np.random.default_rng(seed).normal(0, np.sqrt(2 / (9 * 64)), weights).astype(np.float32)
    after, step = before.copy(), np.float32(lr)
    for _ in range(steps):
        after -= step
    moved = np.abs(after.astype(np.float64) - before)
    return {
        "share_unmoved": float((moved == 0).mean()),
        "largest_move": float(moved.max()),
        "share_of_typical": float(moved.max() / np.abs(before).mean()),
    }
