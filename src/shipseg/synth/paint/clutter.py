"""Small objects on open water that are not ships: buoys, fish cages, rocks, platforms, flotsam."""

from __future__ import annotations

import math

import cv2
import numpy as np

from shipseg.synth.distributions import Rng, chance, log_uniform, pick, shaded, tinted, uniform
from shipseg.synth.paint.canvas import FIXED_BITS, Canvas, fixed_point, oriented_box, paint_polygon
from shipseg.synth.paint.fields import fractal_noise, soft_step

__all__ = ["paint_clutter"]

BUOYS_SHARE = 0.05
CAGES_SHARE = 0.025
ROCKS_SHARE = 0.03
SPECKS_SHARE = 0.06
PLATFORMS_SHARE = 0.02


def paint_clutter(rng: Rng, canvas: Canvas) -> None:
    """Paint each kind of clutter into its share of images."""
    if chance(rng, BUOYS_SHARE):
        _paint_buoys(rng, canvas)
    if chance(rng, CAGES_SHARE):
        _paint_cages(rng, canvas)
    if chance(rng, ROCKS_SHARE):
        _paint_rocks(rng, canvas)
    if chance(rng, PLATFORMS_SHARE):
        _paint_platforms(rng, canvas)
    if chance(rng, SPECKS_SHARE):
        _paint_specks(rng, canvas)


def _paint_buoys(rng: Rng, canvas: Canvas) -> None:
    """Paint buoys: dots of 1-2 px, single or in lines (mussel farms, nets)."""
    height, width = canvas.shape
    lines = int(rng.integers(1, 8)) if chance(rng, 0.5) else 0
    points: list[tuple[float, float]] = []
    if lines:
        x, y, turn = uniform(rng, 0, width), uniform(rng, 0, height), uniform(rng, 0, math.pi)
        gap, pitch = log_uniform(rng, 3, 12), log_uniform(rng, 8, 30)
        cos, sin = math.cos(turn), math.sin(turn)
        for k in range(lines):
            steps = np.arange(int(rng.integers(5, 30))) * gap
            points.extend(zip(x + steps * cos - k * pitch * sin, y + steps * sin + k * pitch * cos, strict=True))
    else:
        points = [(uniform(rng, 0, width), uniform(rng, 0, height)) for _ in range(int(rng.integers(1, 12)))]
    mask = np.zeros(canvas.shape, np.uint8)
    for point in points:
        cv2.circle(
            mask,
            fixed_point(np.array([point]))[0].tolist(),
            round(uniform(rng, 0.4, 1.1) * 16),
            255,
            -1,
            cv2.LINE_AA,
            FIXED_BITS,
        )
    color = tinted(rng, pick(rng, ((230, 228, 220), (226, 190, 90), (200, 90, 60), (40, 40, 40))), 12)
    canvas.mix(color, mask.astype(np.float32) * np.float32(uniform(rng, 0.3, 0.9) / 255.0))


def _paint_cages(rng: Rng, canvas: Canvas) -> None:
    """Paint fish farms: rings or square frames in a grid."""
    height, width = canvas.shape
    x, y, turn = uniform(rng, 0, width), uniform(rng, 0, height), uniform(rng, 0, math.pi)
    radius, rings = uniform(rng, 3.5, 12), chance(rng, 0.6)
    mask, inner = np.zeros(canvas.shape, np.uint8), np.zeros(canvas.shape, np.uint8)
    for i in range(int(rng.integers(1, 8))):
        for j in range(int(rng.integers(1, 4))):
            u, v = i * radius * 2.6, j * radius * 2.6
            center = (x + u * math.cos(turn) - v * math.sin(turn), y + u * math.sin(turn) + v * math.cos(turn))
            if rings:
                point = fixed_point(np.array([center]))[0].tolist()
                cv2.circle(inner, point, round(radius * 16), 255, -1, cv2.LINE_AA, FIXED_BITS)
                cv2.circle(mask, point, round(radius * 16), 255, 1, cv2.LINE_AA, FIXED_BITS)
            else:
                box = cv2.boxPoints((center, (radius * 2, radius * 2), math.degrees(turn)))
                cv2.fillPoly(inner, [fixed_point(box)], 255, cv2.LINE_AA, FIXED_BITS)
                cv2.polylines(mask, [fixed_point(box)], True, 255, 1, cv2.LINE_AA, FIXED_BITS)  # noqa: FBT003
    canvas.rgb_hwc *= 1.0 - inner.astype(np.float32)[..., None] * np.float32(uniform(rng, 0.0, 0.35) / 255)
    canvas.mix(tinted(rng, (150, 150, 144), 40), mask.astype(np.float32) * np.float32(uniform(rng, 0.4, 1.0) / 255))


