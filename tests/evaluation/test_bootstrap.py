"""Intervals resample whole groups; undefined scores are None."""

from __future__ import annotations

import numpy as np
import pytest

from shipseg.evaluation.bootstrap import group_numbers, intervals, seed_dice, set_scores
from shipseg.evaluation.scores import ImageScore, size_bin
from shipseg.masks.metrics import seed_protocol_dice


def image(
    name: str, *, group: str | None = None, airbus: float = 1.0, num_true: int = 0, soft: float = 0
) -> ImageScore:
    """Return the counts of an image in which nothing is predicted; with a ship, 10 px of it."""
    ships = (num_true, 0, 0)
    return ImageScore(
        image_id=name,
        group=group,
        height=10,
        width=10,
        num_true=num_true,
        num_predicted=0,
        matched=0,
        false_alarms=0,
        true_px=10 * num_true,
        predicted_px=0,
        overlap_px=0,
        airbus=airbus,
        probability_sum=soft,
        probability_on_ships=soft,
        max_probability=0.1,
        true_by_size=ships,
        found_by_size=(0, 0, 0),
        predicted_by_size=(0, 0, 0),
        right_by_size=(0, 0, 0),
    )


def test_whole_groups_are_resampled() -> None:
    # Of two groups, a quarter of the drawn sets is twice the first and a quarter twice the second: both tails of 5 %
    # lie in these, so the interval runs from one group's score to the other's, however large the groups are.
    images = [image("a", group="x", airbus=0.2), *(image(f"b{k}", group="y", airbus=0.6) for k in range(7))]
    assert intervals(images, metres_per_pixel=1)["airbus_score"] == pytest.approx((0.2, 0.6))


def test_images_without_a_group_are_resampled_one_by_one() -> None:
    alone = [image("a", airbus=0.2), *(image(f"b{k}", airbus=0.6) for k in range(7))]
    # The first of eight is drawn more than three times in under 2 % of the sets: 3 of 8 x 0.2 is the lower end.
    assert intervals(alone, metres_per_pixel=1)["airbus_score"] == pytest.approx(((3 * 0.2 + 5 * 0.6) / 8, 0.6))
    assert group_numbers(alone).tolist() == list(range(8))


def test_an_interval_holds_about_the_stated_share_of_resampled_means() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(400)
    images = [image(f"{k}", airbus=float(value)) for k, value in enumerate(values)]
    low, high = intervals(images, metres_per_pixel=1)["airbus_score"] or (0, 0)
    # The mean's standard error is std / 20; 90 % of a normal distribution lies within 1.645 of them.
    assert (high - low) / 2 == pytest.approx(1.645 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_a_seed_decides_the_interval() -> None:
    images = [image(f"{k}", airbus=k / 30) for k in range(30)]
    assert intervals(images, metres_per_pixel=1, seed=1) == intervals(images, metres_per_pixel=1, seed=1)
    assert intervals(images, metres_per_pixel=1, seed=1) != intervals(images, metres_per_pixel=1, seed=2)


def test_one_group_has_no_interval_and_undefined_scores_have_none_either() -> None:
    one_group = [image("a", group="x"), image("b", group="x")]
    assert set(intervals(one_group, metres_per_pixel=1).values()) == {None}
    empties = intervals([image("a"), image("b")], metres_per_pixel=1)
    assert empties["airbus_score"] == (1.0, 1.0)
    assert empties["ship_recall"] is None


def test_every_score_has_an_interval_of_the_same_name() -> None:
    images = [image("a"), image("b", num_true=1, airbus=0)]
    assert set_scores(images, metres_per_pixel=1).keys() == intervals(images, metres_per_pixel=1).keys()


def test_area_follows_the_ground_sample_distance() -> None:
    # One false alarm in 100 pixels of 1.5 m: 225 square metres.
    alarmed = ImageScore(**{**vars(image("a")), "false_alarms": 1, "num_predicted": 1})
    per_1000km2 = set_scores([alarmed], metres_per_pixel=1.5)["false_alarms_per_1000km2"]
    assert per_1000km2 == pytest.approx(1000 / 225e-6)


def test_seed_dice_batches_ship_images_by_sixteen_like_the_metric_it_names() -> None:
    rng = np.random.default_rng(1)
    softs = rng.random(20) * 10  # spread evenly over the ten ship pixels of each image
    images = [image(f"{k}", num_true=1, soft=float(soft)) for k, soft in enumerate(softs)]
    images.insert(3, image("empty", soft=5.0))
    targets = [np.ones(10) for _ in softs]
    expected = seed_protocol_dice([np.full(10, soft / 10) for soft in softs], targets)
    assert seed_dice(images) == pytest.approx(expected)
    assert seed_dice(images[3:4]) is None


@pytest.mark.parametrize(("area_px", "place"), [(1, 0), (99, 0), (100, 1), (999, 1), (1000, 2), (100_000, 2)])
def test_bins_contain_their_lower_edge(area_px: int, place: int) -> None:
    assert size_bin(area_px) == place
