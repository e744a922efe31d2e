"""The canvas of a synthetic image: colours, labels, blocked pixels, berths and the direction of light.

Everything is drawn at 1.5 m per pixel and resampled at the end for other ground sample distances (world.py).
Coordinates: x to the right, y down, along pixel edges: pixel (row, col) covers [col, col + 1] x [row, row + 1].
Angles increase from x towards y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from shipseg.synth.distributions import Color, Rng, uniform
from shipseg.synth.paint.fields import FloatArray

__all__ = [
    "Berth",
    "ByteArray",
    "Canvas",
    "PlacedShip",
    "Sun",
    "draw_sun",
    "fixed_point",
    "oriented_box",
    "paint_polygon",
]

ByteArray = NDArray[np.uint8]

FIXED_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates: 1/16 pixel."""


@dataclass(frozen=True)
class Sun:
    """The sun of a scene, given by its shadows."""

    shadow_xy: tuple[float, float]
    """Unit vector in the image, from an object to its shadow."""
    shadow_per_height: float
    """Length of a shadow / height of the object."""


@dataclass(frozen=True)
class Berth:
    """A straight edge along which ships can moor."""

    start_xy: tuple[float, float]
    end_xy: tuple[float, float]
    outward_xy: tuple[float, float]
    """Unit vector from the edge to the water."""


@dataclass(frozen=True, eq=False)
class PlacedShip:
    """The parameters of a drawn ship, independent of its visibility.

    Attributes:
        number: Number of the ship in `Canvas.owner_hw`.
        kind: E.g. tanker.
        x: Column of its centre.
        y: Row of its centre.
        heading_rad: Direction of the bow, from x towards y.
        length_px: Length of the hull.
        beam_px: Beam of the hull.
        margin_px: How much wider the annotators' rectangle is on each side.
        outline_uv: (N, 2) outline of the hull, u towards the bow, v to starboard, from the centre.
    """

    number: int
    kind: str
    x: float
    y: float
    heading_rad: float
    length_px: float
    beam_px: float
    margin_px: float
    outline_uv: NDArray[np.float64]


@dataclass
class Canvas:
    """The state of a synthetic image while its parts are painted.

    Attributes:
        rgb_hwc: (H, W, 3) float32, RGB, display values 0-255 (may exceed the range before the sensor).
        blocked_hw: (H, W) uint8, 1 where no ship may be placed: land, structures, other ships.
        coverage_hw: (H, W) float32, share of the pixel inside a ship's label, 0-1.
        owner_hw: (H, W) int32, 0 for none, else the number of the ship with the largest share of the pixel.
        best_hw: (H, W) float32, that share.
        sun: Direction and length of shadows.
        sea_rgb: (3,) float32, mean colour of the open water.
        wind_rad: Direction in which the waves travel.
        num_ships: Number of ships painted so far.
        berths: Edges at which ships can moor.
        ships: The ships painted so far.
    """

    rgb_hwc: FloatArray
    blocked_hw: ByteArray
    coverage_hw: FloatArray
    owner_hw: NDArray[np.int32]
    best_hw: FloatArray
    sun: Sun
    sea_rgb: FloatArray
    wind_rad: float
    num_ships: int = 0
    berths: list[Berth] = field(default_factory=list)
    ships: list[PlacedShip] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.coverage_hw.shape[0], self.coverage_hw.shape[1]

    @classmethod
    def blank(cls, shape: tuple[int, int], *, sun: Sun, wind_rad: float) -> Canvas:
        """Return a black canvas without blocked pixels."""
        return cls(
            rgb_hwc=np.zeros((*shape, 3), np.float32),
            blocked_hw=np.zeros(shape, np.uint8),
            coverage_hw=np.zeros(shape, np.float32),
            owner_hw=np.zeros(shape, np.int32),
            best_hw=np.zeros(shape, np.float32),
            sun=sun,
            sea_rgb=np.zeros(3, np.float32),
            wind_rad=wind_rad,
        )

    def part(self, rows: slice, cols: slice) -> Canvas:
        """Return a part of the canvas as a canvas of its own that shares the arrays with this one."""
        return Canvas(
            self.rgb_hwc[rows, cols],
            self.blocked_hw[rows, cols],
            self.coverage_hw[rows, cols],
            self.owner_hw[rows, cols],
            self.best_hw[rows, cols],
            self.sun,
            self.sea_rgb,
            self.wind_rad,
        )

    def mix(self, color: FloatArray | Color, alpha_hw: FloatArray) -> None:
        """Blend a colour (3,) or colours (H, W, 3) over the image with weights (H, W) 0-1."""
        target = np.asarray(color, np.float32)
        self.rgb_hwc += (target - self.rgb_hwc) * alpha_hw[..., None]


def draw_sun(rng: Rng) -> Sun:
    """Return a sun at a random azimuth, 30-70 degrees above the horizon."""
    azimuth, elevation = uniform(rng, 0.0, 2.0 * math.pi), math.radians(uniform(rng, 30.0, 70.0))
    return Sun((math.cos(azimuth), math.sin(azimuth)), 1.0 / math.tan(elevation))


def fixed_point(points_xy: npt.ArrayLike, *, scale: float = 1.0) -> NDArray[np.int32]:
    """Return edge coordinates (N, 2), times `scale`, as OpenCV's fixed-point pixel-centre coordinates."""
    points = np.asarray(points_xy, np.float64) * scale - 0.5
    return np.asarray(np.round(points * (1 << FIXED_BITS)), np.int32)


def paint_polygon(image: ByteArray, points_xy: NDArray[np.float64], color: Color | int) -> None:
    """Fill an anti-aliased polygon in place; `image` is (H, W) or (H, W, 3) uint8."""
    value = (color,) if isinstance(color, int) else color
    cv2.fillPoly(image, [fixed_point(points_xy)], value, cv2.LINE_AA, FIXED_BITS)


def oriented_box(center_xy: tuple[float, float], length: float, width: float, angle_rad: float) -> NDArray[np.float64]:
    """Return the corners (4, 2) of a rectangle whose length is along the angle."""
    along = np.array([math.cos(angle_rad), math.sin(angle_rad)])
    across = np.array([-along[1], along[0]])
    half_long, half_wide = along * length / 2, across * width / 2
    center = np.asarray(center_xy, np.float64)
    return np.stack(
        [
            center - half_long - half_wide,
            center + half_long - half_wide,
            center + half_long + half_wide,
            center - half_long + half_wide,
        ]
    )
