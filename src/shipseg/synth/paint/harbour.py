"""Harbours: quays with corners and basins, piers, jetties on piles, breakwaters, cranes; and their berths."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import Color, Rng, chance, log_uniform, pick, shaded, tinted, uniform
from shipseg.synth.paint.canvas import FIXED_BITS, Berth, Canvas, fixed_point, oriented_box, paint_polygon
from shipseg.synth.paint.fields import FloatArray, fractal_noise
from shipseg.synth.paint.land import LandLayer, distance_px, draw_ground, lay_land
from shipseg.synth.paint.town import build_container_yard, build_halls, build_tanks, build_town, scatter_things

__all__ = ["paint_harbour", "paint_jetty", "paint_terminal"]

CONCRETE: tuple[Color, ...] = (
    (158, 150, 136),
    (130, 125, 117),
    (180, 172, 154),
    (108, 104, 98),
    (168, 150, 120),
    (88, 86, 84),
)


def paint_harbour(rng: Rng, canvas: Canvas) -> None:
    """Paint a harbour: a stepped quay across the image, an apron, yards and sheds behind it, piers in front of it."""
    angle = uniform(rng, 0, 2 * math.pi)
    corners = _quay_line(rng, canvas.shape, angle)
    _build(rng, canvas, corners, _closed_behind(corners, canvas.shape, angle), angle)


def paint_terminal(
    rng: Rng, canvas: Canvas, *, middle_xy: tuple[float, float], angle: float, along_px: float, depth_px: float
) -> None:
    """Paint a harbour of limited size on a coast: a stepped quay, and a platform behind it.

    Args:
        rng: Random generator.
        canvas: Painted in place.
        middle_xy: Centre of the quay.
        angle: Direction of the quay; the water is on its right.
        along_px: Length of the quay.
        depth_px: Depth of the platform behind the quay.
    """
    at, level = -along_px / 2, 0.0
    points = [(at, level)]
    while at < along_px / 2:
        at = min(at + log_uniform(rng, 60, 420), along_px / 2)
        points.append((at, level))
        if at < along_px / 2 and chance(rng, 0.7):
            level = min(0.3 * depth_px, max(-0.5 * depth_px, rng.normal(0, 1) * log_uniform(rng, 12, 160)))
            points.append((at, level))
    behind = [(along_px / 2, -depth_px), (-along_px / 2, -depth_px)]
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    corners, back = (np.array(local) @ turn + np.array(middle_xy) for local in (points, behind))
    _build(rng, canvas, corners, np.concatenate([corners, back]), angle)


def _build(rng: Rng, canvas: Canvas, corners: NDArray[np.float64], outline: NDArray[np.float64], angle: float) -> None:
    """Fill the outline with yards and sheds, add piers in front of the quay, and blend all of it over the water."""
    land = np.zeros(canvas.shape, np.uint8)
    paint_polygon(land, outline, 255)
    rgb, base = draw_ground(rng, canvas.shape)
    inland = distance_px((land > 127).astype(np.uint8))
    free = inland > uniform(rng, 8, 24)
    yards = inland < log_uniform(rng, 20, 300)
    _pave(rng, rgb, inland, yards & (inland > 0))
    build_town(rng, rgb, base, sun=canvas.sun, density=log_uniform(rng, 0.05, 0.8), free_hw=free & ~yards, angle=angle)
    if chance(rng, 0.35):
        build_tanks(rng, rgb, sun=canvas.sun, free_hw=free)
    if chance(rng, 0.7):
        build_halls(rng, rgb, sun=canvas.sun, free_hw=free, angle=angle)
    for _ in range(int(rng.integers(0, 6)) if chance(rng, 0.45) else 0):
        build_container_yard(rng, rgb, free_hw=free & yards, angle=angle)
    yard_hw = yards & (inland > 1.5)
    scatter_things(
        rng, rgb, where_hw=yard_hw, angle=angle, count=int(np.count_nonzero(yard_hw) * log_uniform(rng, 2e-4, 3e-3))
    )
    layer = LandLayer(rgb, land)
    canvas.berths.extend(_quay_berths(corners, canvas.shape, land))
    for _ in range(int(rng.integers(0, 6))):
        _add_pier(rng, canvas, layer)
    if chance(rng, 0.3):
        _add_breakwater(rng, canvas, layer)
    _add_cranes(rng, canvas, layer)
    lay_land(rng, canvas, layer, height_px=uniform(rng, 0.5, 2.5))


def _quay_line(rng: Rng, shape: tuple[int, int], angle: float) -> NDArray[np.float64]:
    """Return the corners (N, 2) of a quay across the image with right-angled steps.

    The quay is along `angle`; the water is on its right.
    """
    side = math.hypot(*shape)
    offset = uniform(rng, -0.3, 0.25) * min(shape)
    at, level = -side * 0.6, offset
    points = [(at, level)]
    while at < side * 0.6:
        at += log_uniform(rng, 40, 420)
        points.append((at, level))
        step = rng.normal(0, 1) * log_uniform(rng, 12, 160)
        level = offset + step if chance(rng, 0.7) else level
        points.append((at, level))
    local = np.array(points)
    cos, sin = math.cos(angle), math.sin(angle)
    x = local[:, 0] * cos - local[:, 1] * sin + shape[1] / 2
    y = local[:, 0] * sin + local[:, 1] * cos + shape[0] / 2
    return np.stack([x, y], axis=1)


def _closed_behind(corners: NDArray[np.float64], shape: tuple[int, int], angle: float) -> NDArray[np.float64]:
    behind = np.array([math.sin(angle), -math.cos(angle)]) * 2.0 * math.hypot(*shape)
    return np.concatenate([corners, corners[[-1]] + behind, corners[[0]] + behind])


def _quay_berths(corners: NDArray[np.float64], shape: tuple[int, int], land: NDArray[np.uint8]) -> list[Berth]:
    """Return the edges of the quay that border on water inside the image."""
    berths = []
    for start, end in itertools.pairwise(corners):
        length = math.dist(start, end)
        if length < 12:
            continue
        outward = np.array([-(end - start)[1], (end - start)[0]]) / length
        clipped = _inside_part(start, end, shape)
        if clipped is None:
            continue
        a, b = clipped
        probe = (a + b) / 2 + outward * 4
        col, row = (int(np.clip(value, 0, limit - 1)) for value, limit in zip(probe, (shape[1], shape[0]), strict=True))
        if land[row, col] < 128:
            berths.append(Berth((a[0], a[1]), (b[0], b[1]), (outward[0], outward[1])))
    return berths


def _inside_part(
    start: NDArray[np.float64], end: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the part of a segment inside the image, or None if it is shorter than 12 px."""
    samples = np.linspace(0, 1, 200)[:, None]
    points = start + (end - start) * samples
    inside = ((points >= 0) & (points < (shape[1], shape[0]))).all(axis=1)
    if not inside.any():
        return None
    a, b = points[inside][0], points[inside][-1]
    return (a, b) if math.dist(a, b) >= 12 else None


