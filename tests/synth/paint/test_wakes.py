"""Comets: spray over a small boat and behind it, never ahead of it, never in a label."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shipseg.synth.paint import wakes
from shipseg.synth.paint.board import Pose
from shipseg.synth.paint.canvas import Canvas, draw_sun
from shipseg.synth.paint.wakes import COMETS_SHORTER_PX, paint_comet


def _canvas(side: int = 240) -> Canvas:
    canvas = Canvas.blank((side, side), sun=draw_sun(np.random.default_rng(0)), wind_rad=0.0)
    canvas.rgb_hwc[:] = 30.0
    return canvas


@pytest.mark.parametrize("seed", range(12))
def test_spray_lies_behind_the_bow_and_touches_no_label(seed: int) -> None:
    rng = np.random.default_rng(seed)
    canvas = _canvas()
    heading = float(rng.uniform(0.0, 2.0 * math.pi))
    length = float(rng.uniform(5.0, COMETS_SHORTER_PX))
    paint_comet(rng, canvas, Pose(120.0, 120.0, heading), length=length, beam=length / [1.0, 2.5][seed % 2])
    light = canvas.rgb_hwc.mean(axis=2) - 30.0
    y, x = np.mgrid[:240, :240] + 0.5
    ahead = (x - 120.0) * math.cos(heading) + (y - 120.0) * math.sin(heading)  # of the middle, in pixels
    assert light.max() > 20.0
    assert light[ahead > length / 2 + 0.15 * length + 2.0].max() < 1.0
    assert light[ahead < -length / 2].sum() > 0.3 * light.sum()
    assert not canvas.coverage_hw.any()


def test_the_spray_of_a_small_boat_is_longer_than_the_boat() -> None:
    """A network without such training data detects a ship several times as long."""
    lit = []
    for seed in range(30):
        canvas = _canvas()
        paint_comet(np.random.default_rng(seed), canvas, Pose(120.0, 120.0, 0.0), length=8.0, beam=4.0)
        lit.append(int((canvas.rgb_hwc.mean(axis=2) > 45.0).sum()))
    assert np.median(lit) > 4 * 8.0 * 4.0


def _width(seed: int, *, length: float, beam: float, astern: float) -> float:
    """Return the width of the foam in pixels at a distance behind the bow."""
    canvas = _canvas()
    paint_comet(np.random.default_rng(seed), canvas, Pose(120.0, 120.0, 0.0), length=length, beam=beam)
    column = canvas.rgb_hwc[:, int(120 + length / 2 - astern)].mean(axis=1) - 30.0
    return float((column > 0.3 * max(column.max(), 15.0)).sum())


def test_the_width_of_some_plumes_does_not_depend_on_the_boat(monkeypatch: pytest.MonkeyPatch) -> None:
    wider = []
    for share in (1.0, 0.0):
        monkeypatch.setattr(wakes, "OWN_WIDTH_SHARE", share)
        slim, broad = (
            np.mean([_width(seed, length=10.0, beam=beam, astern=25.0) for seed in range(40)]) for beam in (2.5, 6.0)
        )
        wider.append(float(broad / slim))
    assert wider[0] < 1.2
    assert wider[1] > 1.35
