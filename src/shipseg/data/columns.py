"""The table of images grows as its files are read: facts about each file, its masks, its group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shipseg.data.groups import Overlaps, join_groups
from shipseg.data.labels import Problem, measure_ships
from shipseg.extras import needing
from shipseg.masks.rle import find_malformed

with needing("train"):
    import pandas as pd

__all__ = ["with_facts", "with_groups", "with_masks"]


def with_facts(images: pd.DataFrame, facts: pd.DataFrame, read: NDArray[np.int64]) -> pd.DataFrame:
    """Return the images with the facts about those that were read, and where these stand among the facts, `place`.

    Args:
        images: One row per image, see `source.join_labels`.
        facts: What `scan_images` found.
        read: Rows of `images` that it was found for; the others get height 0 and place -1.
    """
    images = images.assign(fault="", detail="", height=0, width=0, spread=0, place=-1)
    for name in ("fault", "detail", "height", "width", "spread"):
        column = images[name].to_numpy(object)
        column[read] = facts[name].to_numpy(object)
        images[name] = pd.Series(column, index=images.index).astype(images[name].dtype)
    place = np.full(len(images), -1)
    place[read] = np.arange(len(read))
    return images.assign(place=place)


def with_masks(images: pd.DataFrame, problems: Sequence[Problem]) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the images with `malformed` and `ship_px`, and what their size tells about their masks.

    Args:
        images: One row per image with rles, Ships, height and width; those of height 0 are not looked at.
        problems: What the table's reading found.
    """
    readable = (images["height"] > 0).to_numpy()
    already = {problem.image_id for problem in problems if problem.reason == "malformed-mask"}
    malformed = images["ImageId"].isin(already).to_numpy(copy=True)
    found: list[Problem] = []
    sound = images[readable & ~malformed]
    texts = [text for rles in sound["rles"] for text in rles]
    image = np.repeat(np.arange(len(sound)), sound["Ships"])
    beyond = find_malformed(texts, (sound["height"] * sound["width"]).to_numpy()[image])
    ids = sound["ImageId"].tolist()
    found += [
        Problem(ids[image[at]], 0, "malformed-mask", f"EncodedPixels: {sentence}") for at, sentence in beyond.items()
    ]
    malformed[sound.index.to_numpy()[image[list(beyond)]]] = True
    sound = images[readable & ~malformed]
    ship_px, overlapping = measure_ships(sound["rles"])
    found += [
        Problem(image_id, 0, "overlapping-ships", "masks of two ships share pixels, both are kept")
        for image_id in sound["ImageId"][overlapping]
    ]
    all_px = np.zeros(len(images), np.int64)
    all_px[sound.index.to_numpy()] = ship_px
    return images.assign(malformed=malformed, ship_px=all_px), found


def with_groups(images: pd.DataFrame, overlaps: Overlaps) -> pd.DataFrame:
    """Return the images with `group`: -1 for those that could not be read."""
    place = images["place"].to_numpy()
    group_of_place = join_groups(int(place.max()) + 1, overlaps.pairs)
    readable = (images["height"] > 0).to_numpy()
    group = np.full(len(images), -1)
    group[readable] = np.unique(group_of_place[place[readable]], return_inverse=True)[1]
    return images.assign(group=group)
