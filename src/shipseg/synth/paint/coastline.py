"""The coast of a large scene: one irregular line through all its windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shipseg.synth.distributions import Rng, chance, log_uniform, uniform
from shipseg.synth.endless_noise import PlacedRng
from shipseg.synth.paint.canvas import Canvas
from shipseg.synth.paint.fields import FloatArray, blurred, fractal_noise
from shipseg.synth.paint.land import (
    LandLayer,
    distance_px,
    draw_ground,
    lay_land,
    paint_beach,
    paint_nearshore,
    paint_surf,
)
from shipseg.synth.paint.town import build_town

__all__ = ["COARSE_STEP_PX", "Coastline", "paint_coastline"]

COARSE_STEP_PX = 32
"""Step of the coarse heights that a scene is planned with."""
_LARGEST_PX = 6000
"""The size of bays and capes grows with the scene up to this side."""
_FADE_FROM_PX, _FADE_PX = 110.0, 8.0
"""Distance from the shore at which its effects on the water fade out: a window has no land beyond its margin."""


@dataclass(frozen=True)
class Coastline:
    """The land of a scene, where the height is above 0.

    Attributes:
        key: Key of the random numbers.
        shape: (height, width) of the scene at 1.5 m per pixel.
        level: Sea level, subtracted from the height.
    """

    key: tuple[int, ...]
    shape: tuple[int, int]
    level: float = 0.0

    @classmethod
    def draw(cls, key: tuple[int, ...], shape: tuple[int, int], *, land_share: float) -> Coastline:
        """Return a random coast with about this share of land, 0-1."""
        line = cls(key, shape)
        return cls(key, shape, float(np.quantile(line.coarse_height(), 1.0 - land_share)))

    def coarse_height(self) -> FloatArray:
        """Return the height of the whole scene at every `COARSE_STEP_PX`th pixel, float32."""
        size = (-(-self.shape[0] // COARSE_STEP_PX), -(-self.shape[1] // COARSE_STEP_PX))
        return self.height((0, 0), size, step=COARSE_STEP_PX)

    def height(self, origin_rc: tuple[int, int], shape: tuple[int, int], *, step: int = 1) -> FloatArray:
        """Return the height in a window in pixels, (H, W) float32: about the distance to the shore."""
        rng = PlacedRng(self.key, origin_rc=origin_rc, step=step)
        side = float(min(max(self.shape), _LARGEST_PX))
        angle, rough = uniform(rng, 0, 2 * math.pi), log_uniform(rng, 0.03, 0.12) * side
        wavelength, gain = log_uniform(rng, 0.2, 0.6) * side, uniform(rng, 0.42, 0.58)
        ragged = fractal_noise(rng, shape, wavelength, octaves=8, gain=gain)
        rows = origin_rc[0] + np.arange(shape[0]) * step
        cols = origin_rc[1] + np.arange(shape[1]) * step
        line = (cols * math.cos(angle))[None, :] + (rows * math.sin(angle))[:, None]
        return np.asarray(line - self.level, np.float32) + ragged * np.float32(rough)


def paint_coastline(
    rng: PlacedRng,
    canvas: Canvas,
    coastline: Coastline,
    *,
    town_rng: Rng,
    town_part: tuple[slice, slice],
    fade: FloatArray,
) -> None:
    """Paint the coast in a window: shallows and surf, a beach or rocks, ground, perhaps a village.

    Args:
        rng: Random generator of the scene, at the position of the window.
        canvas: Painted in place.
        coastline: The land of the scene.
        town_rng: Random generator of this window only.
        town_part: Rows and columns in which the village of this window may be.
        fade: (h, w) 0-1, opacity of the village in these rows and columns.
    """
    field = coastline.height(rng.origin_rc, canvas.shape)
    land = (field > 0).astype(np.uint8)
    inland, offshore = distance_px(land), distance_px(1 - land)
    offshore += np.maximum(offshore - np.float32(_FADE_FROM_PX), 0) ** 2 / np.float32(_FADE_PX)
    paint_nearshore(rng, canvas, offshore)
    rgb, base = draw_ground(rng, canvas.shape, parcels=False)
    if chance(rng, 0.8):
        density, angle = log_uniform(rng, 0.05, 1.0), uniform(rng, 0, math.pi)
        ground = rgb[town_part]
        built = ground.copy()
        free = inland[town_part] > 14
        if free.any():
            build_town(town_rng, built, base, sun=canvas.sun, density=density, free_hw=free, angle=angle)
        ground[:] = np.rint(ground + (built.astype(np.float32) - ground) * fade[..., None]).astype(np.uint8)
    paint_beach(rng, rgb, inland)
    alpha = np.clip(blurred(land.astype(np.float32) * 255.0, 0.7), 0, 255).astype(np.uint8)
    lay_land(rng, canvas, LandLayer(rgb, alpha), height_px=uniform(rng, 0.0, 2.0))
    if chance(rng, 0.6):
        paint_surf(rng, canvas, offshore, land)
