"""Groups of overlapping images, found on the way where nobody has found them before.

Tiles of one scene overlap and resemble one another, so an interval that draws them one by one pretends to know more
than it does: an Airbus folder that was not prepared gets its groups from the pixels that are being scored anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shipseg.data.groups import find_overlaps, join_groups
from shipseg.data.texture import describe_texture
from shipseg.evaluation.scores import ImageScore

__all__ = ["MAX_IMAGES", "OverlapTally"]

MAX_IMAGES = 20_000
"""Up to here groups are found: the textures then take 184 MB. Larger sets are for `shipseg prepare`."""


class OverlapTally:
    """Gathers the textures of images whose group is not known.

    Args:
        num_images: How many images are to come; beyond MAX_IMAGES nothing is gathered.
    """

    def __init__(self, num_images: int) -> None:
        self._wanted = num_images <= MAX_IMAGES
        self._textures: dict[str, NDArray[np.int8]] = {}

    def add(self, image_id: str, image_hwc: NDArray[np.uint8]) -> None:
        """Add an image, uint8 (H, W, 3); 0.8 ms for one of 768 x 768 pixels."""
        if self._wanted:
            self._textures[image_id] = describe_texture(image_hwc)

    def grouped(self, images: Sequence[ImageScore]) -> tuple[ImageScore, ...]:
        """Return the images with the groups that were found; those that were not added stay as they are."""
        if not self._textures:
            return tuple(images)
        ids = list(self._textures)
        pairs = find_overlaps(np.stack([self._textures[image_id] for image_id in ids])).pairs
        group = dict(zip(ids, join_groups(len(ids), pairs).tolist(), strict=True))
        return tuple(
            dataclasses.replace(image, group=f"found {group[image.image_id]}") if image.image_id in group else image
            for image in images
        )
