"""Example images are selected by rule, and drawn so that truth and prediction can be distinguished."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.evaluation.scores import ImageScore
from shipseg.reports.examples import (
    PREDICTED_COLOR,
    TRUE_COLOR,
    ScoredImage,
    choose_groups,
    choose_panel,
    close_up,
    overview,
    to_jpeg,
)


def score(name: str, *, true_px: int = 0, predicted_px: int = 0, overlap_px: int = 0, num_true: int = 0) -> ImageScore:
    return ImageScore(
        image_id=name,
        group=None,
        height=100,
        width=100,
        num_true=num_true or int(true_px > 0),
        num_predicted=int(predicted_px > 0),
        matched=0,
        false_alarms=0,
        true_px=true_px,
        predicted_px=predicted_px,
        overlap_px=overlap_px,
        airbus=0,
        probability_sum=0,
        probability_on_ships=0,
        max_probability=0,
        true_by_size=(0, 0, 0),
        found_by_size=(0, 0, 0),
        predicted_by_size=(0, 0, 0),
        right_by_size=(0, 0, 0),
    )


def with_dice(name: str, dice_percent: int, num_true: int = 1) -> ImageScore:
    """Return an image of 100 true and 100 predicted pixels, whose Dice is their overlap in percent."""
    return score(name, true_px=100, predicted_px=100, overlap_px=dice_percent, num_true=num_true)


def test_best_typical_and_worst_are_the_ends_and_the_middle_by_dice() -> None:
    images = [with_dice(f"{dice:03}", dice) for dice in range(10, 100)]
    groups = {group.title: group.image_ids for group in choose_groups(images[::-1])}
    assert groups["Best"] == ("099", "098", "097", "096")
    assert groups["Typical"] == ("056", "055", "054", "053")  # the median of 10 ... 99 is 54.5
    assert groups["Worst"] == ("010", "011", "012", "013")
    assert "Worst false alarms" not in groups


def test_of_equally_bad_images_the_larger_miss_comes_first() -> None:
    images = [score("small", true_px=10), score("large", true_px=500), *(with_dice(f"{k}", 50) for k in range(10))]
    assert choose_groups(images)[2].image_ids[:2] == ("large", "small")


def test_under_one_heading_no_two_images_overlap() -> None:
    images = [dataclasses.replace(with_dice(f"{dice:03}", dice), group=str(dice // 5)) for dice in range(10, 100)]
    groups = {group.title: group.image_ids for group in choose_groups(images)}
    assert groups["Best"] == ("099", "094", "089", "084")
    assert groups["Worst"] == ("010", "015", "020", "025")


def test_the_worst_false_alarms_have_the_most_predicted_pixels() -> None:
    images = [score("a", predicted_px=5), score("b", predicted_px=50), score("c"), score("d", predicted_px=20)]
    (group,) = choose_groups(images)
    assert group.image_ids == ("b", "d", "a")
    assert "4 images without ships; 3 of them" in group.rule


def test_no_image_stands_in_two_groups_however_few_there_are() -> None:
    for count in range(1, 15):
        images = [with_dice(f"{k:02}", 5 * k) for k in range(count)]
        shown = [name for group in choose_groups(images) for name in group.image_ids]
        assert len(shown) == len(set(shown)) == (count if count < 3 else 3 * min(4, count // 3))
    assert choose_groups([score("empty")]) == ()


def test_the_panel_takes_the_median_of_each_kind() -> None:
    images = [
        *(score(f"none{k}", predicted_px=5 * (k > 3)) for k in range(7)),
        *(with_dice(f"one{dice}", dice) for dice in (90, 30, 60)),
        *(with_dice(f"two{dice}", dice, num_true=2) for dice in (10, 80, 85)),
    ]
    panel = choose_panel(images)
    assert [(group.title, group.image_ids) for group in panel] == [
        ("no ship", ("none0",)),  # four are left empty: the fourth of seven by Dice, then name
        ("one ship", ("one60",)),
        ("several ships", ("two80",)),
    ]
    assert len(choose_panel(images[:3])) == 1


def example(true: tuple[slice, slice] | None, predicted: tuple[slice, slice] | None, side: int = 400) -> ScoredImage:
    true_hw, predicted_hw = np.zeros((side, side), bool), np.zeros((side, side), bool)
    if true:
        true_hw[true] = True
    if predicted:
        predicted_hw[predicted] = True
    return ScoredImage(score("x"), np.full((side, side, 3), 90, np.uint8), true_hw, predicted_hw)


def places(drawn_hwc: NDArray[np.uint8], color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero((drawn_hwc == color).all(axis=2))
    return int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max())


def test_the_truth_is_drawn_around_its_pixels_and_the_prediction_within() -> None:
    same = (slice(100, 140), slice(100, 200))
    drawn_hwc = overview(example(same, same), side=400)
    assert drawn_hwc.shape == (400, 400, 3)
    assert places(drawn_hwc, TRUE_COLOR) == (98, 98, 141, 201)
    assert places(drawn_hwc, PREDICTED_COLOR) == (100, 100, 139, 199)
    assert tuple(drawn_hwc[120, 150]) == (90, 90, 90)  # the ship itself is not covered


def test_the_close_up_shows_where_truth_and_prediction_differ_most() -> None:
    ship, alarm = (slice(100, 110), slice(100, 120)), (slice(330, 350), slice(350, 380))
    shown = example(ship, ship)
    shown.predicted_hw[alarm] = True
    drawn_hwc = close_up(shown, side=256)  # 128 px of the image, twice enlarged, around (340, 365) as far as it goes
    assert drawn_hwc.shape == (256, 256, 3)
    assert (drawn_hwc == TRUE_COLOR).all(axis=2).sum() == 0
    assert places(drawn_hwc, PREDICTED_COLOR) == (2 * (330 - 272), 2 * (350 - 272), 2 * (350 - 272) - 1, 2 * 108 - 1)


def test_an_image_without_ships_is_shown_whole() -> None:
    assert close_up(example(None, None), side=100).shape == (100, 100, 3)


def test_images_smaller_than_a_close_up_and_not_square_are_drawn() -> None:
    shown = ScoredImage(score("x"), np.zeros((20, 50, 3), np.uint8), np.ones((20, 50), bool), np.zeros((20, 50), bool))
    assert overview(shown, side=100).shape == (40, 100, 3)
    assert close_up(shown, side=100).shape == (40, 100, 3)


def test_a_jpeg_keeps_channel_order_and_is_never_enlarged() -> None:
    red_hwc = np.zeros((30, 60, 3), np.uint8)
    red_hwc[..., 0] = 250
    for side, shape in ((None, (30, 60, 3)), (100, (30, 60, 3)), (20, (10, 20, 3))):
        image = cv2.imdecode(np.frombuffer(to_jpeg(red_hwc, side=side), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == shape
        assert image[5, 5, 2] > 240 > 20 > image[5, 5, 0]  # OpenCV gives blue first
