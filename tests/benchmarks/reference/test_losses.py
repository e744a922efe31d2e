from __future__ import annotations

import math

import pytest
import torch
from benchmarks.reference.losses import focal_loss

from shipseg.config import LossConfig
from shipseg.errors import ConfigError
from shipseg.model.losses import build_loss


def test_with_logits_it_is_our_focal_loss() -> None:
    torch.manual_seed(0)
    z, target = torch.randn(2, 1, 8, 8) * 3, torch.rand(2, 1, 8, 8)
    assert focal_loss(z, target, input_kind="logits") == pytest.approx(
        build_loss(LossConfig(weights={"focal": 1}))(z, target)
    )


def test_with_probabilities_the_loss_of_open_sea_is_at_least_a_quarter_of_ln_2() -> None:
    surely_no_ship = torch.full((4, 4), -30.0)
    assert focal_loss(surely_no_ship, torch.zeros(4, 4), input_kind="probabilities") == pytest.approx(
        0.25 * math.log(2)
    )
    assert focal_loss(surely_no_ship, torch.zeros(4, 4), input_kind="logits") == pytest.approx(0, abs=1e-12)


def test_our_losses_refuse_probabilities() -> None:
    z, target = torch.randn(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    assert focal_loss(z, target, input_kind="probabilities") > 0.17
    with pytest.raises(ConfigError, match="look like probabilities"):
        build_loss(LossConfig(weights={"focal": 1}))(z.sigmoid(), target)
