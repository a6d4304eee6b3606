"""kombu's Redis transport, for workers that take each message for good, and that outlive a restart of Redis.

The ledger makes up for lost messages, so none is noted as unacknowledged when it is taken off the queue, nor struck off again:
two transactions less for each message. How far ahead a worker fetches is then bounded by `worker_disable_prefetch` alone. And the
client that kombu makes anew for each command is kept: making it costs more than the command.

With Celery 5.7.0 a worker exits when its connection breaks: the handler of the lost connection closes the channel, the channel
wants to restore its messages, and asks a connection that is already gone for its host name: AttributeError, which nobody catches.
Said as a connection error, it is handled.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis


class Channel(kombu_redis.Channel):
    """A channel that acknowledges nothing, keeps its client, and knows when its connection is gone."""

    _kept: Any = None

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **options: Any) -> Any:
        """Consume from a queue; nothing is to be acknowledged."""
        return super().basic_consume(queue, True, *args, **options)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Nothing: the message was gone when it was taken."""

    def _create_client(self, asynchronous: bool = False) -> Any:
        if self._kept is not None and self._kept.connection_pool is self.pool and not asynchronous:
            return self._kept
        made: Any = super()._create_client(asynchronous=asynchronous)  # type: ignore[misc]  # private, so not in the stubs
        if not asynchronous:  # those have a connection of their own, and are kept by kombu
            self._kept = made
        return made

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
