"""A small evaluation to report on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shipseg.config import Decision
from shipseg.errors import ImageError
from shipseg.evaluation.evaluate import Evaluation, evaluate
from shipseg.evaluation.labelled import Labelled, Source, open_source
from shipseg.masks import rle
from shipseg.model.card import Card, CardInput


@dataclass(frozen=True)
class BrightIsShip:
    """A model that takes bright pixels for ships: often wrong, always the same."""

    card: Card

    def probability(self, image_hwc: NDArray[np.uint8], /) -> NDArray[np.float32]:
        return np.asarray(image_hwc.mean(axis=2, dtype=np.float32) / np.float32(255))


@pytest.fixture(scope="session")
def bright_model() -> BrightIsShip:
    card = Card(
        name="bright & <b>bold</b>",
        input=CardInput(mode="crops"),
        decision=Decision(threshold=0.6, min_peak=0.7, metric="airbus_score"),
        scores={"val_pooled_dice": 0.25},
        created="2020-02-02",
    )
    return BrightIsShip(card)


@pytest.fixture(scope="session")
def synthetic_source(airbus_folder: Path) -> Source:
    return open_source(airbus_folder)


@pytest.fixture(scope="session")
def synthetic_evaluation(bright_model: BrightIsShip, synthetic_source: Source) -> Evaluation:
    return evaluate(bright_model, synthetic_source)


@pytest.fixture(scope="session")
def small_source() -> Source:
    """Five images of 40 x 40 px: empty, a false alarm, a ship half found, two ships of which one is found, broken."""

    def image(name: str, ships: list[slice], bright: list[slice]) -> Labelled:
        image_hwc = np.zeros((40, 40, 3), np.uint8)
        texts = []
        for rows in ships:
            mask_hw = np.zeros((40, 40), bool)
            mask_hw[rows, 5:25] = True
            texts.append(rle.encode(mask_hw))
        for rows in bright:
            image_hwc[rows, 5:25] = 240
        return Labelled(name, lambda: image_hwc, tuple(texts))

    def fail() -> NDArray[np.uint8]:
        raise ImageError("<i>gone</i>.png does not exist: fetch it", reason="missing")

    images = (
        image("empty.png", [], []),
        image("alarm.png", [], [slice(0, 4)]),
        image("half.png", [slice(10, 20)], [slice(10, 15)]),
        image("two.png", [slice(5, 10), slice(20, 25)], [slice(5, 10)]),
        Labelled("<i>gone</i>.png", fail, ()),
    )
    return Source("tiles of <script>alert(1)</script>", images)
