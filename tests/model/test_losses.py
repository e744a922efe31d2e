"""The losses: hand-worked values, gradients, and the contract that all of them keep."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shipseg.config import LossConfig
from shipseg.errors import ConfigError
from shipseg.model.losses import LOSSES, build_loss, pixel_weights, small_ship_weights, water_between_ships

ALL = sorted(LOSSES)


def single(name: str, **parameters: float) -> LossConfig:
    """Return the configuration of one loss alone."""
    return LossConfig.model_validate({"weights": {name: 1.0}, **parameters})


def loss_of(name: str, logits: list[float], target: list[float], **parameters: float) -> float:
    """Return the loss of a row of pixels."""
    shape = (1, 1, 1, len(logits))
    value = build_loss(single(name, **parameters))(torch.tensor(logits).view(shape), torch.tensor(target).view(shape))
    return float(value)


def logit(probability: float) -> float:
    """Return the logit of a probability."""
    return math.log(probability / (1 - probability))


def batch(*, ships: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return random logits (2, 1, 8, 8) of both signs and coverage, fractional at the ship's edge or all zero."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn((2, 1, 8, 8), generator=generator)
    target = torch.zeros_like(logits)
    if ships:
        target[0, 0, 2:6, 3:5] = 1.0
        target[0, 0, 6, 3:5] = 0.7
    return logits, target


def test_bce_of_two_pixels_by_hand() -> None:
    # -(ln 0.8 + ln 0.75) / 2
    expected = -(math.log(0.8) + math.log(0.75)) / 2
    assert loss_of("bce", [logit(0.8), logit(0.25)], [1, 0]) == pytest.approx(expected, rel=1e-6)


def test_focal_of_two_pixels_by_hand() -> None:
    # errors 0.2 and 0.25, squared, times the cross entropies
    expected = (0.04 * -math.log(0.8) + 0.0625 * -math.log(0.75)) / 2
    assert loss_of("focal", [logit(0.8), logit(0.25)], [1, 0]) == pytest.approx(expected, rel=1e-5)
    weighted = (0.9 * 0.04 * -math.log(0.8) + 0.1 * 0.0625 * -math.log(0.75)) / 2
    assert loss_of("focal", [logit(0.8), logit(0.25)], [1, 0], focal_alpha=0.9) == pytest.approx(weighted, rel=1e-5)


def test_focal_with_gamma_zero_is_bce() -> None:
    logits, target = [1.5, -2.0, 0.3], [1.0, 0.0, 0.6]
    assert loss_of("focal", logits, target, focal_gamma=0) == pytest.approx(loss_of("bce", logits, target), rel=1e-6)


def test_dice_of_three_pixels_by_hand() -> None:
    # hits 0.8, predicted 0.8 + 0.25 + 0.5, true 1, smooth 1
    expected = 1 - (1.6 + 1) / (1.55 + 1 + 1)
    assert loss_of("dice", [logit(0.8), logit(0.25), 0.0], [1, 0, 0]) == pytest.approx(expected, rel=1e-6)


def test_tversky_of_three_pixels_by_hand() -> None:
    # hits 0.8, misses 0.2, false alarms 0.25 + 0.5
    expected = 1 - (0.8 + 1) / (0.8 + 0.3 * 0.75 + 0.7 * 0.2 + 1)
    assert loss_of("tversky", [logit(0.8), logit(0.25), 0.0], [1, 0, 0]) == pytest.approx(expected, rel=1e-6)


def test_tversky_with_halves_is_dice_with_twice_the_smoothing() -> None:
    # hits / (hits + FP/2 + FN/2) = 2 hits / (predicted + true)
    logits, target = [2.0, -1.0, 0.5, -3.0], [1.0, 1.0, 0.0, 0.0]
    tversky = loss_of("tversky", logits, target, tversky_alpha=0.5, tversky_beta=0.5, smooth=1)
    assert tversky == pytest.approx(loss_of("dice", logits, target, smooth=2), rel=1e-6)


def test_lovasz_of_three_pixels_by_hand() -> None:
    # Hinge errors: ship 1 - 2 = -1 -> 0 · sea 1 + 0.5 = 1.5 · ship 1 + 1 = 2. Sorted: 2 (ship), 1.5 (sea), 0 (ship).
    # Jaccard losses without smoothing: miss one ship of two 1 - 1/2 = 1/2; and a false alarm 1 - 1/3 = 2/3; all 1.
    # Steps 1/2, 1/6, 1/3: loss = 2/2 + 1.5/6.
    value = loss_of("lovasz", [2.0, 0.5, -1.0], [1, 0, 1], smooth=1e-9)
    assert value == pytest.approx(1.25, rel=1e-6)


def test_lovasz_with_smoothing_by_hand() -> None:
    # One more ship pixel that is always right: 1 - 2/3 = 1/3, then 1 - 2/4 = 1/2: steps 1/3, 1/6.
    assert loss_of("lovasz", [2.0, 0.5, -1.0], [1, 0, 1], smooth=1) == pytest.approx(2 / 3 + 1.5 / 6, rel=1e-6)


def test_lovasz_cuts_fractional_targets_at_one_half() -> None:
    logits = [1.0, -2.0, 0.5]
    assert loss_of("lovasz", logits, [0.5, 0.49, 0.9]) == loss_of("lovasz", logits, [1, 0, 1])


def test_a_batch_without_ships_costs_dice_what_is_predicted() -> None:
    # predicted 0.5 + 0.25: 1 - 1 / 1.75
    assert loss_of("dice", [0.0, logit(0.25)], [0, 0]) == pytest.approx(1 - 1 / 1.75, rel=1e-6)


def test_a_weighted_sum_is_the_sum_of_the_weighted_losses() -> None:
    logits, target = batch(ships=True)
    config = LossConfig(weights={"bce": 2.0, "dice": 0.5, "lovasz": 0.1})
    parts = {name: float(build_loss(single(name))(logits, target)) for name in config.weights}
    expected = 2.0 * parts["bce"] + 0.5 * parts["dice"] + 0.1 * parts["lovasz"]
    assert float(build_loss(config)(logits, target)) == pytest.approx(expected, rel=1e-6)


# --- the contract of every loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("ships", [True, False])
def test_the_gradient_is_that_of_the_value(name: str, ships: bool) -> None:
    logits, target = batch(ships=ships)
    loss = build_loss(single(name))
    assert torch.autograd.gradcheck(
        lambda values: loss(values, target.double()), logits.double().requires_grad_(), eps=1e-7, atol=1e-6
    )


@pytest.mark.parametrize("name", ALL)
def test_a_batch_without_ships_lowers_every_false_alarm(name: str) -> None:
    logits, target = batch(ships=False)
    logits.requires_grad_()
    value = build_loss(single(name))(logits, target)
    value.backward()  # type: ignore[no-untyped-call]
    assert value > 0
    gradient = logits.grad
    assert gradient is not None
    assert (gradient >= 0).all()
    assert (gradient[logits > 0] > 0).all()


@pytest.mark.parametrize("name", ALL)
def test_following_the_gradient_clears_a_batch_without_ships(name: str) -> None:
    logits = (batch(ships=False)[0] + 2).requires_grad_()
    target = torch.zeros_like(logits)
    loss = build_loss(single(name))
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss(logits, target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert (logits < 0).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [256, 1024])
def test_false_alarms_of_a_large_batch_without_ships_have_a_gradient_in_float32(name: str, size: int) -> None:
    logits = torch.full((2, 1, size, size), -8.0)
    logits[0, 0, 10:40, 20:50] = torch.linspace(0.5, 2.0, 900).view(30, 30)
    logits.requires_grad_()
    build_loss(single(name))(logits, torch.zeros_like(logits)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[0, 0, 10:40, 20:50] > 0).all()


@pytest.mark.parametrize("name", ALL)
def test_a_hit_costs_less_than_a_miss(name: str) -> None:
    _, target = batch(ships=True)
    right = torch.where(target >= 0.5, 6.0, -6.0)
    loss = build_loss(single(name))
    blind = torch.full_like(right, -6.0)
    assert loss(right, target) < loss(blind, target)
    assert loss(right, target) < loss(-right, target)


@pytest.mark.parametrize("name", [name for name in ALL if name != "lovasz"])
@pytest.mark.parametrize("coverage", [0.1, 0.5, 0.8])
def test_a_fractional_target_is_where_the_loss_is_lowest(name: str, coverage: float) -> None:
    loss = build_loss(single(name))
    target = torch.full((1, 1, 4, 4), coverage)
    probabilities = torch.linspace(0.02, 0.98, 49)
    values = torch.stack([loss(torch.full_like(target, logit(float(p))), target) for p in probabilities])
    assert float(probabilities[values.argmin()]) == pytest.approx(coverage, abs=0.011)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("ships", [True, False])
@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_large_logits_give_finite_values_and_gradients(name: str, ships: bool, scale: float) -> None:
    logits, target = batch(ships=ships)
    logits = (scale * logits.sign()).requires_grad_()
    value = build_loss(single(name, focal_gamma=0.5))(logits, target)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_autocast_does_not_change_the_value(name: str) -> None:
    logits, target = batch(ships=True)
    loss = build_loss(single(name))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(logits, target)
    assert inside.dtype == torch.float32
    assert inside == loss(logits, target)
    assert loss(logits.bfloat16(), target).dtype == torch.float32


@pytest.mark.parametrize("name", ALL)
def test_probabilities_are_refused(name: str) -> None:
    logits, target = batch(ships=True)
    with pytest.raises(ConfigError, match=r"takes logits, got values from .* look like probabilities"):
        build_loss(single(name))(logits.sigmoid(), target)


@pytest.mark.parametrize("name", ALL)
def test_equal_logits_are_logits_whatever_their_value(name: str) -> None:
    _, target = batch(ships=True)
    assert build_loss(single(name))(torch.full_like(target, 0.5), target).isfinite()


@pytest.mark.parametrize("name", ALL)
def test_unequal_shapes_are_refused(name: str) -> None:
    logits, target = batch(ships=True)
    with pytest.raises(ConfigError, match=r"same shape, got \(2, 1, 8, 8\) and \(2, 8, 8\)"):
        build_loss(single(name))(logits, target[:, 0])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("wrong", [255.0, -0.5, math.nan])
def test_targets_that_are_no_coverage_are_refused(name: str, wrong: float) -> None:
    logits, target = batch(ships=True)
    target[0, 0, 0, 0] = wrong
    with pytest.raises(ConfigError, match="a target must be coverage in 0-1"):
        build_loss(single(name))(logits, target)


@pytest.mark.parametrize("name", ALL)
def test_a_logit_that_is_not_a_number_shows_in_the_loss(name: str) -> None:
    logits, target = batch(ships=True)
    logits[0, 0, 0, 0] = math.nan
    assert build_loss(single(name))(logits, target).isnan()


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(ALL))
def test_the_order_of_images_and_pixels_does_not_matter(seed: int, name: str) -> None:
    logits, target = batch(ships=True, seed=seed)
    order = torch.randperm(128, generator=torch.Generator().manual_seed(seed))
    shuffled = [tensor.flatten()[order].view(2, 1, 8, 8) for tensor in (logits, target)]
    loss = build_loss(single(name))
    assert float(loss(*shuffled)) == pytest.approx(float(loss(logits, target)), rel=1e-5)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"weights": {"tversky": 1.0}, "tversky_alpha": 0}, "tversky_alpha must be above 0: with 0 a false alarm"),
        ({"weights": {"tversky": 1.0}, "tversky_beta": 0}, "tversky_beta must be above 0: with 0 a missed ship"),
        ({"weights": {"focal": 1.0}, "focal_alpha": 1}, "with 1 a false alarm costs nothing"),
        ({"weights": {"focal": 1.0}, "focal_alpha": 0}, "with 0 a missed ship costs nothing"),
    ],
)
def test_parameters_that_give_an_error_type_zero_cost_are_refused(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_loss(LossConfig.model_validate(parameters))


@pytest.mark.parametrize("name", ["small_ships", "between_ships"])
def test_pixel_weights_with_lovasz_alone_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"loss.{name} has no effect on lovasz alone"):
        build_loss(LossConfig.model_validate({"weights": {"lovasz": 1.0}, name: 0.5}))
    build_loss(LossConfig.model_validate({"weights": {"lovasz": 1.0, "bce": 1.0}, name: 0.5}))


def _boat_and_tanker() -> Tensor:
    """Return coverage (1, 1, 200, 300): 8 x 8 px at the top left, 120 x 20 px at the bottom right."""
    target = torch.zeros((1, 1, 200, 300))
    target[..., 24:32, 24:32] = 1.0
    target[..., 160:180, 160:280] = 1.0
    return target


def test_the_surroundings_of_a_small_ship_weigh_more_than_a_large_one() -> None:
    weights = small_ship_weights(_boat_and_tanker(), 1.0)[0, 0]
    assert weights.shape == (200, 300)
    assert float(weights[28, 28]) == pytest.approx(512 / 64)
    assert float(weights[28, 36]) == pytest.approx(512 / 64), "water beside the boat"
    assert float(weights[28, 60]) == 1.0, "water away from it"
    assert float(weights[170, 220]) == 1.0, "the tanker's middle"
    assert 1.0 < float(weights[161, 161]) < 4.0, "the tanker's end"
    assert float(small_ship_weights(_boat_and_tanker(), 0.5)[0, 0, 28, 28]) == pytest.approx(math.sqrt(8), rel=1e-6)
    assert float(weights.min()) == 1.0


def test_a_boat_of_a_pixel_weighs_no_more_than_one_of_32() -> None:
    target = torch.zeros((1, 1, 64, 64))
    target[..., 30, 30] = 1.0
    assert float(small_ship_weights(target, 1.0).max()) == 512 / 32


@pytest.mark.parametrize("name", [name for name in ALL if name != "lovasz"])
def test_missing_a_boat_costs_more_with_small_ships(name: str) -> None:
    target = _boat_and_tanker()
    right = torch.where(target > 0, 4.0, -4.0)
    missed = right.clone()
    missed[..., :100, :] = -4.0
    costs = []
    for power in (0.0, 0.5, 1.0):
        loss = build_loss(single(name, small_ships=power))
        costs.append(float(loss(missed, target) - loss(right, target)))
    assert 0 < costs[0] < 0.6 * costs[1]
    assert costs[1] < 0.6 * costs[2]


@pytest.mark.parametrize("name", [name for name in ALL if name != "lovasz"])
def test_the_target_is_still_the_minimum_with_small_ships(name: str) -> None:
    target = torch.clamp(0.8 * _boat_and_tanker() + 0.01, max=1.0)
    loss = build_loss(single(name, small_ships=1.0))
    logits = torch.logit(target)
    best = loss(logits, target)
    for change in (-0.5, -0.05, 0.05, 0.5):
        assert float(loss(logits + change, target)) > float(best)


def test_narrow_water_between_two_ships_is_found_and_wide_water_is_not() -> None:
    target = torch.zeros((1, 1, 40, 60))
    target[..., 10:18, 5:55] = 1.0
    target[..., 21:30, 5:55] = 1.0
    between = water_between_ships(target)[0, 0]
    assert float(between[18:21, 10:50].min()) == 1.0
    assert float(between.sum()) == 3 * 50
    target[..., 21:22, :] = 0.0
    assert float(water_between_ships(target).sum()) == 4 * 50, "4 px apart"
    target[..., 21:23, :] = 0.0
    assert float(water_between_ships(target).sum()) == 0.0, "5 px apart"


def test_one_ship_at_the_border_has_no_water_between_itself_and_the_border() -> None:
    target = torch.zeros((1, 1, 40, 60))
    target[..., 2:10, 20:38] = 1.0
    assert float(water_between_ships(target).sum()) == 0.0
    slanted = torch.zeros((1, 1, 40, 60))
    rows, cols = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
    slanted[0, 0][(rows - cols).abs() < 6] = 1.0
    assert float(water_between_ships(slanted).sum()) == 0.0


def test_both_weights_add_and_the_mean_is_over_the_number_of_pixels() -> None:
    target = torch.zeros((1, 1, 40, 60))
    target[..., 10:18, 5:13] = 1.0
    target[..., 10:18, 15:23] = 1.0
    config = single("bce", small_ships=0.5, between_ships=2.0)
    weights = pixel_weights(target, config)
    assert weights is not None
    small = small_ship_weights(target, 0.5)
    assert float(weights[0, 0, 12, 14]) == pytest.approx(float(small[0, 0, 12, 14]) + 2.0)
    assert float(weights[0, 0, 12, 8]) == float(small[0, 0, 12, 8]) > 1.0
    logits = torch.full_like(target, -1.0)
    entropy = torch.where(target > 0, math.log(1 + math.e), math.log(1 + 1 / math.e))
    assert float(build_loss(config)(logits, target)) == pytest.approx(float((entropy * weights).mean()), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if name != "lovasz"])
def test_making_one_ship_of_two_costs_more_with_between_ships(name: str) -> None:
    target = torch.zeros((1, 1, 40, 60))
    target[..., 10:18, 5:55] = 1.0
    target[..., 21:30, 5:55] = 1.0
    right = torch.where(target > 0, 4.0, -4.0)
    merged = right.clone()
    merged[..., 18:21, 5:55] = 4.0
    costs = []
    for weight in (0.0, 3.0):
        loss = build_loss(single(name, between_ships=weight))
        costs.append(float(loss(merged, target) - loss(right, target)))
    assert costs[1] > 2 * costs[0] > 0
