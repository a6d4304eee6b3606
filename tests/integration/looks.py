"""Looking behind the ledger, and making time pass there."""

import json
import threading
from collections.abc import Callable
from typing import Any

import redis

from app.domain.ledger import Entry, Route, Trust
from app.domain.work import Lane


def entry(raw: str = "{}", trust: Trust = Trust.SIGNED) -> Entry:
    return Entry(at=1.0, route=Route.GENERATION, trust=trust, raw=raw)


def messages(client: redis.Redis, lane: Lane = Lane.QUICK) -> list[dict[str, Any]]:
    """The messages in a Celery queue, oldest first."""
    texts: list[Any] = client.lrange(lane.queue, 0, -1)  # type: ignore[assignment]
    return [json.loads(text) for text in reversed(texts)]


def queued(client: redis.Redis, lane: Lane = Lane.QUICK) -> list[str]:
    """The items in a Celery queue, oldest first."""
    return [json.loads(message["body"])[1]["item"] for message in messages(client, lane)]


def together(work: Callable[[], object], times: int = 8) -> None:
    """Do the same in several threads at the same moment. What one of them raises is raised."""
    start, raised = threading.Barrier(times), []

    def run() -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
