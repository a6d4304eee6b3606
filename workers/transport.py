"""A repair of kombu's Redis transport, so that workers outlive a restart of Redis.

With Celery 5.7.0 a worker that holds an unacknowledged message when its connection breaks exits: the handler of the lost
connection closes the channel, the channel wants to restore the message, and asks a connection that is already gone for its
host name: AttributeError, which nobody catches. Said as a connection error, it is handled.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis


class Channel(kombu_redis.Channel):
    """A channel that knows when its connection is gone."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("this redis channel belongs to a lost connection")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]  # private, so not in the stubs


class Transport(kombu_redis.Transport):
    """kombu's Redis transport with that channel."""

    Channel = Channel


def install() -> None:
    """Have `redis://` and `rediss://` URLs use this transport. Sentinel has one of its own, which is left as it is."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
