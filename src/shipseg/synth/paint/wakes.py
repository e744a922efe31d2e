"""Wakes of moving ships and the spray of fast small boats; they are never part of a label."""

from __future__ import annotations

import math

import cv2
import numpy as np

from shipseg.synth.distributions import Rng, chance, choose, log_uniform, uniform
from shipseg.synth.paint.board import Pose
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import FloatArray, fractal_noise
from shipseg.synth.paint.foam import FOAM_RGB, Strip, lay_foam, open_strip

__all__ = ["COMETS_SHORTER_PX", "paint_comet", "paint_orphan_wake", "paint_wake"]


# Wakes.

LONGEST_WAKE_PX = 420.0
KELVIN_DEG = 19.47
"""Half angle of the Kelvin wedge of ship waves on deep water."""
SMALLEST_CRAFT_PX = 28.0
"""Below this length, wakes have a minimum length independent of the hull."""
SMOOTH_SHARE = 0.45
"""(eye) Share of plumes of uniform, half transparent grey, as wide as the hull: networks detect them as part of it."""


def paint_wake(rng: Rng, canvas: Canvas, pose: Pose, *, length: float, beam: float, strength: float) -> None:
    """Paint the wake of a moving ship; call it before the ship itself is painted.

    Args:
        rng: Random generator.
        canvas: Painted in place.
        pose: Centre and heading of the ship.
        length: Length of the hull in pixels.
        beam: Beam of the hull in pixels.
        strength: 0 (no foam) to 1.5 (most foam is saturated).
    """
    fast_small = length < 60
    reach = length * (log_uniform(rng, 1.5, 11.0) if fast_small else log_uniform(rng, 0.4, 3.5))
    if length < SMALLEST_CRAFT_PX:  # the foam of a dinghy is as long as that of a launch
        reach = max(reach, log_uniform(rng, 15.0, 90.0))
    reach = min(reach, LONGEST_WAKE_PX)
    strip = open_strip(rng, length=length, beam=beam, reach=reach)
    foam = np.zeros_like(strip.astern)
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
    # On glittering water a wake is smooth and dark.
    dark = float(canvas.sea_rgb.mean()) > 90 and chance(rng, 0.4)
    foam_rgb = canvas.sea_rgb * np.float32(0.45) if dark else np.asarray(FOAM_RGB, np.float32)
    lay_foam(canvas, pose, strip, np.asarray(light, np.float32), waves, foam_rgb=foam_rgb)


def _core(rng: Rng, strip: Strip) -> FloatArray:
    """Return the foam of turbulent water behind the propeller, which widens slowly and fades over `reach`."""
    back = np.maximum(strip.astern - strip.length * np.float32(uniform(rng, 0.7, 0.98)), 0.0)
    half = strip.beam * uniform(rng, 0.22, 0.5) + back * np.float32(uniform(rng, 0.0, 0.08))
    across = np.exp(-(np.abs(strip.aside / half) ** np.float32(uniform(rng, 1.6, 4.0))))
    foam = across * np.exp(-back / np.float32(strip.reach * 0.6)) * (back > 0)
    return np.asarray(foam * np.float32(uniform(rng, 0.35, 1.0)), np.float32)


def _plume(rng: Rng, strip: Strip) -> FloatArray:
    """Return the bright plume of a fast boat: saturated near the hull, often with a darker centre line."""
    begin = strip.length * np.float32(uniform(rng, 0.15, 0.95))
    back = np.maximum(strip.astern - begin, 0.0)
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


def _arms(rng: Rng, strip: Strip) -> FloatArray:
    """Return the foam of two lines of breaking waves that diverge from the bow."""
    slope = math.tan(math.radians(uniform(rng, 3.0, 0.8 * KELVIN_DEG)))
    back = np.maximum(strip.astern - strip.length * np.float32(uniform(rng, 0.02, 0.6)), 0.0)
    line = np.abs(strip.aside) - (strip.beam * np.float32(uniform(rng, 0.3, 0.55)) + back * np.float32(slope))
    wide = strip.beam * uniform(rng, 0.08, 0.28) + 0.6 + back * np.float32(uniform(rng, 0.0, 0.035))
    foam = np.exp(-((line / wide) ** 2)) * np.exp(-back / np.float32(strip.reach * 0.7)) * (back > 0)
    if chance(rng, 0.3):
        foam *= np.where(strip.aside > 0, 1.0, np.float32(uniform(rng, 0.1, 0.7)))
    return np.asarray(foam * np.float32(uniform(rng, 0.3, 1.0)), np.float32)


