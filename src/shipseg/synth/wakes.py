"""Foam behind ships, drawn on a strip that runs astern and is then laid into the picture. Never part of a label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from shipseg.synth.board import Pose
from shipseg.synth.canvas import Canvas
from shipseg.synth.distributions import Rng, chance, log_uniform, uniform
from shipseg.synth.fields import FloatArray, fractal_noise

__all__ = ["paint_orphan_wake", "paint_wake"]

LONGEST_WAKE_PX = 420.0
KELVIN_DEG = 19.47
"""Half angle of the wedge of ship waves on deep water (Kelvin)."""
SMALLEST_CRAFT_PX = 28.0
BURIED_SHARE = 0.45
"""(eye) Planing boats whose spray hides the sides of the hull: of the boat itself only the tip of a comet is seen."""
BURIED_SHORTER_PX = 60.0
SMOOTH_SHARE = 0.45
"""(eye) Plumes that are an even, half transparent grey, as wide as the hull: what a network takes for a longer ship."""
FOAM_RGB = (232.0, 236.0, 236.0)


@dataclass(frozen=True)
class _Strip:
    """Coordinates on the strip: `astern` from the bow backwards, `aside` from the keel line, both (n, m) in pixels."""

    astern: FloatArray
    aside: FloatArray
    length: float
    beam: float
    reach: float


def paint_wake(rng: Rng, canvas: Canvas, pose: Pose, *, length: float, beam: float, strength: float) -> None:
    """Draw the wake of a moving ship; call before the ship itself is painted.

    Args:
        rng: Source of randomness.
        canvas: Painted in place.
        pose: Middle and heading of the ship.
        length: Length of the hull in pixels.
        beam: Width of the hull in pixels.
        strength: 0 (nothing) to 1.5 (foam burnt out over a wide part).
    """
    fast_small = length < 60
    reach = length * (log_uniform(rng, 1.5, 11.0) if fast_small else log_uniform(rng, 0.4, 3.5))
    if length < SMALLEST_CRAFT_PX:  # foam stays as long behind a dinghy as behind a launch
        reach = max(reach, log_uniform(rng, 15.0, 90.0))
    reach = min(reach, LONGEST_WAKE_PX)
    wide = math.ceil(beam * 1.5 + 4 + (length + reach) * 0.34)
    rows = math.ceil(length + 1.6 * reach) + 4
    aside, astern = np.meshgrid(
        np.arange(-wide, wide + 1, dtype=np.float32), np.arange(-2, rows, dtype=np.float32), copy=False
    )
    strip = _Strip(astern, _curved(rng, astern, aside, length, reach), length, beam, reach)
    foam = np.zeros_like(astern)
    if chance(rng, 0.8):
        foam = np.maximum(foam, _core(rng, strip))
    planing = fast_small and chance(rng, 0.8 if length < 18 else 0.7)
    smooth = planing and chance(rng, SMOOTH_SHARE)
    if planing:
        foam = np.maximum(foam, _plume(rng, strip))
        strength = uniform(rng, 0.35, 1.1) if smooth else max(strength, uniform(rng, 0.5, 1.5))
    if chance(rng, 0.35 if planing else 0.65):
        foam = np.maximum(foam, _arms(rng, strip))
    if chance(rng, 0.5):
        foam = np.maximum(foam, _bow_wave(rng, strip))
    foam *= 1.0 + np.float32(0.3 if smooth else 1.0) * (_torn(rng, strip) - 1.0)
    light = np.clip(foam * np.float32(strength), 0.0, 1.0) ** np.float32(uniform(rng, 0.9, 1.5))
    waves = _kelvin_waves(rng, strip) * np.float32(uniform(rng, 0.0, 10.0)) if chance(rng, 0.4) else None
    # On glittering water a wake is a smooth dark lane.
    dark = float(canvas.sea_rgb.mean()) > 90 and chance(rng, 0.4)
    foam_rgb = canvas.sea_rgb * np.float32(0.45) if dark else np.asarray(FOAM_RGB, np.float32)
    _lay(canvas, pose, np.asarray(light, np.float32), waves, foam_rgb=foam_rgb, wide=wide, length=length)


def _curved(rng: Rng, astern: FloatArray, aside: FloatArray, length: float, reach: float) -> FloatArray:
    """Bend the strip for ships that turn."""
    bend = rng.normal(0.0, 0.25) / (length + reach) if chance(rng, 0.35) else 0.0
    back = np.maximum(astern - np.float32(length), 0.0)
    return np.asarray(aside - np.float32(bend) * back * back, np.float32)


def _core(rng: Rng, strip: _Strip) -> FloatArray:
    """Turbulent water right behind the propeller, widening slowly, fading over `reach`."""
    back = np.maximum(strip.astern - strip.length * np.float32(uniform(rng, 0.7, 0.98)), 0.0)
    half = strip.beam * uniform(rng, 0.22, 0.5) + back * np.float32(uniform(rng, 0.0, 0.08))
    across = np.exp(-(np.abs(strip.aside / half) ** np.float32(uniform(rng, 1.6, 4.0))))
    foam = across * np.exp(-back / np.float32(strip.reach * 0.6)) * (back > 0)
    return np.asarray(foam * np.float32(uniform(rng, 0.35, 1.0)), np.float32)


def _plume(rng: Rng, strip: _Strip) -> FloatArray:
    """The bright comet of a fast boat: burnt out near the hull, often with a darker middle."""
    begin = strip.length * np.float32(uniform(rng, 0.15, 0.95))
    back = np.maximum(strip.astern - begin, 0.0)
    if strip.length < BURIED_SHORTER_PX and chance(
        rng, BURIED_SHARE
    ):  # the spray begins at the bow and soon is two or three times as wide as the hull
        begin = strip.length * np.float32(uniform(rng, -0.05, 0.25))
        back = np.maximum(strip.astern - begin, 0.0)
        spread = np.float32(strip.beam * uniform(rng, 0.2, 1.2))
        half = strip.beam * np.float32(0.5) + spread * np.clip(back / np.float32(0.8 * strip.length), 0.0, 1.0)
    else:
        half = strip.beam * np.float32(uniform(rng, 0.45, 0.85))
    half = np.maximum(half + back * np.float32(uniform(rng, 0.0, 0.13)), 0.8)
    long = strip.length * log_uniform(rng, 0.8, 7.0)
    if strip.length < SMALLEST_CRAFT_PX:
        long = max(long, log_uniform(rng, 8.0, 80.0))
    across = np.exp(-(np.abs(strip.aside / half) ** np.float32(uniform(rng, 2.0, 5.0))))
    along = np.clip(1.0 - back / np.float32(long), 0.0, 1.0) ** np.float32(uniform(rng, 0.5, 1.6))
    foam = across * along * np.clip(back / (0.1 * strip.length + 0.5), 0.0, 1.0)
    if chance(rng, 0.4):
        hollow = np.exp(-((strip.aside / (half * np.float32(uniform(rng, 0.35, 0.6)))) ** 2))
        foam *= 1.0 - np.float32(uniform(rng, 0.3, 0.9)) * hollow * np.clip(back / strip.length - 0.5, 0, 1)
    return np.asarray(foam * np.float32(uniform(rng, 0.8, 1.8)), np.float32)


def _arms(rng: Rng, strip: _Strip) -> FloatArray:
    """Two lines of breaking waves that spread from the bow."""
    slope = math.tan(math.radians(uniform(rng, 3.0, 0.8 * KELVIN_DEG)))
    back = np.maximum(strip.astern - strip.length * np.float32(uniform(rng, 0.02, 0.6)), 0.0)
    line = np.abs(strip.aside) - (strip.beam * np.float32(uniform(rng, 0.3, 0.55)) + back * np.float32(slope))
    wide = strip.beam * uniform(rng, 0.08, 0.28) + 0.6 + back * np.float32(uniform(rng, 0.0, 0.035))
    foam = np.exp(-((line / wide) ** 2)) * np.exp(-back / np.float32(strip.reach * 0.7)) * (back > 0)
    if chance(rng, 0.3):
        foam *= np.where(strip.aside > 0, 1.0, np.float32(uniform(rng, 0.1, 0.7)))
    return np.asarray(foam * np.float32(uniform(rng, 0.3, 1.0)), np.float32)


def _bow_wave(rng: Rng, strip: _Strip) -> FloatArray:
    """Foam that hugs the hull's sides."""
    half = strip.beam / 2 * np.clip(strip.astern / (0.35 * strip.length), 0.05, 1.0)
    outside = np.maximum(np.abs(strip.aside) - half, 0.0)
    foam = np.exp(-((outside / (strip.beam * np.float32(uniform(rng, 0.08, 0.35)) + 0.4)) ** 2))
    along = np.clip(1.0 - strip.astern / (strip.length * np.float32(uniform(rng, 0.6, 1.6))), 0.0, 1.0)
    return np.asarray(foam * along * (strip.astern >= 0) * np.float32(uniform(rng, 0.5, 1.5)), np.float32)


