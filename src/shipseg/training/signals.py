"""SIGTERM and SIGINT as a request: the step under way is finished and a checkpoint written before the run stops."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Literal

from shipseg.errors import TrainingInterrupted

__all__ = ["STAGES", "Stage", "StopRequest", "ignore_in_loader", "listening", "note_stage"]


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# torchrun passes on the Ctrl-C that the terminal has already sent to every process; only a later one is a second one.
_SECOND_REQUEST_AFTER_S = 1.0


class StopRequest:
    """Whether a signal has asked the run to stop.

    Attributes:
        signal_name: SIGTERM or SIGINT, or empty while nobody asked.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self._asked_at_s = 0.0
        self._immediate = False

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return bool(self.signal_name)

    def receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the signature of a handler)
        """Take note of a signal; a second Ctrl-C does not wait for the step to end.

        Raises:
            KeyboardInterrupt: The second Ctrl-C.
            TrainingInterrupted: Inside `at_once`.
        """
        now_s = time.monotonic()
        name = signal.Signals(number).name
        if self.requested and number == signal.SIGINT and now_s - self._asked_at_s > _SECOND_REQUEST_AFTER_S:
            raise KeyboardInterrupt
        if not self.requested:
            self.signal_name, self._asked_at_s = name, now_s
        if self._immediate:
            raise self.interruption()

    def interruption(self) -> TrainingInterrupted:
        """Return the error that ends the run; a checkpoint is on the disk."""
        return TrainingInterrupted(
            f"{self.signal_name or 'a signal'} stopped the run after a checkpoint was written: "
            "the same command with --resume goes on exactly there"
        )

    def check(self) -> None:
        """Raise when somebody asked, at a place where nothing is lost.

        Raises:
            TrainingInterrupted: Somebody asked.
        """
        if self.requested:
            raise self.interruption()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Stop at the very moment a signal comes: inside are only stages that a resumed run does again as a whole."""
        self.check()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False


@contextlib.contextmanager
def listening() -> Iterator[StopRequest]:
    """Listen to SIGTERM and SIGINT inside the block; outside the main thread, where Python allows none, to nothing."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            # None stands for a handler that Python did not install and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ignore_in_loader(worker: int) -> None:  # noqa: ARG001  (the signature of a DataLoader's worker_init_fn)
    """Let a loading process outlive a signal sent to the whole group: the training process still needs its step."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


# What a run is doing at this moment, for whoever listens: the resume trial aims its kills by it.

Stage = Literal["training", "validating", "checkpoint", "model", "choosing", "saved"]
"""`checkpoint` and `model` last until `on`, when the file or folder is whole."""

STAGES = logging.getLogger("shipseg.training.stages")
"""Gets a DEBUG record `STAGE STEP` at the start of each stage; silent unless its level is set."""
STAGES.setLevel(logging.INFO)


def note_stage(stage: Stage, *, step: int) -> None:
    """Say that a stage begins, `step` steps after the start of the run."""
    STAGES.debug("%s %d", stage, step)
