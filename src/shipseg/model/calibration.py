"""Calibration of a network's probabilities: of the pixels with probability 0.8, eight in ten should be ship.

A calibration is a strictly increasing function of probability. It is stored in the card and applied to the probability
at full resolution, with any backend. It keeps the order of the pixels, so the same ships are detected at the
corresponding threshold. Applying it needs only numpy.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from shipseg.config import Frozen

__all__ = ["MAX_KNOTS", "Calibration", "CalibrationErrors"]

MAX_KNOTS = 64
"""Keeps the card readable; a curve through this many points differs from the full one by less than its noise."""

_Share = Annotated[float, Field(ge=0, le=1)]


class CalibrationErrors(Frozen):
    """Calibration error: the mean of |predicted - observed|, weighted by pixels.

    Cross-fitted: each half of the labelled groups is scored with the calibration fitted on the other half.
    """

    before: float
    """Over all pixels, most of which are sea, before calibration."""
    after: float
    """Over the same pixels, after calibration."""
    before_where_likely: float | None
    """Over the pixels with a network probability of 0.01 or more, before calibration; None where there are none."""
    after_where_likely: float | None
    """Over the same pixels, after calibration."""


class Calibration(Frozen):
    """Maps a network's probability to a calibrated one."""

    method: Literal["temperature", "isotonic"]
    """`temperature`: logits are divided by one number; `isotonic`: piecewise linear interpolation between knots."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """temperature only: above 1 makes probabilities less extreme."""
    knots: tuple[tuple[_Share, _Share], ...] = Field(default=(), max_length=MAX_KNOTS)
    """isotonic only: (network's probability, calibrated probability), from 0 to 1, both strictly increasing."""
    errors: CalibrationErrors | None = None
    """Errors on images that it was not fitted on; None where they are too few."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.method == "temperature":
            if self.knots:
                raise ValueError("knots belong to the method isotonic, not to temperature")
            return self
        if len(self.knots) < 2 or self.knots[0][0] != 0 or self.knots[-1][0] != 1:
            raise ValueError("knots must run from network's probability 0 to 1")
        steps = np.diff(np.array(self.knots), axis=0)
        if not (steps > 0).all():
            raise ValueError("knots must rise strictly in both columns")
        return self

    def apply(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated probabilities.

        Args:
            probability: The network's, float32 of any shape, in 0-1.

        Example:
            >>> half = Calibration(method="temperature", temperature=2.0)
            >>> half.apply(np.array([0.0, 0.2, 0.5, 0.8, 1.0], np.float32)).round(3).tolist()
            [0.0, 0.3330000042915344, 0.5, 0.6669999957084656, 1.0]
        """
        # Computed in float64 and rounded once, to float32 at the end, so that the result is non-decreasing.
        values = probability.astype(np.float64)
        if self.method == "isotonic":
            x, y = np.array(self.knots).T
            return np.asarray(np.interp(values, x, y), np.float32)
        # sigmoid(logit(p) / T), in a form that is defined at 0 and 1.
        for_ship, against = values ** (1 / self.temperature), (1 - values) ** (1 / self.temperature)
        calibrated: NDArray[np.float64] = for_ship / (for_ship + against)
        return calibrated.astype(np.float32)

    def before(self, threshold: float) -> float:
        """Return the threshold on the network's own probability that selects the same pixels as `threshold`.

        It is the smallest float32 whose calibrated value reaches `threshold`; 1 where none does.
        """
        # float32 values in 0-1 are ordered like their bit patterns, so the first that reaches the threshold is found
        # by bisection.
        low, high = 0, int(np.float32(1).view(np.int32))
        while low < high:
            middle = (low + high) // 2
            value = np.array([middle], np.int32).view(np.float32)
            low, high = (low, middle) if self.apply(value)[0] >= np.float32(threshold) else (middle + 1, high)
        return float(np.array(low, np.int32).view(np.float32))
