"""Grouped folds over labelled images, and the scores of what was judged in them."""

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

__all__ = ["ROWS", "Remembering", "deal_folds", "is_no_data", "judge", "score_rows", "split_at", "table", "with_groups"]

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
"""What is told of a set of images, in this order."""
_FEWEST_ROUNDS = EvaluateOptions(bootstrap_rounds=10)


class Remembering:
    """A backend that computes the same images once: folds look at them again and again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: dict[bytes, NDArray[np.float32]] = {}

    @property
    def pixels_per_batch(self) -> int:
        """How many pixels to give it at once."""
        return self._backend.pixels_per_batch

    def run(self, images_n3hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of ship, float32 (N, 1, H, W)."""
        key = hashlib.blake2b(images_n3hw.tobytes() + str(images_n3hw.shape).encode()).digest()
        if key not in self._known:
            self._known[key] = self._backend.run(images_n3hw)
        return self._known[key]


def with_groups(images: Sequence[Labelled]) -> tuple[Labelled, ...]:
    """Return the images with their groups of overlapping images, found from their pixels where unknown."""
    return group_found(images)


def is_no_data(image: Labelled) -> bool:
    """Return whether an image shows one colour, by the rule that cleaning has."""
    image_hwc = image.read()
    spread = image_hwc.max(axis=(0, 1)).astype(int) - image_hwc.min(axis=(0, 1))
    return bool(spread.max() <= SOLID_SPREAD)


def deal_folds(images: Sequence[Labelled], *, folds: int, seed: int) -> list[int]:
    """Return the fold of each image: whole groups, shuffled, each to the fold with the fewest images of its kind."""
    members: dict[str, list[Labelled]] = {}
    for image in images:
        members.setdefault(image.group or image.image_id, []).append(image)
    names, fold = list(members), {}
    sizes = np.zeros((2, folds), np.int64)
    for place in np.random.default_rng(seed).permutation(len(names)).tolist():
        group = members[names[place]]
        kind = int(any(image.rles for image in group))
        fold[names[place]] = int(np.argmin(sizes[kind] + 1e-6 * sizes.sum(0)))
        sizes[kind, fold[names[place]]] += len(group)
    return [fold[image.group or image.image_id] for image in images]


def split_at(images: Sequence[Labelled], fold_of: Sequence[int], fold: int) -> tuple[list[Labelled], list[Labelled]]:
    """Return the images of a fold, and those of the others."""
    pairs = list(zip(images, fold_of, strict=True))
    return [image for image, at in pairs if at == fold], [image for image, at in pairs if at != fold]


def judge(predictor: Predictor, images: Sequence[Labelled]) -> tuple[ImageScore, ...]:
    """Return the counts of each image, with the predictor's own rules."""
    return evaluate(predictor, images, options=_FEWEST_ROUNDS).images


def score_rows(images: Sequence[ImageScore], *, metres_per_pixel: float) -> dict[str, dict[str, Any]]:
    """Return each score of ROWS with its 90 % interval, by bootstrap over groups."""
    scores = set_scores(images, metres_per_pixel=metres_per_pixel)
    drawn = intervals(images, metres_per_pixel=metres_per_pixel)
    return {name: {"value": scores[name], "interval": drawn[name]} for name in ROWS}


def table(columns: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the scores as a table in Markdown: a row for each score, a column for each way."""
    lines = ["| score | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name, words in ROWS.items():
        lines.append(f"| {words} | " + " | ".join(_cell(rows[name]) for rows in columns.values()) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "–"
    between = f" ({row['interval'][0]:.3f}-{row['interval'][1]:.3f})" if row["interval"] else ""
    return f"{row['value']:.3f}{between}"
