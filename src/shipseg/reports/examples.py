"""Example images of a report: their selection by rule, and drawing them with outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.evaluation.scores import ImageScore

__all__ = [
    "PREDICTED_COLOR",
    "TRUE_COLOR",
    "ImageGroup",
    "Masked",
    "ScoredImage",
    "choose_groups",
    "choose_panel",
    "close_up",
    "overview",
    "to_jpeg",
]

TRUE_COLOR = (255, 205, 0)
"""Outline of the truth, RGB; distinguishable from the next with any colour vision."""
PREDICTED_COLOR = (255, 64, 180)
"""Outline of the prediction, RGB."""
_HALO_COLOR = (10, 12, 20)
_FRAME_COLOR = (255, 255, 255)
_LINE_PX = 2
_EACH = 4
"""Images per group."""
_SMALLEST_WINDOW_PX = 128
"""Smallest side of a close-up, so that it shows the ship's surroundings."""


class ImageGroup(NamedTuple):
    """Images to show under one heading."""

    title: str
    rule: str
    """The selection rule, as text."""
    image_ids: tuple[str, ...]


class Masked(Protocol):
    """An image with two masks of its size: true ships, and predicted ones (none, where nothing was predicted)."""

    @property
    def image_hwc(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB."""

    @property
    def true_hw(self) -> NDArray[np.bool_]:
        """Bool (H, W)."""

    @property
    def predicted_hw(self) -> NDArray[np.bool_]:
        """Bool (H, W)."""


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """An image with what is true and what was predicted."""

    score: ImageScore
    image_hwc: NDArray[np.uint8]
    true_hw: NDArray[np.bool_]
    predicted_hw: NDArray[np.bool_]


def choose_groups(images: Sequence[ImageScore]) -> tuple[ImageGroup, ...]:
    """Return the best, typical and worst images with ships, and the worst false alarms.

    No image is shown twice, and a heading has only one image of each overlapping group, since four images of the same
    ship would be redundant.

    Args:
        images: The scores of all images.
    """
    ranked = sorted((image for image in images if image.num_true), key=lambda i: (-i.dice, i.true_px, i.image_id))
    middle = (len(ranked) - 1) / 2
    central = sorted(range(len(ranked)), key=lambda rank: abs(rank - middle))
    alarmed = [image for image in images if not image.num_true and image.num_predicted]
    alarmed.sort(key=lambda image: (-image.predicted_px, image.image_id))
    num_empty = sum(not image.num_true for image in images)
    each = min(_EACH, max(1, len(ranked) // 3))

    of_all = f"of the {len(ranked)} images with ships, one of each overlapping group"
    best = _distinct(ranked, each, used=[])
    worst = _distinct(ranked[::-1], each, used=best)
    typical = sorted(_distinct([ranked[rank] for rank in central], each, used=[*best, *worst]), key=ranked.index)
    groups = (
        ImageGroup("Best", f"highest Dice {of_all}", _ids(best)),
        ImageGroup("Typical", f"around the median Dice {of_all}", _ids(typical)),
        ImageGroup("Worst", f"lowest Dice {of_all}, larger misses first", _ids(worst)),
        ImageGroup(
            "Worst false alarms",
            f"most pixels predicted among the {num_empty} images without ships; {len(alarmed)} of them have any",
            _ids(_distinct(alarmed, _EACH, used=[])),
        ),
    )
    return tuple(group for group in groups if group.image_ids)


def _distinct(candidates: Sequence[ImageScore], count: int, *, used: Sequence[ImageScore]) -> list[ImageScore]:
    """Return the first `count` candidates that are not used and do not overlap each other."""
    chosen: list[ImageScore] = []
    for image in candidates:
        overlaps = image.group is not None and any(other.group == image.group for other in chosen)
        if image not in used and not overlaps and len(chosen) < count:
            chosen.append(image)
    return chosen


def _ids(images: Sequence[ImageScore]) -> tuple[str, ...]:
    return tuple(image.image_id for image in images)


def choose_panel(images: Sequence[ImageScore]) -> tuple[ImageGroup, ...]:
    """Return one image each with no, one and several ships, if there are any: the one of median Dice."""
    panel = []
    for stratum, title in (("none", "no ship"), ("single", "one ship"), ("multiple", "several ships")):
        kind = sorted((image for image in images if image.stratum == stratum), key=lambda i: (i.dice, i.image_id))
        if kind:
            rule = f"median Dice of {len(kind)}"
            panel.append(ImageGroup(title, rule, (kind[len(kind) // 2].image_id,)))
    return tuple(panel)


def overview(example: Masked, *, side: int) -> NDArray[np.uint8]:
    """Return the whole image with outlines and a frame around the close-up, uint8 RGB, its longer side `side` px."""
    height, width = example.true_hw.shape
    drawn_hwc = _outlined(example, (0, 0, height, width), side)
    row0, col0, row1, col1 = _window(example)
    if (row1 - row0, col1 - col0) != (height, width):
        scale = side / max(height, width)
        corners = [(round(col * scale), round(row * scale)) for row, col in ((row0, col0), (row1, col1))]
        for color, thickness in ((_HALO_COLOR, 3), (_FRAME_COLOR, 1)):
            cv2.rectangle(drawn_hwc, corners[0], corners[1], color, thickness)
    return drawn_hwc


def close_up(example: Masked, *, side: int) -> NDArray[np.uint8]:
    """Return the window where truth and prediction differ most, with outlines, uint8 RGB, longer side `side` px."""
    return _outlined(example, _window(example), side)


def to_jpeg(image_hwc: NDArray[np.uint8], *, side: int | None = None, quality: int = 82) -> bytes:
    """Return an image, uint8 (H, W, 3) RGB or (H, W) grey, as JPEG; shrunk to a longer side of `side` px if larger."""
    if side is not None and max(image_hwc.shape[:2]) > side:
        image_hwc = _resized(image_hwc, side)
    shown = image_hwc[..., ::-1] if image_hwc.ndim == 3 else image_hwc
    # 4:4:4 sampling: with JPEG's default chroma subsampling thin coloured outlines turn grey.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
    written, encoded = cv2.imencode(".jpg", np.ascontiguousarray(shown), settings)
    assert written
    return encoded.tobytes()


def _window(example: Masked) -> tuple[int, int, int, int]:
    """Return the window around the largest connected difference, or around the largest ship if there is none."""
    height, width = example.true_hw.shape
    differs = example.true_hw != example.predicted_hw
    shown = differs if differs.any() else example.true_hw
    if not shown.any():
        return 0, 0, height, width
    _, _, statistics, _ = cv2.connectedComponentsWithStats(shown.view(np.uint8), connectivity=8)
    col, row, across, down, _ = (int(value) for value in statistics[1 + int(np.argmax(statistics[1:, 4]))])
    side = max(_SMALLEST_WINDOW_PX, 2 * max(across, down))
    tall, wide = min(side, height), min(side, width)
    row0 = min(max(row + down // 2 - tall // 2, 0), height - tall)
    col0 = min(max(col + across // 2 - wide // 2, 0), width - wide)
    return row0, col0, row0 + tall, col0 + wide


def _resized(image_hwc: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = image_hwc.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(
        cv2.resize(image_hwc, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
    )


def _outlined(example: Masked, window: tuple[int, int, int, int], side: int) -> NDArray[np.uint8]:
    """Return a window with the outline of the truth outside its pixels and that of the prediction inside."""
    row0, col0, row1, col1 = window
    drawn_hwc = _resized(example.image_hwc[row0:row1, col0:col1], side)
    size = (drawn_hwc.shape[1], drawn_hwc.shape[0])
    true_hw, predicted_hw = (
        cv2.resize(mask[row0:row1, col0:col1].view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
        for mask in (example.true_hw, example.predicted_hw)
    )
    true_line = _grown(true_hw, _LINE_PX) & ~true_hw
    predicted_line = predicted_hw & _grown(~predicted_hw, _LINE_PX)
    halo = _grown(true_line | predicted_line, 1)
    drawn_hwc[halo] = drawn_hwc[halo] // 2
    drawn_hwc[true_line] = TRUE_COLOR
    drawn_hwc[predicted_line] = PREDICTED_COLOR
    return drawn_hwc


def _grown(mask_hw: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray(cv2.dilate(mask_hw.view(np.uint8), cross, iterations=radius) > 0)
