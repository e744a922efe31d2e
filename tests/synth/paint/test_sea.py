"""Glitter on black water: patches and points, black elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shipseg.synth.paint import sea
from shipseg.synth.paint.canvas import Canvas, draw_sun
from shipseg.synth.paint.fields import wave_field
from shipseg.synth.paint.sea import paint_dark_glitter


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


def test_lone_points_lie_far_from_the_patches() -> None:
    found = 0
    for seed in range(24):
        grey = _painted(seed).rgb_hwc.mean(axis=2)
        lit = (grey > 60.0).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=8)
        found += int((stats[1:, cv2.CC_STAT_AREA] <= 9).sum() >= 3)
    assert found >= 6


def test_the_sea_colour_of_the_canvas_is_black() -> None:
    assert _painted(3).sea_rgb.max() <= 5.0


def test_a_share_of_the_images_has_glitter_on_black_water(monkeypatch: pytest.MonkeyPatch) -> None:
    medians = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(sea, "DARK_GLITTER_SHARE", share)
        rng = np.random.default_rng(11)
        canvas = Canvas.blank((128, 128), sun=draw_sun(rng), wind_rad=0.3)
        sea.paint_sea(rng, canvas)
        medians.append(float(np.median(canvas.rgb_hwc)))
    assert medians[1] < 6.0 < medians[0]
