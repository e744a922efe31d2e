"""Progress is silent in the library, a bar on a terminal, and lines in a log."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from shipseg import progress

SCRIPT = (
    "from shipseg import progress\nwith progress.shown():\n    assert sum(progress.track([1, 2, 3], 'counting')) == 6"
)


def test_in_the_library_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), "counting")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_in_a_log_each_task_is_a_line_that_counts_earlier_items(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.shown():
        list(progress.track([1, 2], "counting", done=3, note=lambda: "loss 0.5"))
    assert capfd.readouterr().err == "counting: 5 of 5 in 0 s, loss 0.5\n"


def test_a_long_task_writes_lines_in_between(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr("shipseg.progress.time.monotonic", lambda: float(next(clock)))
    with progress.shown():
        list(progress.track(iter("abc"), "counting"))
    assert capfd.readouterr().err.splitlines() == ["counting: 2 in 30 s", "counting: 3 in 50 s"]


def test_a_loop_that_raises_still_writes_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), progress.shown():
        for number in progress.track([2, 0], "dividing"):
            assert 1 / number
    assert capfd.readouterr().err == "dividing: 1 of 2 in 0 s\n"


def test_a_task_that_cannot_be_counted_is_a_line_with_its_duration(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.stage("writing"):
        pass
    with progress.shown(), progress.stage("writing"):
        pass
    assert capfd.readouterr().err == "writing: 1 of 1 in 0 s\n"


def test_on_a_terminal_it_is_a_bar() -> None:
    parent, child = pty.openpty()
    subprocess.run([sys.executable, "-c", SCRIPT], stderr=child, check=True)
    os.close(child)
    written = os.read(parent, 100_000).decode()
    os.close(parent)
    assert "counting" in written
    assert "3/3" in written


def test_without_tasks_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.shown():
        pass
    assert capfd.readouterr().err == ""
