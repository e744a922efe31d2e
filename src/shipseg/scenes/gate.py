"""The gate, a pre-filter: a cheap contrast check that skips empty tiles before the network.

The contrast of a pixel, at reduced resolution, is its largest difference in any channel from the mean of the pixels
within 30 network pixels. A tile is skipped if no pixel reaches the threshold. Dividing the contrast by the noise of the
sea, global or local, skipped fewer empty tiles at the same loss (docs/log.md): empty tiles pass because of land, clouds
and foam, not because of noise, and the faintest ships are on calm water.
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
"""Side of the square that a pixel is compared with, in network pixels."""


@dataclass(frozen=True)
class Gate:
    """Decides which tiles are skipped.

    Args:
        reduction: The contrast is computed at 1/reduction of the network's resolution.
        threshold: A tile with less contrast everywhere is skipped; in grey values, 0-255.
    """

    reduction: int
    threshold: float

    @classmethod
    def of_card(cls, card: Card) -> Gate | None:
        """Return the model's gate, or None if it has none."""
        return None if card.gate is None else cls(card.gate.reduction, card.gate.threshold)

    def skips(self, image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_]) -> bool:
        """Return whether a tile is empty and can be skipped.

        Args:
            image_hwc: uint8 (h, w, 3), RGB, in network pixels.
            valid_hw: bool (h, w), the pixels that count.
        """
        return not bool((contrast(image_hwc, valid_hw, reduction=self.reduction) >= np.float32(self.threshold)).any())

    def as_dict(self) -> dict[str, Any]:
        """Return the gate as plain data."""
        return {"reduction": self.reduction, "threshold": self.threshold}


