"""Numbers as text."""

from __future__ import annotations

from typing import Final

__all__ = ["NONE", "number", "share"]

NONE: Final = "–"
"""What stands for a number that is not defined."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a score as text, or a dash where it is not defined."""
    return NONE if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """Return a share as text in percent, or a dash where it is not defined."""
    return NONE if value is None else f"{100 * value:.0f} %" if 0.1 <= value <= 0.9 else f"{100 * value:.1f} %"
