"""Numbers as text for pages, tables and messages."""

from __future__ import annotations

import math
from typing import Any, Final

__all__ = ["NONE", "amount", "counted", "csv_cell", "formatted", "number", "rounded", "share"]

NONE: Final = "–"
"""What stands for a number that is not defined."""


def formatted(value: object, form: str = "") -> str:
    """Return a value by a format specification, or a dash for None."""
    return NONE if value is None else format(value, form)


def number(value: float | None, digits: int = 3) -> str:
    """Return a score with so many decimals, or a dash for None."""
    return formatted(value, f".{digits}f")


def share(value: float | None) -> str:
    """Return a share in percent, with a decimal near 0 and 100 %, or a dash for None."""
    return NONE if value is None else f"{100 * value:.0f} %" if 0.1 <= value <= 0.9 else f"{100 * value:.1f} %"


def amount(value: float) -> str:
    """Return a measured number: whole from 100 on, below with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def counted(count: int, one: str, many: str = "", *, form: str = ",") -> str:
    """Return a count with its noun.

    Args:
        count: How many.
        one: The noun of a single one.
        many: Of several; unless given, `one` with an s.
        form: Format specification of the count.

    Example:
        >>> counted(1, "ship"), counted(1200, "ship"), counted(0, "box", "boxes")
        ('1 ship', '1,200 ships', '0 boxes')
    """
    return f"{count:{form}} {one if count == 1 else many or one + 's'}"


def rounded(value: float | None, digits: int) -> float | None:
    """Return a number rounded to so many decimals, or None where it is not known."""
    return None if value is None else round(value, digits)


def csv_cell(value: Any) -> str:
    """Return the text of a value in a CSV: nothing for None and NaN, yes or no, six digits of a float."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
