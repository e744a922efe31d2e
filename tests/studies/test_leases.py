"""A lease is held by one process at a time, and acquired over when its holder has ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shipseg.studies import leases


def hold(folder: Path, name: str, **changes: object) -> Path:
    """Write a lease as another process would write it."""
    values = {**vars(leases.Holder.this_process()), **changes}
    path = folder / f"{name}.0"
    path.write_text(json.dumps(values))
    return path


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_held_lease_cannot_be_acquired_and_a_released_one_can(tmp_path: Path) -> None:
    first = leases.acquire(tmp_path, "a-seed0")
    assert first is not None
    assert leases.acquire(tmp_path, "a-seed0") is None
    assert leases.acquire(tmp_path, "a-seed1") is not None
    first.release()
    second = leases.acquire(tmp_path, "a-seed0")
    assert second is not None
    assert second.is_valid()
    assert not first.is_valid()


def test_a_lease_is_acquired_over_at_once_when_its_process_on_this_machine_has_ended(tmp_path: Path) -> None:
    hold(tmp_path, "a", pid=ended_pid())
    assert leases.acquire(tmp_path, "a") is not None


def test_a_reused_process_number_does_not_hold_a_lease(tmp_path: Path) -> None:
    hold(tmp_path, "a", started="12")  # this process's number, another start time
    assert leases.acquire(tmp_path, "a") is not None


def test_a_zombie_holds_no_lease(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    hold(tmp_path, "a", pid=process.pid, started=started)
    assert leases.acquire(tmp_path, "a") is None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and its status not read yet
    assert leases.acquire(tmp_path, "a") is not None
    process.wait()


def test_a_lease_of_another_machine_expires_five_minutes_after_its_last_refresh(tmp_path: Path) -> None:
    path = hold(tmp_path, "a", machine="elsewhere", pid=1)
    assert leases.acquire(tmp_path, "a") is None
    still_valid = time.time() - leases.EXPIRY_S + 30
    os.utime(path, (still_valid, still_valid))
    assert leases.acquire(tmp_path, "a") is None
    expired = time.time() - leases.EXPIRY_S - 1
    os.utime(path, (expired, expired))
    assert leases.acquire(tmp_path, "a") is not None
    assert leases.acquire(tmp_path, "a") is None


def test_a_lease_that_is_not_written_yet_is_held(tmp_path: Path) -> None:
    (tmp_path / "a.0").touch()
    assert leases.acquire(tmp_path, "a") is None


def test_a_held_lease_is_refreshed_and_released_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_REFRESH_EVERY_S", 0.01)
    lease = leases.acquire(tmp_path, "a")
    assert lease is not None
    long_ago = time.time() - 1000
    with lease.held():
        os.utime(lease.path, (long_ago, long_ago))
        deadline = time.monotonic() + 10
        while lease.path.stat().st_mtime < long_ago + 900 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lease.path.stat().st_mtime > long_ago + 900
        assert leases.acquire(tmp_path, "a") is None
    assert leases.acquire(tmp_path, "a") is not None


def test_a_process_that_lost_its_lease_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_REFRESH_EVERY_S", 0.01)
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        lease = leases.acquire(tmp_path, "a")
        assert lease is not None
        with lease.held():
            (tmp_path / "a.1").write_text(json.dumps(vars(leases.Holder("elsewhere", 1, "1"))))
            assert stopped.wait(10)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_names_with_a_common_prefix_are_different(tmp_path: Path) -> None:
    assert leases.acquire(tmp_path, "0.1-seed0") is not None
    assert leases.acquire(tmp_path, "0.1-seed") is not None
    leases.remove(tmp_path, "0.1-seed")
    assert [path.name for path in tmp_path.iterdir()] == ["0.1-seed0.0"]


def acquire_all(
    folder: Path, names: list[str], barrier: threading.Barrier, acquired: multiprocessing.Queue[str]
) -> None:
    barrier.wait()
    for name in names:
        if leases.acquire(folder, name) is not None:
            acquired.put(name)
    barrier.wait()  # no process ends before all have tried, or its leases would be free


def test_many_processes_at_once_acquire_each_lease_once_also_from_a_dead_holder(tmp_path: Path) -> None:
    names = [f"trial-{number}" for number in range(40)]
    dead = ended_pid()
    for name in names[::2]:
        hold(tmp_path, name, pid=dead)
    context = multiprocessing.get_context("fork")
    barrier, acquired = context.Barrier(4), context.Queue()
    processes = [context.Process(target=acquire_all, args=(tmp_path, names, barrier, acquired)) for _ in range(4)]
    for process in processes:
        process.start()
    found = sorted(acquired.get(timeout=30) for _ in names)
    for process in processes:
        process.join(30)
    assert found == sorted(names)
    assert acquired.empty()
