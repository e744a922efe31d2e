"""Effect of resizing on ships: the highest IoU that a perfect model can reach, and the mask shift of one pixel.

Ships are rectangles at random angles and sub-pixel positions. A pixel is ship if at least half of it is covered, as
everywhere in shipseg. Each is drawn on a small window instead of 768 x 768 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUND_TRIPS", "SHIP_SIZES_PX", "ceilings", "draw_ship", "one_pixel_shift", "shift_example"]

Mask = NDArray[np.bool_]

SHIP_SIZES_PX = ((8, 3), (12, 5), (20, 7), (30, 10), (60, 16))
"""Length and width."""
_FINE = 4  # sub-pixels a side, for the share of a pixel that is covered
_BLOCK = 6  # windows are multiples of 2 and of 3 pixels: whole network pixels at 384 and at 256
_HALF = 0.5


def draw_ship(
    generator: np.random.Generator, *, length_px: float, width_px: float, angle_rad: float | None = None
) -> Mask:
    """Return a window (n, n) with one ship at a random sub-pixel position, and a random angle unless given."""
    angle = generator.uniform(0, math.pi) if angle_rad is None else angle_rad
    side = _BLOCK * (math.ceil(math.hypot(length_px, width_px) / _BLOCK) + 3)
    center = side / 2 + generator.uniform(-_BLOCK / 2, _BLOCK / 2, size=2)
    position = (np.arange(side * _FINE) + 0.5) / _FINE
    down, across = position[:, None] - center[0], position[None, :] - center[1]
    along = across * math.cos(angle) + down * math.sin(angle)
    aside = down * math.cos(angle) - across * math.sin(angle)
    inside = (np.abs(along) <= length_px / 2) & (np.abs(aside) <= width_px / 2)
    return np.asarray(inside.reshape(side, _FINE, side, _FINE).mean(axis=(1, 3)) >= _HALF)


def _hard(shrink: int, interpolation: int) -> Callable[[Mask], Mask]:
    """Return a function that keeps one pixel of each block and enlarges it to the block again."""

    def round_trip(true_hw: Mask) -> Mask:
        small = _resize(true_hw, true_hw.shape[0] // shrink, interpolation)
        return np.asarray(_resize(small, true_hw.shape[0], cv2.INTER_NEAREST) >= _HALF)

    return round_trip


def _soft(shrink: int) -> Callable[[Mask], Mask]:
    """Return a function that reduces to coverage, enlarges bilinearly and applies a threshold of one half."""

    def round_trip(true_hw: Mask) -> Mask:
        small = _resize(true_hw, true_hw.shape[0] // shrink, cv2.INTER_AREA)
        return np.asarray(_resize(small, true_hw.shape[0], cv2.INTER_LINEAR) >= _HALF)

    return round_trip


ROUND_TRIPS: Mapping[str, Callable[[Mask], Mask]] = {
    "hard, 256 px": _hard(3, cv2.INTER_NEAREST),
    "hard, 256 px, no shift": _hard(3, cv2.INTER_NEAREST_EXACT),
    "coverage, 256 px": _soft(3),
    "hard, 384 px": _hard(2, cv2.INTER_NEAREST),
    "coverage, 384 px": _soft(2),
}
"""From the mask at 768 px through the network's resolution and back, by name. OpenCV's nearest takes the first pixel of
each block, its exact nearest the middle one."""


def ceilings(*, ships: int = 150, outline_px: float = 0.0, seed: int = 0) -> list[dict[str, Any]]:
    """Return for each ship size the mean IoU, at 768 px, of a model that reproduces its target perfectly.

    Args:
        ships: Ships drawn for each size.
        outline_px: Addition of a label to length and width: about 1 if a drawing tool fills a polygon with its
            outline.
        seed: Seed of angles and positions.
    """
    rows = []
    for length, width in SHIP_SIZES_PX:
        generator = np.random.default_rng([seed, length])
        drawn = [draw_ship(generator, length_px=length + outline_px, width_px=width + outline_px) for _ in range(ships)]
        rows.append(
            {
                "ship_px": f"{length} x {width}",
                **{
                    name: round(float(np.mean([_iou(true_hw, round_trip(true_hw)) for true_hw in drawn])), 3)
                    for name, round_trip in ROUND_TRIPS.items()
                },
            }
        )
    return rows


def one_pixel_shift(*, ships: int = 150, seed: int = 0) -> dict[str, Any]:
    """Return the offset of a mask sampled by OpenCV's nearest from its image, at 768 to 256 px, and the loss in IoU.

    Returns:
        offset_px: Mean (down, right) from the resized image's ship to the resized mask's, in pixels at 768, where the
            image is resized `bilinear` or by `area`; iou: mean IoU of a ship with itself moved by one pixel both ways.
    """
    # A smooth spot instead of a ship: its shape does not change with the sampling, so the offset is the sampling's.
    from_middle = np.arange(96) - 47.5
    spot_hw = np.exp(-(from_middle[:, None] ** 2 + from_middle[None, :] ** 2) / 200)
    centers = {
        name: 3 * _center(_resize(spot_hw, 32, how))
        for name, how in (("bilinear", cv2.INTER_LINEAR), ("area", cv2.INTER_AREA), ("nearest", cv2.INTER_NEAREST))
    }
    generator = np.random.default_rng(seed)
    losses = []
    for length, width in SHIP_SIZES_PX:
        drawn = [draw_ship(generator, length_px=length, width_px=width) for _ in range(ships)]
        ious = [_iou(ship_hw, np.roll(ship_hw, (1, 1), axis=(0, 1))) for ship_hw in drawn]
        losses.append({"ship_px": f"{length} x {width}", "iou": round(float(np.mean(ious)), 3)})
    return {
        "offset_px": {name: (centers["nearest"] - centers[name]).round(2).tolist() for name in ("bilinear", "area")},
        "iou": losses,
    }


def shift_example() -> tuple[NDArray[np.float32], Mask]:
    """Return a 30 x 10 px ship at a third of its size, as in the reference's training: image and hard mask."""
    ship_hw = draw_ship(np.random.default_rng(3), length_px=30, width_px=10, angle_rad=0.6)
    third = ship_hw.shape[0] // 3
    return _resize(ship_hw, third, cv2.INTER_LINEAR), _resize(ship_hw, third, cv2.INTER_NEAREST) >= _HALF


def _resize(values_hw: NDArray[Any], side: int, interpolation: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values_hw.astype(np.float32), (side, side), interpolation=interpolation), np.float32)


def _iou(one: Mask, other: Mask) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def _center(weights_hw: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return row and column of the centre of mass, in pixel-edge coordinates."""
    rows, cols = weights_hw.sum(axis=1, dtype=np.float64), weights_hw.sum(axis=0, dtype=np.float64)
    position = np.arange(len(rows)) + 0.5
    return np.asarray([rows @ position, cols @ position]) / float(weights_hw.sum(dtype=np.float64))
