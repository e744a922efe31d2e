"""Work is held by one process at a time, and taken over when its holder is gone."""

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
    """Write a lease of another process as it would have written it."""
    values = {**vars(leases.Holder.this_process()), **changes}
    path = folder / f"{name}.0"
    path.write_text(json.dumps(values))
    return path


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_held_cannot_be_taken_and_what_is_released_can(tmp_path: Path) -> None:
    first = leases.take(tmp_path, "a-seed0")
    assert first is not None
    assert leases.take(tmp_path, "a-seed0") is None
    assert leases.take(tmp_path, "a-seed1") is not None
    first.release()
    second = leases.take(tmp_path, "a-seed0")
    assert second is not None
    assert second.holds()
    assert not first.holds()


def test_a_claim_is_taken_over_at_once_when_its_process_on_this_machine_is_gone(tmp_path: Path) -> None:
    hold(tmp_path, "a", pid=ended_pid())
    assert leases.take(tmp_path, "a") is not None


def test_the_number_of_a_gone_process_that_is_used_again_does_not_hold(tmp_path: Path) -> None:
    hold(tmp_path, "a", started="12")  # this process's number, another beginning
    assert leases.take(tmp_path, "a") is not None


def test_a_zombie_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    hold(tmp_path, "a", pid=process.pid, started=started)
    assert leases.take(tmp_path, "a") is None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked for its status
    assert leases.take(tmp_path, "a") is not None
    process.wait()


def test_a_claim_of_another_machine_holds_until_it_was_not_refreshed_for_five_minutes(tmp_path: Path) -> None:
    path = hold(tmp_path, "a", machine="elsewhere", pid=1)
    assert leases.take(tmp_path, "a") is None
    just_fresh = time.time() - leases.FRESH_S + 30
    os.utime(path, (just_fresh, just_fresh))
    assert leases.take(tmp_path, "a") is None
    stale = time.time() - leases.FRESH_S - 1
    os.utime(path, (stale, stale))
    assert leases.take(tmp_path, "a") is not None
    assert leases.take(tmp_path, "a") is None


def test_a_claim_that_is_not_written_yet_holds(tmp_path: Path) -> None:
    (tmp_path / "a.0").touch()
    assert leases.take(tmp_path, "a") is None


def test_a_kept_claim_stays_fresh_and_is_released_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_REFRESH_EVERY_S", 0.01)
    lease = leases.take(tmp_path, "a")
    assert lease is not None
    long_ago = time.time() - 1000
    with lease.kept():
        os.utime(lease.path, (long_ago, long_ago))
        deadline = time.monotonic() + 10
        while lease.path.stat().st_mtime < long_ago + 900 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lease.path.stat().st_mtime > long_ago + 900
        assert leases.take(tmp_path, "a") is None
    assert leases.take(tmp_path, "a") is not None


def test_who_lost_its_claim_to_another_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_REFRESH_EVERY_S", 0.01)
    stopped = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        lease = leases.take(tmp_path, "a")
        assert lease is not None
        with lease.kept():
            (tmp_path / "a.1").write_text(json.dumps(vars(leases.Holder("elsewhere", 1, "1"))))
            assert stopped.wait(10)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_name_that_begins_like_another_is_another(tmp_path: Path) -> None:
    assert leases.take(tmp_path, "0.1-seed0") is not None
    assert leases.take(tmp_path, "0.1-seed") is not None
    leases.forget(tmp_path, "0.1-seed")
    assert [path.name for path in tmp_path.iterdir()] == ["0.1-seed0.0"]


def take_all(folder: Path, names: list[str], barrier: threading.Barrier, taken: multiprocessing.Queue[str]) -> None:
    barrier.wait()
    for name in names:
        if leases.take(folder, name) is not None:
            taken.put(name)
    barrier.wait()  # nobody ends before all have tried: the dead hold nothing


def test_many_processes_at_once_take_each_claim_once_also_from_a_dead_holder(tmp_path: Path) -> None:
    names = [f"trial-{number}" for number in range(40)]
    dead = ended_pid()
    for name in names[::2]:
        hold(tmp_path, name, pid=dead)
    context = multiprocessing.get_context("fork")
    barrier, taken = context.Barrier(4), context.Queue()
    processes = [context.Process(target=take_all, args=(tmp_path, names, barrier, taken)) for _ in range(4)]
    for process in processes:
        process.start()
    found = sorted(taken.get(timeout=30) for _ in names)
    for process in processes:
        process.join(30)
    assert found == sorted(names)
    assert taken.empty()
