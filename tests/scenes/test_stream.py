"""The pipeline of three stages: order, bounded queues, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from shipseg.scenes.stream import Channel, run_stages


def read(count: int) -> Callable[[Channel[int]], None]:
    def reading(items: Channel[int]) -> None:
        for number in range(count):
            items.put(number)

    return reading


def double(items: Channel[int], done: Channel[int]) -> None:
    for number in items:
        done.put(2 * number)


def run(
    reading: Callable[[Channel[int]], None],
    working: Callable[[Channel[int], Channel[int]], None],
    writing: Callable[[Channel[int]], None],
) -> None:
    run_stages(reading, working, writing, read_ahead=2, write_behind=2)
    assert_no_threads()


def assert_no_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("shipseg-"):
            thread.join(5)
            assert not thread.is_alive()


def test_items_pass_in_order() -> None:
    written: list[int] = []
    run(read(100), double, written.extend)
    assert written == [2 * number for number in range(100)]


def test_the_reader_waits_while_its_queue_is_full() -> None:
    read_so_far, most_ahead = [0], [0]

    def reading(items: Channel[int]) -> None:
        for number in range(50):
            read_so_far[0] = number + 1
            items.put(number)

    def working(items: Channel[int], done: Channel[int]) -> None:
        for number in items:
            most_ahead[0] = max(most_ahead[0], read_so_far[0] - number)
            done.put(number)

    run(reading, working, lambda items: list(items).clear())
    assert most_ahead[0] <= 2 + 2  # two wait, one is in work, one is held by the reader


def test_an_error_of_the_reader_stops_all_stages_and_is_raised() -> None:
    def reading(items: Channel[int]) -> None:
        items.put(1)
        raise ValueError("of the reader")

    with pytest.raises(ValueError, match="of the reader"):
        run(reading, double, lambda items: list(items).clear())
    assert_no_threads()


def test_an_error_of_the_writer_stops_all_stages_and_is_raised() -> None:
    def writing(items: Channel[int]) -> None:
        next(iter(items))
        raise OSError("of the writer")

    with pytest.raises(OSError, match="of the writer"):
        run(read(1000), double, writing)
    assert_no_threads()


@pytest.mark.parametrize("error", [ValueError("at work"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_or_signal_in_the_caller_stops_all_stages_and_is_raised(error: BaseException) -> None:
    def working(items: Channel[int], done: Channel[int]) -> None:
        done.put(next(iter(items)))
        raise error

    with pytest.raises(type(error)) as raised:
        run(read(1000), working, lambda items: list(items).clear())
    assert raised.value is error
    assert_no_threads()


def test_the_cleanup_of_the_writer_is_awaited() -> None:
    cleaned = []

    def writing(items: Channel[int]) -> None:
        try:
            list(items)
        finally:
            threading.Event().wait(0.2)
            cleaned.append(True)

    def working(items: Channel[int], done: Channel[int]) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        run(read(10), working, writing)
    assert cleaned
