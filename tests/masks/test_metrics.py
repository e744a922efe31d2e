from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shipseg.errors import ConfigError
from shipseg.masks import metrics
from shipseg.masks.metrics import PixelCounts, ProbabilityHistogram
from shipseg.masks.ships import ship_from_mask, ship_pixels

FLOAT32 = np.float32


def strip(*columns: int, length: int = 200) -> NDArray[np.bool_]:
    """A mask of one row with the given half-open spans (start, end, start, end ...)."""
    mask_hw = np.zeros((1, length), bool)
    for start, end in zip(columns[::2], columns[1::2], strict=True):
        mask_hw[0, start:end] = True
    return mask_hw


# ---- pixels ----------------------------------------------------------------------------------------------------------


def test_pixels_are_scored_as_by_hand() -> None:
    counts = PixelCounts(true_positive=6, false_positive=2, false_negative=4, true_negative=88)
    assert counts.dice == 12 / 18
    assert counts.iou == 6 / 12
    assert counts.precision == 6 / 8
    assert counts.recall == 6 / 10


def test_counts_of_images_add_up() -> None:
    parts = [PixelCounts(1, 2, 3, 4), PixelCounts(10, 20, 30, 40)]
    assert sum(parts, PixelCounts()) == PixelCounts(11, 22, 33, 44)


@pytest.mark.parametrize(
    ("counts", "scores"),
    [
        (PixelCounts(0, 0, 0, 9), (1, 1, 1, 1)),
        (PixelCounts(0, 0, 3, 6), (0, 0, 0, 0)),
        (PixelCounts(0, 3, 0, 6), (0, 0, 0, 0)),
        (PixelCounts(3, 0, 0, 6), (1, 1, 1, 1)),
    ],
    ids=["nothing on both sides", "truth alone", "prediction alone", "perfect"],
)
def test_scores_are_defined_where_they_divide_by_zero(counts: PixelCounts, scores: tuple[float, ...]) -> None:
    assert (counts.dice, counts.iou, counts.precision, counts.recall) == scores


# ---- all thresholds at once ------------------------------------------------------------------------------------------


