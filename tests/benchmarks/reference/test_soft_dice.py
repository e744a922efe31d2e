from __future__ import annotations

import numpy as np
import pytest
from benchmarks.reference.soft_dice import pooling_facts


def test_the_largest_ship_decides_the_pooled_score_and_not_the_mean() -> None:
    small_hw, large_hw, empty_hw = np.zeros((20, 20), bool), np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    small_hw[0, 0] = True
    large_hw[:, :10] = True
    outputs = [np.zeros((20, 20)), large_hw.astype(float), np.ones((20, 20))]
    facts = pooling_facts(outputs, [small_hw, large_hw, empty_hw])
    # Pooled: (2 x 200 + 1) / (200 + 201 + 1); by image: (0 + 1) / (0 + 1 + 1) and 1. The false alarm counts nowhere.
    assert facts["soft_dice"] == pytest.approx(401 / 402, abs=1e-4)
    assert facts["image_soft_dice"] == 0.75
    assert facts["spread_of_order"] == 0
    assert facts["spread_of_draw"] == pytest.approx(0.25, abs=0.02)  # 0.5 or 1, each half of the time
    assert facts["share_of_largest_tenth"] == pytest.approx(200 / 201, abs=1e-4)
    assert (facts["num_images"], facts["num_ship_images"]) == (3, 2)


def test_the_order_matters_once_there_are_more_images_than_a_batch() -> None:
    generator = np.random.default_rng(0)
    truths = [generator.random((8, 8)) < share for share in np.linspace(0.05, 0.9, 40)]
    outputs = [np.full((8, 8), 0.5) for _ in truths]
    assert pooling_facts(outputs, truths)["spread_of_order"] > 0


def test_without_ships_there_is_no_score() -> None:
    facts = pooling_facts([np.zeros((4, 4))], [np.zeros((4, 4), bool)])
    assert facts["soft_dice"] is None
    assert facts["num_ship_images"] == 0
