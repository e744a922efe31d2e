"""Drawing the decks, one function per kind of ship: (rng, board, length, beam, deck colour) -> None.

Ship coordinates: u towards the bow, v to starboard, both in pixels, 0 amidships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shipseg.synth.distributions import (
    CARGO_BOXES,
    DECK_COLORS,
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
from shipseg.synth.paint.board import Board

__all__ = ["DECKS", "DECK_PALETTES"]

DECK_PALETTES: Mapping[str, Mapping[str, float]] = {
    "tanker": {"red": 0.6, "grey": 0.12, "green": 0.1, "sand": 0.1, "brown": 0.08},
    "bulker": {"red": 0.36, "grey": 0.22, "sand": 0.14, "brown": 0.14, "green": 0.07, "blue": 0.07},
    "container": {"red": 0.3, "grey": 0.3, "blue": 0.15, "dark": 0.15, "green": 0.1},
    "cargo": {"red": 0.26, "brown": 0.2, "grey": 0.2, "sand": 0.12, "dark": 0.1, "green": 0.06, "blue": 0.06},
    "ferry": {"white": 0.7, "sand": 0.15, "grey": 0.15},
    "barge": {"brown": 0.42, "dark": 0.2, "sand": 0.18, "grey": 0.12, "red": 0.08},
    "navy": {"grey": 0.85, "dark": 0.15},
    "workboat": {"dark": 0.22, "grey": 0.2, "white": 0.22, "red": 0.14, "blue": 0.1, "green": 0.07, "brown": 0.05},
    "motorboat": {"white": 0.78, "grey": 0.1, "dark": 0.07, "blue": 0.05},
    "sailboat": {"white": 0.85, "sand": 0.08, "blue": 0.07},
}
"""(eye) Shares of deck colours by kind of ship."""


def _superstructure(rng: Rng, board: Board, u0: float, u1: float, beam: float) -> None:
    """Draw a white deckhouse across the ship: bridge wings, funnel, a darker part of the roof."""
    wide = beam / 2 * uniform(rng, 0.66, 0.96)
    color = tinted(rng, shaded(pick(rng, WHITE), uniform(rng, 0.62, 1.0)), 12)
    tall = uniform(rng, 2.0, 8.0) * min(1.0, beam / 14)
    board.block(u0, u1, -wide, wide, color, tall)
    depth = u1 - u0
    if depth > 3:
        board.rectangle(
            u1 - depth * uniform(rng, 0.12, 0.3), u1, -beam / 2, beam / 2, shaded(color, uniform(rng, 0.8, 1.05))
        )
        roof = u0 + depth * uniform(rng, 0.25, 0.6)
        board.block(u0, roof, -wide * 0.6, wide * 0.6, shaded(color, uniform(rng, 0.6, 0.98)), tall * 0.4)
        funnel = u0 + depth * uniform(rng, 0.1, 0.35)
        for _ in range(int(rng.integers(0, 2 + int(depth)))):
            u, v, half = uniform(rng, u0, u1), uniform(rng, -wide, wide), uniform(rng, 0.3, 1.0)
            board.block(
                u - half, u + half, v - half, v + half, tinted(rng, shaded(color, uniform(rng, 0.35, 1.1)), 12), 0.8
            )
        hue = pick(rng, (*DECK_COLORS["red"], *DECK_COLORS["blue"], *DECK_COLORS["dark"], *WHITE))
        board.block(funnel, funnel + max(1.0, depth * 0.2), -beam * 0.1, beam * 0.1, tinted(rng, hue), tall * 0.5)


def _stern_house(rng: Rng, board: Board, length: float, beam: float) -> float:
    """Draw the deckhouse at the stern; return the start (u) of the free deck."""
    start = -length / 2 + length * uniform(rng, 0.015, 0.05)
    end = start + max(length * uniform(rng, 0.07, 0.15), min(6.0, length * 0.2))
    _superstructure(rng, board, start, end, beam)
    return end + length * 0.015


def _forecastle(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> float:
    """Draw the raised bow with its winches; return the end (u) of the free deck."""
    start = length / 2 - beam * uniform(rng, 0.55, 1.0)
    if chance(rng, 0.5):
        board.rectangle(start, length / 2, -beam / 2, beam / 2, tinted(rng, shaded(deck, uniform(rng, 0.7, 1.25)), 8))
    for _ in range(int(rng.integers(0, 4))):
        u, v = uniform(rng, start, length / 2 - beam * 0.3), uniform(rng, -0.18, 0.18) * beam
        size = uniform(rng, 0.4, 1.0)
        board.block(u - size, u + size, v - size, v + size, tinted(rng, shaded(deck, uniform(rng, 0.5, 1.5))), 0.5)
    return start


def _clutter(rng: Rng, board: Board, length: float, beam: float, deck: Color, count: int) -> None:
    """Draw small dark and bright objects at random positions on deck."""
    for _ in range(count):
        u, v = uniform(rng, -0.47, 0.42) * length, uniform(rng, -0.42, 0.42) * beam
        long, wide = uniform(rng, 0.3, 1.3) * (5 if chance(rng, 0.15) else 1), uniform(rng, 0.25, 0.9)
        board.rectangle(u - long, u + long, v - wide, v + wide, tinted(rng, shaded(deck, uniform(rng, 0.4, 1.8)), 8))


def _tanker(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw pipes along the centre line, a manifold across, lines of tanks, a deckhouse at the stern."""
    start, end = _stern_house(rng, board, length, beam), _forecastle(rng, board, length, beam, deck)
    for _ in range(int(rng.integers(3, 10))):
        u = uniform(rng, start, end)
        board.rectangle(
            u - 0.4, u + 0.4, -beam * 0.46, beam * 0.46, tinted(rng, shaded(deck, uniform(rng, 0.75, 1.2)), 4)
        )
    for _ in range(int(rng.integers(1, 4))):
        v, wide = uniform(rng, -0.12, 0.12) * beam, uniform(rng, 0.012, 0.05) * beam + 0.15
        board.rectangle(start, end, v - wide, v + wide, tinted(rng, shaded(deck, uniform(rng, 0.55, 1.55)), 8))
    manifold = (start + end) / 2 + uniform(rng, -0.06, 0.06) * length
    color = tinted(rng, shaded(deck, uniform(rng, 0.6, 1.6)), 10)
    board.block(manifold - length * 0.012, manifold + length * 0.012, -beam * 0.4, beam * 0.4, color, 0.6)
    if chance(rng, 0.4):
        board.disc(
            uniform(rng, start, end), uniform(rng, -0.25, 0.25) * beam, beam * 0.12, tinted(rng, pick(rng, WHITE))
        )
    _clutter(rng, board, length, beam, deck, int(length / 12))


