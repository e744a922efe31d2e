from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benchmarks.reference.double_sigmoid import (
    PixelLoss,
    best_losses,
    dice_switch_probability,
    implied_probability,
    lowest_dice_loss,
    minimiser,
    probability_seen,
    reported_losses,
)
from benchmarks.reference.losses import InputKind, focal_loss


def test_with_probabilities_as_input_the_loss_has_at_least_a_half() -> None:
    assert probability_seen(0.0, input_kind="probabilities") == 0.5
    assert probability_seen(1.0, input_kind="probabilities") == pytest.approx(0.73106, abs=1e-5)
    assert probability_seen(0.2, input_kind="logits") == 0.2


@pytest.mark.parametrize(("threshold", "meant"), [(4e-4, 0.5003), (1e-2, 0.5067), (0.5, 0.7923)])
def test_the_references_thresholds_mean_ship_probabilities_of_a_half_and_more(threshold: float, meant: float) -> None:
    assert implied_probability(threshold, loss="focal", input_kind="probabilities") == pytest.approx(meant, abs=5e-5)


@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_with_probabilities_as_input_the_best_output_is_0_up_to_a_half(loss: PixelLoss) -> None:
    assert minimiser([0.0, 0.2, 0.5], loss=loss, input_kind="probabilities").tolist() == [0, 0, 0]
    assert (minimiser([0.2, 0.5], loss=loss, input_kind="logits") > 0.1).all()


@pytest.mark.parametrize("input_kind", ["logits", "probabilities"])
@pytest.mark.parametrize("q", [0.1, 0.45, 0.6, 0.8, 0.97])
def test_the_best_output_has_the_lowest_real_loss(input_kind: InputKind, q: float) -> None:
    outputs = np.linspace(0.0005, 0.9995, 1999)
    z = torch.tensor(np.log(outputs / (1 - outputs)))
    expected = [
        q * focal_loss(value, torch.ones(()), input_kind=input_kind)
        + (1 - q) * focal_loss(value, torch.zeros(()), input_kind=input_kind)
        for value in z
    ]
    assert minimiser(q, loss="focal", input_kind=input_kind) == pytest.approx(
        outputs[int(torch.stack(expected).argmin())], abs=2e-3
    )


def test_with_logits_the_best_output_for_bce_is_the_probability() -> None:
    assert minimiser([0.1, 0.73], loss="bce", input_kind="logits") == pytest.approx([0.1, 0.73])


@pytest.mark.parametrize(("q", "pays"), [(0.006, False), (0.009, True)])
def test_one_more_pixel_pays_for_dice_above_its_switch_probability(q: float, pays: bool) -> None:
    # 5,100 ship pixels and 994,900 others, all right, and one pixel that is ship with probability q.
    high, low = 1 / (1 + math.exp(-1)), 0.5

    def expected_loss(seen: float) -> float:
        hits, sums = high * 5_100, high * 5_100 + low * 994_900 + seen + 5_100
        return q * (1 - 2 * (hits + seen) / (sums + 1)) + (1 - q) * (1 - 2 * hits / sums)

    assert (expected_loss(high) < expected_loss(low)) is pays
    assert (q > dice_switch_probability(0.0051, input_kind="probabilities")) is pays
    assert dice_switch_probability(0.0051, input_kind="logits") == 0.5


def test_the_lowest_losses_without_and_with_few_ships() -> None:
    assert best_losses(0.0)["focal"] == pytest.approx(0.25 * math.log(2))
    assert best_losses(0.0)["bce"] == pytest.approx(math.log(2))
    assert lowest_dice_loss(0.0) == 1
    assert best_losses(0.0051)["focal"] == pytest.approx(0.9949 * 0.173287 + 0.0051 * 0.022658, abs=1e-6)


def test_all_reported_losses_but_focal_agree_to_the_third_digit() -> None:
    rows = reported_losses()
    assert [row["printed"] for row in rows] == [0.989, 0.987, 0.986, 0.985, 0.172, 0.691, 1.0]
    assert [row["what"] for row in rows if not row["to_the_third_digit"]] == ["Focal, every batch size"]
    assert rows[4]["calculated"] == pytest.approx(0.1725, abs=5e-5)
