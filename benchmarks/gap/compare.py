"""Distance and direction of the difference between real and synthetic images in each statistic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from benchmarks.gap.catalogue import STATISTICS, Statistic
from benchmarks.gap.measure import ImageFacts
from numpy.typing import NDArray

__all__ = ["PARTS", "Difference", "Part", "calm_patches", "compare_part", "compare_values"]

FloatArray = NDArray[np.float32]
Part = Literal["sea", "calm sea", "land", "whole images"]

PARTS: tuple[Part, ...] = ("sea", "calm sea", "land", "whole images")
MIN_PATCHES = 3
"""Minimum number of patches of a ground for an image to be used."""
CALM_STD = 0.6
"""Grey levels: maximum strength of waves of 32-64 px on calm sea, where fine detail is the sensor's. Half of the real
sea is below."""
MIN_SPREAD = 0.25
"""Minimum spread of the real images, as a share of that of all images; for statistics that are 0 in nearly all."""
ROUNDS = 200
QUANTILES = 64

FILE_STATISTICS = (
    Statistic("file size, kB", "jpeg", is_ratio=True),
    Statistic("mean of the JPEG's luminance table", "jpeg"),
    Statistic("colour resolution halved", "jpeg"),
    Statistic("share of sea patches", "colour"),
    Statistic("share of land patches", "colour"),
    Statistic("share of mixed patches", "colour"),
    Statistic("share of flat patches", "colour"),
)


@dataclass(frozen=True)
class Difference:
    """One statistic of real and synthetic images.

    Attributes:
        name: The statistic.
        family: Its family.
        real: Mean over the real images; geometric for ratios.
        synthetic: The same over the synthetic images.
        distance: Wasserstein-1 distance over the standard deviation of the real images.
        low: Lower end of its 90 % bootstrap interval over groups of overlapping images.
        high: Upper end.
        chance: 95th percentile of the distance between two random halves of all images.
        spread: Ratio of the variation of synthetic to real images (10th to 90th percentile).
        says: The difference as text.
    """

    name: str
    family: str
    real: float
    synthetic: float
    distance: float
    low: float
    high: float
    chance: float
    spread: float
    says: str


def calm_patches(facts: ImageFacts) -> NDArray[np.bool_]:
    """Return which patches are calm sea."""
    column = [item.name for item in STATISTICS].index("strength of waves of 32-64 px")
    sea: NDArray[np.bool_] = facts.grounds == "sea"
    calm: NDArray[np.bool_] = facts.values[:, column] < CALM_STD
    return sea & calm


_CHOICES: dict[Part, Callable[[ImageFacts], NDArray[np.bool_]]] = {
    "sea": lambda facts: facts.grounds == "sea",
    "calm sea": calm_patches,
    "land": lambda facts: facts.grounds == "land",
    "whole images": lambda facts: facts.grounds != "flat",
}


def compare_part(
    part: Part,
    facts: Sequence[ImageFacts],
    *,
    is_synthetic: NDArray[np.bool_],
    groups: NDArray[np.int64],
    seed: int,
) -> tuple[tuple[int, int], list[Difference]]:
    """Return the numbers of real and synthetic images with the part, and its differences, the largest first.

    Each image counts once, by the mean over its patches of that part.

    Args:
        part: Which patches to compare.
        facts: All images.
        is_synthetic: (images,) whether each is synthetic.
        groups: (images,) the same number for images that overlap.
        seed: Seed of the bootstrap.
    """
    chosen = [_CHOICES[part](one) for one in facts]
    used = np.array([chosen_here.sum() >= MIN_PATCHES for chosen_here in chosen])
    counts = (int((used & ~is_synthetic).sum()), int((used & is_synthetic).sum()))
    if min(counts) < MIN_PATCHES:
        return counts, []
    numbers = [int(number) for number in np.flatnonzero(used)]
    values = np.stack([facts[k].values[chosen[k]].mean(0) for k in numbers])
    items: tuple[Statistic, ...] = STATISTICS
    if part == "whole images":
        values = np.hstack([_file_values([facts[k] for k in numbers]), values])
        items = FILE_STATISTICS + STATISTICS
    found = compare_values(items, values, is_synthetic=is_synthetic[numbers], groups=groups[numbers], seed=seed)
    return counts, sorted(found, key=lambda item: -item.distance)


def _file_values(facts: Sequence[ImageFacts]) -> FloatArray:
    rows = [
        [one.file_kb, one.quantisation, one.chroma_halved]
        + [(one.grounds == ground).mean() for ground in ("sea", "land", "mixed", "flat")]
        for one in facts
    ]
    return np.nan_to_num(np.array(rows, np.float32))


def compare_values(
    items: Sequence[Statistic],
    values: FloatArray,
    *,
    is_synthetic: NDArray[np.bool_],
    groups: NDArray[np.int64],
    seed: int,
) -> list[Difference]:
    """Return one difference per column of `values` (images, items); ratios are compared by their logarithms."""
    ratios = np.array([item.is_ratio for item in items])
    scaled = np.where(ratios, np.log(np.maximum(values, 1e-3)), values).astype(np.float64)
    real, synthetic = scaled[~is_synthetic], scaled[is_synthetic]
    spread = np.maximum(np.maximum(real.std(0), MIN_SPREAD * scaled.std(0)), 1e-6)
    distance = _distances(real, synthetic) / spread
    rng = np.random.default_rng(seed)
    draws, shuffles = [], []
    for _ in range(ROUNDS):
        drawn = _drawn_groups(rng, groups)
        sides = [scaled[drawn[is_synthetic[drawn] == side]] for side in (False, True)]
        if min(len(side) for side in sides) > 1:
            draws.append(_distances(*sides) / spread)
        mixed = np.concatenate([np.flatnonzero(groups == group) for group in rng.permutation(np.unique(groups))])
        shuffles.append(_distances(scaled[mixed[: len(real)]], scaled[mixed[len(real) :]]) / scaled.std(0).clip(1e-6))
    low, high = np.quantile(draws, (0.05, 0.95), axis=0)
    chance = np.quantile(shuffles, 0.95, axis=0)
    return [
        _difference(item, real[:, k], synthetic[:, k], (distance[k], low[k], high[k], chance[k]), float(spread[k]))
        for k, item in enumerate(items)
    ]


def _drawn_groups(rng: np.random.Generator, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the images of a bootstrap sample of the groups."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])


def _distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Wasserstein-1 distance of each column: the mean difference of the quantiles."""
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(np.abs(_quantiles(one, levels) - _quantiles(other, levels)).mean(0))


