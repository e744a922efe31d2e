"""Streaming connected components: every ship is found complete and once, wherever the borders of the blocks run.

Pixels at or above the threshold are joined within a block, then across its upper and left borders, with
8-connectivity. A component is complete when a row of blocks ends without it. It is then passed to
`masks.ships.find_ships`, so that images and scenes share one decision rule. Only the pixels of incomplete components
are kept in memory; components longer than `MAX_SIDE_PX` are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.masks.ships import find_ships
from shipseg.scenes.ships import Detection, Dropped
from shipseg.scenes.tiles import NO_DATA, Block, dequantise, quantised_threshold

__all__ = ["MAX_AREA_PX", "MAX_SIDE_PX", "Border", "Seam", "ShipFinder", "seam"]


@dataclass(frozen=True, eq=False, slots=True)
class Border:
    """A line of pixels along the border of a block."""

    ids: NDArray[np.int64]
    """(N,): component id of each pixel; 0 for none."""
    no_data: NDArray[np.bool_]
    """(N,): True for pixels without data."""

    @classmethod
    def empty(cls, length: int) -> Border:
        """Return a line without components and with data everywhere."""
        return cls(np.zeros(length, np.int64), np.zeros(length, bool))

    def part(self, start: int, end: int) -> Border:
        """Return pixels `start` to below `end`; pixels beyond the line have no component and have data."""
        before, after = max(-start, 0), max(end - len(self.ids), 0)
        inside = slice(max(start, 0), min(end, len(self.ids)))
        return Border(np.pad(self.ids[inside], (before, after)), np.pad(self.no_data[inside], (before, after)))

    def put(self, start: int, other: Border) -> None:
        """Copy a shorter line into this one."""
        self.ids[start : start + len(other.ids)] = other.ids
        self.no_data[start : start + len(other.ids)] = other.no_data


class Seam(NamedTuple):
    """The contacts between the pixels on both sides of a border."""

    pairs: list[tuple[int, int]]
    """Components (ours, theirs) that touch."""
    ours_beside: list[tuple[int, int]]
    """(component, position) of our pixels that touch one of theirs without data."""
    theirs_beside: list[tuple[int, int]]
    """(component, position) of their pixels that touch one of ours without data; 0 is opposite our first pixel."""


def seam(ours: Border, theirs: Border) -> Seam:
    """Return the contacts along a border, with 8-connectivity.

    Args:
        ours: N pixels.
        theirs: The N + 2 opposite pixels, with one more at each end.

    Example:
        >>> ours = Border(np.array([1, 0, 0]), np.zeros(3, bool))
        >>> theirs = Border(np.array([7, 0, 0, 0, 8]), np.zeros(5, bool))
        >>> seam(ours, theirs).pairs
        [(1, 7)]
    """
    length = len(ours.ids)
    if not (ours.ids.any() or theirs.ids.any()):
        return Seam([], [], [])
    pairs: set[tuple[int, int]] = set()
    ours_beside, theirs_beside = np.zeros(length, bool), np.zeros(length + 2, bool)
    for shift in range(3):
        opposite = Border(theirs.ids[shift : shift + length], theirs.no_data[shift : shift + length])
        both = (ours.ids > 0) & (opposite.ids > 0)
        pairs.update(zip(ours.ids[both].tolist(), opposite.ids[both].tolist(), strict=True))
        ours_beside |= (ours.ids > 0) & opposite.no_data
        theirs_beside[shift : shift + length] |= (opposite.ids > 0) & ours.no_data
    return Seam(sorted(pairs), list(_positions(ours, ours_beside, 0)), list(_positions(theirs, theirs_beside, -1)))


def _positions(border: Border, chosen: NDArray[np.bool_], first: int) -> Iterator[tuple[int, int]]:
    for position in np.flatnonzero(chosen).tolist():
        yield int(border.ids[position]), position + first


MAX_SIDE_PX: Final = 4096
"""Largest extent of a ship along an axis; the longest ship ever built, 458 m, exceeds it below 12 cm per pixel."""
MAX_AREA_PX: Final = 4_000_000
"""Largest area of a ship; it bounds the memory for one component to 200 MB."""

_Box = tuple[int, int, int, int]
_TOP, _BOTTOM, _LEFT, _RIGHT = np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]


@dataclass(eq=False, slots=True)
class _Component:
    """The pixels of a connected component found so far."""

    pixels: list[NDArray[np.int32]]
    """(N, 3) each: row, column and quantised probability of pixels."""
    edge_pixels: list[NDArray[np.int32]]
    """(N, 2) each: row and column of pixels at the scene's edge or beside pixels without data."""
    box: _Box
    area_px: int

    @property
    def too_large(self) -> bool:
        row0, col0, row1, col1 = self.box
        return max(row1 - row0, col1 - col0) > MAX_SIDE_PX or self.area_px > MAX_AREA_PX

    def merge(self, other: _Component) -> None:
        self.pixels += other.pixels
        self.edge_pixels += other.edge_pixels
        self.area_px += other.area_px
        (a0, b0, a1, b1), (c0, d0, c1, d1) = self.box, other.box
        self.box = min(a0, c0), min(b0, d0), max(a1, c1), max(b1, d1)
        if self.too_large:
            self.pixels, self.edge_pixels = [], []