def _paint_rocks(rng: Rng, canvas: Canvas) -> None:
    """Paint rocks at the surface, with a ring of foam."""
    field = fractal_noise(rng, canvas.shape, log_uniform(rng, 25, 120), octaves=6, gain=0.62)
    level = np.float32(uniform(rng, 2.3, 3.3))
    rock = soft_step(field - level, 0.03)
    tone = np.asarray(tinted(rng, (86, 82, 70), 18), np.float32)
    grain = fractal_noise(rng, canvas.shape, 2.5, octaves=2) * np.float32(uniform(rng, 6, 20))
    foam = np.exp(-(((field - level + 0.1) / np.float32(0.12)) ** 2)) * np.clip(0.5 + grain * 0.05, 0, 1)
    canvas.mix((226.0, 230.0, 230.0), np.asarray(foam * uniform(rng, 0.0, 0.8), np.float32))
    canvas.mix(tone + grain[..., None], rock)
    canvas.blocked_hw[rock > 0.2] = 1


def _paint_platforms(rng: Rng, canvas: Canvas) -> None:
    """Paint caissons, dolphins, platforms and islets with a light: blocks of concrete that resemble ships."""
    height, width = canvas.shape
    rgb, alpha = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    center, turn = (uniform(rng, 0, width), uniform(rng, 0, height)), uniform(rng, 0, math.pi)
    color, size = tinted(rng, pick(rng, ((160, 152, 138), (120, 116, 110), (92, 90, 88))), 14), log_uniform(rng, 3, 22)
    for k in range(int(rng.integers(1, 7))):
        spot = (center[0] + k * size * 2.2 * math.cos(turn), center[1] + k * size * 2.2 * math.sin(turn))
        long = size * uniform(rng, 0.8, 1.6)
        paint_polygon(rgb, oriented_box(spot, long + 3, size + 3, turn), color)
        paint_polygon(alpha, oriented_box(spot, long, size, turn), 255)
        for _ in range(int(rng.integers(0, 5))):
            part = (spot[0] + rng.normal(0, size / 4), spot[1] + rng.normal(0, size / 4))
            inner = oriented_box(part, size * uniform(rng, 0.1, 0.5), size * uniform(rng, 0.1, 0.4), turn)
            paint_polygon(rgb, inner, tinted(rng, shaded(color, uniform(rng, 0.5, 1.5)), 10))
    reach = uniform(rng, 1.0, 4.0) * canvas.sun.shadow_per_height
    shift = np.array([[1, 0, canvas.sun.shadow_xy[0] * reach], [0, 1, canvas.sun.shadow_xy[1] * reach]], np.float64)
    shadow = cv2.warpAffine(alpha, shift, (width, height))
    canvas.rgb_hwc *= 1.0 - shadow.astype(np.float32)[..., None] * np.float32(0.5 / 255)
    canvas.mix(rgb.astype(np.float32), alpha.astype(np.float32) * np.float32(1 / 255))
    canvas.blocked_hw[alpha > 40] = 1


def _paint_specks(rng: Rng, canvas: Canvas) -> None:
    """Paint flecks of foam, gulls and flotsam: faint single pixels and short dashes."""
    height, width = canvas.shape
    mask = np.zeros(canvas.shape, np.uint8)
    for _ in range(int(log_uniform(rng, 1, 60))):
        x, y, turn = uniform(rng, 0, width), uniform(rng, 0, height), uniform(rng, 0, math.pi)
        long = uniform(rng, 0.3, 3.0)
        ends = fixed_point(np.array([(x, y), (x + long * math.cos(turn), y + long * math.sin(turn))]))
        cv2.line(mask, ends[0].tolist(), ends[1].tolist(), int(rng.integers(60, 255)), 1, cv2.LINE_AA, FIXED_BITS)
    canvas.mix((225.0, 228.0, 226.0), mask.astype(np.float32) * np.float32(uniform(rng, 0.1, 0.8) / 255))
