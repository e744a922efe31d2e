"""Significance of the differences between variants, given the variation between their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["LEVEL", "Comparison", "Significance", "compare"]

LEVEL = 0.05
"""Significance level: a difference is significant if its p value is below this."""
_EQUAL = 1e-9
"""Scores this close to each other differ only by rounding."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of a variant with the baseline."""

    variant: str
    difference: float
    """Difference of the means over seeds."""
    p: float
    """p value, corrected for the number of comparisons (Holm)."""

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant."""
        return self.p < LEVEL


@dataclass(frozen=True)
class Significance:
    """Variation between the seeds of a variant, and the comparisons of the variants with the baseline."""

    deviation: float
    """Standard deviation over seeds, pooled over all variants whose seeds differ."""
    degrees_of_freedom: int
    """Degrees of freedom of the deviation: number of trials of those variants minus number of variants."""
    min_difference: float | None
    """A difference to the baseline of about this size is significant whatever the other variants score."""
    comparisons: tuple[Comparison, ...]
    """One for each variant but the baseline, in the order given."""


def compare(scores: Mapping[str, Sequence[float]], baseline: str) -> Significance | None:
    """Return the variation between seeds and the significance of each variant's difference to the baseline.

    Two-sided t tests with the standard deviation pooled over the variants (that of three seeds alone says next to
    nothing), corrected for the number of comparisons by Holm's step-down method. The deviation is taken to be equal for
    all variants, except those with the same score at every seed: a network that learned nothing is no estimate of it,
    and would make it smaller.

    Args:
        scores: Scores of the seeds, by variant; variants without a score are left out.
        baseline: The variant that the others are compared with.

    Returns:
        None if nothing can be tested: the baseline has no score, or no variant has two different scores.

    Source: S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    known = {name: np.asarray(values, np.float64) for name, values in scores.items() if len(values)}
    varying = [values for values in known.values() if np.ptp(values) > _EQUAL]
    if baseline not in known or not varying:
        return None
    degrees = sum(len(values) - 1 for values in varying)
    deviation = math.sqrt(sum(float(((v - v.mean()) ** 2).sum()) for v in varying) / degrees)
    base = known[baseline]
    others = {name: values for name, values in known.items() if name != baseline}
    raw = [_p_value(values, base, deviation, degrees) for values in others.values()]
    comparisons = tuple(
        Comparison(name, float(values.mean() - base.mean()), p)
        for (name, values), p in zip(others.items(), _holm(raw), strict=True)
    )
    min_difference = None
    if others:
        typical = float(np.median([len(values) for values in others.values()]))
        critical = float(stats.t.isf(LEVEL / 2 / len(others), degrees))
        min_difference = critical * deviation * math.sqrt(1 / typical + 1 / len(base))
    return Significance(deviation, degrees, min_difference, comparisons)


def _p_value(a: np.ndarray, b: np.ndarray, deviation: float, degrees: int) -> float:
    difference = abs(float(a.mean() - b.mean()))
    return float(2 * stats.t.sf(difference / (deviation * math.sqrt(1 / len(a) + 1 / len(b))), degrees))


def _holm(values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number, in the same order."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected
