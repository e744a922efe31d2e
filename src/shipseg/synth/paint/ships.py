"""Painting one ship: its size, its outline from above, its hull, shadow and label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import (
    BEAM_RATIO,
    DECK_COLORS,
    KINDS_BY_LENGTH,
    LABEL_LENGTH,
    WHITE,
    Color,
    Rng,
    chance,
    choose,
    pick,
    shaded,
    tinted,
    uniform,
)
from shipseg.synth.paint.board import Board, Pose, open_board
from shipseg.synth.paint.canvas import Canvas, PlacedShip
from shipseg.synth.paint.decks import DECK_PALETTES, DECKS
from shipseg.synth.paint.fields import FloatArray, fractal_noise

__all__ = ["LabelStyle", "ShipSize", "draw_size", "hull_outline", "paint_ship"]

LabelStyle = Literal["rectangle", "hull"]

LABEL_MARGIN_PX = (-0.4, 0.9, 1.7)
LABEL_MARGIN_AT_PX = (50.0, 150.0, 230.0)
LABEL_MARGIN_SPREAD_PX = 0.4
"""How much wider than the hull the annotators' rectangles are on each side, plus or minus the spread, for labels of
these lengths; values between them are interpolated. Widths of predictions on real tiles, compared with their labels:
- trained with margins of 0.5 to 1.5 px for all ships: 3.2 px too wide for labels of 300-1000 px (area), 2.1 px for
  1000-3000 px, 0.8 px above;
- with -0.4 px at 40 px and 0.5 px at 120 px: correct, but the largest ships 1.6 px too narrow and 2 px too short;
- with 0.9 px: still 2 px too narrow for labels of more than 8000 px."""
SHALLOWEST_HULL_PX = (2.4, 1.3)
"""Smallest length and beam of a hull."""
BLUNT_KINDS = frozenset({"barge"})
SEA_COLORED_SHARE = 0.18
"""Share of ships with nearly the colour of the water, which are visible by their rim and the objects on deck."""
SEA_COLORED_RIMS = ((0.3, 0.65), (1.4, 1.9))
"""Ranges of the brightness of their rim / brightness of the deck."""
PLAIN_SHARE = 0.12
"""(eye) Share of ships without detail: saturated white hulls, covered holds, decks of one colour."""
SMALL_CRAFT_PX = 40.0
SEEN_ABOVE_NOISE, SEEN_ABOVE_WAVES = 9.0, 0.8
"""(eye) Least contrast of small craft in grey levels: on calm water, and in addition per std of waves."""
SPREAD_BEAM_PX = 3.0
SEEN_SHARES: tuple[tuple[float, tuple[float, float]], ...] = (
    (14.0, (0.7, 1.0)),
    (SMALL_CRAFT_PX, (0.15, 1.0)),
    (math.inf, (0.0, 0.5)),
)
"""Range of the required share of that contrast for hulls up to this length in px; colour, shape and objects on deck
also make ships visible. The lower quartile of the contrast of real labels, as a share of it, is 0.57 for labels of
100-1000 px (area) and 0.81 above 1000 px. It was 0.99 and 1.25 in synthetic images when all small craft had the full
contrast and large ships half of it; now it is 1.10 and 0.92."""
LARGE_CONTRAST, LARGE_PX = (0.9, 1.8), 50.0
"""Range of the factor of the contrast on decks of ships above this length: white superstructures are saturated, hatches
and shadows black. Median standard deviation inside labels above 1000 px: 46 grey levels in real tiles, 31 without this
factor, 37 with it."""
DARKEST_HULL = 20.0
"""Least grey level of a hull that is made darker than the water."""


@dataclass(frozen=True)
class ShipSize:
    """Kind and size of a ship in pixels; the label is `margin_px` wider than the hull on each side."""

    kind: str
    length_px: float
    beam_px: float
    margin_px: float


def draw_size(rng: Rng, *, longest_px: float | None = None, shortest_px: float | None = None) -> ShipSize:
    """Return a random ship of the distribution of labels, redrawn until the length of its hull is within the limits."""
    for _ in range(60):
        length = LABEL_LENGTH.draw(rng)
        width = length / BEAM_RATIO.draw(rng, length)
        margin = min(_label_margin(rng, length), 0.22 * width)
        size = _sized(rng, length - 2 * margin, width - 2 * margin, margin)
        if (longest_px is None or size.length_px <= longest_px) and (
            shortest_px is None or size.length_px >= shortest_px
        ):
            break
    else:
        length = longest_px if longest_px is not None else shortest_px or LABEL_LENGTH.shortest_px
        size = _sized(rng, length, length / BEAM_RATIO.draw(rng, length), 0.8)
    return size


def _label_margin(rng: Rng, length_px: float) -> float:
    usual = float(np.interp(length_px, LABEL_MARGIN_AT_PX, LABEL_MARGIN_PX))
    return usual + uniform(rng, -LABEL_MARGIN_SPREAD_PX, LABEL_MARGIN_SPREAD_PX)


def _sized(rng: Rng, length: float, beam: float, margin: float) -> ShipSize:
    length, beam = max(length, SHALLOWEST_HULL_PX[0]), max(beam, SHALLOWEST_HULL_PX[1])
    kind = choose(rng, next(kinds for limit, kinds in KINDS_BY_LENGTH if length <= limit))
    return ShipSize(kind, length, beam, margin)


def hull_outline(rng: Rng, kind: str, length: float, beam: float) -> NDArray[np.float64]:
    """Return the outline of a hull: (N, 2) in ship coordinates, u to the bow, inside length x beam."""
    u = np.concatenate([np.linspace(-0.5, 0.1, 12)[:-1], np.linspace(0.1, 0.5, 22)]) * length
    if kind in BLUNT_KINDS:
        bow, sharp = length * uniform(rng, 0.02, 0.12), uniform(rng, 1.2, 3.0)
        end_width = uniform(rng, 0.5, 0.95)
        stern, stern_width = length * uniform(rng, 0.01, 0.08), uniform(rng, 0.7, 1.0)
    else:
        slender = kind in ("navy", "motorboat", "sailboat", "workboat")
        bow = length * uniform(rng, 0.35, 0.65) if slender else min(0.45 * length, beam * uniform(rng, 0.7, 1.5))
        sharp, end_width = uniform(rng, 1.6, 2.6), 0.0
        stern, stern_width = length * uniform(rng, 0.04, 0.16), uniform(rng, 0.55, 1.0)
    to_bow = np.clip((u - (length / 2 - bow)) / bow, 0.0, 1.0)
    to_stern = np.clip((-length / 2 + stern - u) / stern, 0.0, 1.0)
    half = beam / 2 * (1.0 - (1.0 - end_width) * to_bow**sharp) * (1.0 - (1.0 - stern_width) * to_stern**2)
    return np.concatenate([np.stack([u, half], axis=1), np.stack([u[::-1], -half[::-1]], axis=1)])


def _deck_color(rng: Rng, kind: str, sea_rgb: FloatArray, *, sea_colored: bool) -> Color:
    if sea_colored:
        factor, grey = uniform(rng, 0.6, 1.5), uniform(rng, 0, 40)
        red, green, blue = (float(value) * factor * 0.7 + grey for value in sea_rgb)
        return tinted(rng, (red, green, blue), 5)
    return tinted(rng, pick(rng, DECK_COLORS[choose(rng, DECK_PALETTES[kind])]), 13)


def _draw_hull(
    rng: Rng, board: Board, size: ShipSize, outline: NDArray[np.float64], deck: Color, *, sea_colored: bool
) -> None:
    """Draw the deck with its objects, stains and bulwark."""
    length, beam = size.length_px, size.beam_px
    if length > 12:
        _stain(rng, board, uniform(rng, 4, 14))
    DECKS[size.kind](rng, board, length, beam, deck)
    if length > 20:
        _stain(rng, board, uniform(rng, 2, 8))
    rim = min(0.9, 0.06 * beam) * uniform(rng, 0.7, 1.5)
    shade = uniform(rng, *SEA_COLORED_RIMS[int(rng.integers(2))]) if sea_colored else uniform(rng, 0.45, 1.4)
    board.outline(outline, tinted(rng, shaded(deck, shade), 6), rim * (1.5 if sea_colored else 1.0))
    if length > 40 and chance(rng, 0.5):  # the dark side of the hull, in a slightly oblique view
        board.outline(outline * 1.004, tinted(rng, (46, 46, 48), 12), rim * 0.7)


def _stain(rng: Rng, board: Board, strength: float) -> None:
    """Add rust, dirt and worn paint in patches of a few pixels, in place."""
    shape = (board.rgb.shape[0], board.rgb.shape[1])
    stains = fractal_noise(rng, shape, uniform(rng, 2.0, 8.0) * board.scale, octaves=3, gain=0.75)
    board.rgb[:] = np.clip(board.rgb + stains[..., None] * np.float32(strength), 0, 255).astype(np.uint8)


def _cast_shadow(board: Board, outline: NDArray[np.float64], height_px: float) -> None:
    """Draw the shadow of a hull of this height on the water."""
    hull = board.points(outline)
    reach = np.array(board.sun.shadow_xy) * height_px * board.sun.shadow_per_height * board.scale
    steps = max(2, int(np.hypot(*reach)) // 2)
    for k in range(1, steps + 1):
        shifted = hull + np.round(reach * (k / steps) * 16).astype(np.int32)
        cv2.fillPoly(board.shadow, [shifted], 255, cv2.LINE_8, 4)


def paint_ship(rng: Rng, canvas: Canvas, size: ShipSize, pose: Pose, *, label: LabelStyle) -> None:
    """Paint a ship with its shadow and label, and block its pixels for other ships."""
    length, beam = size.length_px, size.beam_px
    outline = hull_outline(rng, size.kind, length, beam)
    sea_colored = chance(rng, SEA_COLORED_SHARE)
    deck = _deck_color(rng, size.kind, canvas.sea_rgb, sea_colored=sea_colored)
    high = uniform(rng, 0.12, 0.4) * min(beam, 16.0)
    board = open_board(
        pose, canvas.sun, length=length, beam=beam, margin=4.0 + 3.5 * high + min(10.0, beam), color=deck
    )
    _draw_hull(rng, board, size, outline, deck, sea_colored=sea_colored)
    if length > 6:
        _cast_shadow(board, outline, high)
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    box = corners * (length + 2 * size.margin_px, beam + 2 * size.margin_px)
    alpha = board.coverage(outline)
    boxed = board.coverage(box)
    share = boxed if label == "rectangle" else alpha
    dark = board.down(board.shadow) * np.float32(uniform(rng, 0.35, 0.75) / 255.0)
    faded = uniform(rng, 0.0, 0.12) if chance(rng, 0.75) else uniform(rng, 0.12, 0.5)
    # Small craft are darker in real tiles: their median is 94 grey levels, that of the palettes 126.
    light = uniform(rng, 0.62, 1.08) if length < 60 else uniform(rng, 0.72, 1.08)
    rgb = board.down(board.rgb) * np.float32(light)
    if length > LARGE_PX:
        deck_rgb = np.asarray(deck, np.float32) * np.float32(light)
        rgb = np.asarray(np.clip(deck_rgb + (rgb - deck_rgb) * np.float32(uniform(rng, *LARGE_CONTRAST)), 0, 255))
    if not sea_colored and chance(rng, PLAIN_SHARE):
        plain = pick(rng, WHITE) if chance(rng, 0.5) else deck
        rgb += (np.asarray(plain, np.float32) - rgb) * np.float32(uniform(rng, 0.5, 0.95))
    rgb += (canvas.sea_rgb - rgb) * np.float32(faded)
    seen_share = uniform(rng, *next(shares for limit, shares in SEEN_SHARES if length <= limit))
    rgb += _missing_contrast(canvas, board, rgb, alpha, beam, share=seen_share)
    if _compose(canvas, board, rgb=rgb, alpha=alpha, dark=dark, share=share, boxed=boxed):
        place = (canvas.num_ships, size.kind, pose.x, pose.y, pose.heading_rad)
        canvas.ships.append(PlacedShip(*place, length, beam, size.margin_px, outline))


def _window(canvas: Canvas, board: Board, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of the canvas under the board, clipped to the image; empty if the board is outside."""
    height, width = canvas.shape
    rows = slice(max(board.row0, 0), min(board.row0 + shape[0], height))
    return rows, slice(max(board.col0, 0), min(board.col0 + shape[1], width))


