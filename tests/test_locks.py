"""Two processes never work in one folder."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from shipseg import locks
from shipseg.errors import ConfigError, StorageError

HOLDING = (
    "import sys, time; from pathlib import Path; from shipseg.errors import ConfigError; from shipseg import locks\n"
    "with locks.locked(Path(sys.argv[1]), taken=ConfigError('')): print('held', flush=True); time.sleep(60)"
)
TAKEN = ConfigError("somebody is at work")


def test_the_lock_of_another_process_is_respected_and_ends_with_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLDING, lock], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match="somebody is at work"), locks.locked(lock, taken=TAKEN, wait_s=0.2):
            pass
    finally:
        other.kill()
    with locks.locked(lock, taken=TAKEN, wait_s=10.0) as held:
        assert held.name == str(lock)
    other.communicate()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"), locks.locked(tmp_path / "file" / "lock", taken=TAKEN):
        pass


def test_where_there_are_no_locks_a_warning_is_given_and_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with locks.locked(tmp_path / "lock", taken=TAKEN):
        assert "No locks available" in caplog.text
