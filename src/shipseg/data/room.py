"""How much disk a dataset will take: said, and refused when it is not there, before hours of reading."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from shipseg import files
from shipseg.data.cache import cache_layout
from shipseg.data.cleaning import CleaningRules, examine
from shipseg.data.scanning import TEXTURE_BYTES
from shipseg.extras import needing

with needing("train"):
    import pandas as pd

__all__ = ["ensure_room"]

_LOG = logging.getLogger("shipseg")
_LOOKED_AT = 20  # files that are opened, at most, to learn the size of the images


def ensure_room(
    wanted: pd.DataFrame, rules: CleaningRules, size: int | Literal["native"], *, folder: Path, work: Path
) -> None:
    """Log how much disk the dataset will take, and raise when it is not there.

    The estimate takes every image for readable and as large as the first readable one.

    Args:
        wanted: One row per image with a row and a file: ImageId, Ships, Size_kb.
        rules: Which of them will be left out.
        size: Longest side of a cached image in pixels, or `native`.
        folder: Where the images lie.
        work: The work folder, on the disk in question; what an interrupted run reserved there counts as free.

    Raises:
        StorageError: The message gives what is needed and what is there.
    """
    reserved = sum(path.stat().st_blocks * 512 for path in work.rglob("*") if path.is_file())
    scratch = 2 * len(wanted) * TEXTURE_BYTES
    num_images = _expected(wanted, rules)
    if size == "native":
        _LOG.info("%d images; a native dataset keeps no pixels", num_images)
        what, needed = f"The work of reading {len(wanted)} images", scratch
    else:
        height, width = _first_size(wanted, folder)
        layout = cache_layout(np.full(num_images, height), np.full(num_images, width), size=size)
        what = f"The cache of {num_images} images at {layout.canvas[0]} x {layout.canvas[1]} px"
        needed = layout.num_bytes + scratch
        _LOG.info(
            "%s takes %s, and %s more while it is made", what, *map(files.size_in_words, (layout.num_bytes, scratch))
        )
    files.ensure_space(work, needed_bytes=max(0, needed - reserved), what=what)


def _expected(wanted: pd.DataFrame, rules: CleaningRules) -> int:
    """Return how many images the rules leave that need no look at the pixels; at least 1."""
    left = wanted[~wanted["ImageId"].isin(rules.listed)]
    if rules.min_kb is not None:
        left = left[left["Size_kb"] > rules.min_kb]
    num_empty = int((left["Ships"] == 0).sum())
    num_empty_kept = num_empty if rules.keep_empty is None else round(rules.keep_empty * num_empty)
    return max(1, len(left) - num_empty + num_empty_kept)


def _first_size(wanted: pd.DataFrame, folder: Path) -> tuple[int, int]:
    for name in wanted["ImageId"].iloc[:_LOOKED_AT]:
        facts, _ = examine(folder / name)
        if facts.height:
            return facts.height, facts.width
    return 1, 1
