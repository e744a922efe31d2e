"""Numbers are written the same way everywhere."""

from __future__ import annotations

import math

import pytest

from shipseg.number_formats import csv_cell, rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (True, "yes"),
        (False, "no"),
        (0.123456789, "0.123457"),
        (1e-7, "1e-07"),
        (1234567, "1234567"),
        ("a,b", "a,b"),
    ],
)
def test_a_cell_of_a_csv_is_short_and_empty_where_nothing_is_known(value: object, text: str) -> None:
    assert csv_cell(value) == text


def test_a_number_that_is_not_known_is_not_rounded() -> None:
    assert (rounded(1.256, 2), rounded(None, 2)) == (1.26, None)
