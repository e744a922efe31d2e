"""Tasks for worker processes, which import the module of a task and cannot import a test module."""

from __future__ import annotations

import os
import signal
import time

import cv2
import numpy as np

from shipseg.errors import DataError

__all__ = ["die", "fail", "print_and_wait", "resize", "square"]


def square(number: int) -> int:
    """Return the square."""
    return number * number


def resize(number: int) -> tuple[int, int]:
    """Return the mean of a resized image of this value, and OpenCV's number of threads."""
    large = np.full((900, 900, 3), number, np.uint8)
    return int(cv2.resize(large, (300, 300), interpolation=cv2.INTER_AREA).mean()), cv2.getNumThreads()


def fail(number: int) -> int:
    """Return the number, or fail for 3."""
    if number == 3:
        raise DataError("number 3 is wrong")
    return number


def die(number: int) -> int:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def print_and_wait(number: int) -> int:
    """Print the process's id and wait."""
    os.write(1, b"%d\n" % os.getpid())  # one write: print may write number and line end separately
    time.sleep(60)
    return number
