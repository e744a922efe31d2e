"""Options are compared key by key, and the first difference is named with both values."""

from __future__ import annotations

from typing import Any

import pytest

from shipseg.identity import first_difference


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        ({"seed": 1}, {"seed": 2}, "seed = 1, now 2"),
        ({"a": {"b": {"c": True}}}, {"a": {"b": {"c": False}}}, "a.b.c = true, now false"),
        ({"size": 64, "seed": 1}, {"seed": 2, "size": 32}, "seed = 1, now 2"),
        ({"kind": "coast", "shape": [64, 64]}, {"kind": "coast", "shape": [64, 32]}, "shape = [64, 64], now [64, 32]"),
        ({}, {"kind": "coast"}, "kind = none, now coast"),
        ({"kind": "coast"}, {}, "kind = coast, now none"),
        ({"area": None}, {"area": {"name": "a"}}, "area.name = none, now a"),
        ({"hash": "a" * 100}, {"hash": "b" * 80}, f"hash = {'a' * 77}..., now {'b' * 80}"),
    ],
)
def test_the_first_difference_is_named_with_both_values(
    before: dict[str, Any], now: dict[str, Any], sentence: str
) -> None:
    assert first_difference(before, now) == sentence


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"seed": 1, "size": 64}, {"size": 64, "seed": 1}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"area": None, "set": {}}, {}),
    ],
)
def test_equal_options_have_no_difference(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert first_difference(before, now) is None


def test_ignored_keys_are_not_compared() -> None:
    before, now = {"train": {"lr": 0.1, "workers": 1}}, {"train": {"lr": 0.1, "workers": 2}}
    assert first_difference(before, now) == "train.workers = 1, now 2"
    assert first_difference(before, now, ignored=("train.workers",)) is None
