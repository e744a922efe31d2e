"""A column of numbers in a few: mean, quantiles, histogram; ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["counted", "describe", "plain"]

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_DIGITS = 6


def describe(values: ArrayLike, edges: Sequence[float]) -> dict[str, Any]:
    """Return number, mean, standard deviation, smallest, quantiles (by percent), largest and histogram of values.

    Args:
        values: Numbers; NaN is left out.
        edges: Of the histogram's bins, ascending; what lies outside counts in the first or last bin.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    names = [f"{100 * quantile:g}" for quantile in _QUANTILES]
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0].tolist()
    histogram = {"edges": list(edges), "counts": counts}
    if not len(known):
        nothing: dict[str, Any] = dict.fromkeys(("mean", "std", "min", "max"))
        return {"num": 0, **nothing, "quantiles": dict.fromkeys(names), "histogram": histogram}
    return {
        "num": len(known),
        "mean": known.mean(),
        "std": known.std(),
        "min": known.min(),
        "max": known.max(),
        "quantiles": dict(zip(names, np.quantile(known, _QUANTILES), strict=True)),
        "histogram": histogram,
    }


def counted(values: NDArray[np.int64], bins: Mapping[str, tuple[float, float]]) -> dict[str, int]:
    """Return how many values lie in each bin, from its first number to its second, both included."""
    return {name: int(((values >= low) & (values <= high)).sum()) for name, (low, high) in bins.items()}


def plain(value: Any) -> Any:
    """Return nested facts as JSON knows them: Python's own numbers, of six significant digits."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(each) for each in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{_DIGITS}g}")
    return value