def _hatches(rng: Rng, board: Board, span: tuple[float, float], beam: float, deck: Color, count: int) -> None:
    """Draw hatch covers in a row, sometimes open holds, sometimes cranes between them."""
    start, end = span
    pitch = (end - start) / count
    long, wide = pitch * uniform(rng, 0.6, 0.88), beam * uniform(rng, 0.26, 0.4)
    family = pick(rng, list(DECK_COLORS))
    cover = tinted(
        rng, shaded(deck, uniform(rng, 0.6, 1.5)) if chance(rng, 0.55) else pick(rng, DECK_COLORS[family]), 8
    )
    cranes, opened = chance(rng, 0.45), chance(rng, 0.15)
    crane_color, high = tinted(rng, (214, 200, 156), 22), uniform(rng, 0.3, 1.3)
    for k in range(count):
        u = start + pitch * (k + 0.5) - long / 2
        color = tinted(rng, shaded(cover, 0.45) if opened and chance(rng, 0.5) else cover, 4)
        board.block(u, u + long, -wide, wide, color, high)
        board.rectangle(u + long * 0.48, u + long * 0.52, -wide, wide, shaded(color, 0.8))
        if cranes and k < count - 1:
            post = start + pitch * (k + 1)
            board.block(post - 0.9, post + 0.9, -beam * 0.09, beam * 0.09, crane_color, 5.0)
            if chance(rng, 0.7):
                board.block(post, post + pitch * uniform(rng, 0.5, 0.85), -0.5, 0.5, crane_color, 3.0)


