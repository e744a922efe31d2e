"""Comets: small boats at speed whose spray, laid over them, is all that is seen at first sight.

The boat is the tip, and only the tip is labelled: a network that has seen too few of them takes the whole for one ship.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from shipseg.synth.distributions import Rng, chance, choose, log_uniform, uniform
from shipseg.synth.paint.board import Pose
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import FloatArray, fractal_noise
from shipseg.synth.paint.foam import FOAM_RGB, Strip, lay_foam, open_strip

__all__ = ["COMETS_SHORTER_PX", "paint_comet"]

COMETS_SHORTER_PX = 36.0
OWN_WIDTH_SHARE, OWN_WIDTH_BELOW_PX = 0.6, 16.0
OWN_HALF_WIDTH_PX = (2.5, 6.5)
"""(eye) Of boats below 16 px six of ten have a plume 5 to 13 px wide, behind 6 x 5 px as behind 15 x 7 px; the width of
the others' goes by the boat's."""
LONGER_THAN_WIDE, LONGEST_PX = 3.5, 160.0
"""Plumes are so many times longer than wide at least, and run up to so far astern, the widest half as far again."""
TEXTURES = {"rays": 0.6, "hollow": 0.2, "even": 0.2}
"""(eye) Bright lines that spread from the tip; two bright edges about dark water; a grey column."""


def paint_comet(rng: Rng, canvas: Canvas, pose: Pose, *, length: float, beam: float) -> None:
    """Draw the spray of a small fast boat; call after the boat was painted.

    Args:
        rng: Source of randomness.
        canvas: Painted in place.
        pose: Middle and heading of the boat.
        length: Length of the hull in pixels.
        beam: Width of the hull in pixels.
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
    # What is left to see of the boat: everything where only its stern throws spray, a shade in the white otherwise.
    boat = (np.abs(strip.aside) < beam / 2) & (strip.astern > 0) & (strip.astern < length)
    foam = np.clip(foam, 0.0, 1.0) * (1.0 - np.float32(uniform(rng, 0.0, 0.9)) * boat)
    foam_rgb = np.asarray(FOAM_RGB, np.float32) * np.float32(uniform(rng, 0.7, 1.05))
    lay_foam(canvas, pose, strip, np.asarray(foam, np.float32), None, foam_rgb=foam_rgb)


def _half_width(rng: Rng, strip: Strip, back: FloatArray, widest: float) -> FloatArray:
    """Return half the plume's width: it blooms, then spreads slowly."""
    bloom = 1.0 - np.exp(-back / np.float32(strip.length * uniform(rng, 0.2, 1.2)))
    tip = strip.beam * uniform(rng, 0.25, 0.5)
    half = np.float32(tip) + np.float32(widest - tip) * bloom + back * np.float32(uniform(rng, 0.0, 0.12))
    return np.asarray(np.maximum(half, 0.8), np.float32)


def _texture(rng: Rng, strip: Strip, back: FloatArray, half: FloatArray) -> FloatArray:
    """Return factors about 1 that grow with the distance from the tip."""
    kind = choose(rng, TEXTURES)
    rows, cols = back.shape
    begins = np.clip(back / np.float32(strip.length * uniform(rng, 0.1, 1.0)), 0.0, 1.0)
    if kind == "hollow":
        inner = np.exp(-((strip.aside / (half * np.float32(uniform(rng, 0.35, 0.65)))) ** 2))
        return np.asarray(1.0 - np.float32(uniform(rng, 0.4, 0.95)) * inner * begins, np.float32)
    torn = fractal_noise(rng, (rows, cols), uniform(rng, 4.0, 12.0), octaves=3, gain=0.7) * np.float32(0.3)
    if kind == "rays":
        # Noise over the place between the two edges: its lines run along the plume and spread with it.
        stretch = np.float32(log_uniform(rng, 2.0, 14.0))
        lines = fractal_noise(rng, (math.ceil(rows / stretch) + 1, 64), uniform(rng, 3.0, 8.0), octaves=3, gain=0.7)
        lines_at = (strip.aside / half * np.float32(16.0) + np.float32(32.0), strip.astern / stretch)
        torn += cv2.remap(lines, *lines_at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) * np.float32(
            uniform(rng, 0.2, 0.7)
        )
    strength = uniform(rng, 0.1, 0.6) if kind == "even" else 1.0
    return np.asarray(np.clip(1.0 + np.float32(strength) * begins * torn, 0.05, 2.0), np.float32)
