"""Keeping a claim alive while the work lasts, and handing it over when the process has to leave."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from app.domain.errors import LedgerUnavailable
from app.logs import log_event, with_work

T = TypeVar("T")
#: seconds between two tries to write an outcome down
INSIST_EVERY = 0.5

#: how to hand over each claim that is being kept alive in this process
_kept: dict[object, Callable[[], object]] = {}


@contextmanager
def keep_alive(
    renew: Callable[[], bool], every: float, hand_over: Callable[[], object] | None = None
) -> Iterator[None]:
    """Call `renew` every few seconds from a thread of its own until the block ends or a call gives False.

    Whoever dies inside stops renewing, and the claim lapses; whoever merely lost it finds out when writing the outcome.

    :param hand_over: gives the claim back, for `hand_over_claims`
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(every):
            try:
                if not renew():
                    return
            except LedgerUnavailable:
                continue  # the next round may reach it before the lease ends

    keeper = threading.Thread(target=with_work(run), name="lease", daemon=True)
    keeper.start()
    if hand_over is not None:
        _kept[done] = hand_over
    try:
        yield
    finally:
        _kept.pop(done, None)
        done.set()
        keeper.join()


def hand_over_claims() -> int:
    """Give back all claims that are being kept alive, so that others may begin at once: whoever has them is about to be cut off.

    :return: how many there were
    """
    given = list(_kept.values())
    for hand_over in given:
        try:
            hand_over()
        except Exception as error:  # it lapses by itself; the others are given back all the same
            log_event("claim.not_handed_over", error=type(error).__name__)
    return len(given)


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