def _bulker(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    start, end = _stern_house(rng, board, length, beam), _forecastle(rng, board, length, beam, deck)
    _hatches(rng, board, (start, end), beam, deck, int(rng.integers(4, 10)))
    _clutter(rng, board, length, beam, deck, int(length / 20))


def _cargo(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw coasters and general cargo ships: one to three holds, the deckhouse aft or forward."""
    if chance(rng, 0.2):
        house = length / 2 - beam * uniform(rng, 0.5, 0.9)
        depth = length * uniform(rng, 0.08, 0.16)
        _superstructure(rng, board, house - depth, house, beam)
        start, end = -length * 0.46, house - depth - length * 0.02
    else:
        start, end = _stern_house(rng, board, length, beam), _forecastle(rng, board, length, beam, deck)
    _hatches(rng, board, (start, end), beam, deck, int(rng.integers(1, 4)))
    _clutter(rng, board, length, beam, deck, int(length / 10))


def _container(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw bays of containers in few or many colours, gaps at empty bays, a deckhouse aft or between bays."""
    start, end = _stern_house(rng, board, length, beam), _forecastle(rng, board, length, beam, deck)
    bay = max(3.5, length * uniform(rng, 0.035, 0.06))
    row = max(1.4, beam / float(rng.integers(6, 13)))
    fullness, calm = uniform(rng, 0.6, 1.0), chance(rng, 0.45)
    common = pick(rng, CARGO_BOXES)
    edge = start
    while edge + bay < end:
        if chance(rng, fullness):
            v = -beam * 0.45
            while v + row * 0.8 < beam * 0.46:
                color = tinted(rng, common if calm and chance(rng, 0.6) else pick(rng, CARGO_BOXES), 10)
                board.rectangle(edge, edge + bay * 0.92, v, v + row * 0.95, color)
                v += row
        edge += bay * uniform(rng, 1.0, 1.1)
    if chance(rng, 0.3):
        middle = start + (end - start) * uniform(rng, 0.3, 0.7)
        board.block(middle, middle + length * 0.04, -beam * 0.48, beam * 0.48, tinted(rng, pick(rng, WHITE)), 6.0)


def _ferry(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw ferries, cruise ships and car carriers: a long superstructure with rows of small objects on top."""
    color = tinted(rng, pick(rng, WHITE), 8) if chance(rng, 0.6) else deck
    stern, bow = -length * uniform(rng, 0.36, 0.49), length * uniform(rng, 0.25, 0.42)
    board.block(stern, bow, -beam * 0.46, beam * 0.46, color, uniform(rng, 2.0, 6.0))
    for _ in range(int(rng.integers(1, 4))):
        u, half = uniform(rng, stern, bow), length * uniform(rng, 0.03, 0.12)
        tone = tinted(rng, shaded(color, uniform(rng, 0.55, 1.1)), 8)
        board.block(max(stern, u - half), min(bow, u + half), -beam * 0.3, beam * 0.3, tone, 1.5)
    if chance(rng, 0.4):
        pool = uniform(rng, stern, bow)
        board.rectangle(pool - 2, pool + 2, -1.2, 1.2, tinted(rng, (70, 170, 190)))
    _clutter(rng, board, length * 0.85, beam, color, int(length / 8))


def _barge(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw an open hold with a rim, empty or with heaps of sand or coal, or a flat deck with cargo."""
    inner = tinted(rng, shaded(deck, uniform(rng, 0.5, 1.35)), 12)
    load = choose(rng, {"hold": 0.45, "heaps": 0.2, "deck": 0.35})
    if load != "deck":
        board.rectangle(-length * 0.43, length * 0.43, -beam * 0.36, beam * 0.36, inner)
    if load == "heaps":
        count = int(rng.integers(2, 6))
        for k in range(count):
            u = length * (-0.38 + 0.76 * (k + 0.5) / count)
            board.disc(u, 0.0, min(beam * 0.34, length * 0.36 / count), tinted(rng, shaded(inner, 1.25), 8))
    if load == "deck":
        _clutter(rng, board, length, beam, deck, int(rng.integers(2, 9)))
    if chance(rng, 0.35):
        depth = length * uniform(rng, 0.06, 0.14)
        board.block(
            -length * 0.47, -length * 0.47 + depth, -beam * 0.34, beam * 0.34, tinted(rng, pick(rng, WHITE)), 1.6
        )


def _navy(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw stepped superstructures amidships, a flight deck aft, a gun forward."""
    start, end = -length * uniform(rng, 0.15, 0.3), length * uniform(rng, 0.15, 0.28)
    edge = start
    while edge < end:
        depth, wide = length * uniform(rng, 0.05, 0.14), beam * uniform(rng, 0.2, 0.44)
        board.block(
            edge, edge + depth, -wide, wide, tinted(rng, shaded(deck, uniform(rng, 0.75, 1.4)), 6), uniform(rng, 1, 4)
        )
        edge += depth * uniform(rng, 0.8, 1.4)
    if length > 50:
        board.disc(-length * 0.4, 0.0, beam * 0.2, shaded(deck, 0.8))
        board.disc(end + length * 0.07, 0.0, beam * 0.1, shaded(deck, 1.25))
    _clutter(rng, board, length, beam, deck, int(length / 14))


def _workboat(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw tugs, fishing and supply boats: a wheelhouse forward or aft, gear on the working deck."""
    forward = chance(rng, 0.65)
    middle = length * (uniform(rng, 0.05, 0.25) if forward else uniform(rng, -0.35, -0.2))
    half, wide = length * uniform(rng, 0.08, 0.17), beam * uniform(rng, 0.24, 0.4)
    house = tinted(rng, pick(rng, WHITE) if chance(rng, 0.7) else shaded(deck, uniform(rng, 0.6, 1.5)), 14)
    board.block(middle - half, middle + half, -wide, wide, house, uniform(rng, 0.8, 2.5) * min(1.0, length / 25))
    if length > 14:
        board.rectangle(
            middle - half * 0.4, middle + half * 0.3, -wide * 0.5, wide * 0.5, shaded(house, uniform(rng, 0.5, 0.9))
        )
        _clutter(rng, board, length, beam, deck, int(length / 6))


def _motorboat(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw a pale hull with a cockpit aft and a windscreen or a cabin."""
    cockpit = tinted(rng, pick(rng, ((150, 112, 82), (96, 92, 88), (70, 80, 92), (190, 170, 140))), 18)
    board.rectangle(-length * 0.44, -length * uniform(rng, 0.08, 0.25), -beam * 0.32, beam * 0.32, cockpit)
    end = length * uniform(rng, 0.05, 0.28)
    screen = tinted(rng, (52, 60, 70), 14)
    board.block(end - length * 0.24, end, -beam * 0.3, beam * 0.3, tinted(rng, deck, 8), 0.8 * min(1.0, length / 20))
    board.rectangle(end - length * 0.03, end + length * 0.05, -beam * 0.28, beam * 0.28, screen)


def _sailboat(rng: Rng, board: Board, length: float, beam: float, deck: Color) -> None:
    """Draw a slim pale hull with a dark line of boom and hatches."""
    board.rectangle(
        -length * 0.4, length * 0.1, -beam * 0.1, beam * 0.1, tinted(rng, shaded(deck, uniform(rng, 0.4, 0.8)), 10)
    )
    board.rectangle(-length * 0.42, -length * 0.2, -beam * 0.28, beam * 0.28, tinted(rng, (160, 128, 98), 16))


DECKS: Mapping[str, Callable[[Rng, Board, float, float, Color], None]] = {
    "tanker": _tanker,
    "bulker": _bulker,
    "container": _container,
    "cargo": _cargo,
    "ferry": _ferry,
    "barge": _barge,
    "navy": _navy,
    "workboat": _workboat,
    "motorboat": _motorboat,
    "sailboat": _sailboat,
}
"""The drawing function of each kind of ship."""
