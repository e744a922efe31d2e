"""Groups of overlapping images are found while the images are scored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shipseg.evaluation import overlaps
from shipseg.evaluation.evaluate import GivesProbability, evaluate
from shipseg.evaluation.labelled import Labelled


def ground(seed: int) -> NDArray[np.uint8]:
    """Return a scene of 192 x 320 px with a texture of its own."""
    grey_hw = np.kron(np.random.default_rng(seed).integers(40, 200, (48, 80)), np.ones((4, 4)))
    return np.repeat(grey_hw[..., None], 3, axis=2).astype(np.uint8)


def tile(name: str, scene_hwc: NDArray[np.uint8], col: int, group: str | None = None) -> Labelled:
    return Labelled(name, lambda: scene_hwc[:, col : col + 192], (), None, group)


def test_overlapping_tiles_become_one_group(red_model: Callable[..., GivesProbability]) -> None:
    one, other = ground(1), ground(2)
    images = [tile("left", one, 0), tile("elsewhere", other, 0), tile("right", one, 64)]
    evaluation = evaluate(red_model(), images)
    groups = {image.image_id: image.group for image in evaluation.images}
    assert groups["left"] == groups["right"] != groups["elsewhere"]
    assert evaluation.metrics["num_groups"] == 2


def test_known_groups_are_kept(red_model: Callable[..., GivesProbability]) -> None:
    one = ground(1)
    evaluation = evaluate(red_model(), [tile("left", one, 0, "7"), tile("right", one, 64, "8")])
    assert [image.group for image in evaluation.images] == ["7", "8"]


def test_no_groups_are_found_above_the_largest_number_of_images(red_model: Callable[..., GivesProbability]) -> None:
    tally = overlaps.OverlapTally(overlaps.MAX_IMAGES + 1)
    tally.add("left", ground(1))
    images = evaluate(red_model(), [tile("left", ground(1), 0, "g")]).images
    assert tally.grouped(images) == images
