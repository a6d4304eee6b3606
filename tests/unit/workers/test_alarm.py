"""The alarm: wakes when something is due, looks often enough for what is new, and outlives whatever the ledger does."""

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.domain.errors import LedgerUnavailable
from tests.support.waiting import wait_for
from workers import alarm as module
from workers.alarm import Alarm


class ScriptedLedger:
    """Gives the answers it was told in turn, the last again and again; what is an exception is raised."""

    def __init__(self, *answers: float | BaseException) -> None:
        self.answers = list(answers)
        self.wakes = 0

    def wake(self) -> float:
        answer = self.answers[min(self.wakes, len(self.answers) - 1)]
        self.wakes += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Patient(threading.Event):
    """Keeps how long it was to be waited for; it never truly waits for long."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        return super().wait(min(timeout, 0.001))


@contextmanager
def _running(alarm: Alarm) -> Iterator[None]:
    alarm.start()
    try:
        yield
    finally:
        alarm.stop()
        wait_for(lambda: not alarm._thread.is_alive())


def _pauses(ledger: ScriptedLedger, count: int) -> list[float]:
    """How long the alarm has waited before each of its first looks."""
    alarm, patient = Alarm(ledger), Patient()  # type: ignore[arg-type]
    alarm._stop = patient
    with _running(alarm):
        wait_for(lambda: len(patient.pauses) >= count, every=0.001)
    return patient.pauses[:count]


def test_it_looks_at_once_and_then_when_something_is_due() -> None:
    assert _pauses(ScriptedLedger(0.25, 0.75, 0.5), 4) == [0.0, 0.25, 0.75, 0.5]


@pytest.mark.parametrize("far", [math.inf, 3600.0, 1.01])
def test_it_looks_every_second_for_what_is_new(far: float) -> None:
    assert _pauses(ScriptedLedger(far), 3) == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("due", [0.0, -5.0, 0.001])
def test_it_never_looks_without_a_pause(due: float) -> None:
    assert _pauses(ScriptedLedger(due), 3) == [0.0, 0.01, 0.01]


def test_it_outlives_a_ledger_that_is_away_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    away = LedgerUnavailable("Redis is down")
    with caplog.at_level(logging.INFO):
        assert _pauses(ScriptedLedger(away, away, 0.5), 4) == [0.0, 1.0, 1.0, 0.5]
    assert caplog.text == ""


def test_it_outlives_a_fault_of_ours_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert _pauses(ScriptedLedger(RuntimeError("odd"), 0.5), 3) == [0.0, 1.0, 0.5]
    assert "alarm.fault" in caplog.text


def test_nothing_runs_before_it_is_started() -> None:
    ledger = ScriptedLedger(0.5)
    alarm = Alarm(ledger)  # type: ignore[arg-type]
    assert (alarm._thread.is_alive(), alarm._thread.daemon, ledger.wakes) == (False, True, 0)


def test_it_ends_in_the_middle_of_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 100_000.0)
    ledger = ScriptedLedger(math.inf)
    with _running(Alarm(ledger)):  # type: ignore[arg-type]
        wait_for(lambda: ledger.wakes)
    assert ledger.wakes == 1
