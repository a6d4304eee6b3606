"""Leaving in time: the process ends some time after it was told to stop, whatever hangs."""

import threading
from collections.abc import Callable

import pytest

from tests.support.waiting import wait_for
from workers import departure as module
from workers.departure import LAST_CALL, PATIENCE, Departure


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "LAST_CALL", 0.05)


def _leave(hand_over: Callable[[], int]) -> list[int]:
    """The status that the process would end with."""
    stop, statuses = threading.Event(), list[int]()
    Departure(stop, hand_over, statuses.append).start()
    assert statuses == []
    stop.set()
    wait_for(lambda: statuses, every=0.001)
    return statuses


def test_claims_are_handed_over_before_the_end() -> None:
    given: list[str] = []

    def hand_over() -> int:
        given.append("all")
        return 1

    assert (_leave(hand_over), given) == ([0], ["all"])


def test_a_hand_over_that_hangs_does_not_hold_up_the_end() -> None:
    released = threading.Event()
    try:
        assert _leave(lambda: int(released.wait())) == [0]
    finally:
        released.set()


def test_a_hand_over_that_fails_does_not_hold_up_the_end() -> None:
    def fail() -> int:
        raise RuntimeError("odd")

    assert _leave(fail) == [0]


def test_the_whole_of_it_leaves_time_before_the_platform_kills() -> None:
    assert PATIENCE + LAST_CALL < 30 - 5
