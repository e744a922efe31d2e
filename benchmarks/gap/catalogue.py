"""The statistics of a patch: names, families, and how they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BAND_EDGES",
    "BAND_NAMES",
    "BLUR_SIGMAS",
    "DIRECTION_BANDS",
    "GRADIENT_STEPS",
    "STATISTICS",
    "WINDOWS_PX",
    "Family",
    "Statistic",
]

Family = Literal[
    "colour", "contrast", "fine contrast", "bands", "spectrum", "direction", "shape", "gradients", "specks", "jpeg"
]

BAND_EDGES = (1 / 64, 1 / 32, 1 / 16, 0.0884, 0.125, 0.1768, 0.25, 0.3536, 0.5)
"""Cycles per pixel: octaves of waves, then half octaves where the sensor matters."""
BAND_NAMES = ("32-64", "16-32", "11-16", "8-11", "5.7-8", "4-5.7", "2.8-4", "2-2.8")
"""The same as wavelengths in pixels."""
NUM_COARSE_BANDS = 4
"""Bands of the sea; the others depend more on the sensor."""
DIRECTION_BANDS = {"16-64": (0, 2), "8-16": (2, 4), "4-8": (4, 6), "2-4": (6, 8)}
"""Ranges of bands whose direction is measured: first, and one past the last."""
WINDOWS_PX = (3, 7, 15, 31)
GRADIENT_STEPS = (1, 2, 4, 8, 16, 32)
"""Grey levels per pixel."""
BLUR_SIGMAS = (0.7, 1.4, 2.8, 5.6)
"""Detail at a sigma is the difference of the blurs with it and with the next one."""


@dataclass(frozen=True)
class Statistic:
    """One number of a patch.

    Attributes:
        name: The key in the measuring functions.
        family: Related statistics, whose importance is measured together.
        is_ratio: Whether it is compared by a factor; otherwise by a difference.
        is_texture: Whether it is invariant to colour, brightness and contrast.
        is_coarse: Whether it depends only on colours and waves above 8 px: on the ground rather than the sensor.
    """

    name: str
    family: Family
    is_ratio: bool = False
    is_texture: bool = False
    is_coarse: bool = False


def _catalogue() -> tuple[Statistic, ...]:
    items = [
        Statistic(name, "colour", is_coarse=True)
        for name in ("red", "green", "blue", "luminance", "blueness", "redness")
    ]
    items += [Statistic("share with a band at 0", "colour"), Statistic("share with a band at 255", "colour")]
    items += [Statistic("std of luminance", "contrast", is_ratio=True)]
    for size in WINDOWS_PX:
        items.append(Statistic(f"local contrast at {size} px", "contrast", is_ratio=True))
    for k, name in enumerate(BAND_NAMES):
        coarse = k < NUM_COARSE_BANDS
        family: Family = "contrast" if coarse else "fine contrast"
        items.append(Statistic(f"strength of waves of {name} px", family, is_ratio=True, is_coarse=coarse))
    items += [Statistic(f"share of waves of {name} px", "spectrum", is_texture=True) for name in BAND_NAMES]
    items += [Statistic("spectral slope, 8-64 px", "spectrum", is_texture=True, is_coarse=True)]
    for name, (_, end) in DIRECTION_BANDS.items():
        coarse = end <= NUM_COARSE_BANDS
        items.append(Statistic(f"direction of waves of {name} px", "direction", is_texture=True, is_coarse=coarse))
    items += [Statistic("coherence of gradients", "direction", is_texture=True)]
    items += [Statistic("std of blueness", "bands", is_ratio=True), Statistic("std of redness", "bands", is_ratio=True)]
    items += [Statistic("colour detail over luminance detail", "bands", is_ratio=True, is_texture=True)]
    items += [Statistic(f"correlation of {pair} detail", "bands") for pair in ("red and green", "green and blue")]
    for sigma in BLUR_SIGMAS[:-1]:
        for what in ("skewness", "log kurtosis", "patchiness"):
            coarse = sigma == BLUR_SIGMAS[-2]
            items.append(Statistic(f"{what} of detail at {sigma} px", "shape", is_texture=True, is_coarse=coarse))
    items += [Statistic("mean gradient", "gradients", is_ratio=True)]
    items += [Statistic(f"share of gradients above {step}", "gradients") for step in GRADIENT_STEPS]
    for side in ("bright", "dark"):
        items.append(Statistic(f"{side} specks per 10,000 px", "specks"))
        items.append(Statistic(f"{side} outliers per 10,000 px", "specks", is_texture=True))
    items += [Statistic("steps at 8 px edges over steps inside", "jpeg", is_texture=True)]
    return tuple(items)


STATISTICS = _catalogue()
