"""Keeping a claim alive while the work lasts."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from app.domain.errors import LedgerUnavailable

T = TypeVar("T")
#: seconds between two tries to write an outcome down
INSIST_EVERY = 0.5


@contextmanager
def keep_alive(renew: Callable[[], bool], every: float) -> Iterator[None]:
    """Call `renew` every few seconds from a thread of its own until the block ends or a call gives False.

    Whoever dies inside stops renewing, and the claim lapses; whoever merely lost it finds out when writing the outcome.
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(every):
            try:
                if not renew():
                    return
            except LedgerUnavailable:
                continue  # the next round may reach it before the lease ends

    keeper = threading.Thread(target=run, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def insist(write: Callable[[], T], limit: float) -> T:
    """Write an outcome down, again and again for some seconds if the ledger is away: the work behind it is done and should count.

    :raises LedgerUnavailable: it stayed away
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            return write()
        except LedgerUnavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(INSIST_EVERY)
