"""Splits: whole groups, requested shares, every stratum in every split, and the leak check."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shipseg.data.splits import SplitShares, balance, leak_report, split_groups
from shipseg.errors import ConfigError, DataError


def synthetic_groups(num_images: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return groups and ship counts like the challenge's: groups of a few images, four in five images empty."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_images), rng.integers(1, 8, num_images))[:num_images]
    ships = np.where(rng.random(num_images) < 0.78, 0, rng.geometric(0.6, num_images))
    return groups, ships


@given(
    groups=st.lists(st.integers(0, 6), min_size=12, max_size=60),
    shares=st.sampled_from([(0.2, 0.0), (0.2, 0.2), (0.5, 0.1), (0.0, 0.3)]),
    seed=st.integers(0, 5),
)
def test_a_group_is_never_divided_and_no_split_is_empty(
    groups: list[int], shares: tuple[float, float], seed: int
) -> None:
    group = np.array(groups)
    wanted = SplitShares(*shares)
    if len(set(groups)) < len(wanted.as_dict()):
        return
    split = split_groups(group, group % 4, shares=wanted, seed=seed)
    assert all(len(set(split[group == number])) == 1 for number in set(groups))
    assert set(split) == set(wanted.as_dict())


def test_shares_and_strata_are_met_within_a_hundredth() -> None:
    groups, ships = synthetic_groups(5000)
    split = split_groups(groups, ships, shares=SplitShares(0.2, 0.1), seed=42)
    table = balance(split, groups, ships)
    assert [table[name]["share"] for name in ("train", "val", "test")] == pytest.approx([0.7, 0.2, 0.1], abs=0.01)
    for stratum in ("0", "1", "2", "3-5", "6+"):
        shares = [table[name]["share_by_num_ships"][stratum] for name in ("train", "val", "test")]
        assert max(shares) - min(shares) < 0.01


def test_validation_gets_large_groups_too() -> None:
    groups, ships = synthetic_groups(5000)
    split = split_groups(groups, ships, shares=SplitShares(0.2), seed=42)
    size = np.bincount(groups)[groups]
    assert size[split == "val"].mean() == pytest.approx(size[split == "train"].mean(), rel=0.1)


def test_a_group_of_a_third_of_all_images_goes_to_training() -> None:
    groups = np.array([0] * 30 + list(range(1, 61)))
    split = split_groups(groups, np.zeros(90, np.int64), shares=SplitShares(0.2), seed=0)
    assert set(split[:30]) == {"train"}
    assert (split == "val").sum() == 18


def test_the_seed_decides_and_the_order_of_group_numbers_does_not_matter() -> None:
    groups, ships = synthetic_groups(300)
    one = split_groups(groups, ships, shares=SplitShares(), seed=1)
    assert np.array_equal(one, split_groups(groups, ships, shares=SplitShares(), seed=1))
    assert np.array_equal(one, split_groups(groups * 7 + 3, ships, shares=SplitShares(), seed=1))
    assert not np.array_equal(one, split_groups(groups, ships, shares=SplitShares(), seed=2))


def test_six_images_give_one_for_validation() -> None:
    split = split_groups(np.arange(6), np.array([0, 0, 1, 1, 2, 0]), shares=SplitShares(0.2), seed=42)
    assert sorted(split) == ["train"] * 5 + ["val"]


def test_no_shares_put_everything_into_training() -> None:
    split = split_groups(np.zeros(3, np.int64), np.zeros(3, np.int64), shares=SplitShares(0.0), seed=0)
    assert split.tolist() == ["train"] * 3


def test_too_few_groups_get_a_sentence() -> None:
    with pytest.raises(DataError, match="5 usable images in 1 groups .* train, val"):
        split_groups(np.zeros(5, np.int64), np.zeros(5, np.int64), shares=SplitShares(0.2), seed=0)


@pytest.mark.parametrize(
    ("val", "test", "sentence"),
    [(-0.1, 0, "val_share"), (1.0, 0, "val_share"), (0, 1.5, "test_share"), (0.6, 0.4, "nothing for training")],
)
def test_shares_out_of_range_get_a_sentence(val: float, test: float, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SplitShares(val, test)


def test_the_leak_report_counts_divided_groups_and_names_the_nearest_pair() -> None:
    rng = np.random.default_rng(0)
    textures = np.clip(rng.normal(0, 32, (4, 9, 32, 32)), -127, 127).astype(np.int8)
    textures[3, 8] = textures[1, 0]  # one sub-tile of the ground of image 1 is also on image 3
    ids = np.array(["a", "b", "c", "d"], dtype=object)
    split = np.array(["train", "train", "val", "val"])
    report = leak_report(split, np.array([0, 1, 1, 2]), ids=ids, textures=textures, places=np.arange(4))
    assert report["groups_on_two_sides"] == 1
    assert report["best_match"] == {"train-val": {"correlation": 1.0, "images": ["b", "d"]}}


def test_a_correct_split_reports_no_group_on_two_sides() -> None:
    textures = np.random.default_rng(0).integers(-90, 90, (3, 9, 32, 32)).astype(np.int8)
    ids = np.array(["a", "b", "c"], dtype=object)
    split = np.array(["train", "val", "test"])
    report = leak_report(split, np.arange(3), ids=ids, textures=textures, places=np.arange(3))
    assert report["groups_on_two_sides"] == 0
    assert set(report["best_match"]) == {"train-val", "train-test", "val-test"}
    assert all(match["correlation"] < 0.3 for match in report["best_match"].values())
