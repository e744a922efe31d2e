"""Work in other processes: complete, interruptible, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from shipseg.errors import ConfigError, DataError, ShipsegError
from shipseg.processes import available_workers, run_tasks


def square(number: int) -> int:
    return number * number


def resize(number: int) -> tuple[int, int]:
    large = np.full((900, 900, 3), number, np.uint8)
    return int(cv2.resize(large, (300, 300), interpolation=cv2.INTER_AREA).mean()), cv2.getNumThreads()


def fail(number: int) -> int:
    if number == 3:
        raise DataError("number 3 is wrong")
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(run_tasks(square, range(50), workers=workers)) == [number * number for number in range(50)]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_task_is_no_work(workers: int) -> None:
    assert list(run_tasks(square, [], workers=workers)) == []


def test_tasks_are_taken_a_few_at_a_time() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = run_tasks(square, tasks(), workers=2)
    next(results)
    assert len(taken) < 20


def test_opencv_works_in_the_workers_with_one_thread_after_it_was_used_here() -> None:
    threads = cv2.getNumThreads()
    for _ in range(2):
        resize(1)
        assert sorted(run_tasks(resize, range(6), workers=2)) == [(number, 1) for number in range(6)]
    assert cv2.getNumThreads() == threads


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_is_raised_as_it_is(workers: int) -> None:
    with pytest.raises(DataError, match="number 3 is wrong"):
        list(run_tasks(fail, range(6), workers=workers))


def test_a_killed_worker_is_an_error_with_advice() -> None:
    with pytest.raises(ShipsegError, match="--workers"):
        list(run_tasks(die, range(3), workers=2))


def test_the_number_of_workers_is_at_least_one_and_within_reason() -> None:
    assert available_workers(3) == 3
    assert available_workers(None) >= 1
    with pytest.raises(ConfigError, match="workers must be at least 1, got 0"):
        available_workers(0)
    with pytest.raises(ConfigError, match="workers must be at most 256, got 100000"):
        available_workers(100_000)


PARENT = """
import os, sys, time
from shipseg.data.workers import run_tasks
def work(number):
    os.write(1, b"%d\\n" % os.getpid())  # at once: print may write number and line end apart, with another between
    time.sleep(60)
for _ in run_tasks(work, range(2), workers=2):
    pass
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(is_running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(child) for child in children)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
