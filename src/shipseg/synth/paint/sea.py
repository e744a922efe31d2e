"""Open water: colour, waves, streaks, shallows, slicks, breaking crests, and the glitter of the sun."""

from __future__ import annotations

import math

import cv2
import numpy as np

from shipseg.synth.distributions import SEA_MODES, Rng, SeaMode, chance, log_uniform, uniform
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import FloatArray, blurred, even_noise, fractal_noise, soft_step, wave_field

__all__ = ["paint_dark_glitter", "paint_glint", "paint_sea", "paint_sparkle", "paint_whitecaps"]


# Glitter of the sun: saturated crests, coloured points, patches of glare on black water.

CRUMBS_SHARE = 0.4
"""Share of images with glitter on black water that have small patches of glare of the size of boats."""


def paint_glint(rng: Rng, canvas: Canvas, waves: FloatArray) -> None:
    """Paint sun glitter, in patches or everywhere: crests are saturated, the water between them is dark."""
    gate = soft_step(
        fractal_noise(rng, canvas.shape, log_uniform(rng, 120, 600)) - uniform(rng, -1.6, 1.2), uniform(rng, 0.3, 1.0)
    )
    light = np.maximum(waves * np.float32(uniform(rng, 0.4, 1.2)) + np.float32(uniform(rng, -0.4, 0.9)), 0.0)
    warm = np.array([1.0, 0.99, uniform(rng, 0.9, 1.0)], np.float32)
    canvas.rgb_hwc *= np.float32(uniform(rng, 0.3, 0.9))
    canvas.rgb_hwc += (gate * light * np.float32(uniform(rng, 30, 150)))[..., None] * warm


def paint_sparkle(rng: Rng, canvas: Canvas) -> None:
    """Paint single pixels of glitter, coloured because the bands are taken at different moments."""
    bright = (even_noise(rng, canvas.shape) < uniform(rng, 0.002, 0.03)).astype(np.float32)
    colors = (0.3 + 0.7 * even_noise(rng, canvas.shape, bands=3, dtype=np.float64)).astype(np.float32)
    canvas.rgb_hwc += cv2.GaussianBlur(bright[..., None] * colors, (5, 5), 0.8) * np.float32(uniform(rng, 100, 450))


