"""Random changes of image and coverage in training, by name, over albumentations.

Every random number comes from the sample's own seed, so neither the order of samples nor the number of loading
processes matters. Where a transform moves pixels, image and coverage are sampled alike, bilinearly (a nearest-neighbour
coverage would lose its fractions), and what comes in from outside the image is its mirror image in both.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.config import AugmentConfig
from shipseg.errors import unknown_name
from shipseg.extras import needing

# It asks a server for news of itself on import otherwise.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
with needing("train"):
    import albumentations as A

__all__ = ["AUGMENTATIONS", "Augmentation", "build_augmentation"]

Augmentation = Callable[[NDArray[np.uint8], NDArray[np.uint8], int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""From image uint8 (H, W, 3), coverage uint8 (H, W) in 0-255 and a seed to new ones of the same shapes and types."""
Maker = Callable[[float], Any]

_MIRRORED = {"border_mode": cv2.BORDER_REFLECT_101, "mask_interpolation": cv2.INTER_LINEAR}
_CUTOUT_PX = 16
_SHIFT_LEVELS = 25  # 20 decided what a network without such shifts found (docs/log.md)


def _d4(_: float) -> Any:
    return A.D4(p=1.0)


def _random_rotate_90(probability: float) -> Any:
    return A.RandomRotate90(p=probability)


def _d4_oblong(_: float) -> Any:
    return A.Sequential([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], p=1.0)


def _half_turn(probability: float) -> Any:
    # RandomRotate90 turns by 0, 1, 2 or 3 quarters; of the two that fit, one turns.
    return A.Sequential([A.HorizontalFlip(p=1.0), A.VerticalFlip(p=1.0)], p=probability / 2)


def _horizontal_flip(probability: float) -> Any:
    return A.HorizontalFlip(p=probability)


def _vertical_flip(probability: float) -> Any:
    return A.VerticalFlip(p=probability)


def _shift_scale_rotate(probability: float) -> Any:
    # The reference's ShiftScaleRotate(0.1, 0.2, 45), which is deprecated in favour of Affine.
    return A.Affine(
        translate_percent=(-0.1, 0.1),
        scale=(0.8, 1.2),
        keep_ratio=True,
        rotate=(-45, 45),
        p=probability,
        **_MIRRORED,
    )


def _random_brightness_contrast(probability: float) -> Any:
    return A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=probability)


def _gaussian_blur(probability: float) -> Any:
    # A kernel of 3 or 5 px; without a sigma OpenCV takes 0.8 and 1.1 for these, albumentations 0.5 to 3.
    return A.GaussianBlur(blur_limit=(3, 5), sigma_limit=(0.8, 1.1), p=probability)


def _elastic_transform(probability: float) -> Any:
    return A.ElasticTransform(alpha=120, sigma=6, p=probability, **_MIRRORED)


def _gauss_noise(probability: float) -> Any:
    # The reference's variance of 10 to 20 squared grey levels. albumentations cuts the noise off towards zero when it
    # adds it to bytes, which takes 0.8 deviations off the variance: with the roots of 10 and 20, 0.0124 and 0.0175 of
    # 255, it comes out as 7.9 to 16.8 (measured), with these as 10 to 20.
    return A.GaussNoise(std_range=(0.01386, 0.01903), p=probability)


def _cutout(probability: float) -> Any:
    # The image alone is blotted out, as in the reference: the label keeps what is hidden, so a network learns to infer
    # it from around. A ship that lies wholly in the hole becomes a label that cannot be seen.
    return A.CoarseDropout(
        num_holes_range=(1, 1),
        hole_height_range=(_CUTOUT_PX, _CUTOUT_PX),
        hole_width_range=(_CUTOUT_PX, _CUTOUT_PX),
        fill=0,
        fill_mask=None,
        p=probability,
    )


def _color_jitter(probability: float) -> Any:
    return A.ColorJitter(
        brightness=(0.9, 1.1), contrast=(0.9, 1.1), saturation=(0.9, 1.1), hue=(-0.2, 0.2), p=probability
    )


def _rgb_shift(probability: float) -> Any:
    # Air and camera: what a scene's bands have more or less than another's, ships and water alike.
    limits = dict.fromkeys(("r_shift_limit", "g_shift_limit", "b_shift_limit"), (-_SHIFT_LEVELS, _SHIFT_LEVELS))
    return A.RGBShift(**limits, p=probability)


def _grid_distortion(probability: float) -> Any:
    return A.GridDistortion(num_steps=5, distort_limit=0.3, p=probability, **_MIRRORED)


def _optical_distortion(probability: float) -> Any:
    return A.OpticalDistortion(distort_limit=0.5, p=probability, **_MIRRORED)


AUGMENTATIONS: dict[str, Maker] = {
    "random-rotate-90": _random_rotate_90,
    "horizontal-flip": _horizontal_flip,
    "vertical-flip": _vertical_flip,
    "shift-scale-rotate": _shift_scale_rotate,
    "random-brightness-contrast": _random_brightness_contrast,
    "gaussian-blur": _gaussian_blur,
    "elastic-transform": _elastic_transform,
    "gauss-noise": _gauss_noise,
    "cutout": _cutout,
    "color-jitter": _color_jitter,
    "grid-distortion": _grid_distortion,
    "optical-distortion": _optical_distortion,
    "d4": _d4,
    "rgb-shift": _rgb_shift,
}
"""By name: from its probability to a transform of albumentations. The first twelve have the reference's parameters."""
_OBLONG: dict[str, Maker] = {"d4": _d4_oblong, "random-rotate-90": _half_turn}
"""What stands in for them where the image is not square, so that images of a batch keep one shape."""


def build_augmentation(config: AugmentConfig, *, num_ships: int) -> Augmentation:
    """Return the augmentation of images with so many ships.

    `config.names` apply to all images, `config.additional` after them to those with at least
    `config.ships_threshold_for_add_augs` ships. On an image that is not square, `d4` draws from the four of its eight
    that keep the shape, and `random-rotate-90` turns by half a turn or not.

    Args:
        config: Names and their probability.
        num_ships: Ships in the image.

    Returns:
        A function `(image_hwc, coverage_hw, seed) -> (image_hwc, coverage_hw)`; the same seed, the same result. It
        keeps state while it works: one thread at a time.

    Raises:
        ConfigError: Unknown name.
    """
    names = list(config.names)
    threshold = config.ships_threshold_for_add_augs
    if threshold is not None and num_ships >= threshold:
        names += config.additional
    for name in (*config.names, *config.additional):
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
    pipelines = {
        square: _pipeline([makers[name] for name in names], config.probability)
        for square, makers in ((True, AUGMENTATIONS), (False, {**AUGMENTATIONS, **_OBLONG}))
    }

    def augment(
        image_hwc: NDArray[np.uint8], coverage_hw: NDArray[np.uint8], seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if not names:
            return image_hwc, coverage_hw
        pipeline = pipelines[image_hwc.shape[0] == image_hwc.shape[1]]
        # One pair of generators for all transforms. set_random_seed would start each transform with the same numbers:
        # whatever has probability 0.5 would then happen together or not at all.
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))  # noqa: S311
        changed = pipeline(image=image_hwc, mask=coverage_hw)
        return changed["image"], changed["mask"]

    return augment


def _pipeline(makers: Sequence[Maker], probability: float) -> Any:
    with warnings.catch_warnings():
        # albumentations warns where it drops an argument it does not know, and goes on with its own default.
        warnings.simplefilter("error")
        return A.Compose([maker(probability) for maker in makers])
