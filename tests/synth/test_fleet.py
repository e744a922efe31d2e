"""Where ships lie: rows with one end to a quay."""

from __future__ import annotations

import itertools
import math
from unittest import mock

import numpy as np

from shipseg.synth import fleet
from shipseg.synth.canvas import Berth, Canvas, draw_sun


def _at_a_quay(seed: int, num_ships: int) -> Canvas:
    """A quay along the upper edge, and nothing but berths to lie at."""
    rng = np.random.default_rng(seed)
    canvas = Canvas.blank((300, 300), sun=draw_sun(rng), wind_rad=0.0)
    canvas.rgb_hwc[:] = 40.0
    canvas.blocked_hw[:40] = True
    canvas.berths.append(Berth((0.0, 40.0), (300.0, 40.0), (0.0, 1.0)))
    with mock.patch.object(fleet, "END_ON_SHARE", 1.0), mock.patch.object(fleet, "MOORED_SHARE", 0.0):
        fleet.place_fleet(rng, canvas, num_ships, label="rectangle")
    return canvas


def test_barges_lie_in_rows_with_one_end_to_the_quay() -> None:
    canvas = _at_a_quay(4, 6)
    rows = [ship for ship in canvas.ships if ship.kind == "barge" and abs(math.cos(ship.heading_rad)) < 0.01]
    assert len(rows) >= 3
    for ship in rows:
        assert ship.y - ship.length_px / 2 < 43.0, "not at the quay"
    columns = sorted((ship.x, ship.beam_px) for ship in rows)
    for (x, beam), (next_x, next_beam) in itertools.pairwise(columns):
        assert next_x - x > (beam + next_beam) / 2 - 1.5, "hulls overlap"


def test_more_ships_come_where_there_are_berths() -> None:
    counts = [_at_a_quay(seed, 3).num_ships for seed in range(12)]
    assert max(counts) > 3
