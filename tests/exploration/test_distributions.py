"""Columns of numbers in a few."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shipseg.exploration.distributions import counted, describe, plain


def test_values_are_described_by_mean_quantiles_and_histogram() -> None:
    found = describe([1.0, 2.0, 3.0, 6.0], [0, 2, 4])
    assert (found["num"], found["mean"], found["min"], found["max"]) == (4, 3.0, 1.0, 6.0)
    assert found["std"] == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 4))
    assert found["quantiles"]["50"] == 2.5
    assert found["histogram"] == {"edges": [0, 2, 4], "counts": [1, 3]}  # 6 counts in the last bin


def test_nothing_is_described_without_numbers() -> None:
    found = describe([np.nan], [0, 1])
    assert (found["num"], found["mean"], found["quantiles"]["50"]) == (0, None, None)
    assert found["histogram"]["counts"] == [0]


def test_bins_hold_both_their_bounds() -> None:
    assert counted(np.array([1, 2, 3, 5, 9]), {"1": (1, 1), "2-5": (2, 5), "6+": (6, np.inf)}) == {
        "1": 1,
        "2-5": 3,
        "6+": 1,
    }


def test_plain_facts_can_be_written_as_json() -> None:
    facts = {0: np.int64(3), "a": [np.float32(0.1), (np.bool_(True), None)], "b": np.array([1, 2])}
    assert json.loads(json.dumps(plain(facts))) == {"0": 3, "a": [0.1, [True, None]], "b": [1, 2]}