def contrast(image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_], *, reduction: int) -> NDArray[np.float32]:
    """Return the contrast of each pixel with its surroundings, float32 (h, w) at 1/reduction, 0-255.

    Args:
        image_hwc: uint8 (H, W, 3), RGB.
        valid_hw: bool (H, W), the pixels that count.
        reduction: Factor by which the image is reduced, approximate if it does not divide a side.
    """
    height, width = (max(1, side // reduction) for side in valid_hw.shape)
    all_valid = bool(valid_hw.all())
    masked_hwc = image_hwc if all_valid else np.where(valid_hw[..., None], image_hwc, 0).astype(np.uint8)
    small_hwc = np.asarray(_reduced(masked_hwc, height, width), np.float32)
    side = round(SURROUNDINGS_PX / reduction) | 1
    around_hwc = cv2.blur(small_hwc, (side, side), borderType=cv2.BORDER_REFLECT)
    if all_valid:
        return np.asarray(np.abs(small_hwc - around_hwc).max(axis=2), np.float32)
    share_hw = _reduced(valid_hw.astype(np.float32), height, width)
    around_share_hw = cv2.blur(share_hw, (side, side), borderType=cv2.BORDER_REFLECT)
    present = share_hw > 0
    mean_hwc = small_hwc / np.where(present, share_hw, 1)[..., None]
    around_hwc = around_hwc / np.where(present, around_share_hw, 1)[..., None]
    return np.where(present, np.abs(mean_hwc - around_hwc).max(axis=2), 0).astype(np.float32)


def _reduced(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)


# Choosing the gate of a model on labelled images.

_LOG = logging.getLogger(__name__)
_CONFIDENCE = 0.95
_TIMED_IMAGES = 3
_MAX_LOSS = 0.5


@dataclass(frozen=True)
class GateOptions:
    """Options for choosing a gate.

    Raises:
        ConfigError: A value is out of range.
    """

    loss: float = 0.005
    """Share of the ships that may be lost."""
    reduction: int = 4
    """The contrast is computed at 1/reduction of the network's resolution."""
    max_images: int = 4000
    """Most images to measure; more are sampled, stratified and by the seed."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= _MAX_LOSS:
            raise ConfigError(f"the loss must be a share of the ships from 0 to {_MAX_LOSS}, got {self.loss}")
        if not 1 <= self.reduction <= 16:
            raise ConfigError(f"the reduction must be a whole number from 1 to 16, got {self.reduction}")
        if self.max_images < 1 or self.seed < 0:
            raise ConfigError(f"max_images must be 1 or more and seed 0 or more, got {self.max_images} and {self.seed}")


@dataclass
class _Measurements:
    """Measurements on the images."""

    ships: list[float] = field(default_factory=list)
    """Highest contrast inside the box of each ship."""
    empty: list[float] = field(default_factory=list)
    """Highest contrast of each image without ships."""
    gate_s: float = 0.0
    sides: list[int] = field(default_factory=list)
    """Longer sides of the images in network pixels."""


def choose_gate(predictor: Predictor, source: Source, options: GateOptions | None = None) -> CardGate:
    """Return the gate with the highest threshold that loses no more than the requested share of the ships.

    A ship counts as lost if its own pixels have less contrast than the threshold, even if something else keeps the tile
    from being skipped. So the loss does not depend on the tile size, and holds for ships in the overlap of two tiles.
    The share of skipped empty tiles is that of the images without ships, each as one tile; with larger tiles it is
    lower, since they contain more objects.

    Args:
        predictor: The model; its network is only timed.
        source: Labelled images that resemble the scenes to predict.
        options: The requested loss and the resolution.

    Raises:
        DataError: There are no ships to measure the loss on, or no image without them.
    """
    options = options or GateOptions()
    sampled = draw_images(source.images, at_most=options.max_images, seed=options.seed)
    measured = _Measurements()
    timed: list[NDArray[np.uint8]] = []
    for labelled in track(sampled, "measuring contrast for the gate"):
        image_hwc = _measure(labelled, predictor.card.input.scale, options.reduction, measured)
        if image_hwc is not None and len(timed) < _TIMED_IMAGES:
            timed.append(image_hwc)
    if not measured.ships or not measured.empty:
        missing = "ship" if not measured.ships else "image without ships"
        raise DataError(f"no gate can be chosen on {source.name}: it has no readable {missing} to measure it on")
    contrasts = np.sort(np.asarray(measured.ships))
    threshold = float(contrasts[int(options.loss * len(contrasts))])
    lost = int(np.count_nonzero(contrasts < threshold))
    return CardGate(
        reduction=options.reduction,
        threshold=threshold,
        wished_loss=options.loss,
        lost_recall=lost / len(contrasts),
        lost_recall_at_most=_highest_share(lost, len(contrasts)),
        num_ships=len(contrasts),
        skipped_share=float(np.mean(np.asarray(measured.empty) < threshold)),
        num_empty_tiles=len(measured.empty),
        tile_px=int(np.median(measured.sides)),
        time_share=measured.gate_s / len(measured.sides) / _network_s(predictor, timed),
        measured_on=source.name,
    )


def _measure(labelled: Labelled, scale: float, reduction: int, measured: _Measurements) -> NDArray[np.uint8] | None:
    """Add an image to the measurements and return it; log a warning and return None if it cannot be read."""
    try:
        image_hwc = labelled.read()
        truth = true_ships(labelled.rles, (image_hwc.shape[0], image_hwc.shape[1]))
    except DataError as error:
        _LOG.warning("%s is left out: %s", labelled.image_id, error)
        return None
    height, width = (max(1, round(side * scale)) for side in image_hwc.shape[:2])
    network_hwc = resize(image_hwc, (height, width))
    began_s = time.perf_counter()
    contrast_hw = contrast(network_hwc, np.ones((height, width), bool), reduction=reduction)
    measured.gate_s += time.perf_counter() - began_s
    measured.sides.append(max(height, width))
    if truth:
        measured.ships += _contrasts(contrast_hw, truth, (image_hwc.shape[0], image_hwc.shape[1]))
    else:
        measured.empty.append(float(contrast_hw.max()))
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
    """Return the inference time per image in seconds, after one image to warm up."""
    predictor.probability(images[0])
    began_s = time.perf_counter()
    for image_hwc in images:
        predictor.probability(image_hwc)
    return (time.perf_counter() - began_s) / len(images)


def _highest_share(lost: int, total: int) -> float:
    """Return the share that is not exceeded with 95 % confidence (Clopper and Pearson, one-sided)."""
    from scipy.stats import beta  # takes half a second to import

    return 1.0 if lost == total else float(beta.ppf(_CONFIDENCE, lost + 1, total - lost))
