"""Three stages side by side: a thread that reads, the caller that works, a thread that writes; all end together.

What waits between two stages is bounded, so a fast reader does not fill the memory. An error in any stage ends the
others at their next hand-over, and comes out of `run_stages` as itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["Channel", "run_stages"]

Item = TypeVar("Item")
Read = TypeVar("Read")
Done = TypeVar("Done")


class _Broken(Exception):  # noqa: N818  (not a fault of its own: another stage ended)
    """The other side of a channel is gone."""


class Channel(Generic[Item]):
    """Hands items from one thread to another, in order.

    Args:
        size: How many may wait.

    Attributes:
        waited_s: Seconds that the taking side has waited for items.
        blocked_s: Seconds that the giving side has waited for room.
    """

    def __init__(self, size: int) -> None:
        self.waited_s = self.blocked_s = 0.0
        self._size, self._items = size, deque[Item]()
        self._changed = threading.Condition()
        self._ended = self._broken = False

    def put(self, item: Item) -> None:
        """Give an item; waits while too many are waiting to be taken."""
        with self._changed:
            began_s = time.monotonic()
            self._changed.wait_for(lambda: self._broken or len(self._items) < self._size)
            self.blocked_s += time.monotonic() - began_s
            if self._broken:
                raise _Broken
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Take items until the giving side has ended."""
        while True:
            with self._changed:
                began_s = time.monotonic()
                self._changed.wait_for(lambda: self._broken or self._ended or self._items)
                self.waited_s += time.monotonic() - began_s
                if self._broken:
                    raise _Broken
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def end(self) -> None:
        """Say that no more items come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """Stop both sides at once."""
        with self._changed:
            self._broken = True
            self._items.clear()
            self._changed.notify_all()


class _Stage:
    """A thread that does one thing."""

    def __init__(self, name: str, does: Callable[[], None], channels: tuple[Channel[Read], Channel[Done]]) -> None:
        self.error: BaseException | None = None
        self._does, self._channels = does, channels
        # Waited for in place of the thread: joining one that a signal interrupts takes it for ended.
        self._over = threading.Event()
        threading.Thread(target=self._run, name=f"shipseg-{name}", daemon=True).start()

    def _run(self) -> None:
        try:
            self._does()
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.error = error
            for channel in self._channels:
                channel.break_off()
        finally:
            self._over.set()

    def wait(self) -> None:
        self._over.wait()


def run_stages(
    read: Callable[[Channel[Read]], None],
    work: Callable[[Channel[Read], Channel[Done]], None],
    write: Callable[[Channel[Done]], None],
    *,
    read_ahead: int,
    write_behind: int,
) -> tuple[Channel[Read], Channel[Done]]:
    """Run three stages side by side until all have ended; return the two channels between them, for their times.

    Args:
        read: Puts items into its channel; runs in a thread of its own.
        work: Takes from the first channel and puts into the second; runs in the caller's thread, where signals arrive.
        write: Takes from the second channel; runs in a thread of its own.
        read_ahead: How many items may wait to be worked on.
        write_behind: How many may wait to be written.

    Raises:
        BaseException: What one of them raised, after the others have ended.
    """
    channels = to_work, to_write = Channel[Read](read_ahead), Channel[Done](write_behind)

    def reading() -> None:
        read(to_work)
        to_work.end()

    stages = [_Stage("reader", reading, channels), _Stage("writer", lambda: write(to_write), channels)]
    try:
        work(to_work, to_write)
        to_write.end()
        for stage in stages:
            stage.wait()
    except _Broken:
        pass  # the stage that broke off says why
    finally:
        for channel in channels:
            channel.break_off()
        for stage in stages:
            stage.wait()
    for stage in stages:
        if stage.error is not None and not isinstance(stage.error, _Broken):
            raise stage.error
    return channels
