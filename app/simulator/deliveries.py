"""Sends callbacks as the vendor does: signed, three tries each, 15 s for an answer (veo-api §4, §9)."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any
from urllib.parse import urlsplit

import requests

logger = logging.getLogger(__name__)

#: Real seconds, whatever the simulator's speed (veo-api §4).
ANSWER_LIMIT = 15.0
STRIKES = 3
_SENDERS = 16


def sign(key: str, task_id: str, timestamp: int) -> str:
    """The value of `X-Webhook-Signature`; the body is not part of it (veo-api §9)."""
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@dataclass
class Delivery:
    """One callback on its way."""

    #: What the signature covers.
    task_id: str
    url: str
    body: dict[str, Any]
    #: Epoch seconds.
    due: float
    #: Each attempt is written down here: `{at, url, code, status}`, or `error` in place of `status`.
    record: list[dict[str, Any]]
    #: Seconds added to the signature's timestamp.
    timestamp_shift: float = 0
    #: The one to send when this one has arrived or was given up.
    then: Delivery | None = None
    strikes: int = field(default=0, init=False)


class Courier:
    """A few threads that send what is due."""

    def __init__(
        self,
        clock: Callable[[], float],
        retry_after: float,
        webhook_key: str | None,
        answer_limit: float = ANSWER_LIMIT,
    ) -> None:
        self._clock = clock
        self._answer_limit = answer_limit
        self._retry_after = retry_after
        self._key = webhook_key
        self._queue: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        self._wake = Condition()
        self._stopped = False
        self._under_way = 0
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(_SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more; an answer that somebody still owes is not waited for."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        deadline = time.monotonic() + 1
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def outstanding(self) -> int:
        """Callbacks that are due later or on their way now."""
        with self._wake:
            return len(self._queue) + self._under_way

    def send(self, delivery: Delivery) -> None:
        with self._wake:
            heapq.heappush(self._queue, (delivery.due, next(self._order), delivery))
            self._wake.notify()

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while (delivery := self._next()) is not None:
                try:
                    self._attempt(session, delivery)
                finally:
                    with self._wake:
                        self._under_way -= 1

    def _next(self) -> Delivery | None:
        with self._wake:
            while not self._stopped:
                wait = self._queue[0][0] - self._clock() if self._queue else None
                if wait is not None and wait <= 0:
                    _, _, delivery = heapq.heappop(self._queue)
                    self._under_way += 1
                    self._wake.notify()  # so that somebody watches the next one
                    return delivery
                self._wake.wait(wait)
        return None

    def _attempt(self, session: requests.Session, delivery: Delivery) -> None:
        at = self._clock()
        result = self._post(session, delivery, int(at + delivery.timestamp_shift))
        delivery.record.append({"at": at, "url": delivery.url, "code": delivery.body["code"], **result})
        host = urlsplit(delivery.url).netloc.rpartition("@")[2]
        logger.info("callback.sent task=%s host=%s result=%s", delivery.task_id, host, result)
        arrived = result.get("status") == 200
        delivery.strikes += not arrived
        if not arrived and delivery.strikes < STRIKES:
            delivery.due = self._clock() + self._retry_after
            self.send(delivery)
        elif delivery.then is not None:
            self.send(delivery.then)

    def _post(self, session: requests.Session, delivery: Delivery, timestamp: int) -> dict[str, Any]:
        """`{"status": …}` or `{"error": …}`; the first line of the answer is all that is read of it."""
        headers = {"User-Agent": "veo-simulator"}
        if self._key is not None:
            headers["X-Webhook-Timestamp"] = str(timestamp)
            headers["X-Webhook-Signature"] = sign(self._key, delivery.task_id, timestamp)
        started = time.monotonic()
        try:
            with session.post(
                delivery.url,
                json=delivery.body,
                headers=headers,
                timeout=self._answer_limit,
                stream=True,
                allow_redirects=False,
            ) as response:
                status = response.status_code
        except requests.RequestException as error:
            return {"error": type(error).__name__}
        late = time.monotonic() - started > self._answer_limit
        return {"error": "late"} if late else {"status": status}
