"""Whether something was made with the same options: the first difference between two tables of plain data."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["first_difference"]

_MAX_CHARACTERS = 80


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any], *, ignored: Collection[str] = ()) -> str | None:
    """Return the first key whose value differs, with both values, or None where nothing differs.

    Tables inside tables are compared key by key, under dotted keys. A key that is missing counts as one whose value is
    None. Keys are compared in the order of `now`, then those that only `before` has.

    Args:
        before: The options that something was made with: what JSON can hold.
        now: The options of this run.
        ignored: Dotted keys that are not compared.

    Example:
        >>> first_difference({"seed": 1, "train": {"lr": 0.1}}, {"seed": 1, "train": {"lr": 0.2}})
        'train.lr = 0.1, now 0.2'
    """
    old, new = _flat(before), _flat(now)
    for key in (*new, *old):
        if key not in ignored and old.get(key) != new.get(key):
            return f"{key} = {_shown(old.get(key))}, now {_shown(new.get(key))}"
    return None


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 3]}..."
