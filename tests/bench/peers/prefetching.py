"""Our workers, but that they fetch many messages ahead: for pools that cannot keep their slots busy otherwise."""

from workers.app import app

app.conf.update(worker_disable_prefetch=False, worker_prefetch_multiplier=16)
