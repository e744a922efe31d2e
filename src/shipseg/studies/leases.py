"""Leases on work, for the processes of one machine or of several that share a folder.

A lease is a file `NAME.N` that only one process can create, and that its holder refreshes. A process that takes over
from a dead holder creates `NAME.N+1`; the highest number is valid. No file is removed while the work is unfinished, so
two processes never hold the same lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shipseg import files

__all__ = ["EXPIRY_S", "Holder", "Lease", "acquire", "holder", "remove"]

EXPIRY_S = 300.0
"""A lease of another machine expires when it was not refreshed for this long."""
_REFRESH_EVERY_S = 20.0
_RELEASED = "{}\n"


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease."""

    machine: str
    """Host, boot and process namespace, within which process numbers are unique."""
    pid: int
    started: str
    """Start time of the process in clock ticks: process numbers are reused."""

    @classmethod
    def this_process(cls) -> Holder:
        """Return this process."""
        return cls(_machine(), os.getpid(), _started(os.getpid()) or "")

    def has_ended(self) -> bool:
        """Return whether the process has ended; valid for processes of this machine only."""
        return _started(self.pid) != self.started


@dataclass(frozen=True)
class Lease:
    """A lease that this process acquired."""

    path: Path

    def is_valid(self) -> bool:
        """Return whether no other process has taken over."""
        newest = _newest(self.path.parent, self.path.name.rpartition(".")[0])
        return newest is None or newest == self.path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Refresh the lease inside the block, and release it at its end.

        If another process takes over (this machine was suspended or lost the folder), this one gets SIGTERM.
        """
        ended = threading.Event()
        threading.Thread(target=self._refresh, args=(ended,), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            self.release()

    def release(self) -> None:
        """Release the lease, so that another process can acquire it immediately."""
        if self.path.exists():
            files.write_text(self.path, _RELEASED)

    def _refresh(self, ended: threading.Event) -> None:
        while not ended.wait(_REFRESH_EVERY_S):
            if not self.is_valid():
                os.kill(os.getpid(), signal.SIGTERM)
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def acquire(folder: Path, name: str) -> Lease | None:
    """Return a lease on `name` for this process, or None if another process holds it.

    A lease ends when its process on this machine has ended, or when its process on another machine did not refresh it
    for `EXPIRY_S`. A process of this machine that is suspended keeps its lease.

    Args:
        folder: Folder of the leases; created if it does not exist.
        name: Name of the work; a file name.

    Raises:
        StorageError: The folder cannot be written.
    """
    files.ensure_folder(folder)
    newest = _newest(folder, name)
    if newest is not None and _is_held(newest):
        return None
    path = folder / f"{name}.{0 if newest is None else _number(newest) + 1}"
    with files.storage_errors(path):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return None
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(vars(Holder.this_process()), stream)
    return Lease(path)


def holder(folder: Path, name: str) -> Holder | None:
    """Return the holder of `name`, running or not, or None if there is none."""
    newest = _newest(folder, name)
    return None if newest is None else _read(newest)


def remove(folder: Path, name: str) -> None:
    """Remove all leases on finished work."""
    for path in _lease_files(folder, name):
        path.unlink(missing_ok=True)


def _lease_files(folder: Path, name: str) -> list[Path]:
    # Names of trials may contain dots: the part before the last dot must be the whole name.
    return [path for path in folder.glob(f"{name}.*") if path.name[len(name) + 1 :].isdecimal()]


def _newest(folder: Path, name: str) -> Path | None:
    return max(_lease_files(folder, name), key=_number, default=None)


def _number(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


def _is_held(path: Path) -> bool:
    try:
        if path.read_text(encoding="utf-8") == _RELEASED:
            return False
        by = _read(path)
        if by is not None and by.machine == _machine():
            return not by.has_ended()
        return _now_s(path.parent) - path.stat().st_mtime < EXPIRY_S
    except FileNotFoundError:  # the work was finished just now
        return False


def _read(path: Path) -> Holder | None:
    """Return the holder; None if the lease is released or not written yet."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _now_s(folder: Path) -> float:
    """Return the time of the clock that stamps the folder's files, which may be another machine's."""
    probe = folder / f".now-{uuid.uuid4().hex}"
    with files.storage_errors(probe):
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


def _machine() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        # Containers have process numbers of their own.
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """Return the start time of a process of this machine, or None if it has ended (or is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
