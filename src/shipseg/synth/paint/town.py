"""Buildings on land that resemble ships: roads, roofs, suburbs, tanks, warehouses, container yards."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import (
    CARGO_BOXES,
    ROOF_COLORS,
    WHITE,
    Color,
    Rng,
    chance,
    log_uniform,
    pick,
    shaded,
    tinted,
    uniform,
)
from shipseg.synth.paint.canvas import FIXED_BITS, ByteArray, Sun, fixed_point, oriented_box, paint_polygon

__all__ = ["build_container_yard", "build_halls", "build_suburb", "build_tanks", "build_town", "scatter_things"]

SUBURB_SHARE = 0.4
"""Share of the denser towns that are suburbs."""
HOUSE_SHARE = 0.9
"""Share of the plots of a suburb with a house."""
FRONT_GARDEN_PX = (1.0, 3.0)

Points = NDArray[np.float64]


def build_town(
    rng: Rng,
    rgb: ByteArray,
    base: Color,
    *,
    sun: Sun,
    density: float,
    free_hw: NDArray[np.bool_],
    angle: float | None = None,
) -> None:
    """Draw roads and buildings on the ground, in place.

    Args:
        rng: Random generator.
        rgb: (H, W, 3) uint8 ground.
        base: Main colour of the ground.
        sun: Direction of shadows.
        density: Density of buildings: 0.02 for a few farms, 1 for a town.
        free_hw: (H, W) bool, where building is allowed.
        angle: Direction of the streets; random by default.
    """
    angle = uniform(rng, 0, math.pi) if angle is None else angle
    block = log_uniform(rng, 22, 70)
    if density > 0.1:
        _draw_roads(rng, rgb, angle, block)
    if density > 0.25 and chance(rng, SUBURB_SHARE):
        build_suburb(rng, rgb, sun=sun, free_hw=free_hw, angle=angle)
    else:
        _draw_roofs(rng, rgb, base, sun=sun, density=density, free_hw=free_hw, angle=angle)
    if chance(rng, 0.25):
        build_tanks(rng, rgb, sun=sun, free_hw=free_hw)
    if chance(rng, 0.2):
        build_container_yard(rng, rgb, free_hw=free_hw, angle=angle)


def _grid(rng: Rng, shape: tuple[int, int], angle: float, pitch: float) -> Points:
    """Return points (N, 2) of a rotated square grid that covers the image."""
    reach = math.hypot(*shape) / 2
    steps = np.arange(-reach, reach, pitch) + uniform(rng, 0, pitch)
    u, v = (side.ravel() for side in np.meshgrid(steps, steps))
    cos, sin = math.cos(angle), math.sin(angle)
    points = np.stack([u * cos - v * sin + shape[1] / 2, u * sin + v * cos + shape[0] / 2], axis=1)
    inside = ((points > -pitch) & (points < np.array([shape[1], shape[0]]) + pitch)).all(axis=1)
    return np.asarray(points[inside], np.float64)


def _draw_roads(rng: Rng, rgb: ByteArray, angle: float, block: float) -> None:
    """Draw streets along both directions of the grid."""
    height, width = rgb.shape[:2]
    color = tinted(rng, pick(rng, ((150, 146, 140), (110, 108, 106), (172, 160, 138))), 12)
    reach = math.hypot(height, width)
    for turn in (angle, angle + math.pi / 2):
        along = np.array([math.cos(turn), math.sin(turn)])
        across = np.array([-along[1], along[0]])
        for offset in np.arange(-reach / 2, reach / 2, block * (1 if turn == angle else 2.5)):
            if not chance(rng, 0.7):
                continue
            middle = np.array([width / 2, height / 2]) + across * (offset + rng.normal(0, 2))
            ends = fixed_point(np.stack([middle - along * reach, middle + along * reach]))
            wide = max(1, round(uniform(rng, 1.2, 3.4 if chance(rng, 0.85) else 9.0)))
            cv2.line(rgb, ends[0].tolist(), ends[1].tolist(), color, wide, cv2.LINE_AA, FIXED_BITS)


def _draw_roofs(
    rng: Rng,
    rgb: ByteArray,
    base: Color,
    *,
    sun: Sun,
    density: float,
    free_hw: NDArray[np.bool_],
    angle: float,
) -> None:
    """Draw houses in rows with some halls among them, each with its shadow."""
    height, width = rgb.shape[:2]
    pitch = log_uniform(rng, 7, 16)
    spots = _grid(rng, (height, width), angle, pitch)
    spots = spots + rng.normal(0, 1.0, spots.shape)
    keep = rng.random(len(spots)) < min(0.9, density * 0.7)
    spots = spots[keep][: int(2600 * height * width / 768**2)]
    spots = _on_free(spots, free_hw)
    palette = [tinted(rng, pick(rng, ROOF_COLORS), 10) for _ in range(int(rng.integers(2, 7)))]
    size = pitch * uniform(rng, 0.45, 0.85)
    shadow_color = shaded(base, 0.4)
    for spot in spots:
        long, wide = size * math.exp(rng.normal(0, 0.25)), size * math.exp(rng.normal(0, 0.25))
        if chance(rng, 0.05):
            long, wide = long * uniform(rng, 2, 5), wide * uniform(rng, 1, 2.5)
        corners = oriented_box((spot[0], spot[1]), long, wide, angle + (rng.normal(0, 0.06)))
        reach = np.array(sun.shadow_xy) * sun.shadow_per_height * uniform(rng, 1.5, 3.5)
        paint_polygon(rgb, corners + reach, shadow_color)
        roof = tinted(rng, pick(rng, palette), 7)
        paint_polygon(rgb, corners, roof)
        if long > 5:  # the other slope of the roof
            paint_polygon(
                rgb,
                np.stack([corners[0], corners[1], corners[1:3].mean(0), corners[[0, 3]].mean(0)]),
                shaded(roof, 0.85),
            )


def build_suburb(rng: Rng, rgb: ByteArray, *, sun: Sun, free_hw: NDArray[np.bool_], angle: float) -> None:
    """Draw streets with a row of similar houses on each side, close together; a row resembles ships at a quay.

    (eye) The false alarms with the highest probability on real land: pale gables between dark gardens and shadows.
    """
    if not free_hw.any():
        return
    height, width = rgb.shape[:2]
    front_px, deep_px = uniform(rng, 6, 12), uniform(rng, 8, 19)
    street_px, garden_px = uniform(rng, 5, 10), uniform(rng, 0, 20)
    pitch = street_px + 2 * (deep_px + FRONT_GARDEN_PX[1]) + garden_px
    asphalt = tinted(rng, (118, 116, 114), 14)
    along_xy, across_xy = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    reach = math.hypot(height, width) / 2
    before = rgb[~free_hw]
    centers: list[Points] = []
    for v in np.arange(-reach - pitch, reach + pitch, pitch) + uniform(rng, 0, pitch):
        middle = np.array([width / 2, height / 2]) + across_xy * v
        street = oriented_box((middle[0], middle[1]), 2 * reach, street_px, angle)
        paint_polygon(rgb, street, tinted(rng, asphalt, 5))
        for side in (-1, 1):
            row = middle + across_xy * side * (street_px / 2 + uniform(rng, *FRONT_GARDEN_PX) + deep_px / 2)
            steps = np.arange(-reach, reach, front_px + uniform(rng, 0.6, 3.0))
            steps = steps[rng.random(len(steps)) < HOUSE_SHARE]
            along = steps + rng.normal(0, 0.4, len(steps))
            across = rng.normal(0, 0.7, len(steps))
            centers.append(row + along[:, None] * along_xy + across[:, None] * across_xy)
    _draw_houses(rng, rgb, _on_free(np.concatenate(centers), free_hw), (front_px, deep_px), angle, sun=sun)
    rgb[~free_hw] = before  # remove streets and parts of houses there


def _on_free(spots_xy: Points, free_hw: NDArray[np.bool_]) -> Points:
    """Return the points (N, 2) whose pixel (clipped to the image) is free."""
    cols, rows = np.clip(np.floor(spots_xy), 0, (free_hw.shape[1] - 1, free_hw.shape[0] - 1)).astype(np.int64).T
    return np.asarray(spots_xy[free_hw[rows, cols]], np.float64)


def _draw_houses(
    rng: Rng, rgb: ByteArray, centers_xy: Points, size: tuple[float, float], angle: float, *, sun: Sun
) -> None:
    """Draw similar houses: all shadows, then roofs with two slopes, and up to two cars or chimneys at each."""
    margin = 2 * max(size)
    inside = ((centers_xy > -margin) & (centers_xy < np.array(rgb.shape[1::-1]) + margin)).all(axis=1)
    palette = [tinted(rng, pick(rng, (*ROOF_COLORS, *WHITE)), 10) for _ in range(int(rng.integers(2, 6)))]
    shade = tinted(rng, (34, 38, 32), 6)
    houses = []
    for x, y in centers_xy[inside]:
        wide, deep = size[0] * math.exp(rng.normal(0, 0.08)), size[1] * math.exp(rng.normal(0, 0.18))
        houses.append(((x, y), deep, oriented_box((x, y), wide, deep, angle)))
        reach = np.array(sun.shadow_xy) * sun.shadow_per_height * uniform(rng, 2, 4)
        paint_polygon(rgb, houses[-1][2] + reach, shade)
    for center, deep, corners in houses:
        roof = tinted(rng, pick(rng, palette), 14)
        paint_polygon(rgb, corners, roof)
        slope = np.stack([corners[0], corners[1], corners[1:3].mean(0), corners[[0, 3]].mean(0)])
        paint_polygon(rgb, slope, shaded(roof, uniform(rng, 0.55, 0.95)))
        for _ in range(int(rng.integers(0, 3))):
            x, y = np.array(center) + rng.normal(0, deep * 0.45, 2)
            box = oriented_box((x, y), uniform(rng, 1.2, 4), uniform(rng, 1, 2.2), angle)
            paint_polygon(rgb, box, tinted(rng, pick(rng, (*CARGO_BOXES, *WHITE)), 10))


def _free_spot(rng: Rng, free_hw: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return a random free point (x, y), or None if 20 attempts find none."""
    height, width = free_hw.shape
    for _ in range(20):
        row, col = int(rng.integers(height)), int(rng.integers(width))
        if free_hw[row, col]:
            return float(col), float(row)
    return None


