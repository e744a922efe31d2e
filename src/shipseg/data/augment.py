"""Augmentations of image and coverage by name, built on albumentations.

Every random number comes from the seed of the sample, so the result does not depend on the order of samples or on the
number of loading processes. A transform that moves pixels samples image and coverage bilinearly (with nearest-neighbour
sampling the coverage would lose its fractions) and fills pixels from outside the image by reflection in both.
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

# Without this, albumentations asks a server for updates when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
with needing("train"):
    import albumentations as A

__all__ = ["AUGMENTATIONS", "Augmentation", "build_augmentation"]

Augmentation = Callable[[NDArray[np.uint8], NDArray[np.uint8], int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""Maps image uint8 (H, W, 3), coverage uint8 (H, W) in 0-255 and a seed to a pair of the same shapes and dtypes."""
TransformFactory = Callable[[float], Any]

_MIRRORED = {"border_mode": cv2.BORDER_REFLECT_101, "mask_interpolation": cv2.INTER_LINEAR}
_CUTOUT_PX = 16
_SHIFT_LEVELS = 25  # grey levels; a shift of 20 changed the detections of a network trained without it (docs/log.md)


def _d4(_: float) -> Any:
    return A.D4(p=1.0)


def _random_rotate_90(probability: float) -> Any:
    return A.RandomRotate90(p=probability)


def _d4_non_square(_: float) -> Any:
    return A.Sequential([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], p=1.0)


def _half_turn(probability: float) -> Any:
    # RandomRotate90 draws 0, 90, 180 or 270 degrees; of the two that keep the shape, one changes the image.
    return A.Sequential([A.HorizontalFlip(p=1.0), A.VerticalFlip(p=1.0)], p=probability / 2)


def _horizontal_flip(probability: float) -> Any:
    return A.HorizontalFlip(p=probability)


def _vertical_flip(probability: float) -> Any:
    return A.VerticalFlip(p=probability)


def _shift_scale_rotate(probability: float) -> Any:
    # The reference's ShiftScaleRotate(0.1, 0.2, 45); albumentations deprecated that class in favour of Affine.
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
    # Kernels of 3 and 5 px. OpenCV's default sigmas for them are 0.8 and 1.1, those of albumentations 0.5 to 3.
    return A.GaussianBlur(blur_limit=(3, 5), sigma_limit=(0.8, 1.1), p=probability)


def _elastic_transform(probability: float) -> Any:
    return A.ElasticTransform(alpha=120, sigma=6, p=probability, **_MIRRORED)


def _gauss_noise(probability: float) -> Any:
    # The reference's variance is 10 to 20 squared grey levels. albumentations truncates the noise towards zero when it
    # adds it to uint8, which reduces the variance by 0.8 standard deviations: with the square roots of 10 and 20
    # (0.0124 and 0.0175 of 255) we measured a variance of 7.9 to 16.8, with the values below 10 to 20.
    return A.GaussNoise(std_range=(0.01386, 0.01903), p=probability)


def _cutout(probability: float) -> Any:
    # Only the image is erased, as in the reference: the label keeps the hidden pixels, so that the network learns to
    # infer them from their surroundings. A ship entirely inside the hole leaves a label without visible pixels.
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
    # Atmosphere and camera make a band of one scene brighter than that of another, on ships and water alike.
    limits = dict.fromkeys(("r_shift_limit", "g_shift_limit", "b_shift_limit"), (-_SHIFT_LEVELS, _SHIFT_LEVELS))
    return A.RGBShift(**limits, p=probability)


def _grid_distortion(probability: float) -> Any:
    return A.GridDistortion(num_steps=5, distort_limit=0.3, p=probability, **_MIRRORED)


def _optical_distortion(probability: float) -> Any:
    return A.OpticalDistortion(distort_limit=0.5, p=probability, **_MIRRORED)


AUGMENTATIONS: dict[str, TransformFactory] = {
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
"""By name: from a probability to an albumentations transform. The first twelve have the reference's parameters."""
_NON_SQUARE: dict[str, TransformFactory] = {"d4": _d4_non_square, "random-rotate-90": _half_turn}
"""Replacements for images that are not square: all images of a batch must keep one shape."""


def build_augmentation(config: AugmentConfig, *, num_ships: int) -> Augmentation:
    """Return the augmentation for images with `num_ships` ships.

    `config.names` apply to all images, then `config.additional` to images with at least
    `config.ships_threshold_for_add_augs` ships. On an image that is not square, `d4` draws from the four of its eight
    symmetries that keep the shape, and `random-rotate-90` rotates by 180 degrees or not at all.

    Args:
        config: Names and the probability of each.
        num_ships: Ships in the image.

    Returns:
        A function `(image_hwc, coverage_hw, seed) -> (image_hwc, coverage_hw)`. The same seed gives the same result.
        The function has internal state: call it from one thread at a time.

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
        square: _pipeline([factories[name] for name in names], config.probability)
        for square, factories in ((True, AUGMENTATIONS), (False, {**AUGMENTATIONS, **_NON_SQUARE}))
    }

    def augment(
        image_hwc: NDArray[np.uint8], coverage_hw: NDArray[np.uint8], seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if not names:
            return image_hwc, coverage_hw
        pipeline = pipelines[image_hwc.shape[0] == image_hwc.shape[1]]
        # One pair of generators for all transforms. set_random_seed would start each transform with the same numbers:
        # transforms of probability 0.5 would then all be applied together or not at all.
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))  # noqa: S311
        augmented = pipeline(image=image_hwc, mask=coverage_hw)
        return augmented["image"], augmented["mask"]

    return augment


def _pipeline(factories: Sequence[TransformFactory], probability: float) -> Any:
    with warnings.catch_warnings():
        # albumentations only warns when it ignores an unknown argument and uses its own default.
        warnings.simplefilter("error")
        return A.Compose([factory(probability) for factory in factories])
