"""Work spread over processes that never outlive the one that started them."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from shipseg.config import MAX_WORKERS
from shipseg.errors import ShipsegError
from shipseg.schema import check_count

__all__ = ["available_workers", "run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_WAITING_PER_WORKER = 4  # tasks handed out ahead: enough to keep workers busy, few enough to stay small in memory
_PARENT_CHECK_S = 0.2


def available_workers(workers: int | None) -> int:
    """Return `workers`, or the number of cores this process may use.

    Raises:
        ConfigError: `workers` is below 1 or above MAX_WORKERS.
    """
    if workers is None:
        return len(os.sched_getaffinity(0))
    check_count("workers", workers, most=MAX_WORKERS)
    return workers


def run_tasks(function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int) -> Iterator[Result]:
    """Yield `function(task)` for each task, in the order they are finished.

    Args:
        function: A function of a module, so that it can be sent to another process.
        tasks: What to do; taken a few at a time.
        workers: Processes; with 1 the work is done in this one.

    Raises:
        ShipsegError: A worker was killed (usually: out of memory). Errors of `function` are raised as they are.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    # fork: a script that calls us needs no `if __name__ == "__main__"`, and the workers only decode and resize.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
    remaining = iter(tasks)
    running: set[Future[Result]] = set()
    try:
        with _single_threaded_opencv():  # the first task starts all workers
            running |= {pool.submit(function, task) for task in itertools.islice(remaining, 1)}
        while True:
            ahead = workers * _WAITING_PER_WORKER - len(running)
            running |= {pool.submit(function, task) for task in itertools.islice(remaining, ahead)}
            if not running:
                break
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as error:
        raise ShipsegError(
            "a worker process was killed, probably because memory ran out: run again with fewer --workers, "
            "finished work is kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """End OpenCV's threads for the length of the block.

    Processes forked inside it inherit the setting, so that workers do not compete for the cores with threads of their
    own. They cannot set it themselves: cv2.setNumThreads(1) waits for ever for threads that were not forked along.
    """
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group: the parent ends the work
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent has been killed: nobody would collect its work or stop it."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)
