"""Keeping a claim alive, handing it over, and insisting on an outcome."""

import threading
import time

import pytest

from app.domain.errors import LedgerUnavailable, StoreUnavailable
from app.pipeline import lease
from app.pipeline.lease import hand_over_claims, insist, keep_alive


class Clock:
    """Stands in for `time`: sleeping moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 500.0
        self.slept: list[float] = []
        monkeypatch.setattr(lease.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(lease.time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Writer:
    """Fails a number of times, then succeeds."""

    def __init__(self, failures: int, error: type[Exception] = LedgerUnavailable) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error("away")
        return "written"


def test_what_is_written_at_once_is_written_once(clock: Clock) -> None:
    write = Writer(0)
    assert insist(write, 60.0) == "written"
    assert (write.calls, clock.slept) == (1, [])


def test_a_ledger_that_comes_back_is_waited_for(clock: Clock) -> None:
    write = Writer(7)
    assert insist(write, 60.0) == "written"
    assert (write.calls, clock.slept) == (8, [0.5] * 7)


def test_a_ledger_that_stays_away_is_given_up_after_the_limit(clock: Clock) -> None:
    write = Writer(1000)
    with pytest.raises(LedgerUnavailable):
        insist(write, 3.0)
    assert 503.0 <= clock.now <= 504.0
    assert write.calls == len(clock.slept) + 1


def test_any_other_failure_is_not_insisted_against(clock: Clock) -> None:
    write = Writer(1, StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        insist(write, 60.0)
    assert (write.calls, clock.slept) == (1, [])


def test_a_claim_is_renewed_while_the_work_lasts_even_if_the_ledger_is_away_for_once() -> None:
    calls, enough = [], threading.Event()

    def renew() -> bool:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise LedgerUnavailable("away")
        if len(calls) == 4:
            enough.set()
        return True

    with keep_alive(renew, 0.005):
        assert enough.wait(10)
    made = len(calls)
    time.sleep(0.05)
    assert len(calls) == made


def test_a_claim_that_is_lost_is_not_renewed_any_more() -> None:
    calls: list[None] = []
    called = threading.Event()

    def renew() -> bool:
        calls.append(None)
        called.set()
        return False

    with keep_alive(renew, 0.005):
        assert called.wait(10)
        time.sleep(0.05)
    assert len(calls) == 1


def test_only_claims_that_are_kept_alive_now_are_handed_over() -> None:
    given: list[str] = []
    with keep_alive(lambda: True, 60, lambda: given.append("first")):
        with keep_alive(lambda: True, 60, lambda: given.append("second")):
            assert hand_over_claims() == 2
        assert hand_over_claims() == 1
    assert hand_over_claims() == 0
    assert given == ["first", "second", "first"]


@pytest.mark.parametrize("error", [LedgerUnavailable("Redis is down"), RuntimeError("unforeseen")])
def test_one_that_fails_keeps_no_other_claim_from_being_handed_over(error: Exception) -> None:
    given: list[str] = []

    def away() -> None:
        raise error

    with keep_alive(lambda: True, 60, away), keep_alive(lambda: True, 60, lambda: given.append("other")):
        assert hand_over_claims() == 2
    assert given == ["other"]
