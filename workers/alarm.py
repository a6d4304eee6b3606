"""The alarm: enqueues what is due at the moment it is, not at the next sweep.

Retries, polls and turns at the vendor's rate limit are due at times of their own. Each worker process watches the ledger's index
by time from one thread; the sweep remains the guarantee, and alone looks for what was lost.
"""

import logging
import threading

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger

#: seconds between two looks at most, for something new may be due sooner than what was known of
LONGEST = 1.0
#: and at least, whatever is due
SHORTEST = 0.01


class Alarm:
    """A thread that wakes what is due. `stop` ends it."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing runs before `start`."""
        self._ledger = ledger
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)

    def start(self) -> None:
        """Begin watching."""
        self._thread.start()

    def stop(self) -> None:
        """End within a moment."""
        self._stop.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = min(max(self._ledger.wake(), SHORTEST), LONGEST)
            except LedgerUnavailable:
                pause = LONGEST
            except Exception:
                logging.getLogger("reelkeep").exception("alarm.fault")
                pause = LONGEST
