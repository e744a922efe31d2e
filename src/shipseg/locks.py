"""Keeping other processes out of a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from shipseg import files
from shipseg.errors import ShipsegError

__all__ = ["locked"]

_LOG = logging.getLogger(__name__)
_TRIED_EVERY_S = 0.1


@contextlib.contextmanager
def locked(path: Path, *, taken: ShipsegError, wait_s: float = 0.0) -> Iterator[IO[str]]:
    """Make the file `path`, hold its lock and give it, open.

    The lock goes with the process, however that ends. Where the file system knows no locks, a warning says so and
    the work goes on.

    Args:
        path: Of the lock.
        taken: Raised when another process holds the lock,
        wait_s: still after so many seconds.

    Raises:
        StorageError: The file cannot be made.
    """
    deadline_s = time.monotonic() + wait_s
    with files.storage_errors(path):
        lock = path.open("w")
    with lock:
        while True:
            try:
                # Not flock: processes started from here would inherit that lock and hold it after their parent is
                # killed.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    reason = error.strerror
                    _LOG.warning("%s cannot be locked (%s): let only one process work there", path.parent, reason)
                    break
                if time.monotonic() >= deadline_s:
                    raise taken from error
                time.sleep(_TRIED_EVERY_S)
            else:
                break
        yield lock
