"""Scores of a set of images from the counts of each image, with bootstrap intervals.

Every score is a ratio of sums over images, so the same function gives the score of the set and, on resampled sums, its
bootstrap interval.

| score | what it is |
|---|---|
| `airbus_score` | mean over all images of the challenge's score: F2 over ships, averaged over IoU 0.50 ... 0.95 |
| `airbus_score_of_predicting_nothing` | score of an empty submission: the share of images without ships |
| `airbus_score_above_nothing` | the difference of these two, image by image |
| `pooled_dice`, `pooled_iou` | over the pixels of all images, including images without ships |
| `pooled_dice_ship_images` | pooled Dice over images with ships only: comparable with public figures, optimistic |
| `image_dice` | mean Dice of single images with ships: small ships count as much as large ones |
| `ship_precision` | share of predicted ships that have an IoU above 0.5 with a true ship, one to one |
| `ship_recall` | share of true ships matched in the same way; `recall_by_size`: by the true ship's area in pixels |
| `ship_f1` | 2 matched / (true + predicted) |
| `false_alarm_images` | share of images without ships in which at least one is predicted |
| `false_alarms_per_1000km2` | predicted ships that touch no true ship, in all images, per 1000 km2 of all images |
| `dice_by_group` | mean Dice of images with no, one, several ships; none: the share without a prediction |
| `seed_dice` | the reference's metric: soft Dice (no threshold) pooled over batches of 16 ship images |

An undefined score (recall without ships, precision without predictions) is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, gamma

from shipseg.evaluation.scores import SIZE_BINS, ImageScore
from shipseg.masks.pixels import shares

__all__ = [
    "INTERVAL_SHARE",
    "Scores",
    "count_interval",
    "group_numbers",
    "intervals",
    "seed_dice",
    "set_scores",
    "share_interval",
]

INTERVAL_SHARE = 0.9
"""Share of the resampled sets that a bootstrap interval covers."""

_REFERENCE_BATCH = 16
_REFERENCE_SMOOTH = 1.0

_COUNTED = {
    "ship_precision": ("matched", "predicted"),
    "ship_recall": ("matched", "true"),
    "false_alarm_images": ("alarmed", "empty"),
}

Sums = Mapping[str, NDArray[np.float64]]
Scores = dict[str, float | None]


def set_scores(images: Sequence[ImageScore], *, metres_per_pixel: float) -> Scores:
    """Return the scores of a set of images, as this module's table defines them, and recall and precision by size.

    Args:
        images: Their counts; at least one.
        metres_per_pixel: Ground sample distance, for the area of the images.
    """
    columns = _columns(images, metres_per_pixel)
    return {name: _number(value) for name, value in _ratios({k: v.sum() for k, v in columns.items()}).items()}


def intervals(
    images: Sequence[ImageScore], *, metres_per_pixel: float, rounds: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Return a 90 % bootstrap interval of each of `set_scores`: whole groups are sampled with replacement.

    An image without a group is a group of its own. Where a share is 0 or 1 (no false alarm in 16 images), all resampled
    sets are equal and the bootstrap interval has no width: such a share gets `share_interval`. A score has no interval
    (None) where there are fewer than two groups or where it is undefined in most resampled sets.

    Args:
        images: Their counts.
        metres_per_pixel: As in `set_scores`.
        rounds: Number of resampled sets.
        seed: Of the sampling.
    """
    columns = _columns(images, metres_per_pixel)
    group_n = group_numbers(images)
    num_groups = int(group_n.max()) + 1
    table = np.stack([np.bincount(group_n, weights=values, minlength=num_groups) for values in columns.values()], 1)
    rng = np.random.default_rng(seed)
    sums = np.stack(
        [
            np.bincount(rng.integers(0, num_groups, num_groups), minlength=num_groups).astype(np.float64) @ table
            for _ in range(rounds)
        ]
    )
    resampled = _ratios(dict(zip(columns, sums.T, strict=True)))
    bounds = {name: _interval(values) if num_groups > 1 else None for name, values in resampled.items()}
    for name, (part, whole) in _COUNTED.items():
        interval = bounds[name]
        if interval is not None and interval[0] == interval[1]:
            bounds[name] = share_interval(float(columns[part].sum()), float(columns[whole].sum()))
    return bounds


def seed_dice(images: Sequence[ImageScore]) -> float | None:
    """Return the reference solution's Dice: soft, smooth 1, pooled over batches of 16 ship images in their order.

    Mean over batches of (2 sum(p t) + 1) / (sum(p) + sum(t) + 1); the last may be smaller. None without a ship.
    """
    ships = [image for image in images if image.num_true]
    batches = [ships[start : start + _REFERENCE_BATCH] for start in range(0, len(ships), _REFERENCE_BATCH)]
    scores = [
        (2 * sum(image.probability_on_ships for image in batch) + _REFERENCE_SMOOTH)
        / (sum(image.probability_sum + image.true_px for image in batch) + _REFERENCE_SMOOTH)
        for batch in batches
    ]
    return sum(scores) / len(scores) if scores else None