def test_a_histogram_gives_the_scores_worked_out_by_hand() -> None:
    histogram = ProbabilityHistogram(bins=4)
    histogram.add(np.array([0.0, 0.25, 0.5, 0.6, 0.75, 1.0], FLOAT32), np.array([0, 0, 1, 0, 1, 1]))
    # Predicted as ship at 0, 0.25, 0.5, 0.75, 1: 6, 5, 4, 2, 1 pixels, of them ship: 3, 3, 3, 2, 1.
    curves = histogram.curves()
    assert list(curves) == ["threshold", "dice", "iou", "precision", "recall"]
    assert curves["threshold"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curves["precision"] == pytest.approx([3 / 6, 3 / 5, 3 / 4, 2 / 2, 1 / 1])
    assert curves["recall"] == pytest.approx([1, 1, 1, 2 / 3, 1 / 3])
    assert curves["dice"] == pytest.approx([6 / 9, 6 / 8, 6 / 7, 4 / 5, 2 / 4])
    assert curves["iou"] == pytest.approx([3 / 6, 3 / 5, 3 / 4, 2 / 3, 1 / 3])
    assert histogram.counts(0.5) == PixelCounts(3, 1, 0, 2)
    assert histogram.counts(1.0) == PixelCounts(1, 0, 2, 3)
    assert histogram.best_threshold("dice") == (0.5, 6 / 7)
    assert histogram.num_pixels == 6


def test_a_fractional_target_is_that_much_ship_and_the_rest_background() -> None:
    histogram = ProbabilityHistogram(bins=10)
    histogram.add(np.array([0.9, 0.2], FLOAT32), np.array([0.75, 0.5], FLOAT32))
    assert histogram.counts(0.5) == PixelCounts(0.75, 0.25, 0.5, 0.5)


@pytest.mark.parametrize("bins", [1, 7, 10, 1000, 4096])
def test_counts_at_every_bin_edge_equal_direct_counting(bins: int) -> None:
    """Probabilities on the edges, one float32 step below, one above, and anywhere."""
    thresholds = ProbabilityHistogram(bins).thresholds
    edges = thresholds.astype(FLOAT32)
    rng = np.random.default_rng(bins)
    values = np.concatenate([edges, np.nextafter(edges, FLOAT32(0)), np.nextafter(edges, FLOAT32(1)), rng.random(99)])
    probability_hw = values.astype(FLOAT32)[None]
    true_hw = rng.random(probability_hw.shape) < 0.4
    histogram = ProbabilityHistogram(bins)
    histogram.add(probability_hw, true_hw)
    for threshold in [*thresholds[:: max(1, bins // 200)].tolist(), 1.0]:
        ship_hw = ship_pixels(probability_hw, threshold=threshold)
        hit, predicted, true = (int(each.sum()) for each in (true_hw & ship_hw, ship_hw, true_hw))
        direct = PixelCounts(hit, predicted - hit, true - hit, true_hw.size - predicted - true + hit)
        assert histogram.counts(threshold) == direct


@settings(max_examples=50)
@given(
    hnp.arrays(FLOAT32, 60, elements=st.floats(0, 1, width=32)),
    hnp.arrays(FLOAT32, 60, elements=st.floats(0, 1, width=32)),
    st.lists(st.integers(0, 60), max_size=4),
    st.randoms(use_true_random=False),
)
def test_any_split_and_order_gives_the_same_histogram_to_the_last_bit(
    probability: NDArray[np.float32], target: NDArray[np.float32], cuts: list[int], random: object
) -> None:
    whole = ProbabilityHistogram()
    whole.add(probability, target)
    pieces = []
    bounds = [0, *sorted(cuts), 60]
    for start, end in itertools.pairwise(bounds):
        piece = ProbabilityHistogram()
        piece.add(probability[start:end], target[start:end])
        pieces.append(piece)
    random.shuffle(pieces)  # type: ignore[attr-defined]
    added = sum(pieces, ProbabilityHistogram())
    assert np.array_equal(added.to_array(), whole.to_array())
    # As ranks do it: arrays summed, then read back.
    summed = ProbabilityHistogram.from_array(np.sum([piece.to_array() for piece in pieces], axis=0))
    for name, curve in summed.curves().items():
        assert np.array_equal(curve, whole.curves()[name])


def test_the_best_threshold_lies_in_the_middle_of_the_stretch_that_shares_the_best_score() -> None:
    histogram = ProbabilityHistogram(bins=100)
    histogram.add(np.array([0.105, 0.895], FLOAT32), np.array([0, 1]))
    # Perfect from 0.11 to 0.89.
    assert histogram.best_threshold("iou") == (0.5, 1.0)


def test_the_longest_of_several_best_stretches_is_taken() -> None:
    histogram = ProbabilityHistogram(bins=10)
    # IoU 2/4 up to 0.3, where both ships are found with two false alarms, and 1/2 at 0.9, where one is found alone.
    histogram.add(np.array([0.35, 0.85, 0.85, 0.95], FLOAT32), np.array([1, 0, 0, 1]))
    assert histogram.curves()["iou"] == pytest.approx([2 / 4] * 4 + [1 / 4] * 5 + [1 / 2] + [0])
    assert histogram.best_threshold("iou") == (0.2, 0.5)


def test_no_ship_and_no_prediction_scores_one_and_a_false_alarm_zero() -> None:
    histogram = ProbabilityHistogram(bins=2)
    histogram.add(np.array([0.1, 0.6], FLOAT32), np.array([False, False]))
    for name in ("dice", "iou", "precision", "recall"):
        assert histogram.curves()[name].tolist() == [0, 0, 1]


def test_what_a_histogram_cannot_count_is_refused() -> None:
    histogram = ProbabilityHistogram(bins=10)
    with pytest.raises(ConfigError, match="no pixel was added"):
        histogram.best_threshold("dice")
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="a probability must be from 0 to 1"):
            histogram.add(np.array([0.5, bad], FLOAT32), np.array([0, 1]))
        with pytest.raises(ConfigError, match="a target must be from 0 to 1"):
            histogram.add(np.array([0.5, 0.5], FLOAT32), np.array([0, bad]))
    with pytest.raises(ConfigError, match="must have one shape"):
        histogram.add(np.zeros(2, FLOAT32), np.zeros(3))
    for threshold in (0.55, -0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match=f"{threshold} is not a threshold of a histogram of 10 bins"):
            histogram.counts(threshold)
    histogram.add(np.zeros(0, FLOAT32), np.zeros(0))
    assert histogram.num_pixels == 0
    with pytest.raises(ConfigError, match=r"unknown metric 'dise', did you mean 'dice'\?"):
        histogram.best_threshold("dise")
    with pytest.raises(ConfigError, match="10 and 20 bins cannot be added"):
        histogram + ProbabilityHistogram(bins=20)
    with pytest.raises(ConfigError, match="needs from 1 to"):
        ProbabilityHistogram(bins=0)
    with pytest.raises(ConfigError, match="integer array"):
        ProbabilityHistogram.from_array(np.zeros((2, 11)))  # type: ignore[arg-type]


# ---- the reference's figure ------------------------------------------------------------------------------------------


def test_the_reference_dice_pools_batches_of_sixteen_ship_images() -> None:
    half, ship, empty = (np.array([[value]], FLOAT32) for value in (0.5, 1.0, 0.0))
    # 16 images of p = 0.5, t = 1: (2 * 8 + 1) / (8 + 16 + 1); one of p = 1, t = 1: 3 / 3. The empty one is left out.
    probabilities = [*[half] * 8, ship, *[half] * 8, ship]
    targets = [*[ship] * 8, empty, *[ship] * 8, ship]
    assert metrics.seed_protocol_dice(probabilities, targets) == pytest.approx((17 / 25 + 1) / 2)


def test_the_reference_dice_of_no_ship_image_is_not_a_number() -> None:
    assert math.isnan(metrics.seed_protocol_dice([np.zeros((2, 2))], [np.zeros((2, 2))]))
    with pytest.raises(ConfigError, match="one shape"):
        metrics.seed_protocol_dice([np.zeros((2, 2))], [np.zeros((2, 3))])


# ---- ships -----------------------------------------------------------------------------------------------------------


def test_ious_of_ships_are_those_worked_out_by_hand() -> None:
    true = [strip(0, 10), strip(50, 60)]
    predicted = [strip(0, 10), strip(5, 15), strip(100, 110)]
    expected = [[1, 5 / 15, 0], [0, 0, 0]]
    assert metrics.iou_matrix(true, predicted).tolist() == expected
    assert metrics.ship_iou_matrix([*map(ship_from_mask, true)], [*map(ship_from_mask, predicted)]).tolist() == expected


def test_ious_without_ships_on_one_side_are_an_empty_table() -> None:
    ship = ship_from_mask(strip(0, 3))
    assert metrics.iou_matrix([], [strip(0, 3)] * 2).shape == (0, 2)
    assert metrics.iou_matrix([strip(0, 3)] * 2, []).shape == (2, 0)
    assert metrics.ship_iou_matrix([], [ship]).shape == (0, 1)
    assert metrics.ship_iou_matrix([ship], []).shape == (1, 0)


def test_masks_of_several_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="all have the same shape"):
        metrics.iou_matrix([strip(0, 3)], [strip(0, 3, length=7)])
    with pytest.raises(ConfigError, match="all have the same shape"):
        metrics.airbus_score([np.zeros(3, bool)], [])


@settings(max_examples=50)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))), st.integers(0, 5))
def test_ious_of_crops_are_those_of_pycocotools_on_full_masks(masks: NDArray[np.bool_], split: int) -> None:
    filled = [mask_hw for mask_hw in masks if mask_hw.any()]
    true, predicted = filled[:split], filled[split:]
    crops = metrics.ship_iou_matrix([*map(ship_from_mask, true)], [*map(ship_from_mask, predicted)])
    assert np.array_equal(crops, metrics.iou_matrix(true, predicted))


