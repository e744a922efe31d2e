"""Reliability bins and calibration error of probabilities, and the fit of a calibration on counts of pixels."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from shipseg.evaluation.scores import ShipScore
from shipseg.extras import needing
from shipseg.masks.pixels import ProbabilityHistogram
from shipseg.model.calibration import MAX_KNOTS, Calibration, CalibrationErrors

__all__ = [
    "LIKELY",
    "PIXEL_EDGES",
    "SHIP_EDGES",
    "PixelReliability",
    "ReliabilityBin",
    "calibration_error",
    "cross_fitted",
    "fit_calibration",
    "fit_isotonic",
    "fit_temperature",
    "judged_bins",
    "pixel_reliability",
    "ship_reliability",
]


PIXEL_EDGES: tuple[float, ...] = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
"""Narrow at both ends: nearly all pixels have a probability close to 0, nearly all ship pixels one close to 1."""
SHIP_EDGES: tuple[float, ...] = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)


@dataclass(frozen=True)
class ReliabilityBin:
    """Predicted probability and observed share of ship in one interval of predicted probability."""

    low: float
    high: float
    count: int
    """Number of pixels (or predicted ships)."""
    mean_predicted: float
    """Their mean probability (or confidence)."""
    observed: float
    """Share of them that are ship (or that match a true ship)."""


class PixelReliability:
    """Sums of probability and truth of all pixels, by interval of probability."""

    def __init__(self) -> None:
        self._count = np.zeros(len(PIXEL_EDGES) - 1)
        self._predicted = np.zeros_like(self._count)
        self._true = np.zeros_like(self._count)

    def add(self, probability_hw: NDArray[np.float32], true_hw: NDArray[np.bool_]) -> None:
        """Add an image: probability, float32 (H, W) in 0..1, and truth, bool (H, W)."""
        probability, truth = probability_hw.ravel(), true_hw.ravel()
        # Nearly all pixels lie in the first interval: binning only the others is ten times as fast.
        likely = probability >= np.float32(PIXEL_EDGES[1])
        bins = np.digitize(probability[likely], np.asarray(PIXEL_EDGES[1:-1], np.float32))
        size = len(self._count)
        self._count += np.bincount(bins, minlength=size)
        self._predicted += np.bincount(bins, weights=probability[likely], minlength=size)
        self._true += np.bincount(bins, weights=truth[likely], minlength=size)
        self._count[0] += probability.size - len(bins)
        self._predicted[0] += probability[~likely].sum(dtype=np.float64)
        self._true[0] += np.count_nonzero(truth[~likely])

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """Return the intervals with at least one pixel."""
        return _bins(PIXEL_EDGES, self._count, self._predicted, self._true)


def pixel_reliability(
    probability: NDArray[np.float64], num: NDArray[np.int64], ships: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    """Return the reliability bins of counted pixels.

    Args:
        probability: Distinct probabilities, (N,), 0 to 1.
        num: Number of pixels of each, (N,).
        ships: Number of ship pixels among them, (N,).
    """
    bins, size = np.digitize(probability, PIXEL_EDGES[1:-1]), len(PIXEL_EDGES) - 1
    return _bins(
        PIXEL_EDGES,
        np.bincount(bins, weights=num, minlength=size),
        np.bincount(bins, weights=num * probability, minlength=size).astype(np.float64),
        np.bincount(bins, weights=ships, minlength=size).astype(np.float64),
    )


def ship_reliability(ships: Iterable[ShipScore]) -> tuple[ReliabilityBin, ...]:
    """Return the reliability bins of predicted ships by confidence; a match with a true ship has an IoU above 0.5."""
    predicted = [(ship.confidence, ship.matched) for ship in ships if ship.confidence is not None]
    confidence = np.array([value for value, _ in predicted], np.float64)
    matched = np.array([hit for _, hit in predicted], np.float64)
    bins, size = np.digitize(confidence, SHIP_EDGES[1:-1]), len(SHIP_EDGES) - 1
    return _bins(
        SHIP_EDGES,
        np.bincount(bins, minlength=size),
        np.bincount(bins, weights=confidence, minlength=size).astype(np.float64),  # integers when there are no ships
        np.bincount(bins, weights=matched, minlength=size).astype(np.float64),
    )


def calibration_error(bins: Iterable[ReliabilityBin], *, from_probability: float = 0.0) -> float | None:
    """Return the expected calibration error: mean of |predicted - observed| over the intervals, weighted by count.

    Args:
        bins: The intervals.
        from_probability: Leave out intervals that begin below; the open sea would dominate the mean.
    """
    used = [interval for interval in bins if interval.low >= from_probability]
    total = sum(interval.count for interval in used)
    if not total:
        return None
    return sum(interval.count * abs(interval.mean_predicted - interval.observed) for interval in used) / total


def _bins(
    edges: tuple[float, ...],
    count: NDArray[np.generic],
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
) -> tuple[ReliabilityBin, ...]:
    numbers = np.asarray(count, np.float64)
    return tuple(
        ReliabilityBin(
            float(edges[k]), float(edges[k + 1]), int(numbers[k]), predicted[k] / numbers[k], true[k] / numbers[k]
        )
        for k in np.flatnonzero(numbers).tolist()
    )


# Fit of a calibration on counts of pixels, and its evaluation on pixels that it was not fitted on.

Method = Literal["temperature", "isotonic"]
Judged = tuple[ProbabilityHistogram, Calibration | None]

_LOG = logging.getLogger(__name__)

LIKELY = 0.01
"""The network's probability from which a pixel counts in the errors without the open sea."""
_TEMPERATURES = (0.02, 50.0)
_LAST_STEP = 1e-3
"""How much the line of `isotonic` rises beyond its last knot, so that the order of the highest probabilities stays."""


