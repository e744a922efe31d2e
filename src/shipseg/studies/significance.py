"""Which differences between variants exceed the noise of their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["LEVEL", "Comparison", "Noise", "compare"]

LEVEL = 0.05
"""A difference exceeds the noise where chance alone would give one this large less often than this."""
_EQUAL = 1e-9
"""Scores this close are the same number: they differ by rounding."""


@dataclass(frozen=True)
class Comparison:
    """A variant against the baseline."""

    variant: str
    difference: float
    """Of the means over seeds."""
    p: float
    """Probability that chance alone gives at least one difference this large, all comparisons together (Holm)."""

    @property
    def exceeds(self) -> bool:
        """Whether the difference exceeds the noise."""
        return self.p < LEVEL


@dataclass(frozen=True)
class Noise:
    """How far apart runs lie that differ in the seed alone, and what that says of the variants."""

    deviation: float
    """Standard deviation over seeds, pooled over all variants whose seeds differ."""
    degrees: int
    """Its degrees of freedom: trials of those variants less their number."""
    smallest: float | None
    """A difference to the baseline has to be about this large to exceed the noise whatever the others are."""
    comparisons: tuple[Comparison, ...]
    """One for each variant but the baseline, in the order given."""


def compare(scores: Mapping[str, Sequence[float]], baseline: str) -> Noise | None:
    """Return the noise and which variants differ from the baseline by more.

    A two-sided t test for each, with the standard deviation pooled over the variants (with three seeds a variant's own
    says next to nothing), corrected by Holm's step-down method for the number of comparisons. Variants are taken to be
    equally noisy, except those with the same score at every seed: a network that learned nothing says nothing about
    the noise of one that did, and would make it look smaller.

    Args:
        scores: By variant, a score for each seed; variants without a score are left out.
        baseline: The variant that the others are compared with.

    Returns:
        None where nothing can be said: the baseline has no score, or no variant has two that differ.

    Source: S. Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    known = {name: np.asarray(values, np.float64) for name, values in scores.items() if len(values)}
    noisy = [values for values in known.values() if np.ptp(values) > _EQUAL]
    if baseline not in known or not noisy:
        return None
    degrees = sum(len(values) - 1 for values in noisy)
    deviation = math.sqrt(sum(float(((v - v.mean()) ** 2).sum()) for v in noisy) / degrees)
    base = known[baseline]
    others = {name: values for name, values in known.items() if name != baseline}
    raw = [_p_value(values, base, deviation, degrees) for values in others.values()]
    comparisons = tuple(
        Comparison(name, float(values.mean() - base.mean()), p)
        for (name, values), p in zip(others.items(), _holm(raw), strict=True)
    )
    smallest = None
    if others:
        typical = float(np.median([len(values) for values in others.values()]))
        critical = float(stats.t.isf(LEVEL / 2 / len(others), degrees))
        smallest = critical * deviation * math.sqrt(1 / typical + 1 / len(base))
    return Noise(deviation, degrees, smallest, comparisons)


def _p_value(a: np.ndarray, b: np.ndarray, deviation: float, degrees: int) -> float:
    difference = abs(float(a.mean() - b.mean()))
    return float(2 * stats.t.sf(difference / (deviation * math.sqrt(1 / len(a) + 1 / len(b))), degrees))


def _holm(values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number, in their order."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, so_far = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        so_far = max(so_far, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = so_far
    return corrected
