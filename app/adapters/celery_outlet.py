"""The way to a broker that is not on the ledger's Redis server: messages go through Celery's own client.

Celery is imported when the first outlet is made: most brokers are on that server, and then neither web nor command line loads it.
"""

from typing import Any

from app.domain.errors import LedgerUnavailable
from app.domain.work import LANES, Item, Lane, task_name

#: Measured: with these a publish to a broker that is down or silent fails within about a second; by default it hangs for ever.
FAIL_FAST: dict[str, Any] = {
    "task_publish_retry": False,
    "broker_connection_timeout": 1,
    "broker_transport_options": {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 0},
}


class CeleryOutlet:
    """Implements `app.adapters.redis_ledger.Outlet`."""

    def __init__(self, broker_url: str) -> None:
        """Describe the broker; nothing is connected yet."""
        from celery import Celery

        self._celery = Celery("reelkeep", broker=broker_url, set_as_current=False)
        self._celery.conf.update(task_ignore_result=True, **FAIL_FAST)

    def publish(self, item: Item, message_id: str) -> None:
        """See `Outlet.publish`."""
        from kombu.exceptions import KombuError

        try:
            self._celery.send_task(
                task_name(item.step), kwargs={"item": str(item)}, task_id=message_id, queue=LANES[item.step].queue
            )
        except (KombuError, OSError) as error:
            raise LedgerUnavailable(f"the broker did not take a message: {error}") from error

    def depth(self, lane: Lane) -> int:
        """See `Outlet.depth`."""
        with self._celery.connection_for_write() as connection:
            try:
                channel: Any = connection.default_channel
                return int(channel.queue_declare(lane.queue, passive=True).message_count)
            except connection.connection_errors + connection.channel_errors:
                return 0  # an emptied queue of a Redis broker is one that does not exist