def _missing_contrast(
    canvas: Canvas, board: Board, rgb: FloatArray, alpha: FloatArray, beam: float, *, share: float
) -> np.float32:
    """Return the grey levels to add to a ship to make it visible to an annotator on this water.

    Invisible ships have no labels in real tiles. If synthetic ones had, a network would learn to detect patches of
    smooth water as decks.
    """
    rows, cols = _window(canvas, board, alpha.shape)
    water = canvas.rgb_hwc[rows, cols].mean(axis=2)
    if not water.size:
        return np.float32(0.0)
    level = float(np.median(water))
    contrast = float((rgb.mean(axis=2) * alpha).sum() / alpha.sum()) - level
    # The optics spread more of the light of a narrow hull over the water beside it.
    needed = share * (SEEN_ABOVE_NOISE + SEEN_ABOVE_WAVES * float(water.std())) * (1.0 + SPREAD_BEAM_PX / beam)
    if contrast < 0.0 and level > needed + DARKEST_HULL:
        return np.float32(min(0.0, -needed - contrast))
    return np.float32(max(0.0, needed - contrast))


def _compose(
    canvas: Canvas,
    board: Board,
    *,
    rgb: FloatArray,
    alpha: FloatArray,
    dark: FloatArray,
    share: FloatArray,
    boxed: FloatArray,
) -> bool:
    """Blend the board into the canvas, clipped to the image; return whether any of it is inside."""
    rows, cols = _window(canvas, board, alpha.shape)
    if rows.stop <= rows.start or cols.stop <= cols.start:
        return False
    inner = (
        slice(rows.start - board.row0, rows.stop - board.row0),
        slice(cols.start - board.col0, cols.stop - board.col0),
    )
    rgb, alpha, dark, share = rgb[inner], alpha[inner], dark[inner], share[inner]
    view = canvas.rgb_hwc[rows, cols]
    view *= 1.0 - dark[..., None]
    view += (rgb - view) * alpha[..., None]
    canvas.num_ships += 1
    canvas.coverage_hw[rows, cols] = np.minimum(canvas.coverage_hw[rows, cols] + share, 1.0)
    is_largest = share > canvas.best_hw[rows, cols]
    canvas.owner_hw[rows, cols][is_largest] = canvas.num_ships
    canvas.best_hw[rows, cols][is_largest] = share[is_largest]
    canvas.blocked_hw[rows, cols][boxed[inner] > 0.3] = (
        1  # the rectangle for both kinds of label, so that ship positions do not depend on it
    )
    return True
