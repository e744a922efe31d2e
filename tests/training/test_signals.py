from __future__ import annotations

import os
import signal
import threading

import pytest

from shipseg.errors import TrainingInterrupted
from shipseg.training import signals
from shipseg.training.signals import StopRequest, listening


def test_a_signal_is_recorded_and_does_not_interrupt() -> None:
    with listening() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        assert stop.signal_name == "SIGTERM"
    with pytest.raises(TrainingInterrupted, match="^SIGTERM stopped the run"):
        stop.check()


def test_inside_at_once_a_signal_interrupts() -> None:
    with listening() as stop, pytest.raises(TrainingInterrupted), stop.at_once():
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the signal had to end the block")


def test_an_earlier_signal_interrupts_at_the_start_of_at_once() -> None:
    with listening() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(TrainingInterrupted), stop.at_once():
            pytest.fail("the block must not begin")


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # torchrun forwards what the terminal has already sent
        assert stop.requested
        monkeypatch.setattr(signals, "_SECOND_REQUEST_AFTER_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_old_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with listening():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_outside_the_main_thread_nothing_is_installed() -> None:
    found: list[StopRequest] = []

    def work() -> None:
        with listening() as stop:
            found.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not found[0].requested
