"""A widened network computes what the narrower one did, and its copies diverge with noise."""

from __future__ import annotations

import pytest
import torch

from shipseg.errors import ConfigError
from shipseg.model.compact import CompactUNet
from shipseg.model.widening import can_widen, widened

NARROW, WIDE = (4, 6, 8), (7, 13, 8)


def _with_random_statistics() -> CompactUNet:
    torch.manual_seed(3)
    network = CompactUNet(NARROW).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) * 0.3)
    return network


def test_it_computes_the_same() -> None:
    narrow, wide = _with_random_statistics(), CompactUNet(WIDE).eval()
    wide.load_state_dict(widened(narrow.state_dict(), NARROW, WIDE, seed=1, noise=0.0))
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        before = narrow(images)
        torch.testing.assert_close(wide(images), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_with_noise_it_computes_nearly_the_same_and_copies_differ() -> None:
    narrow, wide = _with_random_statistics(), CompactUNet(WIDE).eval()
    wide.load_state_dict(widened(narrow.state_dict(), NARROW, WIDE, seed=1))
    images = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        before, after = narrow(images), wide(images)
    difference = float((after - before).std() / before.std())
    assert 0 < difference < 0.3
    stem = wide.state_dict()["encoder.stem.0.0.weight"]
    assert len(torch.unique(stem.flatten(1), dim=0)) == WIDE[0]


def test_the_same_seed_gives_the_same_bits() -> None:
    state = _with_random_statistics().state_dict()
    first, second, other = (widened(state, NARROW, WIDE, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_no_stage_may_shrink() -> None:
    assert not can_widen(NARROW, (4, 6))
    assert not can_widen(NARROW, (4, 5, 8))
    with pytest.raises(ConfigError, match="no stage may become narrower"):
        widened(_with_random_statistics().state_dict(), NARROW, (4, 5, 8), seed=0)