def _torn(rng: Rng, strip: _Strip) -> FloatArray:
    """Streaks along the wake and patches: factors about 1."""
    rows, cols = strip.astern.shape
    squeeze = uniform(rng, 2.0, 6.0)
    streaks = fractal_noise(rng, (max(2, math.ceil(rows / squeeze)), cols), uniform(rng, 2.0, 5.0), octaves=2)
    streaks = np.asarray(cv2.resize(streaks, (cols, rows), interpolation=cv2.INTER_LINEAR), np.float32)
    patches = fractal_noise(rng, (rows, cols), uniform(rng, 4.0, 18.0), octaves=3, gain=0.7)
    return np.clip(1.0 + uniform(rng, 0.15, 0.5) * streaks + uniform(rng, 0.1, 0.5) * patches, 0.0, 2.2)


def _kelvin_waves(rng: Rng, strip: _Strip) -> FloatArray:
    """Diverging ship waves inside the wedge: light and dark bands, a few pixels apart."""
    back = np.maximum(strip.astern, 0.5)
    wedge = np.clip(1.0 - np.abs(strip.aside) / (back * np.float32(math.tan(math.radians(KELVIN_DEG)))), 0.0, 1.0)
    phase = (back + np.abs(strip.aside) * np.float32(uniform(rng, 1.5, 3.0))) * np.float32(
        2 * math.pi / uniform(rng, 6, 22)
    )
    fade = np.exp(-back / np.float32(strip.reach))
    return np.asarray(np.sin(phase) * fade * np.sqrt(wedge) * (1.0 - wedge), np.float32)