def paint_dark_glitter(rng: Rng, canvas: Canvas, waves: FloatArray) -> None:
    """Paint black water with irregular patches that reflect the sun, small patches and single points.

    (eye) Networks trained without such water detected its points as boats on real tiles.
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
    common = uniform(rng, 0.15, 0.8)  # share of the light common to all bands; the rest gives each point its own colour
    own = even_noise(rng, canvas.shape, bands=3, dtype=np.float64)
    colored = np.asarray(points, np.float32)[..., None] * tint * (common + (1 - common) * own)
    canvas.rgb_hwc += cv2.GaussianBlur(np.asarray(colored, np.float32), (9, 9), uniform(rng, 0.6, 1.3)) * np.float32(
        log_uniform(rng, 700, 4500)
    )


# The sea.

STREAK_SHARE = 0.16
SHALLOWS_SHARE = 0.09
GLINT_SHARE = 0.05
SPARKLE_SHARE = 0.04
DARK_GLITTER_SHARE = 0.05
"""(eye) Nine of 59 real empty tiles had it, which come from fewer scenes."""
WHITECAP_SHARE = 0.24
SLICK_SHARE = 0.12
GLITTER_FROM = 50.0
"""(gap) Mean grey level above which water is mostly bright because waves reflect the sun, so that it looks rough."""
GLITTER_ROUGH_SHARE = 0.85
"""Share of such water that gets rough waves."""
GLITTER_ROUGHNESS = (0.07, 0.34)
"""(gap) Standard deviation of its waves / mean brightness. Real tiles of brightness 100 have 15 to 18 grey levels, at
most 29."""


def paint_sea(rng: Rng, canvas: Canvas) -> None:
    """Fill the canvas with water and set `canvas.sea_rgb`."""
    mode = _draw_mode(rng)
    base = _draw_color(rng, mode)
    amplitude = _wave_height(rng, mode, base)
    windy = chance(rng, WHITECAP_SHARE)
    if windy:  # crests break only where waves are high
        amplitude = max(amplitude, log_uniform(rng, 2.0, 7.0))
    waves = wave_field(rng, canvas.shape, canvas.wind_rad)
    gusts = np.clip(
        1.0 + uniform(rng, 0.0, 0.5) * fractal_noise(rng, canvas.shape, log_uniform(rng, 60, 400)), 0.2, 2.2
    )
    canvas.sea_rgb[:] = base
    canvas.rgb_hwc[:] = base
    _tint_slowly(rng, canvas)
    if chance(rng, SHALLOWS_SHARE):
        _paint_shallows(rng, canvas)
    if chance(rng, STREAK_SHARE):
        _paint_streaks(rng, canvas)
    if chance(rng, SLICK_SHARE):
        gusts = gusts * _slicks(rng, canvas)
    # Waves change the brightness of all bands together, as in pan-sharpened images.
    canvas.rgb_hwc += (np.asarray(waves * gusts, np.float32) * np.float32(amplitude))[..., None] * _wave_tint(rng, base)
    if chance(rng, DARK_GLITTER_SHARE):
        paint_dark_glitter(rng, canvas, waves)
        return
    if chance(rng, GLINT_SHARE):
        paint_glint(rng, canvas, waves)
    if chance(rng, SPARKLE_SHARE):
        paint_sparkle(rng, canvas)
    if windy:
        paint_whitecaps(rng, canvas, waves)


def _draw_mode(rng: Rng) -> SeaMode:
    weights = np.array([mode.weight for mode in SEA_MODES])
    return SEA_MODES[int(rng.choice(len(SEA_MODES), p=weights / weights.sum()))]


def _draw_color(rng: Rng, mode: SeaMode) -> FloatArray:
    dark, bright = np.array(mode.dark, np.float32), np.array(mode.bright, np.float32)
    place = np.float32(rng.random()) + rng.normal(0.0, 0.12, 3).astype(np.float32)
    # The bands of bright water are correlated: its hue varies less than its brightness.
    spread = np.minimum(bright - dark, 26.0)
    middle = dark + (bright - dark) * place.mean()
    return np.asarray(np.clip(middle + spread * (place - place.mean()), 0.0, 200.0), np.float32)


def _wave_height(rng: Rng, mode: SeaMode, base: FloatArray) -> float:
    """Return the standard deviation of the waves in grey levels."""
    height = log_uniform(rng, mode.waves_low, mode.waves_high)
    brightness = float(base.mean())
    if brightness > GLITTER_FROM and chance(rng, GLITTER_ROUGH_SHARE):
        height = max(height, brightness * log_uniform(rng, *GLITTER_ROUGHNESS))
    return height


def _other_water(rng: Rng, base: FloatArray) -> FloatArray:
    """Return the colour of neighbouring water or of the ground below it: paler and greener, or darker."""
    own = base * np.float32(uniform(rng, 0.6, 1.45)) * np.exp(rng.normal(0.0, 0.09, 3)).astype(np.float32)
    ground = np.array([uniform(rng, 0, 32), uniform(rng, 0, 42), uniform(rng, -4, 26)], np.float32)
    return np.clip(own + ground * np.float32(rng.random()), 1.0, 205.0)


def _wave_tint(rng: Rng, base: FloatArray) -> FloatArray:
    """Return the strength of the waves in each band: about 1, shifted a little towards the colour of the water."""
    own = np.clip(base / max(float(base.mean()), 1.0), 0.5, 1.5)
    share = uniform(rng, 0.0, 0.35)
    return np.asarray((1.0 - share) + share * own, np.float32)


def _tint_slowly(rng: Rng, canvas: Canvas) -> None:
    """Vary the colour over hundreds of pixels, as depth, plankton and thin haze do."""
    strength = min(0.2, abs(rng.normal(0.0, 0.02))) * (float(canvas.sea_rgb.mean()) + 12.0)
    tint = rng.uniform(0.7, 1.1, 3).astype(np.float32)
    field = fractal_noise(rng, canvas.shape, log_uniform(rng, 250, 1200), octaves=3)
    canvas.rgb_hwc += np.float32(strength) * field[..., None] * tint


def _paint_shallows(rng: Rng, canvas: Canvas) -> None:
    """Paint reefs, banks and mud: patches of another colour with soft or hard borders."""
    depth = fractal_noise(rng, canvas.shape, log_uniform(rng, 120, 500), octaves=6, gain=uniform(rng, 0.45, 0.65))
    share = soft_step(depth - np.float32(uniform(rng, 0.5, 1.8)), log_uniform(rng, 0.06, 0.7)) * np.float32(
        uniform(rng, 0.15, 0.85)
    )
    color = _other_water(rng, canvas.sea_rgb)
    ground = fractal_noise(rng, canvas.shape, log_uniform(rng, 6, 40), octaves=4, gain=0.7) * np.float32(
        uniform(rng, 0, 9)
    )
    canvas.mix(np.clip(color, 2, 210) + ground[..., None], share)


def _paint_streaks(rng: Rng, canvas: Canvas) -> None:
    """Paint foam lines, fronts between waters, oil: thin winding lines where a smooth field crosses zero."""
    field = fractal_noise(rng, canvas.shape, log_uniform(rng, 150, 700), octaves=6, gain=uniform(rng, 0.35, 0.6))
    line = np.exp(-((field / np.float32(log_uniform(rng, 0.01, 0.09))) ** 2))
    gaps = np.clip(
        fractal_noise(rng, canvas.shape, log_uniform(rng, 20, 150), octaves=3) + uniform(rng, -0.5, 1.0), 0, 1
    )
    strength = uniform(rng, -0.6, 1.0) * max(12.0, float(canvas.sea_rgb.mean()) * 0.5)
    canvas.rgb_hwc += (line * gaps * np.float32(strength))[..., None]
    if chance(rng, 0.4):  # the water on one side of the front has another colour
        side = soft_step(field, log_uniform(rng, 0.02, 0.3)) * np.float32(uniform(rng, 0.05, 0.35))
        canvas.mix(_other_water(rng, canvas.sea_rgb), side)


def _slicks(rng: Rng, canvas: Canvas) -> FloatArray:
    """Return the factors by which films of oil calm the waves: (H, W) float32, 0.2-1."""
    field = fractal_noise(rng, canvas.shape, log_uniform(rng, 80, 350), octaves=5)
    calm = soft_step(field - np.float32(uniform(rng, 0.2, 1.2)), 0.12)
    return np.asarray(1.0 - np.float32(uniform(rng, 0.3, 0.8)) * calm, np.float32)


def paint_whitecaps(rng: Rng, canvas: Canvas, waves: FloatArray) -> None:
    """Paint breaking crests: clumps of bright points of 1-2 px on the highest waves, in a paler irregular veil.

    They have the size of small boats and are the most frequent false alarm on open water. A solid bright spot of 8 px
    alone on calm water is never painted: in real tiles such a spot is a boat, and a network that learns otherwise
    becomes uncertain about all of them.
    """
    grain = fractal_noise(rng, canvas.shape, uniform(rng, 1.2, 2.6), octaves=1)
    clumps = fractal_noise(rng, canvas.shape, log_uniform(rng, 2.5, 8.0), octaves=2)
    gusts = fractal_noise(rng, canvas.shape, log_uniform(rng, 40, 300), octaves=3)
    score = clumps + 0.6 * blurred(waves, 1.0) + 0.5 * gusts
    cut = float(np.quantile(score[::3, ::3], 1.0 - log_uniform(rng, 0.001, 0.03)))
    crest = np.asarray(np.clip((score - np.float32(cut)) * np.float32(1.3), 0.0, 1.5), np.float32)
    veil = _along_crests(rng, crest, canvas.wind_rad + math.pi / 2) * np.clip(0.4 + 0.8 * grain, 0.0, 2.0)
    canvas.rgb_hwc += veil[..., None] * np.float32(log_uniform(rng, 12, 50)) * np.array([0.85, 1.0, 1.0], np.float32)
    points = np.clip(crest * np.clip(grain - np.float32(uniform(rng, 0.4, 1.2)), 0.0, 1.5), 0.0, 1.2)
    points = _along_crests(rng, np.asarray(points, np.float32), canvas.wind_rad + math.pi / 2, longest_px=1)
    canvas.rgb_hwc += points[..., None] * np.float32(log_uniform(rng, 40, 200))


def _along_crests(rng: Rng, foam: FloatArray, crest_rad: float, *, longest_px: int = 4) -> FloatArray:
    """Return the foam blurred along the crests by up to `longest_px` pixels to each side."""
    length = int(rng.integers(0, longest_px + 1))
    if length == 0:
        return foam
    kernel = np.zeros((9, 9), np.float32)
    turn = crest_rad + rng.normal(0.0, 0.2)
    step = (length * math.cos(turn), length * math.sin(turn))
    cv2.line(kernel, (round(4 - step[0]), round(4 - step[1])), (round(4 + step[0]), round(4 + step[1])), 1.0)
    return np.asarray(cv2.filter2D(foam, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), np.float32)