class ShipFinder:
    """Finds the ships of a scene in its blocks.

    Args:
        shape: (height, width) of the scene.
        decision: Decision rule.

    Attributes:
        dropped: Components that are too large for a ship.

    Example:
        >>> from shipseg.tiling import Window
        >>> quantised_hw = np.zeros((6, 8), np.uint16)
        >>> quantised_hw[2:4, 1:7] = 9000
        >>> finder = ShipFinder((6, 8), Decision(threshold=0.5))
        >>> for row0, col0 in ((0, 0), (0, 4), (3, 0), (3, 4)):
        ...     window = Window(row0, col0, 3, 4)
        ...     finder.add(Block(window, quantised_hw[window.slices]))
        >>> [(found.ship.area_px, found.cut) for found in finder.ships()]
        [(12, False)]
    """

    def __init__(self, shape: tuple[int, int], decision: Decision) -> None:
        self.dropped: list[Dropped] = []
        self._shape, self._decision = shape, decision
        self._lowest = quantised_threshold(decision.threshold)
        self._lowest_peak = quantised_threshold(decision.min_peak) if decision.min_peak else 0
        self._found: list[Detection] = []
        self._components: dict[int, _Component] = {}
        self._parents: dict[int, int] = {}
        self._last_id = 0
        self._above, self._below = Border.empty(shape[1]), Border.empty(shape[1])
        self._left = Border.empty(0)

    def add(self, block: Block) -> None:
        """Add the next block. Blocks come in rows from the top, and from left to right with equal heights in a row."""
        window, quantised_hw = block
        no_data_hw = quantised_hw == NO_DATA
        labels_hw, numbers = self._label_block(window.row0, window.col0, quantised_hw, no_data_hw)
        top, bottom, left, right = (
            Border(numbers[labels_hw[line]], no_data_hw[line].copy()) for line in (_TOP, _BOTTOM, _LEFT, _RIGHT)
        )
        col1 = window.col0 + window.width
        if window.row0:
            # One more pixel at both ends, for contacts at corners.
            above = self._above.part(window.col0 - 1, col1 + 1)
            self._merge_across(seam(top, above), row=window.row0, col=window.col0, step=(0, 1))
        if window.col0:
            before = self._left.part(-1, window.height + 1)
            self._merge_across(seam(left, before), row=window.row0, col=window.col0, step=(1, 0))
        self._left = right
        self._below.put(window.col0, bottom)
        if col1 == self._shape[1]:
            self._end_row(is_last=window.row0 + window.height == self._shape[0])

    def ships(self) -> tuple[Detection, ...]:
        """Return the ships of all complete rows of blocks, in the order of `masks.ships.find_ships`."""
        return tuple(sorted(self._found, key=lambda found: (-found.ship.area_px, found.ship.mask_box)))

    def _label_block(
        self, row0: int, col0: int, quantised_hw: NDArray[np.uint16], no_data_hw: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the labels (h, w) of the components in a block and the component id of each label, 0 for none.

        Components that do not reach a border with another block are complete: their ships are found at once.
        """
        ship_hw = (quantised_hw >= self._lowest) & ~no_data_hw
        if not ship_hw.any():
            return np.zeros(ship_hw.shape, np.int32), np.zeros(1, np.int64)
        count, labels, _, _ = cv2.connectedComponentsWithStats(ship_hw.view(np.uint8), connectivity=8)
        labels_hw = np.asarray(labels, np.int32)
        is_open = self._reaching_neighbours(labels_hw, count, row0, col0)
        rows, columns = np.nonzero(ship_hw)
        pixel_labels, pixel_values = labels_hw[rows, columns], quantised_hw[rows, columns]
        order = np.argsort(pixel_labels, kind="stable")
        pixels = np.stack([rows + row0, columns + col0, pixel_values], axis=1).astype(np.int32)[order]
        beside = _beside(no_data_hw)[rows, columns][order] | self._on_edge(pixels)
        ends = np.cumsum(np.bincount(pixel_labels, minlength=count))
        peaks = np.maximum.reduceat(pixels[:, 2], ends[:-1])
        areas = np.diff(ends)
        possible = (areas >= self._decision.min_area_px) & (peaks >= self._lowest_peak)
        for label in (np.flatnonzero(possible | is_open[1:]) + 1).tolist():
            part = slice(ends[label - 1], ends[label])
            component = _component(pixels[part], beside[part])
            if is_open[label]:
                self._last_id += 1
                self._components[self._last_id] = component
                self._parents[self._last_id] = self._last_id
            else:
                self._find_ships(component)
        numbers = np.zeros(count, np.int64)
        numbers[is_open] = np.arange(self._last_id - np.count_nonzero(is_open), self._last_id) + 1
        return labels_hw, numbers

    def _reaching_neighbours(self, labels_hw: NDArray[np.int32], count: int, row0: int, col0: int) -> NDArray[np.bool_]:
        """Return which labels (count,) touch a border with another block."""
        height, width = labels_hw.shape
        reaching = np.zeros(count, bool)
        for line, has_neighbour in (
            (_TOP, row0 > 0),
            (_BOTTOM, row0 + height < self._shape[0]),
            (_LEFT, col0 > 0),
            (_RIGHT, col0 + width < self._shape[1]),
        ):
            if has_neighbour:
                reaching[labels_hw[line]] = True
        reaching[0] = False
        return reaching

    def _on_edge(self, pixels: NDArray[np.int32]) -> NDArray[np.bool_]:
        last = np.array(self._shape) - 1
        on_edge: NDArray[np.bool_] = ((pixels[:, :2] == 0) | (pixels[:, :2] == last)).any(axis=1)
        return on_edge

    def _merge_across(self, found: Seam, *, row: int, col: int, step: tuple[int, int]) -> None:
        """Merge components on both sides of a seam that begins at (row, col) and runs along `step`."""
        for ours, theirs in found.pairs:
            self._union(ours, theirs)
        opposite = (step[0] - 1, step[1] - 1)  # from our side of the seam to theirs
        for positions, offset in ((found.ours_beside, (0, 0)), (found.theirs_beside, opposite)):
            for number, position in positions:
                pixel = (row + position * step[0] + offset[0], col + position * step[1] + offset[1])
                component = self._components[self._root(number)]
                if not component.too_large:
                    component.edge_pixels.append(np.array([pixel], np.int32))

    def _root(self, number: int) -> int:
        while (parent := self._parents[number]) != number:
            self._parents[number] = number = self._parents[parent]
        return number

    def _union(self, one: int, other: int) -> None:
        kept, merged = self._root(one), self._root(other)
        if kept == merged:
            return
        if len(self._components[kept].pixels) < len(self._components[merged].pixels):
            kept, merged = merged, kept
        self._components[kept].merge(self._components.pop(merged))
        self._parents[merged] = kept

    def _end_row(self, *, is_last: bool) -> None:
        """Find the ships of every component that does not touch the border with the next row of blocks."""
        numbers, positions = np.unique(self._below.ids, return_inverse=True)
        roots = np.array([self._root(number) if number and not is_last else 0 for number in numbers.tolist()], np.int64)
        still_open = set(roots.tolist())
        for root in [root for root in self._components if root not in still_open]:
            self._find_ships(self._components.pop(root))
        self._parents = {root: root for root in self._components}
        self._above = Border(roots[positions], self._below.no_data)
        self._below, self._left = Border.empty(self._shape[1]), Border.empty(0)

    def _find_ships(self, component: _Component) -> None:
        row0, col0, row1, col1 = component.box
        if component.too_large:
            reason = f"a region of {row1 - row0:,} x {col1 - col0:,} pixels is too large for a ship"
            self.dropped.append(Dropped(component.box, component.area_px, reason))
            return
        rows, columns, values = np.concatenate(component.pixels).T
        quantised_hw = np.zeros((row1 - row0, col1 - col0), np.uint16)
        quantised_hw[rows - row0, columns - col0] = values
        beside_hw = np.zeros(quantised_hw.shape, bool)
        for edge_pixels in component.edge_pixels:
            beside_hw[edge_pixels[:, 0] - row0, edge_pixels[:, 1] - col0] = True
        decision = self._decision
        for ship in find_ships(dequantise(quantised_hw), **decision.rules, origin=(row0, col0)):
            top, left, bottom, right = ship.mask_box
            beside = beside_hw[top - row0 : bottom - row0, left - col0 : right - col0]
            self._found.append(Detection(ship, cut=bool((beside & ship.mask).any())))


def _component(pixels: NDArray[np.int32], beside: NDArray[np.bool_]) -> _Component:
    rows, columns = pixels[:, 0], pixels[:, 1]
    box = (int(rows[0]), int(columns.min()), int(rows[-1]) + 1, int(columns.max()) + 1)
    component = _Component([pixels], [pixels[beside, :2]] if beside.any() else [], box, len(pixels))
    if component.too_large:
        component.pixels, component.edge_pixels = [], []
    return component


def _beside(no_data_hw: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels touch a pixel without data, with 8-connectivity."""
    if not no_data_hw.any():
        return no_data_hw
    return cv2.dilate(no_data_hw.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
