"""A small real HTTP server that stands for the vendor: it keeps each request and gives the answers that it was told."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    #: with its query string
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """An answer: any object becomes JSON, text and bytes are sent as they are."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: keep silent instead, until the server stops
    silent: bool = False
    #: break the connection half-way through the body
    broken: bool = False


class ScriptedVendor:
    """Gives one reply after the other; the last one again and again."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        vendor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                body = json.loads(raw) if raw else None
                vendor.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                vendor.answer(self)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def says(self, body: Any, status: int = 200, **options: Any) -> None:
        """Give this answer from now on."""
        self.replies = [Reply(body, status, **options)]

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Send the next reply."""
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.silent:
            self.stopping.wait(30)
            handler.close_connection = True
            return
        text = reply.body if isinstance(reply.body, str | bytes) else json.dumps(reply.body)
        raw = text.encode() if isinstance(text, str) else text
        handler.send_response(reply.status)
        headers = {"Content-Type": "application/json;charset=UTF-8", "Content-Length": str(len(raw))}
        for name, value in (headers | reply.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw[: len(raw) // 2] if reply.broken else raw)

    def close(self) -> None:
        """Stop."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def scripted() -> Iterator[ScriptedVendor]:
    """A server to be told what to say: `scripted.says({…})`; what it was asked is in `scripted.asked`."""
    vendor = ScriptedVendor()
    yield vendor
    vendor.close()