def build_tanks(rng: Rng, rgb: ByteArray, *, sun: Sun, free_hw: NDArray[np.bool_]) -> None:
    """Draw a tank farm: pale discs in an irregular grid, each with a crescent-shaped shadow."""
    spot = _free_spot(rng, free_hw)
    if spot is None:
        return
    radius = log_uniform(rng, 4, 18)
    angle, color = uniform(rng, 0, math.pi), tinted(rng, (206, 200, 188), 18)
    for i in range(int(rng.integers(2, 6))):
        for j in range(int(rng.integers(2, 6))):
            u, v = i * radius * 2.8, j * radius * 2.8
            x = spot[0] + u * math.cos(angle) - v * math.sin(angle)
            y = spot[1] + u * math.sin(angle) + v * math.cos(angle)
            inside = 0 <= y < free_hw.shape[0] and 0 <= x < free_hw.shape[1]
            if not inside or not free_hw[int(y), int(x)] or chance(rng, 0.15):
                continue
            size = radius * uniform(rng, 0.7, 1.0)
            shift = size * 0.35 * sun.shadow_per_height
            dark = (x + sun.shadow_xy[0] * shift, y + sun.shadow_xy[1] * shift)
            for center, tone, share in (
                (dark, (50, 48, 46), 1.0),
                ((x, y), color, 1.0),
                ((x, y), shaded(color, 0.9), 0.75),
            ):
                point = fixed_point(np.array([center]))[0].tolist()
                cv2.circle(rgb, point, round(size * share * 16), tinted(rng, tone, 4), -1, cv2.LINE_AA, FIXED_BITS)


