"""Choosing the images of a dataset: each image that is left out has exactly one reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import DataError, ImageError
from shipseg.extras import needing
from shipseg.reading import read_image

with needing("train"):
    import pandas as pd

__all__ = [
    "REASONS",
    "SOLID_SPREAD",
    "CleaningRules",
    "ImageFacts",
    "common_size",
    "decide",
    "examine",
    "is_solid",
    "read_drop_list",
]

REASONS = (
    "no-file",
    "no-row",
    "unreadable",
    "truncated",
    "unsupported",
    "wrong-size",
    "solid",
    "malformed-mask",
    "listed",
    "small-file",
    "empty-undersampled",
)
"""Reasons for leaving out an image; the first that applies counts. Faults of files come before options of the user."""

SOLID_SPREAD = 12
"""Largest range (maximum - minimum) of every channel of a solid image, in grey levels. After JPEG compression, no-data
has a range of at most 10, the faintest real sea with a visible structure 17. A solid image is left out even if it has
labelled ships, since none of them is visible; the report counts them."""


@dataclass(frozen=True)
class CleaningRules:
    """Optional rules for leaving out images.

    Args:
        listed: ImageIds to leave out.
        min_kb: Files of this many kB (1024 bytes) or fewer are left out.
        keep_empty: Share of the images without ships to keep, sampled after all other rules.
        any_size: Keep images that do not have the most common size.
        seed: Seed of that sampling.
    """

    listed: frozenset[str] = frozenset()
    min_kb: float | None = None
    keep_empty: float | None = None
    any_size: bool = False
    seed: int = 42


@dataclass(frozen=True)
class ImageFacts:
    """Facts about an image file.

    Args:
        fault: `missing`, `unreadable`, `truncated` or `unsupported`; empty for a readable file.
        detail: One sentence about the fault.
        height: Height in pixels; 0 for a file that cannot be read.
        width: Width in pixels, likewise.
        spread: Largest range (maximum - minimum) of a channel, in grey levels.
    """

    fault: str = ""
    detail: str = ""
    height: int = 0
    width: int = 0
    spread: int = 0


def examine(path: Path) -> tuple[ImageFacts, NDArray[np.uint8] | None]:
    """Return the facts about an image file, and the image (H, W, 3) RGB or None if it cannot be read."""
    try:
        image_hwc = read_image(path)
    except ImageError as error:
        return ImageFacts(fault=error.reason, detail=str(error)), None
    height, width = image_hwc.shape[:2]
    # Over the rows first, contiguous in memory: 10 times as fast as over the pixels of (H * W, 3).
    highest, lowest = image_hwc.max(axis=0).max(axis=0), image_hwc.min(axis=0).min(axis=0)
    spread = int((highest - lowest).max())
    return ImageFacts(height=height, width=width, spread=spread), image_hwc


def is_solid(facts: ImageFacts) -> bool:
    """Return whether an image is readable and has one colour."""
    return not facts.fault and facts.spread <= SOLID_SPREAD


def read_drop_list(path: Path) -> frozenset[str]:
    """Return the ImageIds in a file with one per line, alone or as the first column of a CSV.

    Blank lines, lines that begin with `#` and a header `ImageId` are skipped.

    Raises:
        DataError: The file is missing, is not text or has no ImageId.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"the drop list {path} cannot be read ({error.strerror}): check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"the drop list {path} is not UTF-8 text: give one ImageId per line") from error
    ids = {line.partition(",")[0].strip().strip('"') for line in lines if not line.startswith("#")}
    ids -= {"", "ImageId"}
    if not ids:
        raise DataError(f"the drop list {path} has no ImageId: give one per line")
    return frozenset(ids)


def common_size(heights: NDArray[np.int64], widths: NDArray[np.int64]) -> tuple[int, int]:
    """Return the most common (height, width), the largest of equally common ones; (0, 0) without images."""
    if not len(heights):
        return 0, 0
    sizes, counts = np.unique(np.stack([heights, widths], axis=1), axis=0, return_counts=True)
    best = np.lexsort((sizes[:, 1], sizes[:, 0] * sizes[:, 1], counts))[-1]
    return int(sizes[best, 0]), int(sizes[best, 1])


def decide(images: pd.DataFrame, rules: CleaningRules) -> NDArray[np.object_]:
    """Return the reason for leaving out each image (see `REASONS`), "" for images that are kept.

    Args:
        images: One row per image: ImageId, Ships, has_row, has_file, fault, height, width, spread, Size_kb, malformed.
        rules: The optional rules.
    """
    readable = (images["fault"] == "").to_numpy() & images["has_file"].to_numpy() & images["has_row"].to_numpy()
    heights, widths = images["height"].to_numpy(), images["width"].to_numpy()
    height, width = common_size(heights[readable], widths[readable])
    fault = images["fault"].to_numpy()
    applies = {
        "no-file": ~images["has_file"].to_numpy() | (fault == "missing"),
        "no-row": ~images["has_row"].to_numpy(),
        "unreadable": fault == "unreadable",
        "truncated": fault == "truncated",
        "unsupported": fault == "unsupported",
        "wrong-size": readable & ((heights != height) | (widths != width)) & (not rules.any_size),
        "solid": readable & (images["spread"].to_numpy() <= SOLID_SPREAD),
        "malformed-mask": images["malformed"].to_numpy(),
        "listed": images["ImageId"].isin(rules.listed).to_numpy(),
        "small-file": (images["Size_kb"] <= (rules.min_kb if rules.min_kb is not None else -1)).to_numpy(),
    }
    reasons = np.full(len(images), "", dtype=object)
    for reason in reversed(REASONS):
        if reason in applies:
            reasons[applies[reason].astype(bool)] = reason
    if rules.keep_empty is not None:
        empty = np.flatnonzero((reasons == "") & (images["Ships"] == 0).to_numpy())
        num_kept = round(rules.keep_empty * len(empty))
        order = np.random.default_rng(rules.seed).permutation(len(empty))
        reasons[empty[order[num_kept:]]] = "empty-undersampled"
    return reasons