def _bow_wave(rng: Rng, strip: Strip) -> FloatArray:
    """Return the foam along the sides of the hull."""
    half = strip.beam / 2 * np.clip(strip.astern / (0.35 * strip.length), 0.05, 1.0)
    outside = np.maximum(np.abs(strip.aside) - half, 0.0)
    foam = np.exp(-((outside / (strip.beam * np.float32(uniform(rng, 0.08, 0.35)) + 0.4)) ** 2))
    along = np.clip(1.0 - strip.astern / (strip.length * np.float32(uniform(rng, 0.6, 1.6))), 0.0, 1.0)
    return np.asarray(foam * along * (strip.astern >= 0) * np.float32(uniform(rng, 0.5, 1.5)), np.float32)


def _torn(rng: Rng, strip: Strip) -> FloatArray:
    """Return the factors, about 1, of streaks along the wake and of patches."""
    rows, cols = strip.astern.shape
    squeeze = uniform(rng, 2.0, 6.0)
    streaks = fractal_noise(rng, (max(2, math.ceil(rows / squeeze)), cols), uniform(rng, 2.0, 5.0), octaves=2)
    streaks = np.asarray(cv2.resize(streaks, (cols, rows), interpolation=cv2.INTER_LINEAR), np.float32)
    patches = fractal_noise(rng, (rows, cols), uniform(rng, 4.0, 18.0), octaves=3, gain=0.7)
    return np.clip(1.0 + uniform(rng, 0.15, 0.5) * streaks + uniform(rng, 0.1, 0.5) * patches, 0.0, 2.2)


def _kelvin_waves(rng: Rng, strip: Strip) -> FloatArray:
    """Return diverging ship waves inside the Kelvin wedge: light and dark bands, a few pixels apart."""
    back = np.maximum(strip.astern, 0.5)
    wedge = np.clip(1.0 - np.abs(strip.aside) / (back * np.float32(math.tan(math.radians(KELVIN_DEG)))), 0.0, 1.0)
    phase = (back + np.abs(strip.aside) * np.float32(uniform(rng, 1.5, 3.0))) * np.float32(
        2 * math.pi / uniform(rng, 6, 22)
    )
    fade = np.exp(-back / np.float32(strip.reach))
    return np.asarray(np.sin(phase) * fade * np.sqrt(wedge) * (1.0 - wedge), np.float32)


def paint_orphan_wake(rng: Rng, canvas: Canvas) -> None:
    """Paint the wake of a ship that is just outside the image: foam without a ship.

    The head of the wake is never inside the image: in real tiles there is a boat at the tip of a wake, even if it is
    hardly visible.
    """
    height, width = canvas.shape
    length, beam = log_uniform(rng, 8, 60), uniform(rng, 3, 10)
    side, along = int(rng.integers(4)), rng.random()
    x, y = ((width, along * height), (along * width, height), (0.0, along * height), (along * width, 0.0))[side]
    heading = side * math.pi / 2 + uniform(rng, -1.1, 1.1)
    beyond = length / 2 + beam + 2
    pose = Pose(x + beyond * math.cos(heading), y + beyond * math.sin(heading), heading)
    paint_wake(rng, canvas, pose, length=length, beam=beam, strength=uniform(rng, 0.1, 0.45))


# Comets: fast small boats that are mostly covered by their spray. Only the tip, the boat, is labelled; networks that
# were trained on too few of them detect the whole plume as one ship.

COMETS_SHORTER_PX = 36.0
"""Boats below this length can be comets."""
OWN_WIDTH_SHARE, OWN_WIDTH_BELOW_PX = 0.6, 16.0
OWN_HALF_WIDTH_PX = (2.5, 6.5)
"""(eye) Of boats below 16 px, six of ten have a plume 5 to 13 px wide, independent of the size of the boat (6 x 5 px or
15 x 7 px); the width of the other plumes depends on the beam."""
LONGER_THAN_WIDE, LONGEST_PX = 3.5, 160.0
"""Least ratio of length and width of a plume, and its usual largest length in pixels; the widest can be longer."""
TEXTURES = {"rays": 0.6, "hollow": 0.2, "even": 0.2}
"""(eye) Shares of the textures: bright lines from the tip; two bright edges with dark water between them; even grey."""


