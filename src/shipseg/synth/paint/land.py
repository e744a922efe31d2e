"""Land: natural coasts and islands, groynes, ground, vegetation, beaches, surf, inland images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import GROUND_COLORS, Color, Rng, chance, log_uniform, pick, shaded, tinted, uniform
from shipseg.synth.paint.canvas import ByteArray, Canvas, oriented_box, paint_polygon
from shipseg.synth.paint.fields import FloatArray, blurred, fractal_noise, soft_step
from shipseg.synth.paint.town import build_town

__all__ = [
    "LandLayer",
    "distance_px",
    "draw_ground",
    "draw_groynes",
    "lay_land",
    "paint_beach",
    "paint_coast",
    "paint_inland",
    "paint_nearshore",
    "paint_surf",
]


# Groynes: walls of rocks or piles from a beach into the water, single or in a row. They resemble moored boats.

ROW_SHARE = 0.45
"""Share of groynes in a row."""
BAYS_PX = 12.0
"""Sigma of the smoothing of the coast: smaller bays do not change the direction of a groyne."""
SLOPE_PX = 4
"""Step of the finite differences of the smoothed field."""


def draw_groynes(rng: Rng, rgb: ByteArray, alpha: ByteArray, field_hw: FloatArray) -> None:
    """Draw a groyne, or up to six at equal distances along the shore, in place; nothing without a shore.

    Args:
        rng: Random generator.
        rgb: (H, W, 3) uint8 ground, which is blended over the water with `alpha`.
        alpha: (H, W) uint8, 255 on land.
        field_hw: (H, W) float32, positive on land, negative on water; its absolute value is below 1 only at the shore.
    """
    shore_xy = np.argwhere(np.abs(field_hw) < 1.0)[:, ::-1]
    if len(shore_xy) == 0:
        return
    smooth = np.asarray(cv2.GaussianBlur(field_hw, (0, 0), BAYS_PX), np.float32)
    reach, wide = log_uniform(rng, 10, 70), log_uniform(rng, 1.5, 6)
    stones = tinted(rng, pick(rng, ((70, 66, 60), (104, 98, 88), (140, 132, 120), (52, 48, 44))), 12)
    count = int(rng.integers(2, 7)) if chance(rng, ROW_SHARE) else 1
    for x, y in _row_of_roots(rng, shore_xy, count):
        seaward = _seaward(smooth, y, x)
        if seaward is not None:
            turn = seaward + rng.normal(0, 0.12)
            long = reach * math.exp(rng.normal(0, 0.15))
            _draw_groyne(rng, rgb, alpha, (x, y), turn, (long, wide), stones)


def _row_of_roots(rng: Rng, shore_xy: NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """Return up to `count` points of the shore at about equal distances, in one direction along it."""
    gap = uniform(rng, 25, 90)
    roots = [shore_xy[int(rng.integers(len(shore_xy)))]]
    while len(roots) < count:
        step = shore_xy - roots[-1]
        distance = np.hypot(*step.T)
        ahead = np.abs(distance - gap) < 0.2 * gap
        if len(roots) > 1:
            ahead &= step @ (roots[-1] - roots[-2]) > 0
        if not ahead.any():
            break
        places = np.flatnonzero(ahead)
        roots.append(shore_xy[places[np.abs(distance[places] - gap).argmin()]])
    return [(int(x), int(y)) for x, y in roots]


def _seaward(smooth: FloatArray, row: int, col: int) -> float | None:
    """Return the direction of descent of the field in radians, or None at the border and where it is constant."""
    height, width = smooth.shape
    step = SLOPE_PX
    if not (step <= row < height - step and step <= col < width - step):
        return None
    down = smooth[row + step, col] - smooth[row - step, col]
    right = smooth[row, col + step] - smooth[row, col - step]
    return math.atan2(-down, -right) if down or right else None


def _draw_groyne(
    rng: Rng,
    rgb: ByteArray,
    alpha: ByteArray,
    root: tuple[float, float],
    turn: float,
    size: tuple[float, float],
    stones: tuple[float, float, float],
) -> None:
    """Draw heaped stones from inland (40 % of the length) to the head, which is a little wider."""
    long, wide = size
    for u in np.arange(-0.4 * long, long, max(0.7, wide * 0.3)):
        spread = wide * (0.7 if u > 0.85 * long else 0.45)
        for _ in range(2):
            v = rng.normal(0, spread * 0.5)
            x = root[0] + u * math.cos(turn) - v * math.sin(turn)
            y = root[1] + u * math.sin(turn) + v * math.cos(turn)
            side = uniform(rng, 0.5, 0.9) * wide * 0.6 + 0.5
            box = oriented_box((x, y), side * uniform(rng, 1, 1.6), side, uniform(rng, 0, math.pi))
            paint_polygon(rgb, box, shaded(tinted(rng, stones, 10), uniform(rng, 0.5, 1.45)))
            paint_polygon(alpha, box, 255)


# Ground and coasts.

GROUND_CONTRAST = (0.5, 0.95)
"""(gap) Contrast of the land after the atmosphere. At full contrast, land had four times as many steps of more than 32
grey levels as real land."""

GROYNES_SHARE = 0.3
"""Share of natural coasts with groynes."""


@dataclass
class LandLayer:
    """Land and structures, before they are blended over the water.

    Attributes:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8, 255 where land or a structure covers the water.
    """

    rgb: ByteArray
    alpha: ByteArray


def distance_px(inside_hw: ByteArray) -> FloatArray:
    """Return the distance of each pixel to the nearest zero pixel, float32, at most 10,000."""
    distance = cv2.distanceTransform(inside_hw, cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.minimum(np.asarray(distance, np.float32), np.float32(1e4))  # without zeros the distance is infinite


def draw_ground(rng: Rng, shape: tuple[int, int], *, parcels: bool = True) -> tuple[ByteArray, Color]:
    """Return bare ground with vegetation and (with `parcels`) fields, (H, W, 3) uint8, and its main colour."""
    base = tinted(rng, pick(rng, GROUND_COLORS), 14)
    base = shaded(base, uniform(rng, 0.6, 1.2))
    relief = fractal_noise(rng, shape, log_uniform(rng, 30, 150), octaves=6, gain=0.8)
    rgb = np.asarray(base, np.float32) + (relief * np.float32(uniform(rng, 4, 15)))[..., None]
    scrub = fractal_noise(rng, shape, log_uniform(rng, 2.0, 9.0), octaves=2, gain=0.8)
    rgb += (scrub * np.float32(uniform(rng, 3, 14)))[..., None]
    if chance(rng, 0.3) and parcels:
        rgb = _draw_fields(rng, rgb)
    if chance(rng, 0.8):
        green = np.asarray(tinted(rng, (46, 64, 38), 10), np.float32) * np.float32(uniform(rng, 0.6, 1.5))
        where = fractal_noise(rng, shape, log_uniform(rng, 25, 160), octaves=6, gain=0.75)
        share = soft_step(where - np.float32(uniform(rng, -0.9, 1.1)), 0.1)[..., None]
        crowns = fractal_noise(rng, shape, uniform(rng, 2.5, 6.0), octaves=2) * np.float32(uniform(rng, 6, 16))
        rgb += (green + crowns[..., None] - rgb) * share
    return np.clip(rgb, 2, 250).astype(np.uint8), base


def _draw_fields(rng: Rng, rgb: FloatArray) -> FloatArray:
    """Return the ground divided into parcels of different tint: Voronoi cells of random points."""
    height, width = rgb.shape[:2]
    count = max(4, int(height * width / log_uniform(rng, 3e3, 4e4)))
    seeds = np.ones((height, width), np.uint8)
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L1, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_CCOMP)
    tints = rng.uniform(0.65, 1.3, (int(labels.max()) + 1, 1)) * rng.uniform(0.95, 1.05, (int(labels.max()) + 1, 3))
    return np.asarray(rgb * tints.astype(np.float32)[labels], np.float32)


def lay_land(rng: Rng, canvas: Canvas, layer: LandLayer, *, height_px: float) -> None:
    """Blend the layer over the water with a shadow of this height, and block the water under it."""
    reach = height_px * canvas.sun.shadow_per_height
    matrix = np.array([[1, 0, canvas.sun.shadow_xy[0] * reach], [0, 1, canvas.sun.shadow_xy[1] * reach]], np.float64)
    size = (canvas.shape[1], canvas.shape[0])
    shadow = cv2.warpAffine(layer.alpha, matrix, size, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    canvas.rgb_hwc *= 1.0 - shadow[..., None] * np.float32(uniform(rng, 0.2, 0.6) / 255.0)
    rgb = layer.rgb.astype(np.float32)
    middle = rgb.mean(axis=(0, 1))
    rgb = middle + (rgb - middle) * np.float32(uniform(rng, *GROUND_CONTRAST))
    canvas.mix(rgb, layer.alpha.astype(np.float32) * np.float32(1 / 255))
    canvas.blocked_hw[layer.alpha > 40] = 1


def _coast_field(rng: Rng, shape: tuple[int, int]) -> FloatArray:
    """Return a field that is positive on land: an irregular line across the image, or islands."""
    height, width = shape
    side = float(max(shape))
    ragged = fractal_noise(rng, shape, log_uniform(rng, 0.15, 0.6) * side, octaves=7, gain=uniform(rng, 0.42, 0.62))
    if chance(rng, 0.25):
        return np.asarray((ragged - np.float32(uniform(rng, 0.6, 1.7))) * np.float32(0.1 * side), np.float32)
    angle = uniform(rng, 0, 2 * math.pi)
    x = np.arange(width, dtype=np.float32)[None, :] - width / 2
    y = np.arange(height, dtype=np.float32)[:, None] - height / 2
    line = x * math.cos(angle) + y * math.sin(angle) - uniform(rng, -0.2, 0.42) * side
    return np.asarray(line + ragged * np.float32(log_uniform(rng, 0.01, 0.14) * side), np.float32)


def paint_coast(rng: Rng, canvas: Canvas) -> None:
    """Paint a natural coast: shallows and surf in the water, a beach or rocks, perhaps groynes, ground, a village."""
    field = _coast_field(rng, canvas.shape)
    land = (field > 0).astype(np.uint8)
    inland, offshore = distance_px(land), distance_px(1 - land)
    paint_nearshore(rng, canvas, offshore)
    rgb, base = draw_ground(rng, canvas.shape)
    if chance(rng, 0.55):
        build_town(rng, rgb, base, sun=canvas.sun, density=log_uniform(rng, 0.02, 1.0), free_hw=inland > 14)
    paint_beach(rng, rgb, inland)
    alpha = np.clip(blurred(land.astype(np.float32) * 255.0, 0.7), 0, 255).astype(np.uint8)
    if chance(rng, GROYNES_SHARE):
        draw_groynes(rng, rgb, alpha, field)
    lay_land(rng, canvas, LandLayer(rgb, alpha), height_px=uniform(rng, 0.0, 2.0))
    if chance(rng, 0.6):
        paint_surf(rng, canvas, offshore, (alpha > 127).astype(np.uint8))


def paint_nearshore(rng: Rng, canvas: Canvas, offshore: FloatArray) -> None:
    """Make the water paler towards the shore, because of sand below it and silt."""
    reach = log_uniform(rng, 6, 120)
    share = np.exp(-offshore / np.float32(reach)) * np.float32(uniform(rng, 0.0, 0.75))
    patches = np.clip(1.0 + 0.4 * fractal_noise(rng, canvas.shape, log_uniform(rng, 15, 90), octaves=4), 0.0, 1.6)
    sand = canvas.sea_rgb * np.float32(uniform(rng, 1.0, 1.6)) + rng.uniform(0, 45, 3).astype(np.float32)
    canvas.mix(np.clip(sand, 0, 205), np.clip(share * patches, 0, 0.95))


def paint_beach(rng: Rng, rgb: ByteArray, inland: FloatArray) -> None:
    """Paint sand, gravel or rock along the water's edge, in place."""
    color = np.asarray(tinted(rng, pick(rng, ((206, 186, 150), (176, 156, 126), (120, 112, 102), (92, 86, 78))), 14))
    share = np.exp(-((inland / np.float32(log_uniform(rng, 1.5, 26))) ** 2)) * np.float32(uniform(rng, 0.5, 1.0))
    grain = fractal_noise(rng, inland.shape, uniform(rng, 2, 6), octaves=2) * np.float32(uniform(rng, 2, 14))
    near = inland < 80
    mixed = rgb[near] + (color.astype(np.float32) + grain[near][:, None] - rgb[near]) * share[near][:, None]
    rgb[near] = np.clip(mixed, 0, 252).astype(np.uint8)


