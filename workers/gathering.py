"""Celery's events, gathered for a moment and sent together.

Celery sends each as soon as its loop comes around, and that is a sixth of what a worker under load takes of the CPU. Whoever
looks at Flower does not miss half a second.
"""

from typing import Any

from celery import bootsteps
from kombu.common import ignore_errors

#: seconds between two times at which they are sent; many are sent at once, as ever
PAUSE = 0.5


class Gathering(bootsteps.StartStopStep):
    """A step of a worker's start, and of each new connection to the broker."""

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Nothing runs before `start`."""
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Take over from Celery when the events of this connection are sent."""
        dispatcher = consumer.event_dispatcher
        dispatcher.on_send_buffered = None
        self._timer = consumer.timer.call_repeatedly(PAUSE, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send what there is, if that is still possible."""
        if self._timer is not None:
            self._timer.cancel()
            ignore_errors(consumer, consumer.event_dispatcher.flush)
