from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benchmarks.reference.double_sigmoid import (
    PixelLoss,
    best_losses,
    dice_turning_point,
    lowest_dice_loss,
    minimiser,
    printed_losses,
    probability_meant,
    seen_by_the_loss,
)
from benchmarks.reference.losses import Fed, focal_loss


def test_fed_probabilities_a_loss_sees_a_half_at_least() -> None:
    assert seen_by_the_loss(0.0, fed="probabilities") == 0.5
    assert seen_by_the_loss(1.0, fed="probabilities") == pytest.approx(0.73106, abs=1e-5)
    assert seen_by_the_loss(0.2, fed="logits") == 0.2


@pytest.mark.parametrize(("threshold", "meant"), [(4e-4, 0.5003), (1e-2, 0.5067), (0.5, 0.7923)])
def test_the_references_thresholds_mean_ship_probabilities_of_a_half_and_more(threshold: float, meant: float) -> None:
    assert probability_meant(threshold, loss="focal", fed="probabilities") == pytest.approx(meant, abs=5e-5)


@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_up_to_a_half_the_best_output_is_nothing_when_probabilities_are_fed(loss: PixelLoss) -> None:
    assert minimiser([0.0, 0.2, 0.5], loss=loss, fed="probabilities").tolist() == [0, 0, 0]
    assert (minimiser([0.2, 0.5], loss=loss, fed="logits") > 0.1).all()


@pytest.mark.parametrize("fed", ["logits", "probabilities"])
@pytest.mark.parametrize("q", [0.1, 0.45, 0.6, 0.8, 0.97])
def test_the_best_output_is_where_the_real_loss_is_lowest(fed: Fed, q: float) -> None:
    outputs = np.linspace(0.0005, 0.9995, 1999)
    z = torch.tensor(np.log(outputs / (1 - outputs)))
    expected = [
        q * focal_loss(value, torch.ones(()), fed=fed) + (1 - q) * focal_loss(value, torch.zeros(()), fed=fed)
        for value in z
    ]
    assert minimiser(q, loss="focal", fed=fed) == pytest.approx(outputs[int(torch.stack(expected).argmin())], abs=2e-3)


def test_bce_fed_logits_asks_for_the_probability_itself() -> None:
    assert minimiser([0.1, 0.73], loss="bce", fed="logits") == pytest.approx([0.1, 0.73])


@pytest.mark.parametrize(("q", "pays"), [(0.006, False), (0.009, True)])
def test_one_more_pixel_pays_for_dice_above_its_turning_point(q: float, pays: bool) -> None:
    # 5,100 ship pixels and 994,900 others, all right, and one pixel that is ship with probability q.
    high, low = 1 / (1 + math.exp(-1)), 0.5

    def expected_loss(seen: float) -> float:
        hits, sums = high * 5_100, high * 5_100 + low * 994_900 + seen + 5_100
        return q * (1 - 2 * (hits + seen) / (sums + 1)) + (1 - q) * (1 - 2 * hits / sums)

    assert (expected_loss(high) < expected_loss(low)) is pays
    assert (q > dice_turning_point(0.0051, fed="probabilities")) is pays
    assert dice_turning_point(0.0051, fed="logits") == 0.5


def test_the_lowest_losses_are_the_floors_with_a_trace_of_ships() -> None:
    assert best_losses(0.0)["focal"] == pytest.approx(0.25 * math.log(2))
    assert best_losses(0.0)["bce"] == pytest.approx(math.log(2))
    assert lowest_dice_loss(0.0) == 1
    assert best_losses(0.0051)["focal"] == pytest.approx(0.9949 * 0.173287 + 0.0051 * 0.022658, abs=1e-6)


def test_all_printed_losses_but_focal_follow_to_the_third_digit() -> None:
    rows = printed_losses()
    assert [row["printed"] for row in rows] == [0.989, 0.987, 0.986, 0.985, 0.172, 0.691, 1.0]
    assert [row["what"] for row in rows if not row["to_the_third_digit"]] == ["Focal, every batch size"]
    assert rows[4]["calculated"] == pytest.approx(0.1725, abs=5e-5)
