"""The summary at the end of a command: a table, or one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipseg.number_formats import NONE

__all__ = ["show"]


def show(title: str, summary: Mapping[str, Any], *, as_json: bool) -> None:
    """Print `summary` to standard output: as JSON, or as a table with one row per value."""
    if as_json:
        json.dump(summary, sys.stdout, default=_plain, indent=2)
        print(flush=True)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=False)
    console.print(title, style="bold underline", highlight=False, soft_wrap=True)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in _rows(summary):
        table.add_row(key, value)
    console.print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _rows(summary: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in summary.items():
        # In keys that are not paths or file names, underscores are printed as spaces.
        name = prefix + (str(key) if "/" in str(key) or "." in str(key) else str(key).replace("_", " "))
        if isinstance(value, Mapping):
            rows += _rows(value, f"{name}: ")
        else:
            rows.append((name, _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return NONE
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value) or "none"
    return str(value)
