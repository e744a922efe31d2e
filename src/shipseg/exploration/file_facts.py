"""Facts that need the image files: sizes, kB, colours, identical files, overlapping tiles."""

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
from shipseg.exploration.label_facts import counted, describe
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
"""At most so many images are read for the colours: enough for means to within a grey level, 10 s of reading."""

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
    """Return the distribution of the files' sizes, and what lies at or below a line.

    Args:
        images: One row per image: Size_kb, Ships.
        line_kb: The line, in kB of 1024 bytes.
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
        names: ImageIds of readable images; of more than `SAMPLED_IMAGES`, so many are drawn.
        folder: Where they lie.
        seed: Decides which are drawn.
        workers: Processes.
    """
    drawn = names.sample(min(len(names), SAMPLED_IMAGES), random_state=seed).tolist()
    tasks = [
        _Paths(tuple(folder / name for name in drawn[start : start + _CHUNK])) for start in range(0, len(drawn), _CHUNK)
    ]
    counts, read = np.zeros((3, _LEVELS), np.int64), 0
    for part, num in progress.track(run_tasks(_count_levels, tasks, workers=workers), "colours", total=len(tasks)):
        counts, read = counts + part, read + num
    pixels = max(int(counts[0].sum()), 1)
    levels = np.arange(_LEVELS)
    means = (counts * levels).sum(axis=1) / pixels
    deviations = np.sqrt(np.maximum((counts * levels**2).sum(axis=1) / pixels - means**2, 0))
    return {
        "images": read,
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
    """Return how many pixels of each channel have each of 256 levels, (3, 256), and how many images could be read."""
    counts, read = np.zeros((3, _LEVELS), np.int64), 0
    for path in task.paths:
        try:
            image_hwc = read_image(path)
        except ImageError:
            continue
        read += 1
        for channel in range(3):
            levels = cv2.calcHist([image_hwc], [channel], None, [_LEVELS], [0, _LEVELS])
            counts[channel] += levels.ravel().astype(np.int64)
    return counts, read


def duplicate_facts(images: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Return which files are the same to the last byte.

    Args:
        images: One row per image: ImageId, num_bytes, has_file.
        folder: Where the images lie.
    """
    there = images[images["has_file"] & (images["num_bytes"] > 0)]
    candidates = [names.tolist() for _, names in there.groupby("num_bytes")["ImageId"]]
    # Of equally long files nearly all differ in their last bytes: only the others are read whole.
    alike = _split_up(candidates, lambda name: _tail(folder / name))
    same = _split_up(alike, lambda name: hashlib.sha256((folder / name).read_bytes()).digest())
    return {"groups": len(same), "images": sum(map(len, same)), "examples": sorted(same)[:_EXAMPLES]}


def _split_up(groups: Iterable[Sequence[str]], key: Callable[[str], bytes]) -> list[list[str]]:
    """Return the parts of two or more names with one key that groups fall into."""
    parts = []
    for group in groups:
        if len(group) < 2:
            continue
        by_key = defaultdict(list)
        for name in group:
            with contextlib.suppress(OSError):  # gone or locked since it was listed
                by_key[key(name)].append(name)
        parts += [sorted(part) for part in by_key.values() if len(part) > 1]
    return parts


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-min(_TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        return stream.read()


def group_facts(inputs: Inputs) -> dict[str, Any]:
    """Return the groups of images that show overlapping ground, and what a split that ignores them would leak."""
    known = inputs.images["group"].to_numpy()
    sizes = np.unique(known[known >= 0], return_counts=True)[1]
    several = sizes[sizes > 1]
    if inputs.overlaps is not None:
        num_pairs = len(inputs.overlaps.pairs)
    else:
        num_pairs = int(inputs.report["groups"]["overlapping_pairs"]) if inputs.report else 0
    val_share = SplitShares().val
    # An image of a group of n that was drawn for validation has a neighbour in training with 1 - val_share^(n - 1).
    leaking = float((sizes * (1 - val_share ** (sizes - 1))).sum() / max(sizes.sum(), 1))
    return {
        "images": int(sizes.sum()),
        "groups": len(sizes),
        "groups_of_several": len(several),
        "images_in_groups_of_several": int(several.sum()),
        "largest": int(sizes.max(initial=0)),
        "by_size": counted(sizes, _GROUP_BINS),
        "overlapping_pairs": num_pairs,
        "leaking_share_of_random_val": leaking,
    }


def split_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the balance of a dataset's splits and the proof that nothing leaks, from its report."""
    return {"splits": report["splits"], "leak": report["leak"]}


# What cleaning leaves out, reason by reason, and how many ships that costs.

REFERENCE_KEEP_EMPTY = 0.3
"""Share of the images without ships that the reference kept."""


def cleaning_facts(
    images: pd.DataFrame, *, listed: frozenset[str], any_size: bool, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the cost of two sets of rules: `own`, what `shipseg prepare` does unasked, and `reference`.

    Args:
        images: One row per image, see `Inputs.images`.
        listed: ImageIds that the reference's list of corrupted images names; empty without a list.
        any_size: Images of another size than most stay, as the dataset was prepared.
        seed: For the drawing of the images without ships.
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
