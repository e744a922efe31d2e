"""Numbers are written the same way everywhere."""

from __future__ import annotations

import math

import pytest

from shipseg.number_formats import amount, counted, csv_cell, formatted, number, rounded, share


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.98765), "0.988"),
        (number(0.98765, 1), "1.0"),
        (number(None), "–"),
        (formatted(12345.6, ",.0f"), "12,346"),
        (formatted(None, ",.0f"), "–"),
        (share(0.5), "50 %"),
        (share(0.05), "5.0 %"),
        (share(0.987), "98.7 %"),
        (share(None), "–"),
        (amount(0.012345), "0.0123"),
        (amount(99.96), "100"),
        (amount(12345.6), "12,346"),
        (counted(1, "ship"), "1 ship"),
        (counted(0, "ship"), "0 ships"),
        (counted(1200, "box", "boxes"), "1,200 boxes"),
        (counted(1200, "ship", form="d"), "1200 ships"),
    ],
)
def test_numbers_for_people(text: str, expected: str) -> None:
    assert text == expected
