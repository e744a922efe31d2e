"""Facts from image files: sizes, file sizes, colours, identical files, overlapping images, cost of cleaning."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg import progress
from shipseg.data.cleaning import REASONS, CleaningRules, decide
from shipseg.data.splits import SplitShares
from shipseg.errors import ImageError
from shipseg.exploration.inputs import Inputs
from shipseg.exploration.label_facts import count_in_bins, describe
from shipseg.extras import needing
from shipseg.processes import run_tasks
from shipseg.reading import read_image

with needing("train"):
    import pandas as pd

__all__ = [
    "REFERENCE_KEEP_EMPTY",
    "REFERENCE_MIN_KB",
    "cleaning_facts",
    "colour_facts",
    "duplicate_facts",
    "file_size_facts",
    "group_facts",
    "size_facts",
    "split_facts",
]

REFERENCE_MIN_KB = 52.0
"""The reference left out files of this many kB (1024 bytes) or fewer."""
SAMPLED_IMAGES = 2000
"""Largest number of images read for the colours: means are exact to a grey level, reading takes 10 s."""

_KB_EDGES = [float(edge) for edge in range(0, 525, 5)]
_GROUP_BINS = {"1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6-10": (6, 10), "11-25": (11, 25), "26+": (26, np.inf)}
_LEVELS = 256
_CHUNK = 16  # images
_TAIL_BYTES = 1024
_EXAMPLES = 5


def size_facts(images: pd.DataFrame) -> dict[str, Any]:
    """Return the sizes of the images that could be read, most common first, as `WIDTH x HEIGHT`."""
    known = images[images["height"] > 0]
    sizes = pd.Series([f"{w} x {h}" for h, w in zip(known["height"], known["width"], strict=True)], dtype="str")
    counts = {str(size): int(count) for size, count in sizes.value_counts().items()}
    return {"readable": len(known), "sizes_px": counts, "one_size": len(counts) == 1}


def file_size_facts(images: pd.DataFrame, *, line_kb: float = REFERENCE_MIN_KB) -> dict[str, Any]:
    """Return the distribution of file sizes, and the number of images and ships at or below a limit.

    Args:
        images: One row per image: Size_kb, Ships.
        line_kb: The limit in kB (1024 bytes).
    """
    below = images[images["Size_kb"] <= line_kb]
    return {
        "kb": describe(images["Size_kb"], _KB_EDGES),
        "line_kb": line_kb,
        "below_line": {
            "images": len(below),
            "share": len(below) / len(images),
            "with_ships": int((below["Ships"] > 0).sum()),
            "ships": int(below["Ships"].sum()),
        },
    }


def colour_facts(names: pd.Series, folder: Path, *, seed: int, workers: int) -> dict[str, Any]:
    """Return mean, standard deviation and histogram of each channel, over all pixels of readable images.

    Args:
        names: ImageIds of readable images; at most `SAMPLED_IMAGES` of them are sampled.
        folder: Folder of the images.
        seed: Seed of the sampling.
        workers: Number of processes.
    """
    sampled = names.sample(min(len(names), SAMPLED_IMAGES), random_state=seed).tolist()
    tasks = [
        _Paths(tuple(folder / name for name in sampled[start : start + _CHUNK]))
        for start in range(0, len(sampled), _CHUNK)
    ]
    counts, num_read = np.zeros((3, _LEVELS), np.int64), 0
    for part, num in progress.track(run_tasks(_count_levels, tasks, workers=workers), "colours", total=len(tasks)):
        counts, num_read = counts + part, num_read + num
    pixels = max(int(counts[0].sum()), 1)
    levels = np.arange(_LEVELS)
    means = (counts * levels).sum(axis=1) / pixels
    deviations = np.sqrt(np.maximum((counts * levels**2).sum(axis=1) / pixels - means**2, 0))
    return {
        "images": num_read,
        "of_images": len(names),
        "mean_rgb": means,
        "std_rgb": deviations,
        "darkest_share": counts[:, 0] / pixels,
        "brightest_share": counts[:, -1] / pixels,
        "histogram": dict(zip(("red", "green", "blue"), counts / pixels, strict=True)),
    }


@dataclass(frozen=True)
class _Paths:
    paths: tuple[Path, ...]


def _count_levels(task: _Paths) -> tuple[NDArray[np.int64], int]:
    """Return the histogram of each channel, int64 (3, 256), and the number of images that could be read."""
    counts, num_read = np.zeros((3, _LEVELS), np.int64), 0
    for path in task.paths:
        try:
            image_hwc = read_image(path)
        except ImageError:
            continue
        num_read += 1
        for channel in range(3):
            histogram = cv2.calcHist([image_hwc], [channel], None, [_LEVELS], [0, _LEVELS])
            counts[channel] += histogram.ravel().astype(np.int64)
    return counts, num_read


def duplicate_facts(images: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Return the number of identical files, with examples.

    Args:
        images: One row per image: ImageId, num_bytes, has_file.
        folder: Folder of the images.
    """
    existing = images[images["has_file"] & (images["num_bytes"] > 0)]
    candidates = [names.tolist() for _, names in existing.groupby("num_bytes")["ImageId"]]
    # Nearly all files of one size differ in their last bytes; only the others are read completely.
    same_tail = _split_by_key(candidates, lambda name: _tail(folder / name))
    same = _split_by_key(same_tail, lambda name: hashlib.sha256((folder / name).read_bytes()).digest())
    return {"groups": len(same), "images": sum(map(len, same)), "examples": sorted(same)[:_EXAMPLES]}


