from __future__ import annotations

import numpy as np
import pytest
from benchmarks.reference.sampler import NUM_MULTIPLE, NUM_SINGLE, covered_shares, moved_by, reference_batches


def test_a_batch_of_the_reference_has_5_of_16_with_several_ships_and_none_without() -> None:
    ships = np.array([0] * 30 + [1] * 40 + [4] * 20)
    batches = reference_batches(ships, generator=np.random.default_rng(0))
    for _ in range(20):
        drawn = ships[next(batches)]
        assert (len(drawn), (drawn == 4).sum(), (drawn == 0).sum()) == (16, 5, 0)


@pytest.mark.parametrize("ships", [[1, 1, 0], [3, 0]])
def test_a_missing_stratum_is_filled_from_the_other(ships: list[int]) -> None:
    counts = np.array(ships)
    drawn = next(reference_batches(counts, generator=np.random.default_rng(0), batch_size=8))
    assert len(drawn) == 8
    assert counts[drawn].min() > 0


def test_an_epoch_of_the_reference_shows_66_and_58_percent_and_ours_everything() -> None:
    assert (NUM_SINGLE, NUM_MULTIPLE) == (21_445, 12_217)
    facts = covered_shares(epochs=1)
    # With m draws among n images, each is left out with probability exp(-m / n).
    assert facts["reference"]["single"] == pytest.approx([1 - np.exp(-2_103 * 11 / 21_445)], abs=0.01)
    assert facts["reference"]["multiple"] == pytest.approx([1 - np.exp(-2_103 * 5 / 12_217)], abs=0.01)
    assert facts["ours"] == {"single": [1.0], "multiple": [1.0]}
    assert facts["multiple_ships_ratio"] == {"reference": 0.3125, "ours": pytest.approx(0.3629, abs=1e-4)}


def test_a_learning_rate_of_1e_10_leaves_nearly_all_weights_the_same_to_the_bit() -> None:
    still = moved_by(1e-10)
    assert still["share_unmoved"] > 0.97
    assert still["largest_move"] < 2e-6
    moving = moved_by(1e-6)
    assert moving["share_unmoved"] == 0
    # 10,515 steps of 1e-6, but for what rounding to a weight's own grid takes or adds.
    assert moving["largest_move"] == pytest.approx(0.0105, rel=0.2)
