"""Find groups of overlapping images while they are scored, where the groups are not known.

Tiles of one scene overlap, so that their scores are not independent and an interval over single images is too narrow.
For an Airbus folder that was not prepared, the groups are found from the pixels of the images as they are scored.
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
"""Largest number of images to find groups for: the textures take 184 MB. Use `shipseg prepare` for larger sets."""


class OverlapTally:
    """Collects the textures of images whose group is not known.

    Args:
        num_images: Number of images; above MAX_IMAGES no textures are collected.
    """

    def __init__(self, num_images: int) -> None:
        self._enabled = num_images <= MAX_IMAGES
        self._textures: dict[str, NDArray[np.int8]] = {}

    def add(self, image_id: str, image_hwc: NDArray[np.uint8]) -> None:
        """Add an image, uint8 (H, W, 3); 0.8 ms for one of 768 x 768 pixels."""
        if self._enabled:
            self._textures[image_id] = describe_texture(image_hwc)

    def grouped(self, images: Sequence[ImageScore]) -> tuple[ImageScore, ...]:
        """Return the images with the groups found; images that were not added are unchanged."""
        found = self.groups()
        return tuple(
            dataclasses.replace(image, group=found[image.image_id]) if image.image_id in found else image
            for image in images
        )

    def groups(self) -> dict[str, str]:
        """Return the group of each image that was added."""
        if not self._textures:
            return {}
        ids = list(self._textures)
        pairs = find_overlaps(np.stack([self._textures[image_id] for image_id in ids])).pairs
        return {name: f"found {group}" for name, group in zip(ids, join_groups(len(ids), pairs).tolist(), strict=True)}


def group_found(images: Sequence[Labelled]) -> tuple[Labelled, ...]:
    """Return the images with unknown groups found from their pixels; images that cannot be read are unchanged."""
    unknown = [image for image in images if image.group is None]
    tally = OverlapTally(len(unknown))
    for image in track(unknown, "finding overlaps") if unknown else ():
        try:
            tally.add(image.image_id, image.read())
        except DataError:
            continue  # reported when it is predicted
    found = tally.groups()
    return tuple(
        dataclasses.replace(image, group=found.get(image.image_id)) if image.group is None else image
        for image in images
    )
