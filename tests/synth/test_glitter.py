"""Glitter on black water: patches and points, black elsewhere, whatever water was there before."""

from __future__ import annotations

import numpy as np

from shipseg.synth.canvas import Canvas, draw_sun
from shipseg.synth.fields import wave_field
from shipseg.synth.glitter import paint_dark_glitter


def _painted(seed: int) -> Canvas:
    rng = np.random.default_rng(seed)
    canvas = Canvas.blank((256, 256), sun=draw_sun(rng), wind_rad=0.3)
    canvas.rgb_hwc[:] = 90.0
    paint_dark_glitter(rng, canvas, wave_field(rng, canvas.shape, canvas.wind_rad))
    return canvas


def test_most_of_the_water_is_black_and_some_of_it_glares() -> None:
    grey = np.stack([_painted(seed).rgb_hwc.mean(axis=2) for seed in range(24)])
    black = (grey < 12.0).mean(axis=(1, 2))
    assert np.median(black) > 0.7
    assert (grey.max(axis=(1, 2)) > 100.0).mean() > 0.8
    assert grey.min() >= 0.0


def test_a_canvas_knows_that_its_water_is_black_now_and_carries_no_label() -> None:
    canvas = _painted(3)
    assert canvas.sea_rgb.max() <= 5.0
    assert not canvas.coverage_hw.any()
    assert not canvas.blocked_hw.any()
