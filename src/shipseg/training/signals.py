"""SIGTERM and SIGINT as stop requests: the current step ends with a checkpoint. Also a log of a run's stages."""

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
# torchrun forwards the Ctrl-C that the terminal has already sent to every process; only a later one counts as a second.
_SECOND_REQUEST_AFTER_S = 1.0


class StopRequest:
    """A request to stop the run, made by a signal.

    Attributes:
        signal_name: SIGTERM or SIGINT, or empty if no signal came.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self._requested_at_s = 0.0
        self._immediate = False

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return bool(self.signal_name)

    def receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the signature of a handler)
        """Record a signal; a second Ctrl-C does not wait for the step to end.

        Raises:
            KeyboardInterrupt: The second Ctrl-C.
            TrainingInterrupted: Inside `at_once`.
        """
        now_s = time.monotonic()
        name = signal.Signals(number).name
        if self.requested and number == signal.SIGINT and now_s - self._requested_at_s > _SECOND_REQUEST_AFTER_S:
            raise KeyboardInterrupt
        if not self.requested:
            self.signal_name, self._requested_at_s = name, now_s
        if self._immediate:
            raise self.interruption()

    def interruption(self) -> TrainingInterrupted:
        """Return the error that ends the run, after a checkpoint was saved."""
        return TrainingInterrupted(
            f"{self.signal_name or 'a signal'} stopped the run after a checkpoint was saved: "
            "run the same command with --resume to continue"
        )

    def check(self) -> None:
        """Raise if a signal came; to be called where nothing is lost.

        Raises:
            TrainingInterrupted: A signal came.
        """
        if self.requested:
            raise self.interruption()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Stop immediately on a signal inside the block, for stages that a resumed run repeats from their start."""
        self.check()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False


@contextlib.contextmanager
def listening() -> Iterator[StopRequest]:
    """Handle SIGTERM and SIGINT inside the block; outside the main thread Python allows no handlers, so do nothing."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            # None stands for a handler that Python did not install and cannot restore.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ignore_in_loader(worker: int) -> None:  # noqa: ARG001  (the signature of a DataLoader's worker_init_fn)
    """Ignore signals in a data-loading process: the training process needs its batches to finish the step."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


# Stages of a run, logged for benchmarks/resume_trial.py, which kills runs in each of them.

Stage = Literal["training", "validating", "checkpoint", "model", "choosing", "saved"]
"""`checkpoint` and `model` last until `saved`, when the file or folder is complete."""

STAGES = logging.getLogger("shipseg.training.stages")
"""Logger of a DEBUG record `STAGE STEP` at the start of each stage; silent unless its level is set."""
STAGES.setLevel(logging.INFO)


def note_stage(stage: Stage, *, step: int) -> None:
    """Log the start of a stage, `step` steps after the start of the run."""
    STAGES.debug("%s %d", stage, step)