def share_interval(part: float, whole: float) -> tuple[float, float] | None:
    """Return the 90 % interval of a binomial share, `part` of `whole`; None where `whole` is 0.

    Each tail has 5 %: 0 of 59 is evidence for a share below 5 %, not for 0.

    Source: C. J. Clopper, E. S. Pearson (1934), the exact interval of a binomial share.
    """
    if whole <= 0:
        return None
    tail = (1 - INTERVAL_SHARE) / 2
    low = 0.0 if part <= 0 else float(beta.ppf(tail, part, whole - part + 1))
    high = 1.0 if part >= whole else float(beta.ppf(1 - tail, part + 1, whole - part))
    return low, high


def count_interval(count: float) -> tuple[float, float]:
    """Return the 90 % interval of a Poisson mean of which `count` events were observed.

    Each tail has 5 %: 0 events are evidence for a mean of at most 3.0, not for 0.

    Source: F. Garwood (1936), the exact interval of a Poisson mean.
    """
    tail = (1 - INTERVAL_SHARE) / 2
    low = 0.0 if count <= 0 else float(gamma.ppf(tail, count))
    return low, float(gamma.ppf(1 - tail, count + 1))


def _columns(images: Sequence[ImageScore], metres_per_pixel: float) -> dict[str, NDArray[np.float64]]:
    """Return the contribution of each image to each sum."""

    def column(values: Sequence[float] | NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(values, np.float64)

    has_ships = np.array([image.num_true > 0 for image in images])
    single = np.array([image.num_true == 1 for image in images])
    dice = column([image.dice for image in images])
    predicted_px = column([image.predicted_px for image in images])
    columns = {
        "images": np.ones(len(images)),
        "km2": column([image.height * image.width for image in images]) * metres_per_pixel**2 / 1e6,
        "airbus": column([image.airbus for image in images]),
        "empty": column(~has_ships),
        "alarmed": column([image.num_true == 0 and image.num_predicted > 0 for image in images]),
        "false_alarms": column([image.false_alarms for image in images]),
        "true_px": column([image.true_px for image in images]),
        "predicted_px": predicted_px,
        "predicted_px_ship_images": predicted_px * has_ships,
        "overlap_px": column([image.overlap_px for image in images]),
        "dice_single": dice * single,
        "single": column(single),
        "dice_multiple": dice * (has_ships & ~single),
        "multiple": column(has_ships & ~single),
        "true": column([image.num_true for image in images]),
        "predicted": column([image.num_predicted for image in images]),
        "matched": column([image.matched for image in images]),
    }
    for size, name in enumerate(SIZE_BINS):
        columns[f"true {name}"] = column([image.true_by_size[size] for image in images])
        columns[f"found {name}"] = column([image.found_by_size[size] for image in images])
        columns[f"predicted {name}"] = column([image.predicted_by_size[size] for image in images])
        columns[f"right {name}"] = column([image.right_by_size[size] for image in images])
    return columns


def _ratios(total: Sums) -> dict[str, NDArray[np.float64]]:
    """Return the scores from sums over images: single numbers, or one for each resampled set."""
    pixels = total["true_px"] + total["predicted_px"]
    union = pixels - total["overlap_px"]
    ship_images = total["single"] + total["multiple"]
    scores = {
        "airbus_score": shares(total["airbus"], total["images"]),
        "airbus_score_of_predicting_nothing": shares(total["empty"], total["images"]),
        "airbus_score_above_nothing": shares(total["airbus"] - total["empty"], total["images"]),
        "pooled_dice": shares(2 * total["overlap_px"], pixels, empty=1.0),
        "pooled_iou": shares(total["overlap_px"], union, empty=1.0),
        "pooled_dice_ship_images": shares(
            2 * total["overlap_px"], total["true_px"] + total["predicted_px_ship_images"]
        ),
        "image_dice": shares(total["dice_single"] + total["dice_multiple"], ship_images),
        "ship_precision": shares(total["matched"], total["predicted"]),
        "ship_recall": shares(total["matched"], total["true"]),
        "ship_f1": shares(2 * total["matched"], total["true"] + total["predicted"]),
        "false_alarm_images": shares(total["alarmed"], total["empty"]),
        "false_alarms_per_1000km2": shares(1000 * total["false_alarms"], total["km2"]),
        "dice none": shares(total["empty"] - total["alarmed"], total["empty"]),
        "dice single": shares(total["dice_single"], total["single"]),
        "dice multiple": shares(total["dice_multiple"], total["multiple"]),
    }
    for name in SIZE_BINS:
        scores[f"recall {name}"] = shares(total[f"found {name}"], total[f"true {name}"])
        scores[f"precision {name}"] = shares(total[f"right {name}"], total[f"predicted {name}"])
    return scores


def _number(value: NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if len(defined) < len(values) / 2:
        return None
    tail = (1 - INTERVAL_SHARE) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return float(low), float(high)


def group_numbers(images: Sequence[ImageScore]) -> NDArray[np.int64]:
    """Return the number of each image's group, int64 (N,), from 0; an image without a group is a group of its own."""
    numbers: dict[tuple[str, str], int] = {}
    keys = [("image", image.image_id) if image.group is None else ("group", image.group) for image in images]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