def _lay(
    canvas: Canvas,
    pose: Pose,
    light: FloatArray,
    waves: FloatArray | None,
    *,
    foam_rgb: FloatArray,
    wide: int,
    length: float,
) -> None:
    """Turn the strip into the picture and blend foam (towards white) and waves (brightness)."""
    back_x, back_y = -math.cos(pose.heading_rad), -math.sin(pose.heading_rad)
    bow_x, bow_y = pose.x - back_x * length / 2, pose.y - back_y * length / 2
    rows = light.shape[0]
    bow = np.array([bow_x, bow_y])
    ends = np.array([(a * back_x - s * back_y, a * back_y + s * back_x) for a in (-3, rows) for s in (-wide, wide)])
    low, high = ends.min(axis=0) + bow, ends.max(axis=0) + bow
    height, width = canvas.shape
    col0, row0 = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
    col1, row1 = min(width, math.ceil(high[0])), min(height, math.ceil(high[1]))
    if col1 <= col0 or row1 <= row0:
        return
    # From picture to strip: strip column = aside + wide, strip row = astern + 2; pixel centres at + 0.5.
    dx, dy = col0 + 0.5 - bow_x, row0 + 0.5 - bow_y
    matrix = np.array(
        [
            [-back_y, back_x, -back_y * dx + back_x * dy + wide],
            [back_x, back_y, back_x * dx + back_y * dy + 2.0],
        ],
        np.float64,
    )
    size = (col1 - col0, row1 - row0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    alpha = cv2.warpAffine(light, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)[..., None]
    view = canvas.rgb_hwc[row0:row1, col0:col1]
    if waves is not None:
        view += cv2.warpAffine(waves, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)[..., None]
    # Thin foam takes the water's hue, thick foam is white.
    tint = foam_rgb * (0.75 + 0.25 * alpha) + 0.25 * (1.0 - alpha) * canvas.sea_rgb
    view += (tint - view) * alpha


def paint_orphan_wake(rng: Rng, canvas: Canvas) -> None:
    """Draw a wake whose ship is out of the picture or long gone: foam without a ship."""
    height, width = canvas.shape
    pose = Pose(uniform(rng, 0, width), uniform(rng, 0, height), uniform(rng, 0, 2 * math.pi))
    paint_wake(
        rng, canvas, pose, length=log_uniform(rng, 8, 60), beam=uniform(rng, 3, 10), strength=uniform(rng, 0.1, 0.45)
    )