def fit_calibration(method: Method, halves: tuple[ProbabilityHistogram, ProbabilityHistogram]) -> Calibration | None:
    """Return the calibration fitted on both halves together, with its cross-fitted errors.

    None, with a warning, where the images have no ship pixels or only ship pixels.
    """
    whole = halves[0] + halves[1]
    if not _has_both(whole):
        _LOG.warning("no calibration can be fitted: the labelled images hold no ship pixels, or only ship pixels")
        return None
    return _FITS[method](whole).model_copy(update={"errors": _errors(cross_fitted(method, halves))})


def cross_fitted(method: Method, halves: tuple[ProbabilityHistogram, ProbabilityHistogram]) -> tuple[Judged, ...]:
    """Return each half with the calibration that was fitted on the other; () where a half lacks ship pixels."""
    if not all(map(_has_both, halves)):
        return ()
    return tuple((half, _FITS[method](other)) for half, other in (halves, halves[::-1]))


def judged_bins(pairs: Sequence[Judged], *, from_probability: float = 0.0) -> tuple[ReliabilityBin, ...]:
    """Return the reliability bins of pixels whose network probability is at least `from_probability`.

    Args:
        pairs: Counts of pixels, each with the calibration to apply, or None for none.
        from_probability: Leaves out the open sea.
    """
    columns = []
    for pixels, calibration in pairs:
        middle, num, ships = pixels.occupied()
        used = middle >= from_probability
        predicted = middle.astype(np.float32) if calibration is None else calibration.apply(middle.astype(np.float32))
        columns.append((predicted[used], num[used], ships[used]))
    probability, nums, hits = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return pixel_reliability(probability.astype(np.float64), nums, hits)


def _errors(pairs: Sequence[Judged]) -> CalibrationErrors | None:
    if not pairs:
        return None
    plain = [(pixels, None) for pixels, _ in pairs]
    return CalibrationErrors(
        before=calibration_error(judged_bins(plain)) or 0.0,
        after=calibration_error(judged_bins(pairs)) or 0.0,
        before_where_likely=calibration_error(judged_bins(plain, from_probability=LIKELY)),
        after_where_likely=calibration_error(judged_bins(pairs, from_probability=LIKELY)),
    )


