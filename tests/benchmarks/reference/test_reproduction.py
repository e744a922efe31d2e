from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.reference.reproduction import resized_like_reference, train_like_reference

from shipseg import load_model
from shipseg.data.prepared import open_dataset
from shipseg.errors import DataError
from shipseg.masks.rle import encode
from shipseg.model.card import read_card
from shipseg.recipes import load_recipe

SMALL = {"network.architecture": "compact", "network.widths": "[8, 8, 8]", "train.batch_size": 4}


class OneImage:
    """A dataset of one image of 6 x 6 px, white where its only ship lies."""

    def __init__(self, ship_hw: np.ndarray) -> None:
        self.ship_hw = ship_hw

    def read_image(self, _: object) -> np.ndarray:
        return np.dstack([self.ship_hw.astype(np.uint8) * 255] * 3)

    def ship_rles(self, _: object) -> tuple[str, ...]:
        return (encode(self.ship_hw),)


def test_the_mask_is_sampled_at_another_pixel_than_the_image() -> None:
    ship_hw = np.zeros((6, 6), bool)
    ship_hw[1, 1] = ship_hw[3, 3] = True  # the middle of the first block, the first pixel of the last
    image_hwc, mask_hw = resized_like_reference(OneImage(ship_hw), None, (2, 2))  # type: ignore[arg-type]
    assert image_hwc[..., 0].tolist() == [[255, 0], [0, 0]]
    assert mask_hw.tolist() == [[0, 0], [0, 1]]


def test_it_writes_a_model_with_the_references_threshold_that_predicts(dataset_folder: Path, tmp_path: Path) -> None:
    data = open_dataset(dataset_folder)
    recipe = load_recipe("model-2-stratified", SMALL)
    done = train_like_reference(data, recipe, minutes=0.01, folder=tmp_path / "model")
    card = read_card(tmp_path / "model")
    assert (card.decision.threshold, card.decision.metric, card.decision.min_peak) == (4e-4, "none", 0)
    assert card.input.scale == 0.5  # 128 px images, resized to 64
    assert done["images_seen"] == 4 * done["steps"] > 0
    assert card.training.steps == done["steps"]
    # Double sigmoid: the loss cannot fall below 0.17, and starts at a probability of 0.5 near 0.3.
    assert 0.17 < card.training.model_dump()["last_loss"] < 0.5
    probability_hw = load_model(tmp_path / "model").probability(data.read_image(data.rows("val").iloc[0]))
    assert probability_hw.shape == (128, 128)


def test_the_caller_s_random_numbers_are_not_touched(dataset_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    recipe = load_recipe("model-2-stratified", SMALL)
    train_like_reference(open_dataset(dataset_folder), recipe, minutes=0.001, folder=tmp_path / "model")
    assert torch.rand(1) == expected


def test_a_dataset_without_cached_images_is_refused(airbus_folder: Path, tmp_path: Path) -> None:
    from shipseg.data.prepare import PrepareOptions, prepare

    prepare(airbus_folder, tmp_path / "native", PrepareOptions(size="native", workers=1))
    with pytest.raises(DataError, match="no cached training image with ships: prepare it with --size 256"):
        train_like_reference(
            open_dataset(tmp_path / "native"), load_recipe("model-2-stratified"), minutes=1, folder=tmp_path / "model"
        )
