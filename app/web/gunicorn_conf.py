"""Gunicorn's configuration: `gunicorn --config python:app.web.gunicorn_conf app.web.wsgi:app`.

The settings are read here first: a wrong one then stops the whole process with its one line, before any worker is made.
"""

# First of all: what is imported from here on waits for the network without holding up the process.
from gevent import monkey

monkey.patch_all()

import json
import os
import socket

import gunicorn.util
from gunicorn.glogging import Logger

from app.logs import gunicorn_logs
from app.settings import load_or_exit
from app.traces import start_traces

settings = load_or_exit("callbacks")

# No `bind`: gunicorn takes $PORT on all addresses if it is set, else 127.0.0.1:8000.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))  # gunicorn's own variable; its default is 1
#: Made once and forked: a worker that was killed is back at once, and all share what they only read. Nothing is connected before.
preload_app = True
#: a connection costs little, and none holds up another: docs/decisions/0015-front-door.md
worker_class = "gevent"
#: the vendor waits 15 s; Redis is given up after 2
timeout = 30
graceful_timeout = 20
keepalive = 5
control_socket_disable = True
logconfig_dict = gunicorn_logs(settings.log_format, settings.secrets)
#: a header line over this is refused with 400 by gunicorn itself
limit_request_field_size = 8190


class logger_class(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's, without a line for each request: with a `logconfig_dict` it would put one together even if nobody reads it."""

    def access(self, *_: object) -> None:
        """Log no request."""


def post_fork(_server: object, _worker: object) -> None:
    """In each worker: what has threads or connections of its own."""
    start_traces()


def _write_problem(connection: socket.socket, status: int, reason: str, detail: str) -> None:
    body = json.dumps({"type": "about:blank", "title": reason, "status": status, "detail": detail}).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
    )
    gunicorn.util.write_nonblock(connection, "\r\n".join((*head, "", "")).encode() + body)


# What is no HTTP, or too long, never comes to the application. gunicorn would answer it with a page of HTML.
gunicorn.util.write_error = _write_problem
