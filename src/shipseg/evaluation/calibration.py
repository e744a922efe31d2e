"""Whether probabilities mean what they say: of the pixels given 0.8, are 80 % ship?"""

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
    """What was predicted, and what was true, in one interval of predicted probability."""

    low: float
    high: float
    count: int
    """Pixels (or predicted ships) in it."""
    mean_predicted: float
    """Their mean probability (or confidence)."""
    observed: float
    """Share of them that is ship (or that matches a true ship)."""


class PixelReliability:
    """Sums of probability and truth of all pixels, by interval of probability."""

    def __init__(self) -> None:
        self._count = np.zeros(len(PIXEL_EDGES) - 1)
        self._predicted = np.zeros_like(self._count)
        self._true = np.zeros_like(self._count)

    def add(self, probability_hw: NDArray[np.float32], true_hw: NDArray[np.bool_]) -> None:
        """Add an image: probability, float32 (H, W) in 0..1, and truth, bool (H, W)."""
        probability, truth = probability_hw.ravel(), true_hw.ravel()
        # Nearly all pixels lie in the first interval: sorting only the others into theirs is ten times as fast.
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
        """Return the intervals that hold a pixel."""
        return _bins(PIXEL_EDGES, self._count, self._predicted, self._true)


def pixel_reliability(
    probability: NDArray[np.float64], num: NDArray[np.int64], ships: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    """Return the intervals of pixels that are known by counts.

    Args:
        probability: Of each kind of pixel, (N,).
        num: How many there are of it, (N,).
        ships: How many of these are ship, (N,).
    """
    bins, size = np.digitize(probability, PIXEL_EDGES[1:-1]), len(PIXEL_EDGES) - 1
    return _bins(
        PIXEL_EDGES,
        np.bincount(bins, weights=num, minlength=size),
        np.bincount(bins, weights=num * probability, minlength=size).astype(np.float64),
        np.bincount(bins, weights=ships, minlength=size).astype(np.float64),
    )


def ship_reliability(ships: Iterable[ShipScore]) -> tuple[ReliabilityBin, ...]:
    """Return, by interval of confidence, how many of the predicted ships match a true one (IoU above 0.5)."""
    predicted = [(ship.confidence, ship.matched) for ship in ships if ship.confidence is not None]
    confidence = np.array([value for value, _ in predicted], np.float64)
    matched = np.array([hit for _, hit in predicted], np.float64)
    bins, size = np.digitize(confidence, SHIP_EDGES[1:-1]), len(SHIP_EDGES) - 1
    return _bins(
        SHIP_EDGES,
        np.bincount(bins, minlength=size),
        np.bincount(bins, weights=confidence, minlength=size).astype(np.float64),  # of no ship: whole numbers
        np.bincount(bins, weights=matched, minlength=size).astype(np.float64),
    )


def calibration_error(bins: Iterable[ReliabilityBin], *, from_probability: float = 0.0) -> float | None:
    """Return the expected calibration error: mean of |predicted - observed| over the intervals, weighted by count.

    Args:
        bins: The intervals.
        from_probability: Leave out intervals that begin below: the sea, which would drown everything else.
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


# Fitting a calibration on counts of pixels, and judging it on pixels that it was not fitted on.

Method = Literal["temperature", "isotonic"]
Judged = tuple[ProbabilityHistogram, Calibration | None]

_LOG = logging.getLogger(__name__)

LIKELY = 0.01
"""Network's probability from which a pixel counts for the errors that leave the open sea out."""
_TEMPERATURES = (0.02, 50.0)
_LAST_STEP = 1e-3
"""How much the rising line of `isotonic` still rises beyond its last knot: what is surest stays surest."""


def fit_calibration(method: Method, halves: tuple[ProbabilityHistogram, ProbabilityHistogram]) -> Calibration | None:
    """Return the calibration fitted on both halves together, with its errors as judged across them.

    None, with a warning, where there is no ship pixel or nothing but ship pixels.
    """
    whole = halves[0] + halves[1]
    if not _has_both(whole):
        _LOG.warning("nothing can be calibrated: the labelled images hold no ship pixel, or nothing else")
        return None
    return _FITS[method](whole).model_copy(update={"errors": _errors(cross_fitted(method, halves))})


def cross_fitted(method: Method, halves: tuple[ProbabilityHistogram, ProbabilityHistogram]) -> tuple[Judged, ...]:
    """Return each half with the calibration that was fitted on the other; () where a half lacks ship pixels."""
    if not all(map(_has_both, halves)):
        return ()
    return tuple((half, _FITS[method](other)) for half, other in (halves, halves[::-1]))


def judged_bins(pairs: Sequence[Judged], *, from_probability: float = 0.0) -> tuple[ReliabilityBin, ...]:
    """Return reliability bins of pixels to which the network gives at least `from_probability`.

    Args:
        pairs: Pixels, each with the calibration that they are to be judged by, or None for none.
        from_probability: Leaves out the sea.
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
    """Return the temperature at which the pixels' truth is likeliest."""
    middle, num, ships = pixels.occupied()
    logits = np.log(middle) - np.log1p(-middle)
    share = ships / num

    def surprise(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        # -log sigmoid(x) = log(1 + exp(-x))
        loss = share * np.logaddexp(0, -scaled) + (1 - share) * np.logaddexp(0, scaled)
        return float(loss @ num / num.sum())

    low, high = (math.log(value) for value in _TEMPERATURES)
    best = minimize_scalar(surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return Calibration(method="temperature", temperature=round(math.exp(float(best.x)), 4))


def fit_isotonic(pixels: ProbabilityHistogram) -> Calibration:
    """Return the rising line through the pixels' observed shares of ship.

    Isotonic regression gives a staircase; its steps are merged, the least important first, until a line through their
    centres has few knots. A line and not a staircase, because pixels on one step would lose their order.

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
    # So many pixels without a single ship (or sea) among them do not prove that there is none at all.
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
    """Merge neighbouring steps, those first whose merging adds least squared error, until so many are left."""
    while len(weight) > at_most:
        costs = weight[1:] * weight[:-1] / (weight[1:] + weight[:-1]) * np.diff(observed) ** 2
        place = int(costs.argmin())
        both = weight[place] + weight[place + 1]
        for values in (center, observed):
            values[place] = (values[place] * weight[place] + values[place + 1] * weight[place + 1]) / both
        weight[place] = both
        weight, center, observed = (np.delete(values, place + 1) for values in (weight, center, observed))
    return weight, center, observed


def _rising(knots: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the knots in few digits; one that the rounding puts level with its neighbour is left out."""
    last = knots[-1]
    kept = [knots[0]]
    for x, y in knots[1:-1]:
        rounded = (float(f"{x:.8g}"), float(f"{y:.6g}"))
        if all(low < new < high for low, new, high in zip(kept[-1], rounded, last, strict=True)):
            kept.append(rounded)
    return (*kept, last)


_FITS = {"temperature": fit_temperature, "isotonic": fit_isotonic}
