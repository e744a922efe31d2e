"""Progress of long tasks: silent in the library; commands show bars on a terminal and lines elsewhere."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["shown", "stage", "track"]

Item = TypeVar("Item")

_LINE_EVERY_S = 15.0
"""Time between two lines without a terminal: a log stays short and still shows that the task is running."""


class _Task(Protocol):
    """A task on display."""

    def advance(self, note: str) -> None: ...

    def end(self) -> None: ...


class _Display(Protocol):
    def begin(self, description: str, total: int | None, done: int) -> _Task: ...


_DISPLAY: contextvars.ContextVar[_Display | None] = contextvars.ContextVar("shipseg_progress", default=None)


def track(
    items: Iterable[Item],
    description: str,
    *,
    total: int | None = None,
    done: int = 0,
    note: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """Yield the items, and advance the display if a command shows progress (see `shown`).

    Args:
        items: Items to process.
        description: A few words, e.g. "reading images".
        total: Total number of items, including `done`; needed only if `items` has no length.
        done: Number of items done before, by an earlier run.
        note: Returns a short text to show after the bar, called after each item, e.g. "loss 0.1234".
    """
    display = _DISPLAY.get()
    if display is None:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items) + done
    task = display.begin(description, total, done)
    try:
        for item in items:
            yield item
            task.advance("" if note is None else note())
    finally:
        task.end()


@contextlib.contextmanager
def stage(description: str) -> Iterator[None]:
    """Display a task that cannot be counted, with its duration, if a command shows progress.

    Args:
        description: A few words, e.g. "writing probability.tif".
    """
    display = _DISPLAY.get()
    if display is None:
        yield
        return
    task = display.begin(description, 1, 0)
    try:
        yield
        task.advance("")
    finally:
        task.end()


@contextlib.contextmanager
def shown(*, enabled: bool = True) -> Iterator[None]:
    """Show every `track` and `stage` inside the block on standard error: bars on a terminal, lines elsewhere."""
    if not enabled:
        yield
        return
    with _bars() if sys.stderr.isatty() else contextlib.nullcontext(_Lines()) as display:
        token = _DISPLAY.set(display)
        try:
            yield
        finally:
            _DISPLAY.reset(token)


@contextlib.contextmanager
def _bars() -> Iterator[_Display]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    progress = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeLeftColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
    try:
        yield _Bars(progress)
    finally:
        progress.stop()


class _Bars:
    """Bars on a terminal, shown from the first task on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, description: str, total: int | None, done: int) -> _Task:
        self._progress.start()
        return _Bar(self._progress, self._progress.add_task(description, total=total, completed=done, note=""))


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, note: str) -> None:
        self._progress.update(self._task, advance=1, note=note)

    def end(self) -> None:
        self._progress.stop_task(self._task)


class _Lines:
    """Lines for logs and pipes."""

    def begin(self, description: str, total: int | None, done: int) -> _Task:
        return _Line(description, total, done)


class _Line:
    def __init__(self, description: str, total: int | None, done: int) -> None:
        self._description, self._total, self._done, self._note = description, total, done, ""
        self._started_s = self._printed_s = time.monotonic()
        self._printed_done: int | None = None

    def advance(self, note: str) -> None:
        self._done, self._note = self._done + 1, note
        if time.monotonic() - self._printed_s >= _LINE_EVERY_S:
            self._print()

    def end(self) -> None:
        if self._done != self._printed_done:
            self._print()

    def _print(self) -> None:
        self._printed_s, self._printed_done = time.monotonic(), self._done
        count = f"{self._done:,}" if self._total is None else f"{self._done:,} of {self._total:,}"
        line = f"{self._description}: {count} in {self._printed_s - self._started_s:.0f} s"
        print(f"{line}, {self._note}" if self._note else line, file=sys.stderr, flush=True)  # noqa: T201
