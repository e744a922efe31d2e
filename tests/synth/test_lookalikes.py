"""Objects that resemble boats differ from those that real annotators would have labelled."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from shipseg.synth.paint import sea, wakes
from shipseg.synth.paint.board import Pose
from shipseg.synth.paint.canvas import Canvas, draw_sun
from shipseg.synth.paint.land import draw_groynes
from shipseg.synth.paint.town import build_suburb

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


def test_the_ship_of_an_orphan_wake_is_outside_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
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


def shore(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ground, alpha and field of a straight coast: land in the upper 60 rows."""
    field = np.repeat(60.0 - np.arange(side, dtype=np.float32)[:, None] - 0.5, side, axis=1)
    return np.full((side, side, 3), 120, np.uint8), (field > 0).astype(np.uint8) * 255, field


def test_groynes_run_from_the_shore_into_the_water() -> None:
    single, several, longest = 0, 0, 0
    for seed in range(40):
        rgb, alpha, field = shore(320)
        draw_groynes(np.random.default_rng(seed), rgb, alpha, field)
        stones = (alpha > 127) & (field <= 0)
        rows = np.flatnonzero(stones.any(axis=1))
        if len(rows):
            assert rows[0] == 60  # they begin where the land ends
            assert (rgb[stones] != 120).any(axis=-1).mean() > 0.9
        count = cv2.connectedComponents((stones & (np.arange(320)[:, None] < 70)).astype(np.uint8))[0] - 1
        single, several = single + (count == 1), several + (count > 2)
        longest = max(longest, len(rows))
    assert single >= 10
    assert several >= 5
    assert 40 <= longest <= 100


def test_an_image_without_a_shore_has_no_groynes() -> None:
    rgb, alpha = np.full((64, 64, 3), 120, np.uint8), np.zeros((64, 64), np.uint8)
    draw_groynes(np.random.default_rng(0), rgb, alpha, np.full((64, 64), -30.0, np.float32))
    assert (rgb == 120).all()
    assert not alpha.any()


def test_a_suburb_is_rows_of_houses_on_free_ground_only() -> None:
    ratios = []
    for seed in range(8):
        rgb, free = np.full((200, 200, 3), (60, 90, 50), np.uint8), np.ones((200, 200), bool)
        free[:, 120:] = False
        build_suburb(np.random.default_rng(seed), rgb, sun=SUN, free_hw=free, angle=0.0)
        assert (rgb[~free] == (60, 90, 50)).all()
        built = (rgb[:, :120] != (60, 90, 50)).any(axis=-1)
        assert 0.4 < built.mean() < 1.0
        grey = rgb[:, :120].mean(axis=-1)
        ratios.append(grey.mean(axis=1).std() / grey.mean(axis=0).std())
    # Streets run along the angle: rows of pixels differ from each other more than columns do.
    assert np.median(ratios) > 1.5


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_crumbs_of_glare_on_black_water_are_as_large_as_boats(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sea, "CRUMBS_SHARE", share)
    monkeypatch.setattr(
        sea, "even_noise", lambda _rng, shape, bands=0, **_: np.ones((*shape, *[bands] * (bands > 0)))
    )  # no points
    sizes: list[int] = []
    for seed in range(12):
        rng, canvas = np.random.default_rng(seed), Canvas.blank((256, 256), sun=SUN, wind_rad=0.3)
        sea.paint_dark_glitter(rng, canvas, np.full((256, 256), -9.0, np.float32))  # no patches
        bright = (canvas.rgb_hwc.min(axis=2) > 50).astype(np.uint8)
        sizes += cv2.connectedComponentsWithStats(bright, connectivity=8)[2][1:, cv2.CC_STAT_AREA].tolist()
    assert (sum(10 <= size <= 200 for size in sizes) > 100) == bool(share)
    assert max(sizes, default=0) < (2000 if share else 1)
