"""The sampler: exact shares, full coverage, processes that share a batch, one number as its state."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipseg.data.sampling import STRATA, Draw, ShipStratifiedSampler
from shipseg.errors import ConfigError

# Positions 0-39 without ships, 40-69 with one, 70-89 with several.
SHIPS = np.array([0] * 40 + [1] * 30 + [2, 3] * 10)


def drawn_by_stratum(batches: list[list[Draw]]) -> list[int]:
    """Return how many images of each stratum the batches contain."""
    ships = [SHIPS[draw.index] for batch in batches for draw in batch]
    return [ships.count(0), ships.count(1), len(ships) - ships.count(0) - ships.count(1)]


def test_the_ratio_of_the_reference_is_met_exactly_in_the_long_run() -> None:
    # 0.3629 of 16 is 5.8064 images; after 10,000 batches exactly 58,064.
    sampler = ShipStratifiedSampler(SHIPS, batch_size=16, zero_ships_ratio=0.25, multiple_ships_ratio=0.3629)
    counts = drawn_by_stratum([sampler.batch(number) for number in range(10_000)])
    assert counts == [40_000, 160_000 - 40_000 - 58_064, 58_064]


@settings(max_examples=50)
@given(
    zero=st.floats(0, 0.95),
    multiple=st.floats(0, 1),
    batch_size=st.integers(1, 40),
    batches=st.integers(1, 60),
)
def test_each_stratum_stays_within_one_image_of_its_share(
    zero: float, multiple: float, batch_size: int, batches: int
) -> None:
    multiple = multiple * (0.999 - zero)
    sampler = ShipStratifiedSampler(
        SHIPS, batch_size=batch_size, zero_ships_ratio=zero, multiple_ships_ratio=multiple, batches_per_epoch=1
    )
    drawn = [sampler.batch(number) for number in range(batches)]
    assert all(len(batch) == batch_size for batch in drawn)
    counts = drawn_by_stratum(drawn)
    shares = (zero, 1 - zero - multiple, multiple)
    assert all(abs(count - share * batch_size * batches) <= 1 for count, share in zip(counts, shares, strict=True))


def test_no_image_comes_twice_before_its_stratum_was_seen() -> None:
    sampler = ShipStratifiedSampler(SHIPS, batch_size=7, zero_ships_ratio=0.3, multiple_ships_ratio=0.5)
    indices = [draw.index for number in range(200) for draw in sampler.batch(number)]
    for first, last in ((0, 40), (40, 70), (70, 90)):
        of_stratum = [index for index in indices if first <= index < last]
        size = last - first
        rounds = [of_stratum[start : start + size] for start in range(0, len(of_stratum) - size + 1, size)]
        assert len(rounds) > 2
        assert all(sorted(one_round) == list(range(first, last)) for one_round in rounds)
        assert rounds[0] != rounds[1], "a new round has a new order"


def test_without_ratios_an_epoch_shows_every_image_once() -> None:
    sampler = ShipStratifiedSampler(SHIPS, batch_size=9)
    assert len(sampler) == 10
    assert sorted(draw.index for batch in sampler for draw in batch) == list(range(90))
    assert sampler.shares == pytest.approx({"zero": 40 / 90, "single": 30 / 90, "multiple": 20 / 90})


def test_an_epoch_is_as_long_as_showing_every_ship_image_once_takes() -> None:
    # Half of 10 are ship images, 3 of 5 with one ship: 30 / 3 = 20 / 2 = 10 batches.
    natural = ShipStratifiedSampler(SHIPS, batch_size=10, zero_ships_ratio=0.5)
    assert len(natural) == 10
    # 1 of 10 with several ships: 20 batches; with one ship 4 of 10, which alone would take 8.
    rare = ShipStratifiedSampler(SHIPS, batch_size=10, zero_ships_ratio=0.5, multiple_ships_ratio=0.1)
    assert len(rare) == 20
    for sampler in (natural, rare):
        seen = {draw.index for batch in sampler for draw in batch}
        assert seen >= set(range(40, 90))


def test_shares_that_fill_the_batch_leave_nothing_to_the_third_stratum() -> None:
    # 1 - 0.7 - 0.3 is not 0 in floating point.
    sampler = ShipStratifiedSampler(SHIPS, batch_size=10, zero_ships_ratio=0.7, multiple_ships_ratio=0.3)
    assert sampler.shares["single"] == 0
    assert len(sampler) == 7
    assert drawn_by_stratum(list(sampler)) == [49, 0, 21]


def test_an_epoch_of_empty_images_alone_shows_each_once() -> None:
    sampler = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=1.0)
    assert sorted(draw.index for batch in sampler for draw in batch) == list(range(40))


def test_a_given_epoch_length_is_kept() -> None:
    sampler = ShipStratifiedSampler(SHIPS, batch_size=8, batches_per_epoch=3)
    assert len(sampler) == len(list(sampler)) == 3


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_share_the_same_batch_without_overlap(world_size: int) -> None:
    whole = ShipStratifiedSampler(SHIPS, batch_size=16, zero_ships_ratio=0.5, multiple_ships_ratio=0.25, seed=3)
    parts = [
        ShipStratifiedSampler(
            SHIPS,
            batch_size=16,
            zero_ships_ratio=0.5,
            multiple_ships_ratio=0.25,
            seed=3,
            rank=rank,
            world_size=world_size,
        )
        for rank in range(world_size)
    ]
    for number in range(20):
        slices = [part.batch(number) for part in parts]
        assert {len(piece) for piece in slices} == {16 // world_size}
        assert sorted(draw for piece in slices for draw in piece) == sorted(whole.batch(number))
        empties = [sum(SHIPS[draw.index] == 0 for draw in piece) for piece in slices]
        assert set(empties) == {8 // world_size}, "each process gets its part of every stratum"


def test_counters_number_all_draws_without_gaps() -> None:
    parts = [ShipStratifiedSampler(SHIPS, batch_size=6, rank=rank, world_size=2) for rank in (0, 1)]
    counters = sorted(draw.counter for part in parts for number in range(5) for draw in part.batch(number))
    assert counters == list(range(30))


def test_the_state_alone_restores_the_sequence_in_the_middle_of_an_epoch() -> None:
    first = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=0.5, seed=5)
    uninterrupted = [batch for _ in range(3) for batch in first]
    second = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=0.5, seed=5)
    begun = list(islice(second, 4))
    third = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=0.5, seed=5, start_batch=second.state)
    rest = [batch for _ in range(3) for batch in third]
    assert third.state == first.state == 3 * len(first)
    assert begun + rest == uninterrupted
    third.state = 2
    assert third.batch(2) == next(iter(third)) == uninterrupted[2]


def test_batches_do_not_depend_on_the_order_they_are_asked_in() -> None:
    one = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=0.4)
    other = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=0.4)
    forwards = [one.batch(number) for number in range(40)]
    assert [other.batch(number) for number in reversed(range(40))] == forwards[::-1]


def test_another_seed_gives_another_order() -> None:
    orders = [
        [draw.index for batch in ShipStratifiedSampler(SHIPS, batch_size=8, seed=seed) for draw in batch]
        for seed in (0, 1)
    ]
    assert orders[0] != orders[1]
    assert Counter(orders[0]).keys() == Counter(orders[1]).keys()


def test_strata_smaller_than_their_part_of_a_batch_are_repeated() -> None:
    sampler = ShipStratifiedSampler([0, 1, 1], batch_size=8, zero_ships_ratio=0.5)
    assert Counter(draw.index for draw in sampler.batch(0)) == {0: 4, 1: 2, 2: 2}


def test_shares_are_named_like_the_strata() -> None:
    sampler = ShipStratifiedSampler(SHIPS, batch_size=8, zero_ships_ratio=0.5, multiple_ships_ratio=0.2)
    assert tuple(sampler.shares) == STRATA
    assert sampler.shares == pytest.approx({"zero": 0.5, "single": 0.3, "multiple": 0.2})


@pytest.mark.parametrize(
    ("ships", "settings", "words"),
    [
        ([], {}, "no image to sample from"),
        ([0, 0], {}, "no image with ships"),
        ([0, 0], {"zero_ships_ratio": 0.5}, "no image with ships"),
        ([1, 2], {"zero_ships_ratio": 0.5}, "there is no image without ships: set it to 0"),
        ([0, 1], {"multiple_ships_ratio": 0.5}, "there is no image with several ships: set it to 0"),
        ([0, 2], {"zero_ships_ratio": 0.5, "multiple_ships_ratio": 0.25}, "leave 0.250 of a batch"),
        ([0, 0, 0, 1, 2], {"multiple_ships_ratio": 0.5}, "0.600 add up to more than 1"),
        ([0, 1, 2], {"multiple_ships_ratio": 1e-12}, "more than 10,000,000 batches, because one share is only 1.0e-12"),
        ([0, 1], {"batch_size": 9, "world_size": 2}, "train.batch_size 9 cannot be divided among 2 processes"),
    ],
)
def test_a_demand_that_cannot_be_met_is_refused(ships: list[int], settings: dict[str, float], words: str) -> None:
    options: dict[str, float] = {"batch_size": 4, **settings}
    with pytest.raises(ConfigError, match=words):
        ShipStratifiedSampler(ships, **options)  # type: ignore[arg-type]