def fit_temperature(pixels: ProbabilityHistogram) -> Calibration:
    """Return the temperature with the lowest cross-entropy on the pixels."""
    middle, num, ships = pixels.occupied()
    logits = np.log(middle) - np.log1p(-middle)
    share = ships / num

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        # -log sigmoid(x) = log(1 + exp(-x))
        loss = share * np.logaddexp(0, -scaled) + (1 - share) * np.logaddexp(0, scaled)
        return float(loss @ num / num.sum())

    low, high = (math.log(value) for value in _TEMPERATURES)
    best = minimize_scalar(cross_entropy, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return Calibration(method="temperature", temperature=round(math.exp(float(best.x)), 4))


def fit_isotonic(pixels: ProbabilityHistogram) -> Calibration:
    """Return an increasing piecewise linear calibration through the pixels' observed shares of ship.

    Isotonic regression gives a step function; its steps are merged, those that add least squared error first, until a
    line through their centres has at most MAX_KNOTS knots. A line keeps the order of pixels within a step.

    Source: A. P. Oron, N. Flournoy, Centered isotonic regression (2017), for the line through the centres.
    """
    with needing("train"):
        from sklearn.isotonic import IsotonicRegression

    middle, num, ships = pixels.occupied()
    fitted = IsotonicRegression(y_min=0, y_max=1).fit_transform(middle, ships / num, sample_weight=num)
    starts = np.flatnonzero(np.diff(fitted, prepend=-1.0) > 0)
    weight = np.add.reduceat(num, starts).astype(np.float64)
    center = np.add.reduceat(num * middle, starts) / weight
    observed = np.add.reduceat(ships, starts) / weight
    weight, center, observed = _merged(weight, center, observed, at_most=MAX_KNOTS - 2)
    # A finite number of pixels without a ship (or without sea) is no evidence for a share of exactly 0 (or 1).
    observed[0] = max(observed[0], min(0.5 / (weight[0] + 1), observed[-1] / 2))
    observed[-1] = min(observed[-1], max(1 - 0.5 / (weight[-1] + 1), (1 + observed[0]) / 2))
    last = min(1.0, observed[-1] + min(_LAST_STEP, (1 - observed[-1]) / 2))
    knots = [(0.0, 0.0), *zip(center.tolist(), observed.tolist(), strict=True), (1.0, last)]
    return Calibration(method="isotonic", knots=_rising(knots))


def _has_both(pixels: ProbabilityHistogram) -> bool:
    return 0 < pixels.num_ship_pixels < pixels.num_pixels


def _merged(
    weight: NDArray[np.float64], center: NDArray[np.float64], observed: NDArray[np.float64], *, at_most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Merge neighbouring steps, those that add least squared error first, until at most `at_most` are left."""
    while len(weight) > at_most:
        costs = weight[1:] * weight[:-1] / (weight[1:] + weight[:-1]) * np.diff(observed) ** 2
        first = int(costs.argmin())
        both = weight[first] + weight[first + 1]
        for values in (center, observed):
            values[first] = (values[first] * weight[first] + values[first + 1] * weight[first + 1]) / both
        weight[first] = both
        weight, center, observed = (np.delete(values, first + 1) for values in (weight, center, observed))
    return weight, center, observed


def _rising(knots: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the rounded knots, without those that equal a neighbour after rounding."""
    last = knots[-1]
    kept = [knots[0]]
    for x, y in knots[1:-1]:
        rounded = (float(f"{x:.8g}"), float(f"{y:.6g}"))
        if all(low < new < high for low, new, high in zip(kept[-1], rounded, last, strict=True)):
            kept.append(rounded)
    return (*kept, last)


_FITS = {"temperature": fit_temperature, "isotonic": fit_isotonic}
