"""Prediction of one image: scaling, tiles, test-time augmentation (TTA), calibration and the decision rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError, ModelError
from shipseg.inference.backends import Backend, OnnxBackend, Precision, TorchBackend
from shipseg.inference.locate import BACKENDS, bundled_models, load_backend
from shipseg.masks.ships import Ship, find_ships
from shipseg.model.card import Card, TtaViews
from shipseg.reading import read_image
from shipseg.resizing import resize
from shipseg.tiling import Accumulator, blend_weights, windows

__all__ = [
    "BACKENDS",
    "Backend",
    "OnnxBackend",
    "Precision",
    "Prediction",
    "Predictor",
    "TorchBackend",
    "bundled_models",
    "checked_threshold",
    "load_model",
    "mean_over_tta_views",
]


# Test-time augmentation (TTA): the probability is averaged over flips and rotations of the same pixels. Nadir images
# have no preferred direction, so the network should give each view the same probability.

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_TTA_TRANSFORMS: Final = tuple((flip_rows, flip_cols, transpose) for transpose in (False, True)
    for flip_rows, flip_cols in ((False, False), (True, True), (True, False), (False, True)))  # fmt: skip
"""TTA views as (flip rows, flip columns, transpose): the first two are rotations by 0 and 180 degrees, the first four
keep height and width, all eight are the symmetries of a square."""
_EPSILON: Final = 1e-7
"""Probabilities are clipped to [epsilon, 1 - epsilon], so that one extreme view does not outweigh all others."""


def mean_over_tta_views(run: Run, images_n3hw: NDArray[np.float32], *, views: int) -> NDArray[np.float32]:
    """Return the probability (N, 1, H, W) whose log odds are the mean over the TTA views.

    Args:
        run: The network: images (N, 3, H, W) to probability (N, 1, H, W); with 8 views also called with H and W
            swapped.
        images_n3hw: float32 (N, 3, H, W), RGB in 0-255.
        views: Number of TTA views: 1, 2, 4 or 8.
    """
    if views == 1:
        return run(images_n3hw)
    total: NDArray[np.float32] | None = None
    for transform in _TTA_TRANSFORMS[:views]:
        prob = run(np.ascontiguousarray(_transformed(images_n3hw, transform)))
        prob = np.clip(_transformed(prob, transform, inverse=True), _EPSILON, 1 - _EPSILON)
        odds = np.log(prob) - np.log1p(-prob)
        total = odds if total is None else total + odds
    assert total is not None
    return np.asarray(1.0 / (1.0 + np.exp(-total / np.float32(views))), np.float32)


def _transformed(
    values_nchw: NDArray[np.float32], transform: tuple[bool, bool, bool], *, inverse: bool = False
) -> NDArray[np.float32]:
    flip_rows, flip_cols, transpose = transform
    if transpose and not inverse:
        values_nchw = values_nchw.swapaxes(2, 3)
    values_nchw = values_nchw[:, :, :: -1 if flip_rows else 1, :: -1 if flip_cols else 1]
    return values_nchw.swapaxes(2, 3) if transpose and inverse else values_nchw


Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one image of H x W pixels."""

    probability: NDArray[np.float32]
    """float32 (H, W) in 0-1: probability that the pixel is ship."""
    mask: NDArray[np.bool_]
    """bool (H, W): union of the masks of `ships`."""
    ships: tuple[Ship, ...]
    """The detected ships, the largest first; no two share a pixel."""
    threshold: float
    """A pixel is ship where its probability is at least this and its component passes the rest of the card's decision
    rule; with `rectangles` the pixels of the rectangles are."""


