"""Jobs done in several processes that end with their parent, their results taken in order and never piled up."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from shipseg.errors import ShipsegError

__all__ = ["run_jobs"]

Job = TypeVar("Job")
Result = TypeVar("Result")

PARENT_CHECK_S = 1.0
"""How long a worker may outlive its killed parent."""
AHEAD = 3
"""Jobs per process that are begun before the results are taken."""


def run_jobs(do: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None) -> Iterator[Result]:
    """Do all jobs, in this process or in several, and yield each result as it is wanted, in order.

    Args:
        do: A function of a module; it and its jobs are sent to the processes.
        jobs: What to do.
        workers: Processes; as many as processors where None.

    Raises:
        ShipsegError: A process was killed.
    """
    count = min(workers or _num_processors(), len(jobs))
    if count <= 1:
        yield from map(do, jobs)
        return
    # spawn: a fork of a process with threads (torch, OpenCV) may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        count, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
    ) as pool:
        try:
            yield from _in_order(pool, do, jobs, ahead=AHEAD * count)
        except BrokenProcessPool as error:
            raise ShipsegError(
                "a worker process was killed, probably because memory ran out: run again with fewer --workers, "
                "what is finished is kept"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_order(
    pool: concurrent.futures.Executor, do: Callable[[Job], Result], jobs: Iterable[Job], *, ahead: int
) -> Iterator[Result]:
    waiting: deque[concurrent.futures.Future[Result]] = deque()
    for job in jobs:
        waiting.append(pool.submit(do, job))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start_worker(parent: int) -> None:
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent has been killed: it would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def _num_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
