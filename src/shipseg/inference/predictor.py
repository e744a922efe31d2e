"""One image in, the ships in it out, whatever runs the network."""

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


# Test-time augmentation: the probability is averaged over mirror images and rotations of the same pixels. Seen from
# above no direction is special, so the network should give each of them the same probability.

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_TTA_TRANSFORMS: Final = tuple((flip_rows, flip_cols, swap) for swap in (False, True) for flip_rows, flip_cols in (
    (False, False), (True, True), (True, False), (False, True)
))  # fmt: skip
"""Whether rows, columns, and rows with columns change places: the first two are a half turn apart, the first four all
mirror images that keep the sides, all eight those of a square."""
_SURE: Final = 1e-7
"""Probabilities nearer to 0 or 1 than this count as this near: one sure answer does not outweigh all others."""


def mean_over_tta_views(run: Run, images_n3hw: NDArray[np.float32], *, views: int) -> NDArray[np.float32]:
    """Return the probability (N, 1, H, W) whose log odds are the mean over mirror images.

    Args:
        run: The network: images (N, 3, H, W), of swapped sides, too, to probability (N, 1, H, W).
        images_n3hw: What it takes.
        views: Over how many mirror images: 1, 2, 4 or 8.
    """
    if views == 1:
        return run(images_n3hw)
    total: NDArray[np.float32] | None = None
    for mirror in _TTA_TRANSFORMS[:views]:
        prob = np.clip(
            _transformed(run(np.ascontiguousarray(_transformed(images_n3hw, mirror))), mirror, back=True),
            _SURE,
            1 - _SURE,
        )
        odds = np.log(prob) - np.log1p(-prob)
        total = odds if total is None else total + odds
    assert total is not None
    return np.asarray(1.0 / (1.0 + np.exp(-total / np.float32(views))), np.float32)


def _transformed(
    values_nchw: NDArray[np.float32], mirror: tuple[bool, bool, bool], *, back: bool = False
) -> NDArray[np.float32]:
    flip_rows, flip_cols, swap = mirror
    if swap and not back:
        values_nchw = values_nchw.swapaxes(2, 3)
    values_nchw = values_nchw[:, :, :: -1 if flip_rows else 1, :: -1 if flip_cols else 1]
    return values_nchw.swapaxes(2, 3) if swap and back else values_nchw


Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model sees in one image of H x W pixels."""

    probability: NDArray[np.float32]
    """(H, W) in 0-1: how sure the model is that the pixel is ship."""
    mask: NDArray[np.bool_]
    """(H, W): the pixels of `ships`, all together."""
    ships: tuple[Ship, ...]
    """One for each ship, the largest first; no two share a pixel."""
    threshold: float
    """A pixel is ship where its probability is at least this, and its component passes the model's other rules; where
    the card's decision has rectangles, their pixels are."""


