"""Leaving in time: a worker that was told to stop is gone before its platform kills it.

Downloads stop at once. Whatever else is under way may come to its end; but a store, a vendor or a Redis that says nothing can
hold a thread for minutes, and Celery waits for its threads. What is left then is cut off: its claim is handed over, or lapses if
Redis is what says nothing. What may have been bought is safe all the same, since the intention was recorded first.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

from app.logs import log_event

#: seconds after SIGTERM for what is under way; the vendor is waited for as long
PATIENCE = 20.0
#: seconds more for handing over
LAST_CALL = 4.0


class Departure:
    """A thread that ends the process some time after `stop` was set, if it has not ended by itself."""

    def __init__(
        self, stop: threading.Event, hand_over: Callable[[], int], end: Callable[[int], object] = os._exit
    ) -> None:
        """Nothing runs before `start`.

        :param hand_over: gives back the claims that are left; how many
        """
        self._stop = stop
        self._hand_over = hand_over
        self._end = end
        self._thread = threading.Thread(target=self._run, name="departure", daemon=True)

    def start(self) -> None:
        """Begin to watch. Now, and not when the signal comes: a signal's handler can start no thread safely."""
        self._thread.start()

    def _run(self) -> None:
        self._stop.wait()
        time.sleep(PATIENCE)
        last = threading.Thread(target=self._give_back, name="hand-over", daemon=True)
        last.start()
        last.join(LAST_CALL)
        self._end(0)

    def _give_back(self) -> None:
        try:
            log_event("worker.cut_off", handed_over=self._hand_over())
        except Exception:
            logging.getLogger("reelkeep").exception("departure.fault")
