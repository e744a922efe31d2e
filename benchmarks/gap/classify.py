"""Small classifiers of real and synthetic patches, and the importance of the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from benchmarks.gap.catalogue import STATISTICS
from benchmarks.gap.measure import ImageFacts
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["TRIALS", "Patches", "Separability", "Trial", "auc_of", "choose_patches", "classify_patches"]

FOLDS = 4
PATCHES_PER_IMAGE = 4
MATCH_BINS = 4
"""Bins of brightness, and of contrast, in which matched real and synthetic patches are equally many."""
ROUNDS = 200
MIN_GROUPS = 8
"""Groups of images per side below which no classifier is trained."""


@dataclass(frozen=True)
class Trial:
    """Patches and statistics of a trial.

    Attributes:
        name: Title in the table.
        ground: The patches have this ground.
        using: All statistics, those of texture, or the coarse ones (see `Statistic`).
        matched: Sample patches so that brightness and contrast have the same distribution in both classes.
    """

    name: str
    ground: str
    using: Literal["all", "texture", "coarse"] = "all"
    matched: bool = False


TRIALS = (
    Trial("sea", "sea"),
    Trial("sea, texture only", "sea", using="texture"),
    Trial("sea, texture only, brightness and contrast matched", "sea", using="texture", matched=True),
    Trial("sea, colours and waves above 8 px only", "sea", using="coarse"),
    Trial("land", "land"),
    Trial("land, texture only", "land", using="texture"),
    Trial("land, colours and waves above 8 px only", "land", using="coarse"),
)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches chosen for a trial: image number, patch number within it, class, group, statistics."""

    image: NDArray[np.int64]
    patch: NDArray[np.int64]
    is_synthetic: NDArray[np.bool_]
    groups: NDArray[np.int64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    families: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Separability:
    """How well a classifier separates real and synthetic patches.

    Attributes:
        trial: The trial.
        num_real: Real patches.
        num_synthetic: Synthetic patches.
        auc: Area under the ROC curve and its 90 % interval (value, low, high) of each model; 0.5 is chance.
        families: Drop of boosting's AUC when the columns of a family are permuted together, largest first.
        statistics: The same for single statistics, with the AUC of each alone (above 0.5: synthetic is higher).
        scores: Boosting's probability of synthetic for each patch, from the fold without its group.
        patches: The patches.
    """

    trial: Trial
    num_real: int
    num_synthetic: int
    auc: Mapping[str, tuple[float, float, float]]
    families: Mapping[str, float]
    statistics: Mapping[str, tuple[float, float]]
    scores: NDArray[np.float64]
    patches: Patches


def choose_patches(
    trial: Trial,
    facts: Sequence[ImageFacts],
    *,
    is_synthetic: NDArray[np.bool_],
    groups: NDArray[np.int64],
    rng: np.random.Generator,
) -> Patches:
    """Return at most `PATCHES_PER_IMAGE` patches of each image, sampled from those with the trial's ground."""
    image, patch = [], []
    for number, one in enumerate(facts):
        candidates = np.flatnonzero(one.grounds == trial.ground)
        drawn = np.sort(rng.permutation(candidates)[:PATCHES_PER_IMAGE])
        image.append(np.full(len(drawn), number))
        patch.append(drawn)
    images, numbers = np.concatenate(image).astype(np.int64), np.concatenate(patch).astype(np.int64)
    values = np.array([facts[i].values[j] for i, j in zip(images, numbers, strict=True)], np.float64)
    values = values.reshape(len(images), len(STATISTICS))
    if trial.matched:
        kept = _match(values, is_synthetic[images], rng)
        images, numbers, values = images[kept], numbers[kept], values[kept]
    used = {
        "all": [True] * len(STATISTICS),
        "texture": [item.is_texture for item in STATISTICS],
        "coarse": [item.is_coarse for item in STATISTICS],
    }
    columns = np.flatnonzero(used[trial.using])
    for k, item in enumerate(STATISTICS):
        if item.is_ratio:
            values[:, k] = np.log(np.maximum(values[:, k], 1e-3))
    return Patches(
        image=images,
        patch=numbers,
        is_synthetic=is_synthetic[images],
        groups=groups[images],
        values=values[:, columns],
        names=tuple(STATISTICS[k].name for k in columns),
        families=tuple(STATISTICS[k].family for k in columns),
    )


def _match(values: NDArray[np.float64], is_synthetic: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return patches such that each bin of brightness and contrast has as many real as synthetic ones."""
    names = [item.name for item in STATISTICS]
    cells = np.zeros(len(values), np.int64)
    for name in ("luminance", "std of luminance"):
        column = values[:, names.index(name)]
        edges = np.quantile(column[~is_synthetic], np.linspace(0, 1, MATCH_BINS + 1)[1:-1])
        cells = cells * MATCH_BINS + np.searchsorted(edges, column)
    kept = []
    for cell in np.unique(cells):
        sides = [rng.permutation(np.flatnonzero((cells == cell) & (is_synthetic == side))) for side in (False, True)]
        kept += [side[: min(map(len, sides))] for side in sides]
    return np.sort(np.concatenate(kept))


def auc_of(scores: NDArray[np.float64], is_synthetic: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: the probability that a synthetic patch has the higher score."""
    ranks, num = rankdata(scores), int(is_synthetic.sum())
    return float((ranks[is_synthetic].sum() - num * (num + 1) / 2) / max(num * (len(scores) - num), 1))


def _models(seed: int) -> dict[str, Any]:
    linear = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    boosting = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.12, max_leaf_nodes=12, min_samples_leaf=15, l2_regularization=1.0,
        class_weight="balanced", early_stopping=False, random_state=seed,
    )  # fmt: skip
    return {"logistic": make_pipeline(StandardScaler(), linear), "boosting": boosting}


def classify_patches(trial: Trial, patches: Patches, *, seed: int) -> Separability | None:
    """Return how well the classes are separated, or None if there are too few images of either."""
    sides = (~patches.is_synthetic, patches.is_synthetic)
    if min(len(np.unique(patches.groups[side])) for side in sides) < MIN_GROUPS:
        return None
    rng = np.random.default_rng(seed)
    scores = {name: np.zeros(len(patches.values)) for name in _models(seed)}
    drops: dict[str, list[float]] = {}
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    columns = _families(patches) | {name: [k] for k, name in enumerate(patches.names)}
    for train, test in folds.split(patches.values, patches.is_synthetic, patches.groups):
        for name, model in _models(seed).items():
            model.fit(patches.values[train], patches.is_synthetic[train])
            scores[name][test] = model.predict_proba(patches.values[test])[:, 1]
        base = auc_of(scores["boosting"][test], patches.is_synthetic[test])
        for key, numbers in columns.items():
            shuffled = patches.values[test].copy()
            shuffled[:, numbers] = shuffled[rng.permutation(len(test))][:, numbers]
            area = auc_of(model.predict_proba(shuffled)[:, 1], patches.is_synthetic[test])
            drops.setdefault(key, []).append(base - area)
    means = {key: float(np.mean(values)) for key, values in drops.items()}
    order = sorted(means, key=lambda key: -means[key])
    alone = {name: auc_of(patches.values[:, k], patches.is_synthetic) for k, name in enumerate(patches.names)}
    return Separability(
        trial=trial,
        num_real=int(sides[0].sum()),
        num_synthetic=int(sides[1].sum()),
        auc={name: _with_interval(rng, values, patches) for name, values in scores.items()},
        families={key: means[key] for key in order if key in set(patches.families)},
        statistics={key: (means[key], alone[key]) for key in order if key in alone},
        scores=scores["boosting"],
        patches=patches,
    )


def _families(patches: Patches) -> dict[str, list[int]]:
    return {
        family: [k for k, other in enumerate(patches.families) if other == family]
        for family in sorted(set(patches.families))
    }


def _with_interval(
    rng: np.random.Generator, scores: NDArray[np.float64], patches: Patches
) -> tuple[float, float, float]:
    """Return the AUC and its 90 % bootstrap interval over groups of images."""
    members = [np.flatnonzero(patches.groups == group) for group in np.unique(patches.groups)]
    areas = []
    for _ in range(ROUNDS):
        drawn = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        areas.append(auc_of(scores[drawn], patches.is_synthetic[drawn]))
    low, high = np.quantile(areas, (0.05, 0.95))
    return auc_of(scores, patches.is_synthetic), float(low), float(high)
