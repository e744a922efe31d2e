"""Work spread over processes that never outlive the one that started them, and the cores that there are for it."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, TypeVar

from shipseg.config import MAX_WORKERS
from shipseg.errors import ShipsegError
from shipseg.schema import check_count

__all__ = ["available_workers", "run_tasks", "single_threaded_opencv", "usable_cores"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD_PER_WORKER: Final = 4
"""Tasks begun before their results are taken: enough to keep workers busy, few enough to stay small in memory."""
_PARENT_CHECK_S: Final = 0.2
"""How long a worker may outlive its killed parent."""


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_workers(workers: int | None) -> int:
    """Return `workers`, or the number of cores this process may use.

    Raises:
        ConfigError: `workers` is below 1 or above MAX_WORKERS.
    """
    if workers is None:
        return usable_cores()
    check_count("workers", workers, most=MAX_WORKERS)
    return workers


@contextlib.contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Let OpenCV use one thread for the length of the block: its threads compete with those of others for the cores."""
    import cv2

    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)


def run_tasks(function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int) -> Iterator[Result]:
    """Yield `function(task)` for each task, in the order of the tasks.

    Args:
        function: A function of an installed module; it and its tasks are sent to other processes.
        tasks: What to do; taken a few at a time.
        workers: Processes; with 1 the work is done in this one.

    Raises:
        ShipsegError: A worker was killed (usually: out of memory). Errors of `function` are raised as they are.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    # spawn: a fork of a process with threads (torch, OpenCV) may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
    remaining = iter(tasks)
    running: deque[Future[Result]] = deque()
    try:
        while True:
            ahead = workers * _AHEAD_PER_WORKER - len(running)
            with _hidden_main():
                running.extend(pool.submit(function, task) for task in itertools.islice(remaining, ahead))
            if not running:
                break
            yield running.popleft().result()
    except BrokenProcessPool as error:
        raise ShipsegError(
            "a worker process was killed, probably because memory ran out: run again with fewer --workers, "
            "finished work is kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep processes that start inside the block from running the caller's script once more.

    A spawned process imports the parent's `__main__`, so a script without `if __name__ == "__main__"` would call us
    again from there. No task of ours is defined in `__main__`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker(parent: int) -> None:
    import cv2

    cv2.setNumThreads(1)  # workers do not compete for the cores with threads of their own
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group: the parent ends the work
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent has been killed: nobody would collect its work or stop it."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)
