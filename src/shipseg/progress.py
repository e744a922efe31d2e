"""Progress on long work: silent in the library, a bar when a command asks for it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["shown", "track"]

Item = TypeVar("Item")

_DISPLAY: contextvars.ContextVar[Progress | None] = contextvars.ContextVar("shipseg_progress", default=None)


def track(
    items: Iterable[Item],
    description: str,
    *,
    total: int | None = None,
    done: int = 0,
    note: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """Yield the items; advance a bar when a command shows progress (see `shown`).

    Args:
        items: What to work through.
        description: A few words, e.g. "reading images".
        total: Number of items in all, where `items` has no length.
        done: How many were done before (a resumed stage).
        note: Gives a few words to stand behind the bar, asked after each item, e.g. "loss 0.1234".
    """
    display = _DISPLAY.get()
    if display is None:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items) + done
    task = display.add_task(description, total=total, completed=done, note="")
    try:
        for item in items:
            yield item
            display.update(task, advance=1, note="" if note is None else note())
    finally:
        display.stop_task(task)


@contextlib.contextmanager
def shown(*, enabled: bool = True) -> Iterator[None]:
    """Show every `track` inside the block as a bar on standard error; without a terminal, a line per bar at its end."""
    if not enabled:
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        token = _DISPLAY.set(display)
        try:
            yield
        finally:
            _DISPLAY.reset(token)
