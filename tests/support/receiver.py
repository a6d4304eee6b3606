"""A receiver of events on loopback, that answers as it is told to."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.waiting import wait_for

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_dGhlLW9sZC1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaA=="


@dataclass(frozen=True)
class Arrival:
    """One POST."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["data"])


@dataclass
class Receiver:
    """What it has got, and how it answers."""

    url: str = ""
    #: statuses in turn; then 204
    statuses: list[int] = field(default_factory=list)
    #: by event, before the statuses: None is no opinion
    answer: Callable[[Arrival], int | None] = lambda arrival: None
    #: answers wait for this
    open: threading.Event = field(default_factory=threading.Event)
    got: list[Arrival] = field(default_factory=list)

    def of(self, task_id: str) -> list[Arrival]:
        return [arrival for arrival in self.got if arrival.data["taskId"] == task_id]

    def await_count(self, count: int) -> list[Arrival]:
        wait_for(lambda: len(self.got) >= count)
        return self.got


class _Handler(http.server.BaseHTTPRequestHandler):
    receiver: Receiver
    timeout = 30

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrival = Arrival(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.receiver.got.append(arrival)
        self.receiver.open.wait(60)
        status = self.receiver.answer(arrival) or (self.receiver.statuses.pop(0) if self.receiver.statuses else 204)
        try:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            pass  # nobody waits any more

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for the length of a block; what waits then is let go."""
    receiver = Receiver()
    receiver.open.set()
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?token=planted"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.open.set()
        server.shutdown()
        server.server_close()
        thread.join()
