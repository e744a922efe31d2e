"""The distributions of the generator, each with its source.

Lengths are in pixels of 1.5 m unless a name says otherwise; colours are RGB, 0-255.

Sources:
    (labels) statistics of 12,000 mask rows of the Airbus challenge, fitted as formulas;
    (table)  the table of ships per image of the challenge's cleaned training set;
    (eye)    visual inspection of real tiles at full resolution;
    (spectra) power spectra of calm real tiles: noise peaks at 0.14 cycles per pixel and falls by 15 dB up to 0.27,
              finer along columns than along rows; the three bands have a correlation of 0.98 (pan-sharpening); JPEG
              quality is 95 with halved colour resolution, and steps at block edges come from an earlier quality of
              80 to 92.
    (gap)     python -m benchmarks.gap: means over plain water, compared between real and synthetic tiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

__all__ = [
    "BEAM_RATIO",
    "CARGO_BOXES",
    "DECK_COLORS",
    "GROUND_COLORS",
    "IMAGE_KINDS",
    "IMAGE_KINDS_BY_SHIPS",
    "KINDS_BY_LENGTH",
    "LABEL_LENGTH",
    "NATIVE_METRES_PER_PIXEL",
    "ROOF_COLORS",
    "SEA_MODES",
    "SHIPS_PER_IMAGE",
    "WHITE",
    "BeamRatio",
    "Color",
    "LengthMixture",
    "SeaMode",
    "chance",
    "choose",
    "log_uniform",
    "pick",
    "shaded",
    "tinted",
    "uniform",
]

Color = tuple[float, float, float]
Rng = np.random.Generator
Item = TypeVar("Item")

NATIVE_METRES_PER_PIXEL = 1.5
"""Ground sample distance of the challenge's tiles, to which all lengths in pixels refer."""


@dataclass(frozen=True)
class LengthMixture:
    """Lengths of labels: a mixture of two log-normals (small craft and ships), truncated to a range."""

    small_share: float
    small_median_px: float
    small_sigma: float
    large_median_px: float
    large_sigma: float
    shortest_px: float
    longest_px: float

    def draw(self, rng: Rng) -> float:
        """Return one label length in pixels."""
        while True:
            small = rng.random() < self.small_share
            median = self.small_median_px if small else self.large_median_px
            length = median * math.exp(rng.normal(0.0, self.small_sigma if small else self.large_sigma))
            if self.shortest_px <= length <= self.longest_px:
                return length


LABEL_LENGTH = LengthMixture(0.46, 15.2, 0.42, 79.0, 0.74, 5.0, 400.0)
"""(labels) Percentiles 5, 25, 50, 75, 95, 99 of real labels: 8.9, 16.3, 34.9, 80.8, 197, 282."""


@dataclass(frozen=True)
class BeamRatio:
    """Length / width of labels: its logarithm is a sigmoid of the logarithm of the length, except for slender ships."""

    ceiling: float
    center: float
    slope: float
    sigma_small: float
    sigma_large: float
    slender_share: float
    slender_length_px: tuple[float, float]
    slender_ratio: tuple[float, float]

    def draw(self, rng: Rng, length_px: float) -> float:
        """Return length / width for a label of this length."""
        shortest_px, longest_px = self.slender_length_px
        if shortest_px <= length_px <= longest_px and chance(rng, self.slender_share):
            return log_uniform(rng, *self.slender_ratio)
        log_length = math.log(length_px)
        mean = self.ceiling / (1.0 + math.exp(-(log_length - self.center) / self.slope))
        large = 1.0 / (1.0 + math.exp(-(log_length - 4.2) / 0.4))
        sigma = self.sigma_small + (self.sigma_large - self.sigma_small) * large
        return max(1.0, math.exp(rng.normal(mean, sigma)))


BEAM_RATIO = BeamRatio(
    ceiling=1.76,
    center=3.15,
    slope=0.8,
    sigma_small=0.27,
    sigma_large=0.18,
    slender_share=0.06,
    slender_length_px=(30.0, 110.0),
    slender_ratio=(5.5, 11.5),
)
"""(labels) Medians at lengths of 8, 20, 53, 132, 290 px: 1.5, 2.2, 3.5, 4.9, 5.4. (eye) The fit does not cover slender
ships: river ships (135 x 11.4 m are common in Europe), and ships half hidden by one beside them."""

SHIPS_PER_IMAGE: Mapping[int, float] = {
    1: 26806,
    2: 7585,
    3: 2919,
    4: 1603,
    5: 913,
    6: 649,
    7: 400,
    8: 315,
    9: 242,
    10: 167,
    11: 143,
    12: 122,
    13: 75,
    14: 74,
    15: 65,
}
"""(table) Number of images for each number of ships, for images with ships."""

IMAGE_KINDS: Mapping[str, float] = {"open-sea": 0.80, "coast": 0.085, "harbour": 0.075, "land": 0.04}
"""(eye) Ground of images without ships. Harbours are more frequent than in real images, since they are difficult."""
IMAGE_KINDS_BY_SHIPS: tuple[tuple[int, Mapping[str, float]], ...] = (
    (1, {"open-sea": 0.84, "coast": 0.06, "harbour": 0.10}),
    (3, {"open-sea": 0.75, "coast": 0.08, "harbour": 0.17}),
    (99, {"open-sea": 0.52, "coast": 0.12, "harbour": 0.36}),
)
"""(eye) Ground of images with up to this number of ships: many ships are in harbours and anchorages."""


@dataclass(frozen=True)
class SeaMode:
    """A family of sea colours: a range between two colours, and a range of wave strengths (std in grey levels)."""

    weight: float
    dark: Color
    bright: Color
    waves_low: float
    waves_high: float


