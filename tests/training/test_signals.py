from __future__ import annotations

import os
import signal
import threading

import pytest

from shipseg.errors import TrainingInterrupted
from shipseg.training import signals
from shipseg.training.signals import StopRequest, listening


def test_a_signal_is_a_request_and_no_interruption() -> None:
    with listening() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        assert stop.signal_name == "SIGTERM"
    with pytest.raises(TrainingInterrupted, match="^SIGTERM stopped the run"):
        stop.check()


def test_at_once_means_at_once() -> None:
    with listening() as stop, pytest.raises(TrainingInterrupted), stop.at_once():
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the signal had to end the block")


def test_a_request_from_before_ends_what_may_stop_at_once() -> None:
    with listening() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(TrainingInterrupted), stop.at_once():
            pytest.fail("the block must not begin")


def test_a_second_ctrl_c_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # torchrun passes on what the terminal sent already
        assert stop.requested
        monkeypatch.setattr(signals, "_SECOND_REQUEST_AFTER_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_come_back() -> None:
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
