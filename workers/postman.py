"""The postmen: a few threads in each worker process that bring events to the user's receiver.

They are not Celery's, for a receiver that says nothing holds whoever waits for it, for ten seconds each time. Of Celery's threads
it would soon hold all, and with them downloads and verdicts. And they need no queue: what is due stands in the ledger's index.
"""

import logging
import threading

from app.assembly import Parts
from app.domain.errors import LedgerUnavailable
from app.domain.ports import Notifier
from app.domain.work import Item
from app.pipeline.notify import notify

#: threads of one process
POSTMEN = 4
#: seconds between two looks at most
LONGEST = 1.0


class Postmen:
    """The threads of a process. `stop` ends them."""

    def __init__(self, parts: Parts, notifier: Notifier, count: int = POSTMEN) -> None:
        """Nothing runs before `start`."""
        self._parts = parts
        self._notifier = notifier
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="postman", daemon=True) for _ in range(count)]

    def start(self) -> None:
        """Begin to look for events."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take up no more. What is on its way may arrive; if its worker ends before it is noted, it goes out again."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for what is on its way."""
        for thread in self._threads:
            thread.join(seconds)

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = min(self._deliver(), LONGEST)
            except LedgerUnavailable:
                pause = LONGEST
            except Exception:
                logging.getLogger("reelkeep").exception("postman.fault")
                pause = LONGEST

    def _deliver(self) -> float:
        """Send one event, if one is due. Gives the seconds until there may be another."""
        ledger = self._parts.ledger
        item, pause = ledger.next_event()
        if not item:
            return pause
        try:
            notify(Item.parse(item), ledger, self._notifier, self._parts.settings.policy)
        except LedgerUnavailable:
            raise
        except Exception as error:
            ledger.note_fault(item, f"{type(error).__name__} in notify")
            raise
        return 0.0
