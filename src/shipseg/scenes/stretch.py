"""From a scene's numbers of any kind to the 0-255 that networks were trained on: stated, stored, overridable."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stretch"]


@dataclass(frozen=True)
class Stretch:
    """Values from `low` to `high` are spread over 0 to 255; what lies outside is cut off.

    Args:
        low: Becomes 0.
        high: Becomes 255.
        origin: Where the two come from, in words.
    """

    low: float
    high: float
    origin: str
