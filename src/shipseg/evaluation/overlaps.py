"""Groups of overlapping images, found on the way where nobody has found them before.

Tiles of one scene overlap and resemble one another, so an interval that draws them one by one pretends to know more
than it does: an Airbus folder that was not prepared gets its groups from the pixels that are being scored anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shipseg.data.groups import describe_texture, find_overlaps, join_groups
from shipseg.errors import DataError
from shipseg.evaluation.labelled import Labelled
from shipseg.evaluation.scores import ImageScore
from shipseg.progress import track

__all__ = ["MAX_IMAGES", "OverlapTally", "group_found"]

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
        found = self.groups()
        return tuple(
            dataclasses.replace(image, group=found[image.image_id]) if image.image_id in found else image
            for image in images
        )

    def groups(self) -> dict[str, str]:
        """Return the group that was found for each image that was added."""
        if not self._textures:
            return {}
        ids = list(self._textures)
        pairs = find_overlaps(np.stack([self._textures[image_id] for image_id in ids])).pairs
        return {name: f"found {group}" for name, group in zip(ids, join_groups(len(ids), pairs).tolist(), strict=True)}


def group_found(images: Sequence[Labelled]) -> tuple[Labelled, ...]:
    """Return the images with the group that their pixels tell, where it was not known; unreadable ones as they are."""
    unknown = [image for image in images if image.group is None]
    tally = OverlapTally(len(unknown))
    for image in track(unknown, "finding overlaps") if unknown else ():
        try:
            tally.add(image.image_id, image.read())
        except DataError:
            continue  # whoever predicts it says so
    found = tally.groups()
    return tuple(
        dataclasses.replace(image, group=found.get(image.image_id)) if image.group is None else image
        for image in images
    )