def paint_comet(rng: Rng, canvas: Canvas, pose: Pose, *, length: float, beam: float) -> None:
    """Paint the spray of a fast small boat; call it after the boat was painted.

    Args:
        rng: Random generator.
        canvas: Painted in place.
        pose: Centre and heading of the boat.
        length: Length of the hull in pixels.
        beam: Beam of the hull in pixels.
    """
    own_width = length < OWN_WIDTH_BELOW_PX and chance(rng, OWN_WIDTH_SHARE)
    widest = log_uniform(rng, *OWN_HALF_WIDTH_PX) if own_width else beam * log_uniform(rng, 0.5, 1.6) + 0.8
    widest = max(widest, beam / 2)
    shortest = max(1.5 * length + 6.0, LONGER_THAN_WIDE * 2 * widest)
    long = log_uniform(rng, shortest, max(LONGEST_PX, 1.2 * shortest))
    strip = open_strip(rng, length=length, beam=beam, reach=long / 1.6)
    begin = length * uniform(rng, -0.1, 0.4)
    back = np.maximum(strip.astern - np.float32(begin), 0.0)
    half = _half_width(rng, strip, back, widest)
    across = np.exp(-((np.abs(strip.aside) / half) ** np.float32(uniform(rng, 2.5, 9.0))))
    head = np.exp(-back / np.float32(length * uniform(rng, 0.5, 2.5)))
    tail = np.clip(1.0 - back / np.float32(long), 0.0, 1.0) ** np.float32(uniform(rng, 0.6, 1.6))
    bright = uniform(rng, 0.0, 0.7)
    foam = across * (np.float32(bright) * head + np.float32(1.0 - bright) * tail) * np.clip(back, 0.0, 1.0)
    foam = foam * _texture(rng, strip, back, half) * np.float32(log_uniform(rng, 0.4, 2.0))
    # Visibility of the boat: all of it if the spray starts at its stern, or only a shade in the white.
    boat = (np.abs(strip.aside) < beam / 2) & (strip.astern > 0) & (strip.astern < length)
    foam = np.clip(foam, 0.0, 1.0) * (1.0 - np.float32(uniform(rng, 0.0, 0.9)) * boat)
    foam_rgb = np.asarray(FOAM_RGB, np.float32) * np.float32(uniform(rng, 0.7, 1.05))
    lay_foam(canvas, pose, strip, np.asarray(foam, np.float32), None, foam_rgb=foam_rgb)


def _half_width(rng: Rng, strip: Strip, back: FloatArray, widest: float) -> FloatArray:
    """Return half the width of the plume, which grows fast at first and then slowly."""
    bloom = 1.0 - np.exp(-back / np.float32(strip.length * uniform(rng, 0.2, 1.2)))
    tip = strip.beam * uniform(rng, 0.25, 0.5)
    half = np.float32(tip) + np.float32(widest - tip) * bloom + back * np.float32(uniform(rng, 0.0, 0.12))
    return np.asarray(np.maximum(half, 0.8), np.float32)


def _texture(rng: Rng, strip: Strip, back: FloatArray, half: FloatArray) -> FloatArray:
    """Return factors of about 1, whose variation grows with the distance from the tip."""
    kind = choose(rng, TEXTURES)
    rows, cols = back.shape
    begins = np.clip(back / np.float32(strip.length * uniform(rng, 0.1, 1.0)), 0.0, 1.0)
    if kind == "hollow":
        inner = np.exp(-((strip.aside / (half * np.float32(uniform(rng, 0.35, 0.65)))) ** 2))
        return np.asarray(1.0 - np.float32(uniform(rng, 0.4, 0.95)) * inner * begins, np.float32)
    torn = fractal_noise(rng, (rows, cols), uniform(rng, 4.0, 12.0), octaves=3, gain=0.7) * np.float32(0.3)
    if kind == "rays":
        # Noise as a function of the relative position between the two edges: its lines diverge with the plume.
        stretch = np.float32(log_uniform(rng, 2.0, 14.0))
        lines = fractal_noise(rng, (math.ceil(rows / stretch) + 1, 64), uniform(rng, 3.0, 8.0), octaves=3, gain=0.7)
        lines_at = (strip.aside / half * np.float32(16.0) + np.float32(32.0), strip.astern / stretch)
        torn += cv2.remap(lines, *lines_at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) * np.float32(
            uniform(rng, 0.2, 0.7)
        )
    strength = uniform(rng, 0.1, 0.6) if kind == "even" else 1.0
    return np.asarray(np.clip(1.0 + np.float32(strength) * begins * torn, 0.05, 2.0), np.float32)
