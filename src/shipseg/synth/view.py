"""Configuration and results of the generator: a view of the ground with its labels, and the final synthetic image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, unknown_name
from shipseg.masks import rle
from shipseg.synth.distributions import NATIVE_METRES_PER_PIXEL
from shipseg.synth.paint.sensor import decode_jpeg, encode_jpeg
from shipseg.synth.paint.ships import LabelStyle

__all__ = [
    "SMALLEST_SHIP_PX",
    "TILE_PX",
    "SyntheticImage",
    "View",
    "WorldConfig",
    "image_of",
    "split_touching",
    "without_leftovers",
]

SMALLEST_SHIP_PX = 2
"""Ships with fewer visible pixels get no label."""
WIDE_GAP_FROM_PX = 300
"""Ships of this area have a wide gap to a smaller neighbour: it would eat up small craft."""
TILE_PX = 768
"""Side of the challenge's tiles."""


@dataclass(frozen=True)
class WorldConfig:
    """Configuration of synthetic images and scenes.

    Attributes:
        size: Height and width of an image in pixels, or one number for both.
        empty_share: Share of images without ships, 0-1; exact, see `is_empty`.
        label: Area of a label: the annotators' rotated rectangle, or the hull itself.
        metres_per_pixel: Ground sample distance; images are drawn at 1.5 m and resampled.
        no_data_share: Share of the empty images that have one colour (black, white or blue).
        no_data_border_share: Share of the other images of which a part has one colour.
    """

    size: tuple[int, int] | int = TILE_PX
    empty_share: float = 0.5
    label: LabelStyle = "rectangle"
    metres_per_pixel: float = NATIVE_METRES_PER_PIXEL
    no_data_share: float = 0.02
    no_data_border_share: float = 0.012

    def __post_init__(self) -> None:
        for name in ("empty_share", "no_data_share", "no_data_border_share"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} must be between 0 and 1, got {value}")
        if not (0.2 <= self.metres_per_pixel <= 20.0):
            raise ConfigError(f"metres_per_pixel must be between 0.2 and 20, got {self.metres_per_pixel}")
        if not isinstance(self.size, int) and len(self.size) != 2:
            raise ConfigError(f"size must be one number or (height, width), got {self.size}")
        if min(self.shape) < 16:
            raise ConfigError(f"size must be at least 16 pixels, got {self.size}")
        if self.label not in ("rectangle", "hull"):
            raise unknown_name("label", self.label, ("rectangle", "hull"))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else (int(self.size[0]), int(self.size[1]))


@dataclass(frozen=True)
class SyntheticImage:
    """A synthetic image with its labels.

    Attributes:
        image_hwc: (H, W, 3) uint8, RGB, as decoded from its JPEG.
        ship_rles: One run-length text per ship (the challenge's format): disjoint, visible pixels only.
        coverage_hw: (H, W) uint8, share of the pixel inside a ship, 255 = all of it; at least 128 exactly where the
            run-length text of a ship covers the pixel.
        kind: open-sea, coast, harbour, land or no-data.
        cloudy: Whether there are clouds.
    """

    image_hwc: NDArray[np.uint8]
    ship_rles: tuple[str, ...]
    coverage_hw: NDArray[np.uint8]
    kind: str
    cloudy: bool


@dataclass(frozen=True)
class View:
    """An image before its JPEG compression, with its labels; tiles are cut from it.

    Attributes:
        image_hwc: (H, W, 3) uint8, RGB.
        owner_hw: (H, W) int32, number of the ship that the pixel belongs to, 0 for none.
        coverage_hw: (H, W) uint8, 0-255.
        kind: See `SyntheticImage`.
        cloudy: See `SyntheticImage`.
        jpeg_quality: Quality of the JPEG.
    """

    image_hwc: NDArray[np.uint8]
    owner_hw: NDArray[np.int32]
    coverage_hw: NDArray[np.uint8]
    kind: str
    cloudy: bool
    jpeg_quality: int

    def cut(self, row0: int, col0: int, shape: tuple[int, int]) -> View:
        """Return the part of this shape at (row0, col0), without ships of which fewer than 2 pixels are left."""
        window = (slice(row0, row0 + shape[0]), slice(col0, col0 + shape[1]))
        owner, coverage = without_leftovers(self.owner_hw[window], self.coverage_hw[window])
        return replace(self, image_hwc=self.image_hwc[window], owner_hw=owner, coverage_hw=coverage)


def image_of(view: View, *, data: bytes | None = None) -> SyntheticImage:
    """Return the view as a synthetic image; `data` is its JPEG, if it has been encoded."""
    data = encode_jpeg(view.image_hwc, view.jpeg_quality) if data is None else data
    solid = np.where(view.coverage_hw >= 128, view.owner_hw, 0)
    numbers = np.flatnonzero(np.bincount(solid.ravel()))
    rles = tuple(rle.encode(solid == number) for number in numbers if number > 0)
    return SyntheticImage(decode_jpeg(data), rles, view.coverage_hw, view.kind, view.cloudy)


def split_touching(
    owner_hw: NDArray[np.int32], coverage_hw: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return owner and coverage with a gap between touching labels: 3 px of the larger ship, 1 px if it is small.

    As in the challenge, where touching ships have notches: pixels of two labels belong to neither. This teaches a
    network to split touching ships.
    """
    areas = np.bincount(owner_hw[coverage_hw >= 128], minlength=int(owner_hw.max()) + 1)
    if np.count_nonzero(areas) < 2:
        return owner_hw, coverage_hw
    rank = np.empty(len(areas), np.float32)
    rank[np.argsort(areas, kind="stable")] = np.arange(len(areas), dtype=np.float32)
    ranks = np.where(owner_hw > 0, rank[owner_hw], np.float32(len(areas)))
    is_large = areas[owner_hw] >= WIDE_GAP_FROM_PX
    near, nearer = (cv2.erode(ranks, np.ones((side, side), np.uint8)) < ranks for side in (7, 3))
    beside_smaller = (owner_hw > 0) & np.where(is_large, near, nearer)
    return np.where(beside_smaller, 0, owner_hw), np.where(beside_smaller, 0, coverage_hw).astype(np.uint8)


def without_leftovers(
    owner_hw: NDArray[np.int32], coverage_hw: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return owner and coverage without ships of which fewer than 2 pixels are visible."""
    owner_hw, coverage_hw = owner_hw.copy(), coverage_hw.copy()
    owner_hw[coverage_hw == 0] = 0
    counts = np.bincount(owner_hw[coverage_hw >= 128])
    kept = np.zeros(int(owner_hw.max()) + 1, bool)
    kept[: len(counts)] = counts >= SMALLEST_SHIP_PX
    kept[0] = False
    dropped = ~kept[owner_hw]
    coverage_hw[dropped] = 0
    owner_hw[dropped] = 0
    return owner_hw, coverage_hw
