"""Significance of differences is as worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from shipseg.studies.significance import compare


def test_the_deviation_is_pooled_over_all_variants() -> None:
    # Deviations from the means: -1, 1 and -2, 0, 2: squares 2 + 8 = 10 over 1 + 2 degrees of freedom.
    significance = compare({"a": [9.0, 11.0], "b": [18.0, 20.0, 22.0]}, "a")
    assert significance is not None
    assert significance.deviation == pytest.approx(math.sqrt(10 / 3))
    assert significance.degrees_of_freedom == 3
    (only,) = significance.comparisons
    assert only.difference == 10.0
    # t = 10 / (sqrt(10 / 3) * sqrt(1 / 2 + 1 / 3)) = 6.0
    assert only.p == pytest.approx(2 * stats.t.sf(6.0, 3))
    assert only.is_significant


def test_with_two_variants_the_p_value_is_that_of_students_t_test() -> None:
    a, b = [0.61, 0.63, 0.66], [0.64, 0.69, 0.67]
    significance = compare({"a": a, "b": b}, "a")
    assert significance is not None
    assert significance.comparisons[0].p == pytest.approx(stats.ttest_ind(a, b).pvalue)


def test_holm_multiplies_the_smallest_p_by_the_number_of_comparisons_and_keeps_the_order() -> None:
    scores = {"a": [0.0, 1.0], "b": [3.0, 4.0], "c": [2.0, 3.0], "d": [0.0, 1.0]}
    significance = compare(scores, "a")
    assert significance is not None
    raw = [2 * stats.t.sf(distance / math.sqrt(0.5), 4) for distance in (3.0, 2.0, 0.0)]
    assert [each.variant for each in significance.comparisons] == ["b", "c", "d"]
    assert [each.p for each in significance.comparisons] == pytest.approx([3 * raw[0], 2 * raw[1], 1.0])


def test_the_smallest_significant_difference_is_where_the_strictest_comparison_turns() -> None:
    significance = compare({"a": [0.0, 1.0], "b": [3.0, 4.0], "c": [2.0, 3.0]}, "a")
    assert significance is not None
    assert significance.min_difference is not None
    t = significance.min_difference / (math.sqrt(0.5) * math.sqrt(1 / 2 + 1 / 2))
    assert 2 * 2 * stats.t.sf(t, 3) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "scores",
    [{"a": [0.5], "b": [0.7]}, {"a": [], "b": [0.7, 0.8]}, {"b": [0.7, 0.8]}],
    ids=["one seed", "a baseline without a score", "no baseline"],
)
def test_without_variation_or_baseline_there_is_no_result(scores: dict[str, list[float]]) -> None:
    assert compare(scores, "a") is None


def test_without_any_variation_between_seeds_there_is_no_result() -> None:
    assert compare({"a": [0.5, 0.5], "b": [0.5, 0.5], "c": [0.6, 0.6]}, "a") is None


def test_variants_that_learned_nothing_do_not_reduce_the_deviation() -> None:
    learned = {"a": [0.50, 0.54], "b": [0.56, 0.60]}
    alone = compare(learned, "a")
    together = compare({**learned, "c": [0.0, 0.0], "d": [0.0, 0.0]}, "a")
    assert alone is not None
    assert together is not None
    assert (together.deviation, together.degrees_of_freedom) == (alone.deviation, alone.degrees_of_freedom)
    assert not together.comparisons[0].is_significant


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=4), min_size=2, max_size=6),
    st.floats(0.1, 10),
    st.floats(-5, 5),
)
def test_neither_another_unit_nor_another_zero_changes_a_p_value(
    values: list[list[float]], unit: float, zero: float
) -> None:
    assume(any(max(each) - min(each) > 1e-3 for each in values))
    assume(all(max(each) - min(each) > 1e-6 or max(each) == min(each) for each in values))
    plain = compare({str(n): each for n, each in enumerate(values)}, "0")
    assert plain is not None
    moved = compare({str(n): [unit * v + zero for v in each] for n, each in enumerate(values)}, "0")
    assert moved is not None
    assert [each.p for each in moved.comparisons] == pytest.approx([each.p for each in plain.comparisons], abs=1e-6)