def _pave(rng: Rng, rgb: NDArray[np.uint8], inland: FloatArray, where: NDArray[np.bool_]) -> None:
    """Paint concrete or asphalt between the water's edge and the town, in place."""
    color = np.asarray(tinted(rng, pick(rng, CONCRETE), 12), np.float32)
    stains = fractal_noise(rng, inland.shape, uniform(rng, 6, 25), octaves=4, gain=0.7)[where] * np.float32(
        uniform(rng, 3, 9)
    )
    rgb[where] = np.clip(color + stains[:, None], 0, 250).astype(np.uint8)
    rgb[(inland > 0) & (inland < 1.6)] = np.clip(color * np.float32(uniform(rng, 0.6, 1.25)), 0, 250).astype(np.uint8)


def _add_pier(rng: Rng, canvas: Canvas, layer: LandLayer) -> None:
    """Draw a pier from a berth into the water, sometimes with a head across; its two sides become berths."""
    if not canvas.berths:
        return
    root = canvas.berths[int(rng.integers(len(canvas.berths)))]
    place = uniform(rng, 0.1, 0.9)
    start = np.array(root.start_xy) * (1 - place) + np.array(root.end_xy) * place
    out = np.array(root.outward_xy)
    if chance(rng, 0.25):
        turn = uniform(rng, -0.5, 0.5)
        out = np.array(
            [out[0] * math.cos(turn) - out[1] * math.sin(turn), out[0] * math.sin(turn) + out[1] * math.cos(turn)]
        )
    length, width = log_uniform(rng, 18, 240), log_uniform(rng, 1.6, 26)
    color = tinted(rng, pick(rng, CONCRETE), 12)
    _draw_deck(rng, layer, start - out * 4, start + out * length, width, color)
    across = np.array([-out[1], out[0]])
    for side in (1.0, -1.0):
        edge = start + across * side * width / 2
        end = edge + out * length
        outward = across * side
        canvas.berths.append(Berth((edge[0], edge[1]), (end[0], end[1]), (outward[0], outward[1])))
    if chance(rng, 0.3):
        half = log_uniform(rng, 8, 60)
        tip = start + out * length
        _draw_deck(rng, layer, tip - across * half, tip + across * half, uniform(rng, 3, 12), color)


