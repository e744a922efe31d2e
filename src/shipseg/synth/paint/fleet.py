"""Placing ships: free on open water, rafted side by side, along berths, in marinas, at anchor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from shipseg.synth.distributions import SHIPS_PER_IMAGE, Rng, chance, choose, log_uniform, uniform
from shipseg.synth.paint.board import Pose
from shipseg.synth.paint.canvas import Berth, Canvas
from shipseg.synth.paint.ships import LabelStyle, ShipSize, draw_size, paint_ship
from shipseg.synth.paint.wakes import COMETS_SHORTER_PX, paint_comet, paint_wake

__all__ = ["draw_num_ships", "place_anchorage", "place_fleet"]

RAFTED_SHARE = 0.38
"""Share of ships on open water with another one alongside (tugs, tenders, bunkering)."""
FLEET_SHARE = 0.45
"""Share of images with several ships whose ships have one size: fishing fleets, anchorages of barges, regattas."""
MOORED_SHARE = 0.75
"""Share of the ships of an image with berths that moor at a berth, if there is space."""
MORE_AT_BERTHS = 4
"""(eye) Largest number of additional ships in images with berths."""
LARGE_AT_BERTH_SHARE = 0.6
"""Share of moored ships that are drawn from those above 35 px: quays are built for them."""
BARGE_AT_BERTH_SHARE, BARGE_LONGER_PX = 0.25, 25.0
"""Share of moored ships above this length that are barges: they moor in rows at piers."""
LARGE_FREE_SHARE = 0.25
"""Share of ships on open water that are drawn from those above 45 px. Crowding, berths and rafts favour small ships;
this raises the median area of labels from 250 px towards the real 430 px."""
END_ON_SHARE, END_ON_PX = 0.3, (25.0, 75.0)
"""(eye) Share of quays at which barges moor side by side with one end to the quay, as boats do in marinas."""
COMET_SHARE = 0.6
"""(eye) Share of moving small craft that are visible only as the tip of their spray."""
DINGHY_SHARE, DINGHY_LONGEST_PX = 0.12, 9.0
"""(eye) Share of images with a fast boat of at most this length: a twentieth of the real labels, and the most
difficult ones."""
COMPANION_SHARE = 0.5
"""(eye) Share of the ships with companions that get one beyond the image's number of ships. Otherwise images of one
ship would never show a small vessel beside a large one, which networks confuse most; now 8 % of them do."""
IN_LINE_SHARE, TUG_PX = 0.3, (10.0, 30.0)
"""(eye) Share of companions at an end of a ship instead of its side. There, and behind moving barges, they are tugs and
are placed even if the image's number of ships is reached."""
PUSHED_SHARE, PUSHED_PX = 0.5, (20.0, 90.0)
"""(eye) Share of moving barges of these lengths (without spray over the hull) with a tug at the stern."""
IN_SPRAY_SHARE, IN_SPRAY_SHORTER_PX = 0.15, 80.0
"""(eye) Share of moving vessels, longer than comets, whose spray covers part of their own hull."""
TWINS_SHARE = 0.35
"""Share of rafts of ships of one size, aligned with each other: barges, tugs, fishing boats."""
MOVING_STRENGTH = 1.0
TRIES = 14
ANCHORED_SHORTEST_PX = 40.0
SWING_RAD = 0.15
"""Standard deviation of the heading of ships at anchor, which are all turned by the same wind and tide."""


@dataclass
class _Quota:
    """Number of ships still to place, and the kind of their labels."""

    remaining: int
    label: LabelStyle


def draw_num_ships(rng: Rng) -> int:
    """Return the number of ships of an image with ships."""
    return choose(rng, SHIPS_PER_IMAGE)