def test_a_hit_needs_an_iou_above_the_threshold_not_at_it() -> None:
    iou_tp = np.array([[0.5, 0.0], [0.0, 0.6]])
    assert metrics.match_at(iou_tp, 0.5) == (1, 1, 1)
    assert metrics.match_at(iou_tp, 0.49) == (2, 0, 0)
    # 6 of 10 pixels shared is not above the threshold 0.60 either, in floating point too.
    assert metrics.match_at(metrics.iou_matrix([strip(0, 10)], [strip(0, 6)]), metrics.AIRBUS_IOU_THRESHOLDS[2])[0] == 0


def test_each_ship_is_matched_once_best_first() -> None:
    # One prediction over two ships, and two predictions on one ship.
    assert metrics.match_at(np.array([[0.7], [0.6]]), 0.5) == (1, 0, 1)
    assert metrics.match_at(np.array([[0.7, 0.6]]), 0.5) == (1, 1, 0)
    # In the order of the ships 0-0 would come first and leave the second ship without a partner that counts.
    assert metrics.match_at(np.array([[0.6, 0.9], [0.1, 0.8]]), 0.5) == (1, 1, 1)
    assert metrics.match_at(np.array([[0.6, 0.9], [0.7, 0.1]]), 0.5) == (2, 0, 0)


