from __future__ import annotations

import pytest
from benchmarks.reference.double_sigmoid_trial import DoubleSigmoidPlan, train_both

TINY = DoubleSigmoidPlan(images=8, test_images=4, size=64, steps=2, batch_size=4, widths=(8, 8))


def test_both_inputs_are_scored_equally_and_reproducibly() -> None:
    twins = train_both(TINY)
    assert set(twins) == {"logits", "probabilities"}
    for twin in twins.values():
        assert len(twin["threshold"]) == len(twin["pooled_dice"]) == len(twin["airbus_score"])
        assert twin["threshold"] == sorted(twin["threshold"])
        assert 0 < twin["best_threshold"] < 1
        assert twin["best_pooled_dice"] >= max(twin["pooled_dice"]) - 1e-4
    assert twins["probabilities"]["loss"] > 0.1
    assert train_both(TINY) == twins


@pytest.mark.slow
def test_with_probabilities_the_best_threshold_is_near_0_and_the_loss_at_its_minimum() -> None:
    twins = train_both()
    assert twins["probabilities"]["best_threshold"] < 0.01
    assert twins["logits"]["best_threshold"] > 0.2
    assert twins["probabilities"]["dice_at_half"] < 0.05
    assert twins["probabilities"]["loss"] == pytest.approx(0.1725, abs=0.002)
