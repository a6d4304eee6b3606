"""How many callbacks are refused, for `/metrics`.

Anybody can have callbacks refused, as many as he likes. So each costs a number in this process, and no word with Redis, which may
be away; from time to time a thread beside those of the requests adds the numbers to the fleet's. A killed process takes the last
second's with it.
"""

import threading
from collections import Counter

from flask import Response

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger

#: the answers that are counted
STATUSES = (400, 401, 413)
#: seconds between two words with the ledger
EVERY = 1.0


class Refusals:
    """Those of this process."""

    def __init__(self, ledger: Ledger) -> None:
        """:param ledger: keeps the fleet's"""
        self._ledger = ledger
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, response: Response) -> Response:
        """Count an answer, if it is a refusal. Gives it back as it is, as Flask wants it."""
        if response.status_code in STATUSES:
            with self._lock:
                self._counts[f"refused:{response.status_code}"] += 1
                if self._counts.total() == 1:
                    self._hand_over_later()
        return response

    def _hand_over_later(self) -> None:
        timer = threading.Timer(EVERY, self._hand_over)
        timer.daemon = True
        timer.start()

    def _hand_over(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            self._ledger.add_tallies(counts)
        except LedgerUnavailable:
            with self._lock:
                self._counts += counts
                # Otherwise there is a timer already: what has come in between has begun with one.
                if self._counts.total() == counts.total():
                    self._hand_over_later()