def place_fleet(rng: Rng, canvas: Canvas, num_ships: int, *, label: LabelStyle, middle_px: float | None = None) -> None:
    """Paint about `num_ships` ships: fewer without enough space, more with berths or companions.

    Args:
        rng: Random generator.
        canvas: Painted in place.
        num_ships: Number of ships.
        label: Kind of label.
        middle_px: Largest distance of the first ship from the centre of the image (rows and columns), so that every
            tile that contains the centre has a ship; None for no limit.
    """
    if canvas.berths:
        num_ships += int(rng.integers(MORE_AT_BERTHS + 1))
    quota = _Quota(num_ships, label)
    pattern = draw_size(rng) if num_ships > 1 and chance(rng, FLEET_SHARE) else None
    if middle_px is not None:
        _place_free(rng, canvas, quota, pattern, middle_px=middle_px)
    if canvas.berths:
        if num_ships >= 3 and chance(rng, END_ON_SHARE):
            barges = replace(draw_size(rng, shortest_px=END_ON_PX[0], longest_px=END_ON_PX[1]), kind="barge")
            _place_end_on(rng, canvas, quota, barges, gap_px=5.0)
        elif num_ships >= 4 and chance(rng, 0.25):
            _place_end_on(rng, canvas, quota, draw_size(rng, longest_px=16.0, shortest_px=5.0), gap_px=3.0)
        _place_moored(rng, canvas, quota)
    if quota.remaining > 0 and chance(rng, DINGHY_SHARE):
        _place_free(rng, canvas, quota, draw_size(rng, longest_px=DINGHY_LONGEST_PX), moving=True)
    for _ in range(num_ships):
        if quota.remaining > 0:
            _place_free(rng, canvas, quota, pattern)


def place_anchorage(rng: Rng, canvas: Canvas, num_ships: int, *, label: LabelStyle, heading_rad: float) -> None:
    """Paint about `num_ships` ships at anchor: mostly large, far apart, with similar headings, some with tenders.

    Args:
        rng: Random generator.
        canvas: Painted in place.
        num_ships: Number of ships, with companions alongside; tugs in line can exceed it.
        label: Kind of label.
        heading_rad: Direction of the bows, set by wind and tide, from x towards y.
    """
    quota = _Quota(num_ships, label)
    height, width = canvas.shape
    for _ in range(num_ships * TRIES):
        if quota.remaining <= 0:
            return
        size = draw_size(rng, shortest_px=ANCHORED_SHORTEST_PX if chance(rng, 0.8) else None)
        turned = heading_rad + rng.normal(0.0, SWING_RAD)
        pose = Pose(uniform(rng, 0, width), uniform(rng, 0, height), turned)
        if _is_free(canvas, pose, size.length_px, size.beam_px, gap=0.4 * size.length_px):
            _paint(rng, canvas, quota, size, pose)
            if chance(rng, RAFTED_SHARE):
                _place_companions(rng, canvas, quota, size, pose)


def _is_free(canvas: Canvas, pose: Pose, length: float, beam: float, *, gap: float) -> bool:
    """Return whether the rectangle, `gap` pixels wider on each side, touches no blocked pixel inside the image."""
    u = np.linspace(-0.5, 0.5, max(3, int(length / 3)) + 1) * (length + 2 * gap)
    v = np.linspace(-0.5, 0.5, max(3, int(beam / 2)) + 1) * (beam + 2 * gap)
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    cols, rows = np.floor(pose.to_image(grid)).astype(np.int64).T
    height, width = canvas.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    return bool(inside.any()) and not canvas.blocked_hw[rows[inside], cols[inside]].any()


def _similar(rng: Rng, pattern: ShipSize, *, spread: float = 0.16) -> ShipSize:
    """Return a ship of the same kind and nearly the same size."""
    factor = math.exp(rng.normal(0.0, spread))
    return replace(pattern, length_px=max(2.4, pattern.length_px * factor), beam_px=max(1.3, pattern.beam_px * factor))


def _paint(rng: Rng, canvas: Canvas, quota: _Quota, size: ShipSize, pose: Pose) -> None:
    paint_ship(rng, canvas, size, pose, label=quota.label)
    quota.remaining -= 1


def _wake_strength(rng: Rng, length: float) -> float:
    """Return the strength of a ship's wake, 0 at anchor; small craft move more often and have more foam."""
    if not chance(rng, 0.74 if length < 18 else 0.65 if length < 45 else 0.3):
        return 0.0
    return log_uniform(rng, 0.3, 1.7) if length < 60 else log_uniform(rng, 0.1, 0.9)


