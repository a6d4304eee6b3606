"""The postmen: look for events, outlive whatever the ledger or a step does, and stop when they are told to."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.errors import LedgerUnavailable
from app.domain.policy import Policy
from tests.support.waiting import wait_for
from workers import postman as module
from workers.postman import Postmen


class ScriptedLedger:
    """Gives what is to go out in turn, then nothing; what is an exception is raised."""

    def __init__(self, *answers: str | BaseException) -> None:
        self.answers = list(answers)
        self.faults: list[tuple[str, str]] = []

    def next_event(self) -> tuple[str, float]:
        answer = self.answers.pop(0) if self.answers else ""
        if isinstance(answer, BaseException):
            raise answer
        return answer, 0.0 if answer else math.inf

    def note_fault(self, item: str, reason: str) -> None:
        self.faults.append((item, reason))


@contextmanager
def running(ledger: ScriptedLedger, count: int = 1) -> Iterator[Postmen]:
    parts: Any = SimpleNamespace(ledger=ledger, settings=SimpleNamespace(policy=Policy()))
    postmen = Postmen(parts, parts, count)
    postmen.start()
    try:
        yield postmen
    finally:
        postmen.stop()
        postmen.join(10)
        assert not any(thread.is_alive() for thread in postmen._threads)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The items that were taken up; `notify/bad` has a step that fails."""
    found: list[str] = []

    def notify(item: object, *_: object) -> None:
        found.append(str(item))
        if str(item) == "notify/bad":
            raise KeyError
        if str(item) == "notify/away":
            raise LedgerUnavailable("away")

    monkeypatch.setattr(module, "notify", notify)
    monkeypatch.setattr(module, "LONGEST", 0.01)
    return found


def test_they_send_what_there_is(sent: list[str]) -> None:
    with running(ScriptedLedger("notify/a", "notify/b", "notify/c")):
        wait_for(lambda: sent == ["notify/a", "notify/b", "notify/c"])


def test_a_ledger_that_is_away_is_outlived(sent: list[str]) -> None:
    ledger = ScriptedLedger(LedgerUnavailable("away"), "notify/away", "notify/b")
    with running(ledger):
        wait_for(lambda: sent[-1:] == ["notify/b"])
    assert ledger.faults == []


def test_a_step_that_fails_in_an_unforeseen_way_is_noted(sent: list[str]) -> None:
    ledger = ScriptedLedger("notify/bad", OSError(), "notify/b")
    with running(ledger):
        wait_for(lambda: sent == ["notify/bad", "notify/b"])
    assert ledger.faults == [("notify/bad", "KeyError in notify")]


def test_one_that_waits_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    held, sent = threading.Event(), list[str]()

    def notify(item: object, *_: object) -> None:
        if str(item) == "notify/silent":
            held.wait(60)
        sent.append(str(item))

    monkeypatch.setattr(module, "notify", notify)
    with running(ScriptedLedger("notify/silent", "notify/b"), count=2):
        wait_for(lambda: sent == ["notify/b"])
        held.set()
