"""The sun in the water: burnt-out crests, coloured points, patches of glare on water that is black elsewhere."""

from __future__ import annotations

import cv2
import numpy as np

from shipseg.synth.distributions import Rng, chance, log_uniform, uniform
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import FloatArray, blurred, even_noise, fractal_noise, soft_step

__all__ = ["paint_dark_glitter", "paint_glint", "paint_sparkle"]

CRUMBS_SHARE = 0.4
"""Of glitter on black water: crumbs of glare of the size of boats."""


def paint_glint(rng: Rng, canvas: Canvas, waves: FloatArray) -> None:
    """Sun glitter: crests burn out, the water between them stays dark, in patches or everywhere."""
    gate = soft_step(
        fractal_noise(rng, canvas.shape, log_uniform(rng, 120, 600)) - uniform(rng, -1.6, 1.2), uniform(rng, 0.3, 1.0)
    )
    light = np.maximum(waves * np.float32(uniform(rng, 0.4, 1.2)) + np.float32(uniform(rng, -0.4, 0.9)), 0.0)
    warm = np.array([1.0, 0.99, uniform(rng, 0.9, 1.0)], np.float32)
    canvas.rgb_hwc *= np.float32(uniform(rng, 0.3, 0.9))
    canvas.rgb_hwc += (gate * light * np.float32(uniform(rng, 30, 150)))[..., None] * warm


def paint_sparkle(rng: Rng, canvas: Canvas) -> None:
    """Single pixels of glitter, coloured because the bands look at different moments."""
    bright = (even_noise(rng, canvas.shape) < uniform(rng, 0.002, 0.03)).astype(np.float32)
    colors = (0.3 + 0.7 * even_noise(rng, canvas.shape, bands=3, dtype=np.float64)).astype(np.float32)
    canvas.rgb_hwc += cv2.GaussianBlur(bright[..., None] * colors, (5, 5), 0.8) * np.float32(uniform(rng, 100, 450))


def paint_dark_glitter(rng: Rng, canvas: Canvas, waves: FloatArray) -> None:
    """Make the water black but for ragged patches that throw the sun at the camera, crumbs of them and single points.

    (eye) Before there was such water in the world, its points were taken for boats on real tiles.
    """
    canvas.sea_rgb[:] = rng.uniform(0.0, 5.0, 3)
    canvas.rgb_hwc[:] = canvas.sea_rgb
    field = fractal_noise(rng, canvas.shape, log_uniform(rng, 60, 350), octaves=6, gain=uniform(rng, 0.45, 0.65))
    patch = soft_step(field - np.float32(uniform(rng, 0.2, 3.2)), log_uniform(rng, 0.05, 0.5))
    facets = np.maximum(waves * np.float32(uniform(rng, 0.5, 1.3)) + np.float32(uniform(rng, -0.3, 1.0)), 0.0)
    canvas.rgb_hwc += (patch * facets * np.float32(uniform(rng, 50, 170)))[..., None]
    if chance(rng, CRUMBS_SHARE):
        crumbs = fractal_noise(rng, canvas.shape, log_uniform(rng, 7, 24), octaves=4, gain=0.6)
        shown = soft_step(crumbs - np.float32(uniform(rng, 2.7, 3.9)), uniform(rng, 0.1, 0.4))
        canvas.rgb_hwc += (shown * np.float32(uniform(rng, 60, 260)))[..., None]
    around = blurred(np.asarray(patch, np.float32), 20.0)
    swarm = np.exp(np.float32(1.3) * fractal_noise(rng, canvas.shape, log_uniform(rng, 60, 300), octaves=3))
    density = swarm * np.float32(log_uniform(rng, 3e-5, 3e-3)) + around * np.float32(log_uniform(rng, 1e-3, 3e-2))
    points = (even_noise(rng, canvas.shape) < density) * even_noise(rng, canvas.shape) ** 2
    tint = np.array([uniform(rng, 0.25, 1.0), uniform(rng, 0.6, 1.0), 1.0], np.float32)
    common = uniform(rng, 0.15, 0.8)  # of the bands' light; the rest makes each point a colour of its own
    own = even_noise(rng, canvas.shape, bands=3, dtype=np.float64)
    colored = np.asarray(points, np.float32)[..., None] * tint * (common + (1 - common) * own)
    canvas.rgb_hwc += cv2.GaussianBlur(np.asarray(colored, np.float32), (9, 9), uniform(rng, 0.6, 1.3)) * np.float32(
        log_uniform(rng, 700, 4500)
    )