def _split_by_key(groups: Iterable[Sequence[str]], key: Callable[[str], bytes]) -> list[list[str]]:
    """Return the parts of each group whose names have the same key, without parts of one name."""
    parts = []
    for group in groups:
        if len(group) < 2:
            continue
        by_key = defaultdict(list)
        for name in group:
            with contextlib.suppress(OSError):  # deleted or locked since it was listed
                by_key[key(name)].append(name)
        parts += [sorted(part) for part in by_key.values() if len(part) > 1]
    return parts


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-min(_TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        return stream.read()


def group_facts(inputs: Inputs) -> dict[str, Any]:
    """Return the number and sizes of groups of overlapping images, and the leak of a split that ignores them."""
    known = inputs.images["group"].to_numpy()
    sizes = np.unique(known[known >= 0], return_counts=True)[1]
    several = sizes[sizes > 1]
    if inputs.overlaps is not None:
        num_pairs = len(inputs.overlaps.pairs)
    else:
        num_pairs = int(inputs.report["groups"]["overlapping_pairs"]) if inputs.report else 0
    val_share = SplitShares().val
    # An image of a group of n in validation has an overlapping image in training with probability
    # 1 - val_share^(n - 1).
    leaking = float((sizes * (1 - val_share ** (sizes - 1))).sum() / max(sizes.sum(), 1))
    return {
        "images": int(sizes.sum()),
        "groups": len(sizes),
        "groups_of_several": len(several),
        "images_in_groups_of_several": int(several.sum()),
        "largest": int(sizes.max(initial=0)),
        "by_size": count_in_bins(sizes, _GROUP_BINS),
        "overlapping_pairs": num_pairs,
        "leaking_share_of_random_val": leaking,
    }


def split_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the balance and the leak check of a dataset's splits, from its report."""
    return {"splits": report["splits"], "leak": report["leak"]}


# Images and ships that cleaning leaves out.

REFERENCE_KEEP_EMPTY = 0.3
"""Share of the images without ships that the reference kept."""


def cleaning_facts(
    images: pd.DataFrame, *, listed: frozenset[str], any_size: bool, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the images and ships lost to two sets of rules: `own` (defaults of `shipseg prepare`) and `reference`.

    Args:
        images: One row per image, see `Inputs.images`.
        listed: ImageIds of the drop list; empty without a list.
        any_size: Whether images that do not have the most common size are kept.
        seed: Seed of the sampling of images without ships.
    """
    reference = CleaningRules(
        listed=listed, min_kb=REFERENCE_MIN_KB, keep_empty=REFERENCE_KEEP_EMPTY, any_size=any_size, seed=seed
    )
    own = CleaningRules(any_size=any_size, seed=seed)
    return {
        "own": _costs(images, own),
        "reference": {
            "min_kb": REFERENCE_MIN_KB,
            "keep_empty": REFERENCE_KEEP_EMPTY,
            "listed": len(listed),
            **_costs(images, reference),
        },
    }


def _costs(images: pd.DataFrame, rules: CleaningRules) -> dict[str, Any]:
    reasons = decide(images, rules)
    ships = images["Ships"].to_numpy()
    num_ships = int(ships.sum())

    def sums(inside: Any) -> dict[str, Any]:
        return {
            "images": int(inside.sum()),
            "with_ships": int((ships[inside] > 0).sum()),
            "ships": int(ships[inside].sum()),
            "share_of_ships": float(ships[inside].sum() / num_ships) if num_ships else None,
        }

    left_out = {
        reason: {**sums(inside), "examples": images["ImageId"][inside].head(_EXAMPLES).tolist()}
        for reason in REASONS
        for inside in [reasons == reason]
        if inside.any()
    }
    return {"kept": sums(reasons == ""), "lost": sums(reasons != ""), "left_out": left_out}
