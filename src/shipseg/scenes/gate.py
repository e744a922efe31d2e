"""A cheap first look at a tile: where nothing stands out of its surroundings there is no ship, and no need to look.

The contrast of a place is how far it differs, in any colour, from the mean of what lies within 30 network pixels, at
reduced resolution. A tile is skipped when no place in it reaches the threshold. Contrasts divided by the sea's own
noise, global or local, skipped fewer empty tiles at the same loss (docs/log.md): what keeps an empty tile from being
skipped is land, cloud and foam, not noise, and the faintest ships lie on calm water.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, DataError
from shipseg.evaluation.labelled import Labelled, Source
from shipseg.evaluation.scores import true_ships
from shipseg.evaluation.survey import draw_images
from shipseg.inference.predictor import Predictor
from shipseg.masks.ships import Ship
from shipseg.model.card import Card, CardGate
from shipseg.progress import track
from shipseg.resizing import resize

__all__ = ["SURROUNDINGS_PX", "Gate", "GateOptions", "choose_gate", "contrast"]


SURROUNDINGS_PX = 60
"""Side of the square that a place is compared with, in network pixels."""


@dataclass(frozen=True)
class Gate:
    """Says which tiles need not be shown to the network.

    Args:
        reduction: The first look is at 1/reduction of the network's resolution.
        threshold: A tile with less contrast everywhere is skipped; in grey values, 0-255.
    """

    reduction: int
    threshold: float

    @classmethod
    def of_card(cls, card: Card) -> Gate | None:
        """Return the model's gate; None where it has none: then every tile is looked at."""
        return None if card.gate is None else cls(card.gate.reduction, card.gate.threshold)

    def skips(self, image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_]) -> bool:
        """Return whether a tile cannot hold a ship.

        Args:
            image_hwc: uint8 (h, w, 3), RGB, as the network would be shown it.
            valid_hw: bool (h, w), the pixels that are looked at.
        """
        return not bool((contrast(image_hwc, valid_hw, reduction=self.reduction) >= np.float32(self.threshold)).any())

    def as_dict(self) -> dict[str, Any]:
        """Return the gate as plain data."""
        return {"reduction": self.reduction, "threshold": self.threshold}