SEA_MODES: tuple[SeaMode, ...] = (  # (eye), (gap)
    SeaMode(2.8, (0, 10, 34), (16, 42, 78), 0.5, 7),  # navy
    SeaMode(1.3, (0, 30, 58), (24, 76, 112), 0.6, 8),  # ocean blue
    SeaMode(2.8, (0, 24, 28), (22, 62, 66), 0.5, 8),  # dark teal
    SeaMode(1.6, (2, 22, 20), (30, 54, 44), 0.5, 8),  # bottle green
    SeaMode(0.7, (16, 50, 36), (54, 88, 64), 0.6, 8),  # algae green
    SeaMode(0.9, (24, 84, 88), (82, 142, 136), 0.8, 14),  # turquoise
    SeaMode(0.5, (80, 112, 102), (130, 156, 142), 0.8, 10),  # pale green
    SeaMode(1.8, (38, 43, 51), (128, 133, 130), 3.0, 26),  # glittering grey
    SeaMode(0.8, (54, 54, 66), (128, 126, 146), 3.0, 26),  # violet grey
    SeaMode(2.0, (18, 36, 52), (56, 78, 98), 0.7, 11),  # slate
    SeaMode(0.4, (66, 108, 118), (135, 162, 164), 0.4, 4),  # milky blue
    SeaMode(0.4, (76, 76, 54), (120, 114, 88), 0.4, 6),  # river brown
    SeaMode(0.7, (0, 3, 6), (6, 15, 26), 0.3, 9),  # black
)

WHITE: tuple[Color, ...] = ((236, 234, 228), (222, 222, 220), (246, 246, 244), (208, 214, 218))
DECK_COLORS: Mapping[str, tuple[Color, ...]] = {  # (eye)
    "red": ((170, 76, 68), (192, 92, 82), (150, 62, 54), (205, 112, 96), (142, 78, 62), (125, 56, 50), (222, 78, 78)),
    "brown": ((128, 98, 76), (150, 118, 92), (108, 84, 66), (165, 135, 105)),
    "sand": ((202, 186, 155), (182, 166, 140), (212, 200, 172)),
    "grey": ((160, 160, 156), (128, 130, 130), (108, 110, 110), (182, 184, 184)),
    "dark": ((52, 58, 60), (70, 74, 74), (58, 50, 44), (38, 44, 50)),
    "green": ((88, 110, 92), (58, 90, 78), (104, 128, 100)),
    "blue": ((58, 76, 112), (82, 104, 134), (48, 84, 128)),
    "white": WHITE,
}
CARGO_BOXES: tuple[Color, ...] = (
    (168, 62, 50),
    (60, 82, 142),
    (202, 192, 180),
    (234, 234, 232),
    (88, 128, 92),
    (190, 122, 62),
    (110, 62, 52),
    (62, 66, 74),
    (150, 92, 80),
    (208, 170, 142),
    (120, 140, 160),
)
ROOF_COLORS: tuple[Color, ...] = (
    (198, 192, 182),
    (232, 230, 226),
    (152, 92, 72),
    (122, 120, 118),
    (176, 106, 78),
    (92, 86, 82),
    (140, 146, 152),
    (186, 150, 118),
)
GROUND_COLORS: tuple[Color, ...] = (
    (96, 104, 76),
    (150, 134, 106),
    (122, 110, 90),
    (62, 80, 52),
    (172, 160, 138),
    (112, 110, 106),
    (192, 166, 120),
    (134, 112, 92),
)

KINDS_BY_LENGTH: tuple[tuple[float, Mapping[str, float]], ...] = (  # (eye), for hulls of up to this length in px
    (16, {"motorboat": 0.66, "workboat": 0.2, "sailboat": 0.08, "barge": 0.06}),
    (30, {"motorboat": 0.38, "workboat": 0.36, "barge": 0.1, "navy": 0.08, "cargo": 0.08}),
    (55, {"workboat": 0.3, "barge": 0.2, "motorboat": 0.12, "cargo": 0.2, "navy": 0.08, "tanker": 0.1}),
    (95, {"cargo": 0.28, "barge": 0.19, "tanker": 0.2, "bulker": 0.12, "navy": 0.07, "ferry": 0.08, "container": 0.06}),
    (
        math.inf,
        {"tanker": 0.32, "bulker": 0.26, "container": 0.17, "ferry": 0.08, "cargo": 0.1, "barge": 0.04, "navy": 0.03},
    ),
)


def uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number drawn uniformly from low to high."""
    return float(rng.uniform(low, high))


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number whose logarithm is drawn uniformly between those of low and high."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def chance(rng: Rng, probability: float) -> bool:
    """Return True with this probability."""
    return bool(rng.random() < probability)


def pick(rng: Rng, items: Sequence[Item]) -> Item:
    """Return one of the items, all equally likely."""
    return items[int(rng.integers(len(items)))]


def choose(rng: Rng, weights: Mapping[Item, float]) -> Item:
    """Return one of the keys, with probability in proportion to its weight."""
    limits = np.cumsum(list(weights.values()))
    position = int(np.searchsorted(limits, rng.random() * limits[-1], side="right"))
    return list(weights)[min(position, len(weights) - 1)]


def tinted(rng: Rng, color: Color, spread: float = 12.0) -> Color:
    """Return the colour with random changes: standard deviation `spread` in brightness, a third of it per band."""
    common = rng.normal(0.0, spread)
    red, green, blue = (min(252.0, max(3.0, value + common + rng.normal(0.0, spread / 3))) for value in color)
    return red, green, blue


def shaded(color: Color, factor: float) -> Color:
    """Return the colour times a factor, within 0-252."""
    red, green, blue = (min(252.0, max(0.0, value * factor)) for value in color)
    return red, green, blue