def paint_surf(rng: Rng, canvas: Canvas, offshore: FloatArray, land: ByteArray) -> None:
    """Paint broken lines of breakers a few pixels off the shore."""
    patches = np.clip(
        fractal_noise(rng, canvas.shape, log_uniform(rng, 10, 50), octaves=4, gain=0.7) + uniform(rng, -0.4, 0.8),
        0,
        1.6,
    )
    foam = np.zeros(canvas.shape, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        at, wide = log_uniform(rng, 0.8, 22), uniform(rng, 0.6, 2.6)
        foam = np.maximum(foam, np.exp(-(((offshore - np.float32(at)) / np.float32(wide)) ** 2)))
    alpha = np.clip(foam * patches * uniform(rng, 0.2, 0.9), 0, 0.95) * (land == 0)
    canvas.mix((228.0, 232.0, 230.0), np.asarray(alpha, np.float32))


def paint_inland(rng: Rng, canvas: Canvas) -> None:
    """Cover the whole image with land: fields, desert, town, perhaps ponds."""
    rgb, base = draw_ground(rng, canvas.shape)
    free = np.ones(canvas.shape, bool)
    alpha = np.full(canvas.shape, 255, np.uint8)
    if chance(rng, 0.4):
        pond = fractal_noise(rng, canvas.shape, log_uniform(rng, 80, 300), octaves=5) > uniform(rng, 0.9, 2.0)
        alpha[pond] = 0
        alpha = np.asarray(cv2.GaussianBlur(alpha, (3, 3), 0.7), np.uint8)
        free &= ~pond
    if chance(rng, 0.7):
        build_town(rng, rgb, base, sun=canvas.sun, density=log_uniform(rng, 0.1, 1.6), free_hw=free)
    lay_land(rng, canvas, LandLayer(rgb, alpha), height_px=0.5)
    canvas.blocked_hw[:] = 1