def _quantiles(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles of the columns by linear interpolation (np.quantile does the same, five times as slowly)."""
    ordered = np.sort(values, axis=0)
    place = levels * (len(ordered) - 1)
    below = np.floor(place).astype(np.int64)
    share = (place - below)[:, None]
    return np.asarray(ordered[below] * (1 - share) + ordered[np.minimum(below + 1, len(ordered) - 1)] * share)


def _difference(
    item: Statistic,
    real: NDArray[np.float64],
    synthetic: NDArray[np.float64],
    figures: tuple[float, float, float, float],
    unit: float,
) -> Difference:
    middle_real, middle_synthetic = float(real.mean()), float(synthetic.mean())
    width = [float(np.subtract(*np.quantile(side, (0.9, 0.1)))) for side in (real, synthetic)]
    spread = width[1] / max(width[0], 1e-6)
    distance, low, high, chance = (float(value) for value in figures)
    shift = middle_synthetic - middle_real
    if distance <= chance:
        says = "the same"
    elif abs(shift) < 0.3 * unit and not 0.8 < spread < 1.25:
        says = f"varies {spread:.1f} times as much"
    elif item.is_ratio:
        says = f"{np.exp(shift):.2g} times as high"
    else:
        says = f"{abs(shift):.3g} too {'high' if shift > 0 else 'low'}"
    if item.is_ratio:
        middle_real, middle_synthetic = float(np.exp(middle_real)), float(np.exp(middle_synthetic))
    return Difference(
        item.name, item.family, middle_real, middle_synthetic, distance, low, high, chance, min(spread, 99.0), says
    )
