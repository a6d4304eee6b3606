"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], limit: float = 60.0, every: float = 0.05) -> T:
    """Wait until a condition gives something true, and give that.

    :param limit: seconds; generous, since machines are shared
    """
    deadline = time.monotonic() + limit
    while True:
        outcome = condition()
        if outcome:
            return outcome
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit:g} s: {getattr(condition, '__name__', condition)}")
        time.sleep(every)
