"""Random sample images with their masks: with no, one and several ships."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import DataError
from shipseg.exploration.inputs import Inputs
from shipseg.masks.rle import decode_many
from shipseg.reading import read_image

__all__ = ["Sample", "draw_samples"]

Kind = Literal["none", "one", "several"]

_LOG = logging.getLogger(__name__)

_EACH = 4
"""Images of each kind."""
_KINDS: dict[Kind, tuple[float, float]] = {"none": (0, 0), "one": (1, 1), "several": (2, np.inf)}


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample image with its mask.

    Args:
        kind: `none`, `one` or `several` ships.
        image_id: ImageId.
        num_ships: Number of ships.
        image_hwc: uint8 (H, W, 3) RGB.
        mask_hw: bool (H, W), union of all ships.
    """

    kind: Kind
    image_id: str
    num_ships: int
    image_hwc: NDArray[np.uint8]
    mask_hw: NDArray[np.bool_]


def draw_samples(inputs: Inputs, *, seed: int) -> tuple[Sample, ...]:
    """Return up to four random images each with no, one and several ships, of those that cleaning keeps.

    At most one image of a group of overlapping ones is drawn. An image that cannot be read is skipped with a warning.

    Args:
        inputs: The inputs of the exploration; without images, the result is empty.
        seed: Seed of the sampling.
    """
    if inputs.folder is None:
        return ()
    kept = inputs.images[inputs.images["reason"] == ""].sample(frac=1, random_state=seed)
    samples: list[Sample] = []
    used: set[int] = set()
    for kind, (low, high) in _KINDS.items():
        of_kind = kept[kept["Ships"].between(low, high)]
        for image_id, rles, group in zip(of_kind["ImageId"], of_kind["rles"], of_kind["group"], strict=True):
            if sum(sample.kind == kind for sample in samples) == _EACH:
                break
            if group in used:
                continue
            try:
                image_hwc = read_image(inputs.folder / image_id)
                mask_hw = decode_many(rles, (image_hwc.shape[0], image_hwc.shape[1]))
            except DataError as error:
                _LOG.warning("%s is not shown: %s", image_id, error)
                continue
            used.add(group)
            samples.append(Sample(kind, image_id, len(rles), image_hwc, mask_hw))
    return tuple(samples)
