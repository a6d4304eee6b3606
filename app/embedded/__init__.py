"""Real servers from wheels, for `reelkeep up`, the demo and the tests: nothing to install or start by hand.

    with running(redis_server(folder, port), log):
        ...

Why these and not doubles: docs/decisions/0002-embedded-parts.md.
"""

from app.embedded.redis_server import redis_server
from app.embedded.s3_server import s3_environment, s3_server
from app.embedded.service import EmbeddedFailed, Service, free_port, running

__all__ = ["EmbeddedFailed", "Service", "free_port", "redis_server", "running", "s3_environment", "s3_server"]