class Predictor:
    """A model that is ready to look at images.

    Args:
        card: How images are brought to the network, and which probabilities make a ship.
        backend: What runs the network.

    Raises:
        ModelError: The card's tile and overlap contradict each other.

    Example:
        >>> from shipseg.model.card import Card
        >>> class Red:  # a network that takes red for ship
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

        The image is scaled to the network's resolution, cut into overlapping tiles where it is larger than one, and the
        blended probability is scaled back, by the convention that pixel i covers [i, i + 1] in both directions; then
        the card's calibration is applied.

        Args:
            image_hwc: uint8 (H, W, 3), RGB; or (H, W), grey.

        Raises:
            ConfigError: It is no such array.
            ModelError: The network gave something other than finite probabilities.
        """
        image_hwc = _checked_image(image_hwc)
        height, width = image_hwc.shape[:2]
        scale = self.card.input.scale
        shown_hwc = resize(image_hwc, (max(1, round(height * scale)), max(1, round(width * scale))))
        return self.calibrated(resize(self._probability_as_shown(shown_hwc), (height, width)))

    def calibrated(self, blended_hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability (H, W) in 0-1 that the card's decision is made for.

        Args:
            blended_hw: The network's own probability, blended from tiles, in the image's pixels.
        """
        # Weighted means of float32 can end a rounding error beyond 1.
        prob_hw: NDArray[np.float32] = np.clip(blended_hw, 0, 1)
        calibration = self.card.calibration
        return prob_hw if calibration is None else calibration.apply(prob_hw)

    @property
    def tiles_per_batch(self) -> int:
        """How many of the card's tiles to give the network at once."""
        return max(1, self.backend.pixels_per_batch // self.card.input.tile**2)

    def tiles_probability(self, tiles_nhwc: Image) -> NDArray[np.float32]:
        """Return the network's own probability, not calibrated, of equally large tiles: float32 (N, H, W).

        Args:
            tiles_nhwc: uint8 (N, H, W, 3), RGB at the network's resolution, of any size: what is missing to the card's
                `multiple` is mirrored.

        Raises:
            ModelError: The network gave something other than finite numbers.
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
        """Return the same model with the network's own probabilities; the card's decision is not made for them."""
        return Predictor(self.card.model_copy(update={"calibration": None}), self.backend)

    def with_decision(self, *, separate: bool | None = None, rectangles: bool | None = None) -> Predictor:
        """Return the same model that makes ships otherwise; None leaves a rule as the card has it.

        Args:
            separate: Whether to split ships that touch, see `shipseg.masks.split`.
            rectangles: Make ships of pictures filled rectangles (see `shipseg.masks.rectangles`), or do not.
        """
        asked = {"separate": separate, "rectangles": rectangles}
        changed = {name: value for name, value in asked.items() if value is not None}
        decision = self.card.decision.model_copy(update=changed)
        return Predictor(self.card.model_copy(update={"decision": decision}), self.backend)

    def with_tta(self, views: TtaViews) -> Predictor:
        """Return the same model that averages over so many mirror images of what it sees."""
        entry = self.card.input.model_copy(update={"views": views})
        return Predictor(self.card.model_copy(update={"input": entry}), self.backend)

    def predict(self, image: Image | str | Path, *, threshold: float | None = None) -> Prediction:
        """Return the ships in an image.

        Args:
            image: uint8 (H, W, 3), RGB; or (H, W), grey; or an image file.
            threshold: In 0-1; None takes the model's own.

        Raises:
            ConfigError: Not such an array, or a threshold outside 0-1.
            ImageError: The file cannot be read.
        """
        decision = self.card.decision
        threshold = decision.threshold if threshold is None else checked_threshold(threshold)
        image_hwc = read_image(Path(image)) if isinstance(image, (str, Path)) else image
        prob_hw = self.probability(image_hwc)
        ships = find_ships(prob_hw, **decision.rules | {"threshold": threshold})
        return Prediction(prob_hw, _union(ships, prob_hw.shape), ships, threshold)

    def _probability_as_shown(self, image_hwc: Image) -> NDArray[np.float32]:
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
        path_or_name: A model folder, a run (its `model/` is taken), an ONNX file made by shipseg, or the name of one
            that comes with shipseg; None takes the best of those.
        backend: `torch` (weights in safetensors), `onnx` (needs no torch), or `auto`: torch where it is installed and
            the folder holds its weights, else onnx.
        device: torch only: `auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1` ...
        threads: Cores to use; None takes all that this process may run on.
        precision: torch only. `fp32` gives the same ships as an exported file does. `bf16` takes half the time where
            a processor multiplies bfloat16 natively (85 against 174 ms for 768 x 768 px; ONNX Runtime 105) and moved
            probabilities by up to 0.04: 0.6 % of the ship pixels changed, no ship (benchmarks/inference.py).

    Raises:
        ModelError: There is no usable model.
        ConfigError: An unknown name, backend or device.
        MissingExtraError: torch is needed and not installed.
    """
    card, loaded = load_backend(path_or_name, backend=backend, device=device, threads=threads, precision=precision)
    return Predictor(card, loaded)


def checked_threshold(threshold: float) -> float:
    """Return the threshold.

    Raises:
        ConfigError: It is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be above 0 and at most 1, got {threshold}")
    return threshold


def _checked_image(image: Any) -> Image:
    wanted = "a uint8 array of shape (height, width, 3) with RGB in 0-255 is needed"
    if not isinstance(image, np.ndarray):
        raise ConfigError(f"the image is a {type(image).__name__}: {wanted}, or the path of an image file")
    if image.dtype != np.uint8:
        raise ConfigError(f"the image's values are {image.dtype}: {wanted}")
    is_grey = image.ndim == 2
    if not is_grey and (image.ndim != 3 or image.shape[2] != 3):
        raise ConfigError(f"the image's shape is {image.shape}: {wanted}")
    if 0 in image.shape:
        raise ConfigError(f"the image has no pixels (shape {image.shape}): {wanted}")
    return np.ascontiguousarray(np.dstack([image] * 3) if is_grey else image)


def _union(ships: tuple[Ship, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask_hw = np.zeros(shape, bool)
    for ship in ships:
        row0, col0, row1, col1 = ship.mask_box
        mask_hw[row0:row1, col0:col1] |= ship.mask
    return mask_hw
