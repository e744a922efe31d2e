"""From a scene's numbers of any kind to the 0-255 that networks were trained on: stated, stored, overridable."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError

__all__ = ["RequestedStretch", "Stretch", "choose_stretch", "parse_stretch"]

Look = Callable[[], NDArray[Any]]
"""Gives valid values of the scene, (N,) of all chosen bands together."""

# Open sea is the darkest and most of what these networks see; in their training images it lies around 52, 73 and 81 of
# 255. So the dark quarter of a scene is put at 51 or below (a fifth of the range): stretching an empty sea between its
# own percentiles would blow up its noise to full contrast. It stays above 32 (an eighth) however bright the clouds are.
# Half of the darkest is taken off as haze. Measured with a half-trained network on 40 real tiles, made to 16 bits as
# 40 v and, hazy, as 20 v + 1500: pooled Dice 0.79 as they are; 0.71 and 0.75 so; 0.72 and 0.66 without taking off
# haze; 0.69 and 0.63 also with a third instead of a fifth; 0.71 and 0.71 between the 2nd and 98th percentile.
_DARKEST_PERCENTILE, _DARK_PERCENTILE, _BRIGHT_PERCENTILE = 2, 25, 98
_HAZE_SHARE = 0.5
_DARK_AT_MOST, _DARK_AT_LEAST = 1 / 5, 1 / 8
_FULL_SCALE = 255.0
_LEAST_SPAN, _LARGEST = 1e-30, 1e30  # of values that people measure; float32 can spread them over 0 to 255


@dataclass(frozen=True)
class Stretch:
    """Values from `low` to `high` are spread over 0 to 255; what lies outside is cut off.

    One stretch for all bands: colours keep their proportions.

    Args:
        low: Becomes 0.
        high: Becomes 255.
        origin: Where the two come from, in words.
    """

    low: float
    high: float
    origin: str

    @property
    def is_identity(self) -> bool:
        """Whether 8-bit values stay as they are."""
        return (self.low, self.high) == (0.0, _FULL_SCALE)

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the values of any real type and shape in 0-255, rounded; NaN becomes 0."""
        if self.is_identity and values.dtype == np.uint8:
            return values.astype(np.uint8, copy=False)
        wide: NDArray[Any] = values.astype(
            np.float64 if values.dtype.itemsize > 2 else np.float32
        )  # 2 bytes are exact in float32
        np.clip(wide, self.low, self.high, out=wide)  # first: what is far beyond would overflow
        wide -= self.low
        wide *= _FULL_SCALE / (self.high - self.low)
        levels: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(wide, copy=False), 0, _FULL_SCALE)).astype(np.uint8)
        return levels

    def __str__(self) -> str:
        if self.is_identity:
            return f"values stay as they are ({self.origin})"
        return f"values {self.low:g} to {self.high:g} are spread over 0 to 255 ({self.origin})"


@dataclass(frozen=True)
class RequestedStretch:
    """What a user asked for: the values themselves, or percentiles of the scene's."""

    low: float
    high: float
    percent: bool


def parse_stretch(text: str) -> RequestedStretch:
    """Return the requested that stands in "LOW,HIGH", "none" (the same as "0,255") or "percent:LOW,HIGH".

    Raises:
        ConfigError: It is none of these, or low is not below high.

    Example:
        >>> parse_stretch("0,3000")
        RequestedStretch(low=0.0, high=3000.0, percent=False)
    """
    kind, _, numbers = text.strip().rpartition(":")
    try:
        if text.strip() == "none":
            return RequestedStretch(0.0, _FULL_SCALE, percent=False)
        low, high = (float(number) for number in numbers.split(","))
    except ValueError:
        low = high = math.nan
    wanted = "LOW,HIGH such as 0,3000, or percent:LOW,HIGH such as percent:2,98, or none"
    if kind not in ("", "percent") or not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"stretch {text!r} is not understood: give {wanted}")
    if not low < high:
        raise ConfigError(f"stretch {text!r}: the low value must be below the high one; give {wanted}")
    if not (max(abs(low), abs(high)) <= _LARGEST and high - low >= _LEAST_SPAN):
        raise ConfigError(
            f"stretch {text!r}: values up to {_LARGEST:g} that lie {_LEAST_SPAN:g} apart are told apart; give {wanted}"
        )
    if kind == "percent" and not 0 <= low < high <= 100:
        raise ConfigError(f"stretch {text!r}: percentiles must be from 0 to 100; give {wanted}")
    return RequestedStretch(low, high, percent=kind == "percent")


def choose_stretch(requested: RequestedStretch | None, dtype: np.dtype[Any], look: Look) -> Stretch:
    """Return the stretch for a scene.

    Without a request, 8 bits stay as they are, and so do whole numbers that nowhere exceed 255. Else the range begins
    at half the 2nd percentile (the whole of it where it is negative) and ends at the 98th percentile, but so that the
    25th percentile, which is water in most scenes with ships, comes to between an eighth and a fifth of the range.

    Args:
        requested: By the user.
        dtype: Of the file's values.
        look: Called only when the scene's values are needed.
    """
    if requested is not None and not requested.percent:
        as_is = (requested.low, requested.high) == (0.0, _FULL_SCALE)
        return Stretch(requested.low, requested.high, "no stretch, as asked" if as_is else "as asked")
    if requested is None and dtype == np.uint8:
        return Stretch(0.0, _FULL_SCALE, "8 bits")
    values = look()
    if values.dtype.kind == "f" and values.dtype.itemsize > 2:
        values = np.clip(values, -_LARGEST, _LARGEST)  # beyond are fill values that the file does not call nodata
    if not values.size:
        return Stretch(0.0, _FULL_SCALE, "no values were seen")
    if requested is not None:
        low, high = np.percentile(values, (requested.low, requested.high)).tolist()
        return _ordered(low, high, f"percentiles {requested.low:g} and {requested.high:g} of the scene, as asked")
    if dtype.kind in "iu" and values.min() >= 0 and values.max() <= _FULL_SCALE:
        return Stretch(0.0, _FULL_SCALE, f"{dtype} with no value above 255")
    return _by_the_dark(values)


def _by_the_dark(values: NDArray[Any]) -> Stretch:
    darkest, dark, bright = np.percentile(values, (_DARKEST_PERCENTILE, _DARK_PERCENTILE, _BRIGHT_PERCENTILE))
    low = float(darkest) if darkest < 0 else _HAZE_SHARE * float(darkest)
    reach = float(dark) - low
    high = float(bright)
    if reach > 0:
        high = low + min(max(high - low, reach / _DARK_AT_MOST), reach / _DARK_AT_LEAST)
    return _ordered(low, high, f"chosen from the scene: its {_DARK_PERCENTILE}th percentile is {dark:g}")


def _ordered(low: float, high: float, origin: str) -> Stretch:
    return Stretch(low, high if high - low >= _LEAST_SPAN else low + 1.0, origin)  # a scene of one value
