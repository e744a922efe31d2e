"""A supersampled drawing board for one ship, aligned with the image axes and finally reduced by area averaging."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import Color
from shipseg.synth.paint.canvas import FIXED_BITS, ByteArray, Sun, fixed_point
from shipseg.synth.paint.fields import FloatArray

__all__ = ["Board", "Pose", "open_board"]

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Position and heading of a ship: its centre in image coordinates, and the direction of its bow (from x to y)."""

    x: float
    y: float
    heading_rad: float

    def to_image(self, points_uv: Points) -> Points:
        """Return ship coordinates (N, 2), u towards the bow, v towards starboard, in image coordinates."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        u, v = points_uv[:, 0], points_uv[:, 1]
        return np.stack([self.x + u * cos - v * sin, self.y + u * sin + v * cos], axis=1)


@dataclass
class Board:
    """A drawing board with ship coordinates (pixels of the image; u to the bow, v to starboard, 0 amidships).

    Attributes:
        pose: Position and heading of the ship.
        sun: Direction of shadows.
        rgb: (h * scale, w * scale, 3) uint8.
        shadow: (h * scale, w * scale) uint8, 255 where the ship shades the water.
        row0: Image row of the board's first row.
        col0: Image column of the board's first column.
        scale: Board pixels per image pixel.
    """

    pose: Pose
    sun: Sun
    rgb: ByteArray
    shadow: ByteArray
    row0: int
    col0: int
    scale: int
    heights: list[float] = field(default_factory=list)

    def points(self, points_uv: Points) -> NDArray[np.int32]:
        """Return ship coordinates as fixed-point coordinates of the board."""
        return fixed_point(self.pose.to_image(points_uv) - (self.col0, self.row0), scale=self.scale)

    def polygon(self, points_uv: Points, color: Color) -> None:
        """Fill a polygon, given in ship coordinates."""
        cv2.fillPoly(self.rgb, [self.points(points_uv)], color, cv2.LINE_AA, FIXED_BITS)

    def outline(self, points_uv: Points, color: Color, width_px: float) -> None:
        """Draw a closed line, given in ship coordinates."""
        thickness = max(1, round(width_px * self.scale))
        cv2.polylines(self.rgb, [self.points(points_uv)], True, color, thickness, cv2.LINE_AA, FIXED_BITS)  # noqa: FBT003

    def rectangle(self, u0: float, u1: float, v0: float, v1: float, color: Color) -> None:
        """Fill the rectangle u0-u1, v0-v1."""
        self.polygon(np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)], np.float64), color)

    def disc(self, u: float, v: float, radius: float, color: Color) -> None:
        """Fill a circle."""
        turn = np.linspace(0.0, 2.0 * math.pi, 13)[:-1]
        self.polygon(np.stack([u + radius * np.cos(turn), v + radius * np.sin(turn)], axis=1), color)

    def block(self, u0: float, u1: float, v0: float, v1: float, color: Color, height_px: float) -> None:
        """Fill a rectangle at `height_px` above the deck, with its shadow on deck and water."""
        corners = np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)], np.float64)
        base = self.pose.to_image(corners) - (self.col0, self.row0)
        reach = np.array(self.sun.shadow_xy) * height_px * self.sun.shadow_per_height
        swept = cv2.convexHull(fixed_point(np.concatenate([base, base + reach]), scale=self.scale))
        self._darken(np.asarray(swept, np.int32), 0.45)
        self.polygon(corners, color)
        cv2.fillPoly(self.shadow, [swept], 255, cv2.LINE_AA, FIXED_BITS)

    def _darken(self, points: NDArray[np.int32], factor: float) -> None:
        low = np.maximum(points.reshape(-1, 2).min(axis=0) // (1 << FIXED_BITS) - 1, 0)
        high = points.reshape(-1, 2).max(axis=0) // (1 << FIXED_BITS) + 2
        patch = self.rgb[low[1] : high[1], low[0] : high[0]]
        if patch.size == 0:
            return
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [points - (low * (1 << FIXED_BITS)).astype(np.int32)], 255, cv2.LINE_AA, FIXED_BITS)
        patch[:] = (patch * (1.0 - mask[..., None] * np.float32((1.0 - factor) / 255.0))).astype(np.uint8)

    def coverage(self, points_uv: Points) -> FloatArray:
        """Return the share of each image pixel inside a polygon: (h, w) float32, 0-1."""
        mask = np.zeros(self.rgb.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.points(points_uv)], 255, cv2.LINE_8, FIXED_BITS)
        return self.down(mask) * np.float32(1.0 / 255.0)

    def down(self, board: ByteArray) -> FloatArray:
        """Return a board array averaged to image pixels, float32."""
        size = (board.shape[1] // self.scale, board.shape[0] // self.scale)
        return np.asarray(cv2.resize(board.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def open_board(pose: Pose, sun: Sun, *, length: float, beam: float, margin: float, color: Color) -> Board:
    """Return a board around a ship of this size plus `margin` pixels on each side, filled with one colour."""
    scale = 8 if length < 14 else 6 if length < 30 else 4 if length < 150 else 3
    cos, sin = abs(math.cos(pose.heading_rad)), abs(math.sin(pose.heading_rad))
    reach_x, reach_y = (length * cos + beam * sin) / 2 + margin, (length * sin + beam * cos) / 2 + margin
    col0, row0 = math.floor(pose.x - reach_x), math.floor(pose.y - reach_y)
    width, height = math.ceil(pose.x + reach_x) - col0, math.ceil(pose.y + reach_y) - row0
    rgb = np.empty((height * scale, width * scale, 3), np.uint8)
    rgb[:] = np.clip(color, 0, 255).astype(np.uint8)
    return Board(pose, sun, rgb, np.zeros(rgb.shape[:2], np.uint8), row0, col0, scale)