def _place_free(
    rng: Rng,
    canvas: Canvas,
    quota: _Quota,
    pattern: ShipSize | None,
    *,
    middle_px: float | None = None,
    moving: bool = False,
) -> None:
    """Place one ship at random on free water, moving (always, or by chance) or at anchor, sometimes with companions."""
    height, width = canvas.shape
    heading = uniform(rng, 0, 2 * math.pi)
    shortest = 45.0 if chance(rng, LARGE_FREE_SHARE) else None
    size = draw_size(rng, shortest_px=shortest) if pattern is None else _similar(rng, pattern)
    for attempt in range(TRIES):  # the same ship at another position: drawing another size would favour small ones
        if attempt > TRIES // 2 and size.length_px > 40:
            size = draw_size(rng, longest_px=40)
        if middle_px is None:
            out = min(0.25 * size.length_px, 30.0)  # some ships are cut by the border
            x, y = uniform(rng, -out, width + out), uniform(rng, -out, height + out)
        else:
            x, y = width / 2 + uniform(rng, -middle_px, middle_px), height / 2 + uniform(rng, -middle_px, middle_px)
        pose = Pose(x, y, heading + rng.normal(0.0, 0.5))
        if not _is_free(canvas, pose, size.length_px, size.beam_px, gap=2.0 + 0.05 * size.length_px):
            continue
        strength = MOVING_STRENGTH if moving else _wake_strength(rng, size.length_px)
        comet = strength > 0 and _in_spray(rng, size.length_px)
        if strength > 0 and not comet:
            paint_wake(rng, canvas, pose, length=size.length_px, beam=size.beam_px, strength=strength)
        _paint(rng, canvas, quota, size, pose)
        if comet:
            paint_comet(rng, canvas, pose, length=size.length_px, beam=size.beam_px)
        else:
            _accompany(rng, canvas, quota, size, pose, moving=strength > 0)
        return


def _accompany(rng: Rng, canvas: Canvas, quota: _Quota, size: ShipSize, pose: Pose, *, moving: bool) -> None:
    """Place, by chance, a tug behind a moving barge or companions at a ship at anchor."""
    if moving:
        pushed = size.kind == "barge" and PUSHED_PX[0] < size.length_px < PUSHED_PX[1]
        if pushed and chance(rng, PUSHED_SHARE):
            _place_in_line(rng, canvas, quota, size, pose, end=-1.0)
    elif size.length_px > 14 and chance(rng, RAFTED_SHARE):
        if quota.remaining == 0 and chance(rng, COMPANION_SHARE):
            quota.remaining = 1
        _place_companions(rng, canvas, quota, size, pose)


def _in_spray(rng: Rng, length: float) -> bool:
    """Return, by chance, whether spray covers part of a moving hull."""
    share = COMET_SHARE if length < COMETS_SHORTER_PX else IN_SPRAY_SHARE if length < IN_SPRAY_SHORTER_PX else 0.0
    return chance(rng, share)


def _place_companions(rng: Rng, canvas: Canvas, quota: _Quota, host: ShipSize, pose: Pose) -> None:
    """Place ships alongside a ship, or a tug at one of its ends."""
    if chance(rng, IN_LINE_SHARE):
        _place_in_line(rng, canvas, quota, host, pose, end=1.0 if chance(rng, 0.5) else -1.0)
    else:
        _place_alongside(rng, canvas, quota, host, pose)


def _place_in_line(rng: Rng, canvas: Canvas, quota: _Quota, host: ShipSize, pose: Pose, *, end: float) -> None:
    """Place a tug ahead of (`end` 1) or behind (-1) a ship, nearly touching, independent of the quota."""
    size = draw_size(rng, shortest_px=TUG_PX[0], longest_px=min(TUG_PX[1], max(12.0, host.length_px)))
    size = replace(size, kind="workboat")
    gap = max(0.0, host.margin_px) + max(0.0, size.margin_px) + uniform(rng, 0.2, 2.5)
    along = end * (host.length_px / 2 + gap + size.length_px / 2)
    aside = uniform(rng, -0.25, 0.25) * max(0.0, host.beam_px - size.beam_px)
    x, y = pose.to_image(np.array([(along, aside)]))[0]
    in_line = Pose(float(x), float(y), pose.heading_rad + rng.normal(0.0, 0.05))
    if _is_free(canvas, in_line, size.length_px - 1.0, size.beam_px, gap=0.0):
        _paint(rng, canvas, quota, size, in_line)


