"""What looks like a boat and is none stays unlike boats where real annotators would have labelled it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from shipseg.synth import sea, wakes
from shipseg.synth.board import Pose
from shipseg.synth.canvas import Canvas, draw_sun

SUN = draw_sun(np.random.default_rng(0))


def test_whitecaps_are_hardly_ever_solid_bright_spots_as_large_as_boats(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in vars(sea) if name.endswith("_SHARE")]:
        monkeypatch.setattr(sea, name, 1.0 if name == "WHITECAP_SHARE" else 0.0)
    spots, solid = 0, 0
    for seed in range(80):
        rng, canvas = np.random.default_rng(seed), Canvas.blank((256, 256), sun=SUN, wind_rad=0.3)
        sea.paint_sea(rng, canvas)
        grey = canvas.rgb_hwc.mean(axis=2)
        around = cv2.medianBlur(np.clip(grey, 0, 255).astype(np.uint8), 25)
        bright = (grey - around > 60).astype(np.uint8)
        areas = cv2.connectedComponentsWithStats(bright, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
        if len(areas) <= 60:  # else the whole sea is rough
            spots, solid = spots + len(areas), solid + int((areas >= 20).sum())
    assert spots > 600
    assert solid < 0.012 * spots


def test_a_wake_without_a_ship_comes_in_over_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Pose, float]] = []
    paint = wakes.paint_wake

    def watched(rng: np.random.Generator, canvas: Canvas, pose: Pose, **how: float) -> None:
        drawn.append((pose, how["length"]))
        paint(rng, canvas, pose, **how)

    monkeypatch.setattr(wakes, "paint_wake", watched)
    seen = 0
    for seed in range(60):
        canvas = Canvas.blank((200, 200), sun=SUN, wind_rad=0.0)
        canvas.rgb_hwc[:] = 30.0
        wakes.paint_orphan_wake(np.random.default_rng(seed), canvas)
        seen += int((canvas.rgb_hwc > 33.0).any())
        ((pose, length),) = drawn
        drawn.clear()
        step_x, step_y = math.cos(pose.heading_rad), math.sin(pose.heading_rad)
        for ahead in (-length / 2, 0.0, length / 2):  # stern, middle and bow
            x, y = pose.x + ahead * step_x, pose.y + ahead * step_y
            assert not (0 <= x < 200 and 0 <= y < 200)
    assert seen > 45
