"""Sampling batches stratified by the number of ships per image, with exact shares and a state of one number."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shipseg.errors import ConfigError

__all__ = ["STRATA", "Draw", "ShipStratifiedSampler"]

STRATA = ("zero", "single", "multiple")
"""The strata: images without ships, with one ship, with several."""

_MAX_EPOCH = 10**7
"""Batches of the longest epoch: fifty times the number of the challenge's images."""


class Draw(NamedTuple):
    """An image drawn for training."""

    index: int  # type: ignore[assignment]  # the field hides tuple.index on purpose
    """Position in the dataset."""
    counter: int
    """Number of images drawn before it, over all processes; with the seed it determines the image's random numbers."""


class ShipStratifiedSampler:
    """Batch sampler for a DataLoader: yields the batches of one epoch, each a list of `Draw`.

    Three strata (no, one, several ships) have fixed shares of a batch. A share need not be a whole number of images:
    later batches make up for the rounding of earlier ones, so that after any number of images each stratum differs from
    its share by less than one image. Each stratum is a sequence of random permutations of its images: no image is
    repeated before all others of its stratum were drawn. (One batch can contain an image twice, if a permutation ends
    in it.)

    Batch k is a pure function of (seed, k). To resume, it is enough to store `state`, the number of batches drawn. A
    DataLoader with workers draws ahead, so store the number of batches *trained on* and set `state` to it. Each of the
    `world_size` processes gets its slice of the same batch: slices are disjoint, together they are the batch, and each
    has its part of every stratum.

    Args:
        ships: (n,) number of ships of each image.
        batch_size: Images in a batch, over all processes.
        zero_ships_ratio: Share of images without ships; None for their share of the dataset.
        multiple_ships_ratio: Share of images with several ships; None for their share of the dataset's ship images.
        batches_per_epoch: Length of an epoch; None for enough batches to draw every ship image once (every image, if
            the shares leave only images without ships), except in strata with share 0.
        seed: Seed of the order.
        rank: Number of this process.
        world_size: Number of processes.
        start_batch: Number of batches drawn before.

    Raises:
        ConfigError: There are no images, a stratum with a share has none, the shares add up to more than 1, or the
            batch cannot be divided among the processes.

    Example:
        >>> sampler = ShipStratifiedSampler([0, 0, 1, 2], batch_size=2, zero_ships_ratio=0.5)
        >>> len(sampler), len(next(iter(sampler))), sampler.state
        (2, 2, 1)
    """

    def __init__(
        self,
        ships: ArrayLike,
        *,
        batch_size: int,
        zero_ships_ratio: float | None = None,
        multiple_ships_ratio: float | None = None,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start_batch: int = 0,
    ) -> None:
        counts = np.asarray(ships, dtype=np.int64)
        if batch_size < 1 or batch_size % world_size:
            raise ConfigError(
                f"train.batch_size {batch_size} cannot be divided among {world_size} processes: use a multiple of "
                f"{world_size}"
            )
        self._strata = (np.flatnonzero(counts == 0), np.flatnonzero(counts == 1), np.flatnonzero(counts > 1))
        sizes = tuple(len(stratum) for stratum in self._strata)
        self._zero_share, self._multiple_share = _shares(sizes, zero_ships_ratio, multiple_ships_ratio)
        self._batch_size = batch_size
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._permutations: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._length = batches_per_epoch or self._epoch_length(sizes)
        self.state: int = start_batch
        """Number of (global) batches drawn since the start of training."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._length

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield this process's part of each remaining batch of the epoch that `state` is in."""
        for _ in range(self._length - self.state % self._length):
            draws = self.batch(self.state)
            self.state += 1
            yield draws

    def batch(self, number: int) -> list[Draw]:
        """Return this process's part of batch `number` (from 0); does not change `state`."""
        before, after = self._quota(number), self._quota(number + 1)
        indices = np.concatenate(
            [self._sequence(stratum, before[stratum], after[stratum]) for stratum in range(len(STRATA))]
        )
        first = number * self._batch_size
        return [
            Draw(int(indices[place]), first + place) for place in range(self._rank, self._batch_size, self._world_size)
        ]

    @property
    def shares(self) -> dict[str, float]:
        """The share of each stratum in a batch, by its name in `STRATA`."""
        zero, multiple = self._zero_share, (1 - self._zero_share) * self._multiple_share
        return dict(zip(STRATA, map(float, (zero, 1 - zero - multiple, multiple)), strict=True))

    def _quota(self, number: int) -> tuple[int, int, int]:
        """Return how many images of each stratum the first `number` batches contain.

        Rounding is done in two steps: images without ships first, then those with several ships among the rest. So the
        three numbers never decrease and always add up. They are computed with fractions, since floats would drift.
        """
        total = number * self._batch_size
        zero = math.floor(total * self._zero_share + Fraction(1, 2))
        multiple = math.floor((total - zero) * self._multiple_share + Fraction(1, 2))
        return zero, total - zero - multiple, multiple

    def _sequence(self, stratum: int, start: int, stop: int) -> NDArray[np.int64]:
        """Return the images `start` to `stop` (exclusive) of the infinite sequence of a stratum."""
        size = len(self._strata[stratum])
        parts = [np.empty(0, np.int64)]
        while start < stop:
            number, offset = divmod(start, size)
            part = self._permutation(stratum, number)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def _permutation(self, stratum: int, number: int) -> NDArray[np.int64]:
        """Return permutation `number` of a stratum's images; the latest one is cached."""
        if self._permutations.get(stratum, (-1,))[0] != number:
            generator = np.random.default_rng([self._seed, stratum, number])
            self._permutations[stratum] = (number, generator.permutation(self._strata[stratum]))
        return self._permutations[stratum][1]

    def _epoch_length(self, sizes: tuple[int, ...]) -> int:
        """Return the smallest number of batches that draw every image that an epoch must contain."""
        wanted = [0, sizes[1] if self.shares["single"] else 0, sizes[2] if self.shares["multiple"] else 0]
        if not any(wanted):
            wanted[0] = sizes[0]

        def draws_all(batches: int) -> bool:
            return all(drawn >= size for drawn, size in zip(self._quota(batches), wanted, strict=True))

        lengths = range(1, _MAX_EPOCH + 1)
        place = bisect.bisect_left(lengths, True, key=draws_all)  # noqa: FBT003  (False, False ... True, True)
        if place == len(lengths):
            smallest = min(share for share, size in zip(self.shares.values(), wanted, strict=True) if size)
            raise ConfigError(
                f"an epoch that draws every ship image once would have more than {_MAX_EPOCH:,} batches, because one "
                f"share is only {smallest:.1e}: raise it, set it to 0, or set sampling.batches_per_epoch"
            )
        return lengths[place]