def _draw_deck(
    rng: Rng, layer: LandLayer, start: NDArray[np.float64], end: NDArray[np.float64], width: float, color: Color
) -> None:
    """Draw a straight deck with a few objects on it."""
    middle, length = (start + end) / 2, math.dist(start, end)
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    box = oriented_box((middle[0], middle[1]), length, width, angle)
    paint_polygon(layer.rgb, oriented_box((middle[0], middle[1]), length + 3, width + 3, angle), color)
    paint_polygon(layer.alpha, box, 255)
    if width < 4:
        return
    for _ in range(int(rng.integers(0, 2 + int(length / 10)))):
        along, aside = uniform(rng, -0.48, 0.48) * length, uniform(rng, -0.36, 0.36) * width
        x, y = (
            middle[0] + along * math.cos(angle) - aside * math.sin(angle),
            middle[1] + along * math.sin(angle) + aside * math.cos(angle),
        )
        size = uniform(rng, 0.6, width / 3)
        object_color = tinted(rng, shaded(color, uniform(rng, 0.4, 1.5)), 16)
        paint_polygon(layer.rgb, oriented_box((x, y), size * uniform(rng, 1, 4), size, angle), object_color)


def _add_breakwater(rng: Rng, canvas: Canvas, layer: LandLayer) -> None:
    """Draw a winding line of rocks."""
    height, width = canvas.shape
    point = np.array([uniform(rng, 0, width), uniform(rng, 0, height)])
    heading, points = uniform(rng, 0, 2 * math.pi), []
    for _ in range(int(rng.integers(3, 9))):
        points.append(point)
        heading += rng.normal(0, 0.35)
        point = point + np.array([math.cos(heading), math.sin(heading)]) * uniform(rng, 20, 90)
    mask = np.zeros(canvas.shape, np.uint8)
    line = fixed_point(np.array(points))
    cv2.polylines(mask, [line], False, 255, int(rng.integers(3, 12)), cv2.LINE_AA, FIXED_BITS)  # noqa: FBT003
    rocks = fractal_noise(rng, canvas.shape, 2.2, octaves=2)
    mask = np.where(rocks > uniform(rng, -2.2, -1.2), mask, 0).astype(np.uint8)
    tone = np.asarray(tinted(rng, (124, 116, 106), 18), np.float32)
    where = (mask > 0) & (layer.alpha < 128)
    layer.rgb[where] = np.clip(tone + (rocks * np.float32(uniform(rng, 10, 26)))[where][:, None], 0, 250).astype(
        np.uint8
    )
    layer.alpha[:] = np.maximum(layer.alpha, mask)


def _add_cranes(rng: Rng, canvas: Canvas, layer: LandLayer) -> None:
    """Draw gantry cranes on some quays: thin bright booms that extend over the water."""
    for berth in canvas.berths[:6]:
        if not chance(rng, 0.2):
            continue
        color = tinted(rng, pick(rng, ((196, 188, 176), (170, 80, 60), (90, 110, 140))), 14)
        out = np.array(berth.outward_xy)
        angle = math.atan2(out[1], out[0])
        for _ in range(int(rng.integers(1, 4))):
            place = uniform(rng, 0.05, 0.95)
            foot = np.array(berth.start_xy) * (1 - place) + np.array(berth.end_xy) * place - out * 8
            reach = uniform(rng, 16, 34)
            tip = foot + out * reach / 2
            boom = oriented_box((tip[0], tip[1]), reach, uniform(rng, 1.0, 2.6), angle)
            paint_polygon(layer.rgb, boom, color)
            paint_polygon(layer.alpha, boom, 255)


def paint_jetty(rng: Rng, canvas: Canvas) -> None:
    """Paint an isolated jetty (oil berth): thin bridges on piles with platforms and dolphins."""
    height, width = canvas.shape
    layer = LandLayer(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8))
    start = np.array([uniform(rng, -0.05, 1.05) * width, uniform(rng, -0.05, 1.05) * height])
    heading = uniform(rng, 0, 2 * math.pi)
    color = tinted(rng, pick(rng, CONCRETE), 14)
    wide = log_uniform(rng, 1.3, 7)
    for _ in range(int(rng.integers(1, 5))):
        along = np.array([math.cos(heading), math.sin(heading)])
        length = log_uniform(rng, 40, 220)
        end = start + along * length
        _draw_deck(rng, layer, start, end, wide, color)
        for side in (1.0, -1.0):
            outward = np.array([-along[1], along[0]]) * side
            a, b = start + outward * wide / 2, end + outward * wide / 2
            canvas.berths.append(Berth((a[0], a[1]), (b[0], b[1]), (outward[0], outward[1])))
        for _ in range(int(rng.integers(0, 4))):
            middle = start + along * length * rng.random() + rng.normal(0, wide, 2)
            size = log_uniform(rng, 2, 14)
            box = oriented_box((middle[0], middle[1]), size * uniform(rng, 1, 2), size, heading)
            paint_polygon(layer.rgb, box, tinted(rng, color, 8))
            paint_polygon(layer.alpha, box, 255)
        start = end if chance(rng, 0.6) else start + along * length * rng.random()
        heading += (math.pi / 2 if chance(rng, 0.6) else uniform(rng, 0.2, 1.0)) * (1 if chance(rng, 0.5) else -1)
        wide = max(1.2, wide * uniform(rng, 0.6, 1.3))
    lay_land(rng, canvas, layer, height_px=uniform(rng, 0.5, 2.5))
