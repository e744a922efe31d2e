"""Work in other processes: complete, interruptible, and never left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from shipseg.errors import ConfigError, DataError, ShipsegError
from shipseg.processes import available_workers, run_tasks
from tasks import die, fail, resize, square


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_task_is_done_once_and_in_order(workers: int) -> None:
    assert list(run_tasks(square, range(50), workers=workers)) == [number * number for number in range(50)]


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


# No `if __name__ == "__main__"`: a script that calls us needs none.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from shipseg.processes import run_tasks
from tasks import {task}
print(*run_tasks({task}, range(2), workers=2))
"""


def write_script(path: Path, task: str) -> list[str]:
    path.write_text(SCRIPT.format(task=task))
    return [sys.executable, str(path), str(Path(__file__).parent)]


def test_a_script_needs_no_guard_around_what_it_calls(tmp_path: Path) -> None:
    done = subprocess.run(write_script(tmp_path / "script.py", "square"), capture_output=True, text=True, check=True)
    assert done.stdout == "0 1\n"


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    command = write_script(tmp_path / "parent.py", "print_and_wait")
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
