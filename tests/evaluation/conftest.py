"""Tiny labelled images, and a model whose probability of ship is the red channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.evaluation.labelled import Labelled
from shipseg.masks import rle
from shipseg.model.card import Card, CardInput

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class RedIsShip:
    """A model whose probability is the image's red channel / 255."""

    card: Card

    def probability(self, image_hwc: NDArray[np.uint8], /) -> NDArray[np.float32]:
        return image_hwc[..., 0].astype(np.float32) / np.float32(255)


@pytest.fixture
def red_model() -> Callable[..., RedIsShip]:
    """Makes that model; a pixel is 100 m wide by default, so 10 x 10 pixels are 1 km2."""

    def make(*, metres_per_pixel: float = 100, **decision: float) -> RedIsShip:
        chosen = Decision.model_validate(decision)
        return RedIsShip(Card(decision=chosen, input=CardInput(mode="crops", metres_per_pixel=metres_per_pixel)))

    return make


@pytest.fixture
def labelled() -> Callable[..., Labelled]:
    """Makes a labelled image: `truth` are boxes of true ships, `seen` maps boxes to the red painted there."""

    def make(
        image_id: str,
        *,
        truth: Sequence[Box] = (),
        seen: Mapping[Box, int] | None = None,
        shape: tuple[int, int] = (10, 10),
        group: str | None = None,
    ) -> Labelled:
        image_hwc = np.zeros((*shape, 3), np.uint8)
        for (row0, col0, row1, col1), red in (seen or {}).items():
            image_hwc[row0:row1, col0:col1, 0] = red
        texts = []
        for row0, col0, row1, col1 in truth:
            mask_hw = np.zeros(shape, bool)
            mask_hw[row0:row1, col0:col1] = True
            texts.append(rle.encode(mask_hw))
        return Labelled(image_id, lambda: image_hwc, tuple(texts), shape, group)

    return make


@pytest.fixture
def four_images(labelled: Callable[..., Labelled]) -> list[Labelled]:
    """One image left empty, one with a false alarm, one with a ship, one with two; see test_evaluate for the sums."""
    return [
        labelled("a_empty"),
        labelled("b_alarm", seen={(4, 4, 6, 6): 255}),
        labelled("c_single", truth=[(0, 0, 2, 5)], seen={(0, 0, 2, 4): 204}),
        labelled(
            "d_several",
            truth=[(0, 0, 3, 4), (6, 6, 8, 8)],
            seen={(0, 0, 3, 4): 255, (9, 0, 10, 1): 255},
        ),
    ]