def contrast(image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], *, reduction: int) -> NDArray[np.float32]:
    """Return how far each place differs from its surroundings: float32 (h, w) at 1/reduction, 0-255.

    Args:
        image_hwc: uint8 (H, W, 3), RGB.
        valid_hw: bool (H, W); other pixels count neither as a place nor as surroundings.
        reduction: Pixels to a side that become one; the last ones of a side may be a little more or less than that.
    """
    height, width = (max(1, side // reduction) for side in valid_hw.shape)
    is_whole = bool(valid_hw.all())
    shown_hwc = image_hwc if is_whole else np.where(valid_hw[..., None], image_hwc, 0).astype(np.uint8)
    small_hwc = np.asarray(_shrunk(shown_hwc, height, width), np.float32)
    side = round(SURROUNDINGS_PX / reduction) | 1
    around_hwc = cv2.blur(small_hwc, (side, side), borderType=cv2.BORDER_REFLECT)
    if is_whole:
        return np.asarray(np.abs(small_hwc - around_hwc).max(axis=2), np.float32)
    share_hw = _shrunk(valid_hw.astype(np.float32), height, width)
    around_share_hw = cv2.blur(share_hw, (side, side), borderType=cv2.BORDER_REFLECT)
    present = share_hw > 0
    mean_hwc = small_hwc / np.where(present, share_hw, 1)[..., None]
    around_hwc = around_hwc / np.where(present, around_share_hw, 1)[..., None]
    return np.where(present, np.abs(mean_hwc - around_hwc).max(axis=2), 0).astype(np.float32)


def _shrunk(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)


# A model's gate, chosen on labelled images, with what it loses and what it saves.

_LOG = logging.getLogger(__name__)
_CONFIDENCE = 0.95
_TIMED_IMAGES = 3
_LARGEST_LOSS = 0.5


@dataclass(frozen=True)
class GateOptions:
    """How to choose a gate.

    Raises:
        ConfigError: A value is out of its range.
    """

    loss: float = 0.005
    """Share of the ships that may be lost."""
    reduction: int = 4
    """The first look is at 1/reduction of the network's resolution."""
    max_images: int = 4000
    """No more than this many images are looked at (drawn by the seed, stratified)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= _LARGEST_LOSS:
            raise ConfigError(f"the loss must be a share of the ships from 0 to {_LARGEST_LOSS}, got {self.loss}")
        if not 1 <= self.reduction <= 16:
            raise ConfigError(f"the reduction must be a whole number from 1 to 16, got {self.reduction}")
        if self.max_images < 1 or self.seed < 0:
            raise ConfigError(f"max_images must be 1 or more and seed 0 or more, got {self.max_images} and {self.seed}")


@dataclass
class _Seen:
    """What was seen on the images."""

    ships: list[float] = field(default_factory=list)
    """The contrast of each ship: the highest among the places that it lies on."""
    empty: list[float] = field(default_factory=list)
    """The highest contrast in each image without ships."""
    gate_s: float = 0.0
    sides: list[int] = field(default_factory=list)
    """Sides of the images in network pixels."""


def choose_gate(predictor: Predictor, source: Source, options: GateOptions | None = None) -> CardGate:
    """Return the gate with the highest threshold that loses no more than the requested share of the ships.

    A ship counts as lost when its own places have less contrast than the threshold, even where something else in the
    image would keep the tile from being skipped: so the loss does not depend on the tile's size, and holds for ships
    that lie in the overlap of two tiles. The share of empty tiles that are skipped is that of the images, each taken as
    one tile; larger tiles hold more that stands out, and fewer are skipped.

    Args:
        predictor: The model; its network is only timed.
        source: Labelled images that look like the scenes to come.
        options: The requested loss and the resolution.

    Raises:
        DataError: There are no ships to measure the loss on, or no image without them.
    """
    options = options or GateOptions()
    drawn = draw_images(source.images, at_most=options.max_images, seed=options.seed)
    seen = _Seen()
    timed: list[NDArray[np.uint8]] = []
    for labelled in track(drawn, "looking for the gate's threshold"):
        image_hwc = _look(labelled, predictor.card.input.scale, options.reduction, seen)
        if image_hwc is not None and len(timed) < _TIMED_IMAGES:
            timed.append(image_hwc)
    if not seen.ships or not seen.empty:
        what = "ship" if not seen.ships else "image without ships"
        raise DataError(f"no gate can be chosen on {source.name}: it has no readable {what} to measure it on")
    contrasts = np.sort(np.asarray(seen.ships))
    threshold = float(contrasts[int(options.loss * len(contrasts))])
    lost = int(np.count_nonzero(contrasts < threshold))
    return CardGate(
        reduction=options.reduction,
        threshold=threshold,
        wished_loss=options.loss,
        lost_recall=lost / len(contrasts),
        lost_recall_at_most=_highest_share(lost, len(contrasts)),
        num_ships=len(contrasts),
        skipped_share=float(np.mean(np.asarray(seen.empty) < threshold)),
        num_empty_tiles=len(seen.empty),
        tile_px=int(np.median(seen.sides)),
        time_share=seen.gate_s / len(seen.sides) / _network_s(predictor, timed),
        measured_on=source.name,
    )


def _look(labelled: Labelled, scale: float, reduction: int, seen: _Seen) -> NDArray[np.uint8] | None:
    """Add an image to what was seen and return it; None, with a warning, where it cannot be read."""
    try:
        image_hwc = labelled.read()
        truth = true_ships(labelled.rles, (image_hwc.shape[0], image_hwc.shape[1]))
    except DataError as error:
        _LOG.warning("%s is left out: %s", labelled.image_id, error)
        return None
    height, width = (max(1, round(side * scale)) for side in image_hwc.shape[:2])
    shown_hwc = resize(image_hwc, (height, width))
    began_s = time.perf_counter()
    contrast_hw = contrast(shown_hwc, np.ones((height, width), bool), reduction=reduction)
    seen.gate_s += time.perf_counter() - began_s
    seen.sides.append(max(height, width))
    if truth:
        seen.ships += _contrasts(contrast_hw, truth, (image_hwc.shape[0], image_hwc.shape[1]))
    else:
        seen.empty.append(float(contrast_hw.max()))
    return image_hwc


def _contrasts(contrast_hw: NDArray[np.float32], ships: Sequence[Ship], shape: tuple[int, int]) -> list[float]:
    """Return the highest contrast in the box of each ship."""
    down, across = (small / side for small, side in zip(contrast_hw.shape, shape, strict=True))
    highest = []
    for ship in ships:
        row0, col0, row1, col1 = ship.mask_box
        rows = slice(int(row0 * down), max(int(np.ceil(row1 * down)), int(row0 * down) + 1))
        cols = slice(int(col0 * across), max(int(np.ceil(col1 * across)), int(col0 * across) + 1))
        highest.append(float(contrast_hw[rows, cols].max()))
    return highest


def _network_s(predictor: Predictor, images: Sequence[NDArray[np.uint8]]) -> float:
    """Return the seconds that the network takes for an image, the first one aside, which warms it up."""
    predictor.probability(images[0])
    began_s = time.perf_counter()
    for image_hwc in images:
        predictor.probability(image_hwc)
    return (time.perf_counter() - began_s) / len(images)


def _highest_share(lost: int, total: int) -> float:
    """Return the share that is not exceeded with 95 % confidence (Clopper and Pearson, one-sided)."""
    from scipy.stats import beta  # half a second that only this pays

    return 1.0 if lost == total else float(beta.ppf(_CONFIDENCE, lost + 1, total - lost))
