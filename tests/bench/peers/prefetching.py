"""Our workers, but that they fetch many messages ahead: for pools that cannot keep their slots busy otherwise."""

from kombu.transport import TRANSPORT_ALIASES

from workers.app import app

#: kombu's own, which counts what was fetched and not acknowledged: how far ahead is bounded by that
TRANSPORT_ALIASES["redis"] = "kombu.transport.redis:Transport"
app.conf.update(worker_disable_prefetch=False, worker_prefetch_multiplier=16)