def test_ships_are_paired_one_to_one() -> None:
    # Two true ships whose masks overlap compete for the first prediction; the second is close to none.
    iou_tp = np.array([[0.7, 0.0], [0.6, 0.1], [0.0, 0.5]])
    assert metrics.match_pairs(iou_tp) == {0: 0}
    assert metrics.match_pairs(iou_tp, above=0.05) == {0: 0, 2: 1}
    assert metrics.match_pairs(np.zeros((0, 2))) == {}
    # Of equal scores the first true ship comes first, then the first predicted one.
    assert metrics.match_pairs(np.full((2, 3), 0.6)) == {0: 0, 1: 1}


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(0, 4), st.integers(0, 4)), elements=st.sampled_from((0.0, 0.5, 0.6, 0.7))
    )
)
def test_pairs_of_a_table_are_those_of_its_overlapping_pairs(iou_tp: NDArray[np.float64]) -> None:
    overlapping = {(t, p): float(iou_tp[t, p]) for t, p in np.argwhere(iou_tp > 0).tolist()}
    assert metrics.match_pairs(overlapping) == metrics.match_pairs(iou_tp)


def test_the_airbus_score_of_empty_images_is_one_and_of_one_sided_ones_zero() -> None:
    assert metrics.airbus_score([], []) == 1
    assert metrics.airbus_score([strip(0, 3)], []) == 0
    assert metrics.airbus_score([], [strip(0, 3)]) == 0


def test_the_airbus_score_of_one_ship_is_the_share_of_thresholds_below_its_iou() -> None:
    # IoU 72 / 100: above 0.50, 0.55, 0.60, 0.65 and 0.70, where F2 is 1.
    assert metrics.airbus_score([strip(0, 100)], [strip(0, 72)]) == pytest.approx(5 / 10)
    # IoU 70 / 100 is not above 0.70.
    assert metrics.airbus_score([strip(0, 100)], [strip(0, 70)]) == pytest.approx(4 / 10)
    assert metrics.airbus_score([strip(0, 100)], [strip(0, 100)]) == 1


def test_the_airbus_score_of_several_ships_is_worked_out_by_hand() -> None:
    # Two perfect ships, one missed, one false alarm: F2 = 5 * 2 / (5 * 2 + 4 * 1 + 1) at every threshold.
    true = [strip(0, 10), strip(20, 30), strip(40, 50)]
    predicted = [strip(0, 10), strip(20, 30), strip(100, 120)]
    assert metrics.airbus_score(true, predicted) == pytest.approx(10 / 15)
    # One more, with IoU 0.82, replaces the false alarm: all three hit at seven thresholds, 10 / 15 at the other three.
    predicted[2] = strip(150, 151)
    true[2], predicted[2] = strip(40, 140), strip(40, 122)
    assert metrics.airbus_score(true, predicted) == pytest.approx((7 * 1 + 3 * 10 / 15) / 10)


def test_a_missed_ship_costs_four_times_a_false_alarm_in_the_denominator() -> None:
    ship, other = strip(0, 10), strip(20, 30)
    assert metrics.airbus_score([ship, other], [ship]) == pytest.approx(5 / 9)
    assert metrics.airbus_score([ship], [ship, other]) == pytest.approx(5 / 6)
