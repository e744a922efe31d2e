"""Grouped folds of labelled images, and their scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.data.cleaning import SOLID_SPREAD
from shipseg.evaluation.bootstrap import intervals, set_scores
from shipseg.evaluation.evaluate import EvaluateOptions, evaluate
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.overlaps import group_found
from shipseg.evaluation.scores import SIZE_BINS, ImageScore
from shipseg.inference.predictor import Backend, Predictor

__all__ = [
    "ROWS",
    "CachingBackend",
    "assign_folds",
    "is_no_data",
    "score_images",
    "score_rows",
    "split_at",
    "table",
    "with_groups",
]

ROWS: Mapping[str, str] = {
    "airbus_score": "Airbus score",
    "airbus_score_of_predicting_nothing": "(predicting nothing)",
    "pooled_dice_ship_images": "pooled Dice, ship images",
    "pooled_dice": "pooled Dice, all images",
    "image_dice": "mean Dice of ship images",
    "ship_f1": "ship F1",
    "ship_precision": "ship precision",
    **{f"recall {size}": f"recall {size} px" for size in SIZE_BINS},
    "false_alarm_images": "empty images with a false alarm",
}
"""Reported scores, in this order."""
_FEW_ROUNDS = EvaluateOptions(bootstrap_rounds=10)


class CachingBackend:
    """A backend that computes each batch of images once, since folds predict them repeatedly."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._cache: dict[bytes, NDArray[np.float32]] = {}

    @property
    def pixels_per_batch(self) -> int:
        """Number of pixels per batch."""
        return self._backend.pixels_per_batch

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of ship, float32 (N, 1, H, W)."""
        key = hashlib.blake2b(images_n3hw.tobytes() + str(images_n3hw.shape).encode()).digest()
        if key not in self._cache:
            self._cache[key] = self._backend.run(images_n3hw)
        return self._cache[key]


def with_groups(images: Sequence[Labelled]) -> tuple[Labelled, ...]:
    """Return the images with their groups of overlapping images, detected from the pixels if unknown."""
    return group_found(images)


def is_no_data(image: Labelled) -> bool:
    """Return whether an image has one colour, by the rule of `shipseg.data.cleaning`."""
    image_hwc = image.read()
    spread = image_hwc.max(axis=(0, 1)).astype(int) - image_hwc.min(axis=(0, 1))
    return bool(spread.max() <= SOLID_SPREAD)


def assign_folds(images: Sequence[Labelled], *, folds: int, seed: int) -> list[int]:
    """Return the fold of each image: whole groups in random order, each to the fold with fewest such images."""
    members: dict[str, list[Labelled]] = {}
    for image in images:
        members.setdefault(image.group or image.image_id, []).append(image)
    names, fold = list(members), {}
    sizes = np.zeros((2, folds), np.int64)
    for index in np.random.default_rng(seed).permutation(len(names)).tolist():
        group = members[names[index]]
        kind = int(any(image.rles for image in group))
        fold[names[index]] = int(np.argmin(sizes[kind] + 1e-6 * sizes.sum(0)))
        sizes[kind, fold[names[index]]] += len(group)
    return [fold[image.group or image.image_id] for image in images]


def split_at(images: Sequence[Labelled], fold_of: Sequence[int], fold: int) -> tuple[list[Labelled], list[Labelled]]:
    """Return the images of a fold, and those of the others."""
    pairs = list(zip(images, fold_of, strict=True))
    return [image for image, at in pairs if at == fold], [image for image, at in pairs if at != fold]


def score_images(predictor: Predictor, images: Sequence[Labelled]) -> tuple[ImageScore, ...]:
    """Return the counts of each image, with the predictor's own decision rule."""
    return evaluate(predictor, images, options=_FEW_ROUNDS).images


def score_rows(images: Sequence[ImageScore], *, metres_per_pixel: float) -> dict[str, dict[str, Any]]:
    """Return each score of ROWS with its 90 % interval, by bootstrap over groups."""
    scores = set_scores(images, metres_per_pixel=metres_per_pixel)
    bounds = intervals(images, metres_per_pixel=metres_per_pixel)
    return {name: {"value": scores[name], "interval": bounds[name]} for name in ROWS}


def table(columns: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the scores as a table in Markdown: one row per score, one column per method."""
    lines = ["| score | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name, title in ROWS.items():
        lines.append(f"| {title} | " + " | ".join(_cell(rows[name]) for rows in columns.values()) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "–"
    interval = f" ({row['interval'][0]:.3f}-{row['interval'][1]:.3f})" if row["interval"] else ""
    return f"{row['value']:.3f}{interval}"