def _shares(
    sizes: tuple[int, ...], zero_ratio: float | None, multiple_ratio: float | None
) -> tuple[Fraction, Fraction]:
    """Return the share of images without ships, and the share of images with several among the ship images."""
    num_zero, num_single, num_multiple = sizes
    num_ship = num_single + num_multiple
    if not num_zero + num_ship:
        raise ConfigError("there is no image to sample from: prepare a dataset whose train split has images")
    zero = Fraction(num_zero, num_zero + num_ship) if zero_ratio is None else Fraction(str(zero_ratio))
    if zero and not num_zero:
        raise ConfigError(
            f"sampling.zero_ships_ratio is {zero_ratio}, but there is no image without ships: set it to 0"
        )
    if not num_ship and zero_ratio != 1:
        raise ConfigError("there is no image with ships to train on: check the labels, or set zero_ships_ratio to 1")
    if multiple_ratio is None:
        return zero, Fraction(num_multiple, num_ship) if num_ship else Fraction(0)
    multiple = Fraction(str(multiple_ratio))
    if multiple and not num_multiple:
        raise ConfigError(
            f"sampling.multiple_ships_ratio is {multiple_ratio}, but there is no image with several ships: set it to 0"
        )
    if zero + multiple > 1:
        raise ConfigError(
            f"sampling.multiple_ships_ratio {multiple_ratio} and the share of images without ships {float(zero):.3f} "
            "add up to more than 1: lower them or set sampling.zero_ships_ratio"
        )
    if zero + multiple < 1 and not num_single:
        raise ConfigError(
            f"the shares leave {float(1 - zero - multiple):.3f} of a batch to images with one ship, but there is none: "
            "raise sampling.multiple_ships_ratio"
        )
    return zero, multiple / (1 - zero) if zero < 1 else Fraction(0)
