"""Weather between ground and sensor: clouds with shadows, haze."""

from __future__ import annotations

import cv2
import numpy as np

from shipseg.synth.distributions import Rng, chance, log_uniform, uniform
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import blurred, fractal_noise, soft_step

__all__ = ["paint_clouds", "paint_haze", "paint_weather"]

CLOUD_SHARE = 0.055
HAZE_SHARE = 0.09
HIDDEN_ALPHA = 0.55
"""Opacity of a cloud above which annotators could not see ships."""


def paint_weather(rng: Rng, canvas: Canvas) -> bool:
    """Paint clouds or haze into some images; return whether there are clouds."""
    if chance(rng, HAZE_SHARE):
        paint_haze(rng, canvas)
    if chance(rng, CLOUD_SHARE):
        paint_clouds(rng, canvas)
        return True
    return False


def paint_clouds(rng: Rng, canvas: Canvas) -> None:
    """Paint clouds, from thin veils to full cover, and their shadows; labels under dense clouds are removed."""
    shape = canvas.shape
    field = fractal_noise(rng, shape, log_uniform(rng, 90, 600), octaves=8, gain=uniform(rng, 0.5, 0.68))
    cover = soft_step(field - np.float32(uniform(rng, -0.8, 2.0)), log_uniform(rng, 0.08, 0.5))
    alpha = np.clip((cover - 0.07) / 0.93, 0, 1) * np.float32(min(1.0, uniform(rng, 0.35, 1.4)))
    alpha = np.asarray(alpha, np.float32)
    if chance(rng, 0.65):
        shift = (uniform(rng, 10, 90) * canvas.sun.shadow_xy[0], uniform(rng, 10, 90) * canvas.sun.shadow_xy[1])
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
        shadow = cv2.warpAffine(alpha, matrix, (shape[1], shape[0]), borderMode=cv2.BORDER_REFLECT)
        canvas.rgb_hwc *= (
            1.0 - np.float32(uniform(rng, 0.3, 0.65)) * blurred(np.asarray(shadow, np.float32), 3.0)[..., None]
        )
    tone = np.array([236, 237, 240], np.float32) * np.float32(uniform(rng, 0.72, 1.1))
    billows = fractal_noise(rng, shape, log_uniform(rng, 12, 60), octaves=5, gain=0.65) * np.float32(
        uniform(rng, 2, 13)
    )
    canvas.mix(tone + billows[..., None], alpha)
    hidden = alpha > HIDDEN_ALPHA
    canvas.coverage_hw[hidden] = 0.0
    canvas.owner_hw[hidden] = 0


def paint_haze(rng: Rng, canvas: Canvas) -> None:
    """Blend a thin bluish grey over the image: contrast decreases, dark pixels get brighter."""
    density = np.clip(1.0 + 0.35 * fractal_noise(rng, canvas.shape, log_uniform(rng, 150, 800), octaves=3), 0.1, 1.8)
    grey = uniform(rng, 105, 190)
    color = np.array([grey - uniform(rng, 0, 22), grey, grey + uniform(rng, 0, 14)], np.float32)
    canvas.mix(color, np.asarray(np.clip(density * uniform(rng, 0.05, 0.4), 0, 0.8), np.float32))
