"""A small real HTTP server that stands for the vendor, and our client of it."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.adapters.kie import KieVendor


@dataclass
class ScriptedVendor:
    """Gives one answer to every request, and keeps the requests: method, path with query, body, headers."""

    #: JSON, or text and bytes that are sent as they are; None: silence
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: break the connection half-way through the body
    broken: bool = False
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def says(self, body: Any, status: int = 200, **headers: str) -> "ScriptedVendor":
        self.body, self.status = body, status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        self.asked.append((handler.command, handler.path, json.loads(raw) if raw else None))
        self.sent.append(dict(handler.headers))
        if self.body is None:
            self.stopping.wait(30)
            return
        text = self.body if isinstance(self.body, str | bytes) else json.dumps(self.body)
        content = text.encode() if isinstance(text, str) else text
        handler.send_response(self.status)
        headers = {"Content-Type": "application/json;charset=UTF-8", "Content-Length": str(len(content))} | self.headers
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2] if self.broken else content)


@pytest.fixture
def script() -> Iterator[ScriptedVendor]:
    """A running server to be told what to say."""
    script = ScriptedVendor()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield script
    script.stopping.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def kie(script: ScriptedVendor) -> KieVendor:
    """A client of that server, with a key that must not be seen anywhere."""
    return KieVendor("s3cret-key", script.url, timeout=(10.0, 20.0))


@pytest.fixture
def impatient(script: ScriptedVendor) -> KieVendor:
    """A client that gives a silent server up at once."""
    return KieVendor("s3cret-key", script.url, timeout=(10.0, 0.3))
