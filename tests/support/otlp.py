"""The extra `otel`, and one who takes what its exporter sends. Whoever imports this is skipped where the extra is missing."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

#: where `make` puts the extra; see the group `otel` in pyproject.toml
EXTRA = Path(sys.prefix) / "otel"
#: for processes that are to find it
SEARCH_PATH = os.pathsep.join(filter(None, [str(EXTRA), os.environ.get("PYTHONPATH", "")]))

if str(EXTRA) not in sys.path:
    sys.path.append(str(EXTRA))
pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed: make puts it into .venv/otel")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402


class Collector(ThreadingHTTPServer):
    """Takes traces by OTLP over HTTP."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, Any]] = []

    @property
    def settings(self) -> dict[str, str]:
        """What has a process send its spans here."""
        endpoint = f"http://127.0.0.1:{self.server_port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", "PYTHONPATH": SEARCH_PATH}

    @property
    def spans(self) -> list[Any]:
        """All that has come."""
        resources = (resource for _, sent in [*self.received] for resource in sent.resource_spans)
        return [one for resource in resources for scope in resource.scope_spans for one in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(server, Collector)
        server.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on loopback."""
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join()