def build_container_yard(rng: Rng, rgb: ByteArray, *, free_hw: NDArray[np.bool_], angle: float) -> None:
    """Draw stacks of containers in long rows."""
    spot = _free_spot(rng, free_hw)
    if spot is None:
        return
    long, wide = uniform(rng, 4, 9), uniform(rng, 1.6, 3.0)
    cos, sin = math.cos(angle), math.sin(angle)
    for i in range(int(rng.integers(4, 22))):
        for j in range(int(rng.integers(3, 14))):
            if chance(rng, 0.12):
                continue
            u, v = i * (long + 0.6), j * (wide + (2.5 if j % 3 == 0 else 0.2))
            x, y = spot[0] + u * cos - v * sin, spot[1] + u * sin + v * cos
            if 0 <= y < free_hw.shape[0] and 0 <= x < free_hw.shape[1] and free_hw[int(y), int(x)]:
                paint_polygon(rgb, oriented_box((x, y), long, wide, angle), tinted(rng, pick(rng, CARGO_BOXES), 10))


def build_halls(rng: Rng, rgb: ByteArray, *, sun: Sun, free_hw: NDArray[np.bool_], angle: float) -> None:
    """Draw sheds and warehouses: long ribbed roofs along or across the quay, with shadows."""
    for _ in range(int(rng.integers(2, 14))):
        spot = _free_spot(rng, free_hw)
        if spot is None:
            return
        turn = angle + (math.pi / 2 if chance(rng, 0.3) else 0.0)
        long, wide = log_uniform(rng, 18, 110), log_uniform(rng, 9, 32)
        reach = np.array(sun.shadow_xy) * sun.shadow_per_height * uniform(rng, 4, 9)
        paint_polygon(rgb, oriented_box(spot, long, wide, turn) + reach, (46, 46, 48))
        roof = tinted(rng, pick(rng, ROOF_COLORS), 14)
        paint_polygon(rgb, oriented_box(spot, long, wide, turn), roof)
        along = np.array([math.cos(turn), math.sin(turn)])
        pitch = uniform(rng, 3, 12)
        for at in np.arange(-long / 2 + pitch, long / 2, pitch):
            rib = np.asarray(spot) + along * at
            paint_polygon(
                rgb, oriented_box((rib[0], rib[1]), pitch * 0.3, wide, turn), shaded(roof, uniform(rng, 0.85, 1.08))
            )


def scatter_things(rng: Rng, rgb: ByteArray, *, where_hw: NDArray[np.bool_], angle: float, count: int) -> None:
    """Draw small boxes at random positions of an area: vehicles, crates, bollards, heaps; in place."""
    rows, cols = np.nonzero(where_hw)
    if len(rows) == 0:
        return
    for k in rng.integers(0, len(rows), count):
        turn = angle + (math.pi / 2 if chance(rng, 0.4) else 0.0) + rng.normal(0, 0.05)
        wide = log_uniform(rng, 0.8, 4.0)
        tone = pick(rng, (*CARGO_BOXES, *ROOF_COLORS, (40, 40, 42), (66, 62, 58)))
        box = oriented_box((float(cols[k]), float(rows[k])), wide * uniform(rng, 1, 4), wide, turn)
        paint_polygon(rgb, box, tinted(rng, tone, 12))
