"""Placing ships: rows with one end to a quay, rafts, companions, fast dinghies."""

from __future__ import annotations

import itertools
import math
from typing import Any
from unittest import mock

import numpy as np

from shipseg.synth.distributions import LengthMixture
from shipseg.synth.paint import fleet, ships
from shipseg.synth.paint.canvas import Berth, Canvas, PlacedShip, draw_sun


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


def _on_open_water(seed: int, num_ships: int, **shares: Any) -> Canvas:
    rng = np.random.default_rng(seed)
    canvas = Canvas.blank((400, 400), sun=draw_sun(rng), wind_rad=0.0)
    canvas.rgb_hwc[:] = 40.0
    canvas.sea_rgb[:] = 40.0
    with mock.patch.multiple(fleet, **shares):
        fleet.place_fleet(rng, canvas, num_ships, label="rectangle")
    return canvas


AT_ANCHOR_WITH_COMPANIONS: dict[str, Any] = {
    "RAFTED_SHARE": 1.0,
    "DINGHY_SHARE": 0.0,
    "_wake_strength": lambda _rng, _length: 0.0,
}


def _ahead_and_aside(host: PlacedShip, other: PlacedShip) -> tuple[float, float]:
    """Return where another ship's middle lies, in the host's own direction and across it, in pixels."""
    dx, dy = other.x - host.x, other.y - host.y
    cos, sin = math.cos(host.heading_rad), math.sin(host.heading_rad)
    return dx * cos + dy * sin, -dx * sin + dy * cos


def test_tugs_lie_at_an_end_of_ships_with_water_between_the_labels() -> None:
    gaps = []
    for seed in range(20):
        canvas = _on_open_water(seed, 2, IN_LINE_SHARE=1.0, **AT_ANCHOR_WITH_COMPANIONS)
        if len(canvas.ships) == 2 and canvas.ships[1].kind == "workboat":
            host, tug = canvas.ships
            ahead, aside = _ahead_and_aside(host, tug)
            if abs(ahead) < 0.75 * host.length_px + tug.length_px:
                assert abs(aside) < host.beam_px / 2 + 1.0
                between_hulls = abs(ahead) - (host.length_px + tug.length_px) / 2
                gaps.append(between_hulls - max(0.0, host.margin_px) - max(0.0, tug.margin_px))
    assert len(gaps) > 5
    assert min(gaps) > 0.1


def test_the_only_ship_of_an_image_may_have_a_companion() -> None:
    def counts(share: float) -> list[int]:
        return [
            _on_open_water(seed, 1, COMPANION_SHARE=share, IN_LINE_SHARE=0.0, **AT_ANCHOR_WITH_COMPANIONS).num_ships
            for seed in range(12)
        ]

    assert set(counts(0.0)) == {1}
    assert 2 in counts(1.0)


def test_moving_barges_are_pushed_by_a_tug_behind_them() -> None:
    barge = ships.ShipSize("barge", 60.0, 12.0, 0.0)
    size_of: dict[str, Any] = {"_wake_strength": lambda _rng, _length: 1.0, "_in_spray": lambda _rng, _length: False}
    pushed = 0
    for seed in range(12):
        with mock.patch.object(fleet, "draw_size", side_effect=[barge, barge, barge, barge]):
            canvas = _on_open_water(seed, 1, PUSHED_SHARE=1.0, DINGHY_SHARE=0.0, **size_of)
        if len(canvas.ships) == 2:
            pushed += 1
            assert _ahead_and_aside(*canvas.ships)[0] < -60.0
    assert pushed > 5


def test_labels_of_ships_side_by_side_leave_water_between_them_beside_large_ones_too() -> None:
    large = LengthMixture(0.0, 200.0, 0.1, 200.0, 0.1, 160.0, 240.0)
    gaps = []
    for seed in range(20):
        with mock.patch.object(ships, "LABEL_LENGTH", large):
            canvas = _on_open_water(seed, 2, TWINS_SHARE=1.0, IN_LINE_SHARE=0.0, **AT_ANCHOR_WITH_COMPANIONS)
        if len(canvas.ships) == 2 and abs(math.sin(canvas.ships[0].heading_rad - canvas.ships[1].heading_rad)) < 0.1:
            first, second = canvas.ships
            _, across = _ahead_and_aside(first, second)
            gaps.append(abs(across) - (first.beam_px + second.beam_px) / 2)
    assert len(gaps) > 8
    assert min(gaps) > 1.5, "labels are 0.5 to 2.1 px wider on each side than hulls of this length"


def test_a_dinghy_at_speed_is_one_of_the_ships() -> None:
    fleets = [_on_open_water(seed, 3, DINGHY_SHARE=1.0, RAFTED_SHARE=0.0).ships for seed in range(8)]
    shortest = [min(ship.length_px for ship in fleet_of_one) for fleet_of_one in fleets]
    assert max(shortest) < 1.6 * fleet.DINGHY_LONGEST_PX, "sizes vary a little"
    assert all(len(fleet_of_one) <= 3 for fleet_of_one in fleets)
