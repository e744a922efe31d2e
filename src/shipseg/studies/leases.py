"""Who works on what, on one machine or on several that share a folder: a file for each lease, kept fresh.

A lease is a file `NAME.N` that only one process can create. Whoever takes over from a dead holder creates `NAME.N+1`;
the highest number holds. Nothing is removed while the work is unfinished, so no two processes can come to hold it.
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

__all__ = ["FRESH_S", "Holder", "Lease", "forget", "holder", "take"]

FRESH_S = 300.0
"""A lease of another machine that was not refreshed for this long is nobody's."""
_REFRESH_EVERY_S = 20.0
_RELEASED = "{}\n"


@dataclass(frozen=True)
class Holder:
    """The process that holds a lease."""

    machine: str
    """Host, boot and process namespace: where the number of a process means the same."""
    pid: int
    started: str
    """When the process began, in the system's clock ticks: numbers of processes are used again."""

    @classmethod
    def this_process(cls) -> Holder:
        """Return the process that asks."""
        return cls(_machine(), os.getpid(), _started(os.getpid()) or "")

    def is_gone(self) -> bool:
        """Return whether the process has ended; only of a process of this machine."""
        return _started(self.pid) != self.started


@dataclass(frozen=True)
class Lease:
    """A lease that this process took."""

    path: Path

    def holds(self) -> bool:
        """Return whether nobody has taken over."""
        newest = _newest(self.path.parent, self.path.name.rpartition(".")[0])
        return newest is None or newest == self.path

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the lease fresh inside the block, and release it at its end.

        Where another process takes over all the same (this machine slept, or lost the folder), this one gets SIGTERM.
        """
        ended = threading.Event()
        threading.Thread(target=self._refresh, args=(ended,), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            self.release()

    def release(self) -> None:
        """Let others take the work at once."""
        if self.path.exists():
            files.write_text(self.path, _RELEASED)

    def _refresh(self, ended: threading.Event) -> None:
        while not ended.wait(_REFRESH_EVERY_S):
            if not self.holds():
                os.kill(os.getpid(), signal.SIGTERM)
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def take(folder: Path, name: str) -> Lease | None:
    """Return a lease on `name` for this process, or None where another one holds it.

    A lease is nobody's when its process of this machine has ended, or when another machine did not refresh it for
    `FRESH_S`. A process of this machine that lives but does not move (stopped by hand) keeps its lease.

    Args:
        folder: Where the leases lie; made where there is none.
        name: What is claimed; a file name.

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
    """Return who holds `name`, alive or not, or None."""
    newest = _newest(folder, name)
    return None if newest is None else _read(newest)


def forget(folder: Path, name: str) -> None:
    """Remove all leases on finished work."""
    for path in _claims(folder, name):
        path.unlink(missing_ok=True)


def _claims(folder: Path, name: str) -> list[Path]:
    # Names of trials may hold dots themselves: what stands before the last one must be the whole name.
    return [path for path in folder.glob(f"{name}.*") if path.name[len(name) + 1 :].isdecimal()]


def _newest(folder: Path, name: str) -> Path | None:
    return max(_claims(folder, name), key=_number, default=None)


def _number(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


def _is_held(path: Path) -> bool:
    try:
        if path.read_text(encoding="utf-8") == _RELEASED:
            return False
        by = _read(path)
        if by is not None and by.machine == _machine():
            return not by.is_gone()
        return _now_s(path.parent) - path.stat().st_mtime < FRESH_S
    except FileNotFoundError:  # finished at this moment
        return False


def _read(path: Path) -> Holder | None:
    """Return the holder; None where it is released, or where its first line is not written yet."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _now_s(folder: Path) -> float:
    """Return the time by the clock that stamps the folder's files: that of another machine, if it is shared."""
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
        # In a container the same number is another process.
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """Return when a process of this machine began, or None when it has ended (a zombie has)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
