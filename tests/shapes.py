"""The shape of JSON data and folders, for the tests of file formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["differences", "header", "lost", "tree"]


def differences(value: Any, shape: Any, place: str = "") -> list[str]:
    """Return where data read from JSON differ from a shape, as text.

    A shape is a type (`float` takes no whole number), None, a tuple of alternatives, a list with the shape of every
    item (at least one; `[]` takes only an empty list), a mapping with exactly these keys, `{str: shape}` for any keys
    (at least one), or a value to be equal to.

    Example:
        >>> differences({"a": 1, "c": [2.0, "x"]}, {"a": float, "b": int, "c": [float]})
        ['b is missing', 'a is int, not float', 'c[1] is str, not float']
    """
    if isinstance(shape, tuple):
        found = [differences(value, each, place) for each in shape]
        return [] if [] in found else min(found, key=len)
    if isinstance(shape, type):
        right = type(value) is shape
        return [] if right else [f"{place or 'all'} is {type(value).__name__}, not {shape.__name__}"]
    if isinstance(shape, list) and shape and isinstance(value, list):
        items = [
            problem
            for number, item in enumerate(value)
            for problem in differences(item, shape[0], f"{place}[{number}]")
        ]
        return items if value else [f"{place or 'all'} is empty"]
    if isinstance(shape, Mapping) and isinstance(value, dict):
        return _differences_of_keys(value, shape, place)
    return [] if value == shape else [f"{place or 'all'} is {value!r}, not {shape!r}"]


def _differences_of_keys(value: dict[str, Any], shape: Mapping[Any, Any], place: str) -> list[str]:
    inside = f"{place}." if place else ""
    if str in shape and not value:
        return [f"{place or 'all'} is empty"]
    if str in shape:
        shape = dict.fromkeys(value, shape[str])
    found = [f"{inside}{key} is missing" for key in shape if key not in value]
    found += [f"{inside}{key} is new" for key in value if key not in shape]
    for key in shape:
        if key in value:
            found += differences(value[key], shape[key], f"{inside}{key}")
    return found


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """Return which values of `before` are missing or different in `after`, as text; new keys do not matter.

    Example:
        >>> lost({"a": {"b": 1, "c": [2, 3]}}, {"a": {"b": 1, "c": [2, 4]}, "d": 5})
        ['a.c was [2, 3], is [2, 4]']
    """
    if isinstance(before, dict) and isinstance(after, dict):
        inside = f"{place}." if place else ""
        return [problem for key in before for problem in lost(before[key], after.get(key), f"{inside}{key}")]
    return [] if before == after else [f"{place or 'all'} was {before!r}, is {after!r}"]


def tree(folder: Path) -> list[str]:
    """Return the relative paths of all files below a folder, hidden ones too, each once, sorted.

    `*` replaces the id of a synthetic image, and the time and host in the name of a TensorBoard file.
    """
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    starred = {re.sub(r"\b[0-9a-f]{9}(?=\.(jpg|png)$)", "*", name) for name in names}
    return sorted({re.sub(r"(events\.out\.tfevents\.).*", r"\1*", name) for name in starred})


def header(csv: Path) -> str:
    """Return the first line of a CSV."""
    return csv.read_text(encoding="utf-8").split("\n", 1)[0]