def _place_alongside(rng: Rng, canvas: Canvas, quota: _Quota, host: ShipSize, pose: Pose) -> None:
    """Place one to three smaller or equal ships alongside a ship, nearly touching."""
    side = 1.0 if chance(rng, 0.5) else -1.0
    offset, margin = host.beam_px / 2, max(0.0, host.margin_px)
    twins = chance(rng, TWINS_SHARE)
    for _ in range(int(rng.integers(1, 4))):
        longest = host.length_px * log_uniform(rng, 0.3, 1.3)
        size = _similar(rng, host, spread=0.04) if twins else draw_size(rng, longest_px=longest)
        # The gap is between labels, which are wider than large hulls: touching labels would teach no gap.
        offset += margin + max(0.0, size.margin_px) + uniform(rng, 0.2, 2.0) + size.beam_px / 2
        along = uniform(rng, -0.5, 0.5) * max(host.length_px - size.length_px, 0.1 * host.length_px)
        x, y = pose.to_image(np.array([(along, side * offset)]))[0]
        turned = math.pi if chance(rng, 0.5) else 0.0
        beside = Pose(float(x), float(y), pose.heading_rad + turned + rng.normal(0.0, 0.03))
        if quota.remaining <= 0 or not _is_free(canvas, beside, size.length_px, size.beam_px - 2.0, gap=0.0):
            return
        _paint(rng, canvas, quota, size, beside)
        offset, margin = offset + size.beam_px / 2, max(0.0, size.margin_px)


def _place_moored(rng: Rng, canvas: Canvas, quota: _Quota) -> None:
    """Place ships along the berths, bow to stern, sometimes two abreast, up to the share of moored ships."""
    wanted = quota.remaining - round(quota.remaining * (1.0 - MOORED_SHARE) * rng.random() * 2)
    for k in rng.permutation(len(canvas.berths)):
        berth = canvas.berths[int(k)]
        span = math.dist(berth.start_xy, berth.end_xy)
        angle = math.atan2(berth.end_xy[1] - berth.start_xy[1], berth.end_xy[0] - berth.start_xy[0])
        at = uniform(rng, 1.0, 12.0)
        while at < span and wanted > 0 and quota.remaining > 0:
            free_px = max(8.0, span - at)
            large = free_px > 60 and chance(rng, LARGE_AT_BERTH_SHARE)
            size = draw_size(rng, longest_px=free_px, shortest_px=35.0 if large else None)
            if size.length_px > BARGE_LONGER_PX and chance(rng, BARGE_AT_BERTH_SHARE):
                size = replace(size, kind="barge")
            offset = size.beam_px / 2 + uniform(rng, 0.3, 2.2)
            pose = _berth_pose(berth, at + size.length_px / 2, offset, angle + (math.pi if chance(rng, 0.5) else 0.0))
            if _is_free(canvas, pose, size.length_px, size.beam_px - 1.0, gap=0.0):
                _paint(rng, canvas, quota, size, pose)
                wanted -= 1
                if chance(rng, 0.3):
                    _place_alongside(rng, canvas, quota, size, pose)
            at += size.length_px + log_uniform(rng, 1.0, 40.0)


def _berth_pose(berth: Berth, at: float, offset: float, heading_rad: float) -> Pose:
    span = math.dist(berth.start_xy, berth.end_xy)
    x, y = (
        start + (end - start) * at / span + out * offset
        for start, end, out in zip(berth.start_xy, berth.end_xy, berth.outward_xy, strict=True)
    )
    return Pose(x, y, heading_rad)


def _place_end_on(rng: Rng, canvas: Canvas, quota: _Quota, pattern: ShipSize, *, gap_px: float) -> None:
    """Place ships similar to `pattern` side by side, bow or stern to a berth, up to `gap_px` apart."""
    berth = canvas.berths[int(rng.integers(len(canvas.berths)))]
    span = math.dist(berth.start_xy, berth.end_xy)
    outward = math.atan2(berth.outward_xy[1], berth.outward_xy[0])
    at = uniform(rng, 2.0, 10.0)
    while at < span and quota.remaining > 0:
        size = _similar(rng, pattern)
        pose = _berth_pose(
            berth, at, size.length_px / 2 + uniform(rng, 0.5, 1.5), outward + (math.pi if chance(rng, 0.4) else 0.0)
        )
        if chance(rng, 0.8) and _is_free(canvas, pose, size.length_px - 1, size.beam_px - 0.6, gap=0.0):
            _paint(rng, canvas, quota, size, pose)
        at += size.beam_px + uniform(rng, 0.8, gap_px)
