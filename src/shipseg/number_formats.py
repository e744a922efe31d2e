"""Numbers as text for pages, tables and messages."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["csv_cell", "rounded"]


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