class Predictor:
    """A model that is ready to predict: a backend with the card that says how to use it.

    Args:
        card: Input scale and tiles, calibration and decision rule.
        backend: Runs the network.

    Raises:
        ModelError: The card's tile, overlap and multiple contradict each other.

    Example:
        >>> from shipseg.model.card import Card
        >>> class Red:  # a network whose probability is the red channel
        ...     pixels_per_batch = 1024
        ...     def run(self, images_n3hw):
        ...         return images_n3hw[:, :1] / 255
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> image[10:14, 20:40, 0] = 255
        >>> [ship.area_px for ship in Predictor(Card(), Red()).predict(image).ships]
        [80]
    """

    def __init__(self, card: Card, backend: Backend) -> None:
        tile, overlap, multiple = card.input.tile, card.input.overlap, card.input.multiple
        if overlap * 2 > tile:
            raise ModelError(f"card.input.overlap must be at most half of card.input.tile, got {overlap} and {tile}")
        if tile % multiple:
            raise ModelError(f"card.input.tile must be a multiple of card.input.multiple, got {tile} and {multiple}")
        self.card = card
        self.backend = backend

    def probability(self, image_hwc: Image) -> NDArray[np.float32]:
        """Return the probability of ship at each pixel of the image, float32 (H, W) in 0-1.

        The image is scaled to the network's resolution and, where it is larger than one tile, split into overlapping
        tiles. The blended probability is scaled back (pixel i covers [i, i + 1] in both directions) and calibrated.

        Args:
            image_hwc: uint8 (H, W, 3), RGB; or (H, W), grey.

        Raises:
            ConfigError: The array has another type or shape.
            ModelError: The network returned NaN or infinite probabilities.
        """
        image_hwc = _checked_image(image_hwc)
        height, width = image_hwc.shape[:2]
        scale = self.card.input.scale
        scaled_hwc = resize(image_hwc, (max(1, round(height * scale)), max(1, round(width * scale))))
        return self.calibrated(resize(self._tiled_probability(scaled_hwc), (height, width)))

    def calibrated(self, blended_hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated probability (H, W) in 0-1, the one that the card's decision rule applies to.

        Args:
            blended_hw: The network's own probability, blended from tiles, at the image's resolution.
        """
        # Weighted means of float32 can exceed 1 by a rounding error.
        prob_hw: NDArray[np.float32] = np.clip(blended_hw, 0, 1)
        calibration = self.card.calibration
        return prob_hw if calibration is None else calibration.apply(prob_hw)

    @property
    def tiles_per_batch(self) -> int:
        """Number of the card's tiles in a batch."""
        return max(1, self.backend.pixels_per_batch // self.card.input.tile**2)

    def tiles_probability(self, tiles_nhwc: Image) -> NDArray[np.float32]:
        """Return the network's own (uncalibrated) probability of a batch of tiles, float32 (N, H, W).

        Args:
            tiles_nhwc: uint8 (N, H, W, 3), RGB at the network's resolution, of any size: padded by reflection to the
                card's `multiple`.

        Raises:
            ModelError: The network returned NaN or infinite probabilities.
        """
        height, width = tiles_nhwc.shape[1:3]
        below, right = -height % self.card.input.multiple, -width % self.card.input.multiple
        padded = [cv2.copyMakeBorder(tile, 0, below, 0, right, cv2.BORDER_REFLECT_101) for tile in tiles_nhwc]
        images_n3hw = np.stack(padded).transpose(0, 3, 1, 2).astype(np.float32, order="C")
        prob_n1hw = mean_over_tta_views(self.backend.run, images_n3hw, views=self.card.input.views)
        prob_nhw: NDArray[np.float32] = prob_n1hw[:, 0, :height, :width]
        if not np.isfinite(prob_nhw).all():
            raise ModelError(
                f"model {self.card.name!r} gave NaN or infinite probabilities: its weights are damaged, make it again"
            )
        return prob_nhw

    def without_calibration(self) -> Predictor:
        """Return the same model without calibration; the card's decision rule does not apply to its probabilities."""
        return Predictor(self.card.model_copy(update={"calibration": None}), self.backend)

    def with_decision(self, *, separate: bool | None = None, rectangles: bool | None = None) -> Predictor:
        """Return the same model with another decision rule; None keeps the card's value.

        Args:
            separate: Split touching ships (see `shipseg.masks.split`).
            rectangles: Replace ships in images by filled rectangles (see `shipseg.masks.rectangles`).
        """
        options = {"separate": separate, "rectangles": rectangles}
        changed = {name: value for name, value in options.items() if value is not None}
        decision = self.card.decision.model_copy(update=changed)
        return Predictor(self.card.model_copy(update={"decision": decision}), self.backend)

    def with_tta(self, views: TtaViews) -> Predictor:
        """Return the same model with that many TTA views."""
        card_input = self.card.input.model_copy(update={"views": views})
        return Predictor(self.card.model_copy(update={"input": card_input}), self.backend)

    def predict(self, image: Image | str | Path, *, threshold: float | None = None) -> Prediction:
        """Return the ships in an image.

        Args:
            image: uint8 (H, W, 3), RGB; or (H, W), grey; or the path of an image file.
            threshold: In 0-1; None uses the card's.

        Raises:
            ConfigError: The array has another type or shape, or the threshold is outside 0-1.
            ImageError: The file cannot be read.
        """
        decision = self.card.decision
        threshold = decision.threshold if threshold is None else checked_threshold(threshold)
        image_hwc = read_image(Path(image)) if isinstance(image, (str, Path)) else image
        prob_hw = self.probability(image_hwc)
        ships = find_ships(prob_hw, **decision.rules | {"threshold": threshold})
        return Prediction(prob_hw, _union(ships, prob_hw.shape), ships, threshold)

    def _tiled_probability(self, image_hwc: Image) -> NDArray[np.float32]:
        height, width = image_hwc.shape[:2]
        tile, overlap = self.card.input.tile, self.card.input.overlap
        places = windows(height, width, tile=tile, overlap=overlap)
        if len(places) == 1:
            only_hw: NDArray[np.float32] = self.tiles_probability(image_hwc[None])[0]
            return only_hw
        weights_hw = blend_weights(places[0].height, places[0].width, overlap=overlap)
        total = Accumulator(height, width)
        for start in range(0, len(places), self.tiles_per_batch):
            batch = places[start : start + self.tiles_per_batch]
            tiles_nhwc = np.stack([image_hwc[window.slices] for window in batch])
            for window, prob_hw in zip(batch, self.tiles_probability(tiles_nhwc), strict=True):
                total.add(window, prob_hw, weights_hw)
        return total.result()


def load_model(
    path_or_name: str | Path | None = None,
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "fp32",
) -> Predictor:
    """Return the model in a folder, a run or an ONNX file, ready to predict.

    Args:
        path_or_name: A model folder, a run (its `model/` is used), an ONNX file made by shipseg, or the name of a
            bundled model; None uses the best bundled model.
        backend: `torch` (weights in safetensors), `onnx` (needs no torch), or `auto`: torch where it is installed and
            the folder holds its weights, else onnx.
        device: torch only: `auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1` ...
        threads: Number of threads; None uses all cores available to this process.
        precision: torch only. `fp32` gives the same ships as an exported file. `bf16` takes half the time where the
            processor multiplies bfloat16 natively (85 against 174 ms for 768 x 768 px; ONNX Runtime 105) and changed
            probabilities by up to 0.04: 0.6 % of the ship pixels changed, no ship (benchmarks/inference.py).

    Raises:
        ModelError: There is no usable model.
        ConfigError: The name, backend or device is unknown.
        MissingExtraError: torch is needed and not installed.
    """
    card, loaded = load_backend(path_or_name, backend=backend, device=device, threads=threads, precision=precision)
    return Predictor(card, loaded)


def checked_threshold(threshold: float) -> float:
    """Return the threshold if it is valid.

    Raises:
        ConfigError: It is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be above 0 and at most 1, got {threshold}")
    return threshold


def _checked_image(image: Any) -> Image:
    required = "a uint8 array of shape (height, width, 3) with RGB in 0-255 is required"
    if not isinstance(image, np.ndarray):
        raise ConfigError(f"the image is a {type(image).__name__}: {required}, or the path of an image file")
    if image.dtype != np.uint8:
        raise ConfigError(f"the image's values are {image.dtype}: {required}")
    is_grey = image.ndim == 2
    if not is_grey and (image.ndim != 3 or image.shape[2] != 3):
        raise ConfigError(f"the image's shape is {image.shape}: {required}")
    if 0 in image.shape:
        raise ConfigError(f"the image has no pixels (shape {image.shape}): {required}")
    return np.ascontiguousarray(np.dstack([image] * 3) if is_grey else image)


def _union(ships: tuple[Ship, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask_hw = np.zeros(shape, bool)
    for ship in ships:
        row0, col0, row1, col1 = ship.mask_box
        mask_hw[row0:row1, col0:col1] |= ship.mask
    return mask_hw
