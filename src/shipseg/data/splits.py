"""Splitting images by group, stratified by their number of ships; balance and leak check of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.data.groups import JOIN_CORRELATION, best_match
from shipseg.errors import ConfigError, DataError

__all__ = ["SHIP_BINS", "SPLITS", "SplitShares", "balance", "leak_report", "split_groups"]

SPLITS = ("train", "val", "test")
"""Names of the splits."""
SHIP_BINS = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6+": (6, np.iinfo(np.int64).max)}
"""Strata: smallest and largest number of ships in an image."""


@dataclass(frozen=True)
class SplitShares:
    """Shares of the images for validation and test; the rest is for training.

    Raises:
        ConfigError: A share is out of range, or nothing is left for training.
    """

    val: float = 0.2
    test: float = 0.0

    def __post_init__(self) -> None:
        for name, share in (("val_share", self.val), ("test_share", self.test)):
            if not 0 <= share < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, got {share}")
        if self.val + self.test >= 1:
            raise ConfigError(
                f"val_share {self.val} and test_share {self.test} leave nothing for training: they must add up to "
                "less than 1"
            )

    def as_dict(self) -> dict[str, float]:
        """Return the share of each split that gets images."""
        shares = {"train": 1 - self.val - self.test, "val": self.val, "test": self.test}
        return {name: share for name, share in shares.items() if share > 0}


def split_groups(
    groups: NDArray[np.int64], ships: NDArray[np.int64], *, shares: SplitShares, seed: int
) -> NDArray[np.str_]:
    """Return the split of each image; a group is never divided.

    Groups are assigned largest first (equal ones in random order), each to the split that comes closest to its target
    numbers of images by ship count. A split that would stay empty gets a smallest group.

    Args:
        groups: int64 (n,), group of each image.
        ships: int64 (n,), ships in each image.
        shares: Share of the images for each split.
        seed: Seed of the order of equal groups.

    Raises:
        DataError: There are fewer groups than splits.
    """
    names = list(shares.as_dict())
    unique, group_of_image = np.unique(groups, return_inverse=True)
    if len(unique) < len(names):
        raise DataError(
            f"{len(groups)} usable images in {len(unique)} groups of overlapping ones cannot be split into "
            f"{', '.join(names)}: give more images, or set the shares of val and test to 0"
        )
    counts = np.zeros((len(unique), len(SHIP_BINS)))
    np.add.at(counts, (group_of_image, _bins(ships)), 1)
    split_of_group = _assign(counts, np.array(list(shares.as_dict().values())), seed)
    _fill_empty(split_of_group, counts.sum(axis=1), len(names))
    return np.array(names)[split_of_group][group_of_image]


def _bins(ships: NDArray[np.int64]) -> NDArray[np.int64]:
    lowest = [low for low, _ in SHIP_BINS.values()]
    return np.searchsorted(lowest, ships, side="right") - 1


def _assign(counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return the split number of each group; `counts` are its images, (groups, bins)."""
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    totals = counts.sum(axis=0)
    used = totals > 0
    counts, totals = counts[:, used], totals[used]
    targets = shares[:, None] * totals
    weights = 1 / (targets * totals)
    filled = np.zeros_like(targets)
    split_of_group = np.zeros(len(counts), np.int64)
    for group in order:
        # Growth of the squared distance from the target, relative to the target: large groups avoid small splits.
        growth = (counts[group] * (2 * (filled - targets) + counts[group]) * weights).sum(axis=1)
        split_of_group[group] = int(np.argmin(growth))
        filled[split_of_group[group]] += counts[group]
    return split_of_group


def _fill_empty(split_of_group: NDArray[np.int64], sizes: NDArray[np.float64], num_splits: int) -> None:
    for split in range(num_splits):
        if not (split_of_group == split).any():
            num_groups = np.bincount(split_of_group, minlength=num_splits)
            donors = np.flatnonzero(num_groups[split_of_group] > 1)
            split_of_group[donors[np.argmin(sizes[donors])]] = split


def balance(split: NDArray[np.str_], groups: NDArray[np.int64], ships: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Return the images, ships and groups of each split, and the share of its images in each stratum of ship counts."""
    table = {}
    for name in SPLITS:
        inside = split == name
        num_images = int(inside.sum())
        if not num_images:
            continue
        strata = np.bincount(_bins(ships[inside]), minlength=len(SHIP_BINS)) / num_images
        table[name] = {
            "images": num_images,
            "share": round(num_images / len(split), 4),
            "ships": int(ships[inside].sum()),
            "groups": len(np.unique(groups[inside])),
            "share_by_num_ships": {bin_name: round(float(s), 4) for bin_name, s in zip(SHIP_BINS, strata, strict=True)},
        }
    return table


def leak_report(
    split: NDArray[np.str_],
    groups: NDArray[np.int64],
    *,
    ids: NDArray[np.object_],
    textures: NDArray[np.int8],
    places: NDArray[np.int64],
) -> dict[str, Any]:
    """Return the check that no ground is in two splits.

    `groups_on_two_sides` is the number of groups with images in several splits; it must be 0. `best_match` is an
    independent search for overlaps that the grouping may have missed: for each pair of splits, the highest correlation
    between a sub-tile of one and a sub-tile of the other.

    Args:
        split: Split of each image.
        groups: Group of each image.
        ids: ImageId of each image.
        textures: int8 (N, 9, CELLS, CELLS).
        places: Index of each image in `textures`.
    """
    present = [name for name in SPLITS if (split == name).any()]
    pairs = {(int(group), str(name)) for group, name in zip(groups, split, strict=True)}
    matches = {}
    for number, one in enumerate(present):
        for other in present[number + 1 :]:
            correlation, *pair = best_match(textures, places[split == one], places[split == other])
            matches[f"{one}-{other}"] = {
                "correlation": round(correlation, 3),
                "images": [str(ids[places == place][0]) for place in pair if place >= 0],
            }
    return {
        "groups_on_two_sides": len(pairs) - len({group for group, _ in pairs}),
        "joined_from_correlation": JOIN_CORRELATION,
        "best_match": matches,
    }
