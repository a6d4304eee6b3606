"""Sends prepared HTTP requests over several connections kept open, from one thread: it costs the machine as little as can be had.

from tests.bench.load import send
load = send(port, requests, connections=16)             # as fast as they are answered
load = send(port, requests, connections=16, rate=500)   # so many a second, whatever the answers take
"""

import re
import selectors
import socket
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What came of it."""

    #: answers a second
    rate: float
    #: seconds from when a request was due until it was answered
    waits: list[float]

    def percentile(self, share: int) -> float:
        """Seconds within which so many in a hundred were answered."""
        return statistics.quantiles(self.waits, n=100)[share - 1]


def prepare(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def send(port: int, requests: Sequence[bytes], connections: int = 16, rate: float | None = None) -> Load:
    """Send all of them and wait for the answers.

    :param rate: requests a second; a wait then counts from when it was due, though all connections may have been busy
    :raises SystemExit: an answer other than 200: the figures would mean nothing
    """
    idle = deque(_connect(port) for _ in range(connections))
    todo, waits = deque(requests), list[float]()
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        while len(waits) < len(requests):
            now = time.perf_counter()
            while todo and idle:
                due = began + (len(requests) - len(todo)) / rate if rate else now
                if due > now:
                    break
                connection = idle.popleft()
                connection.sendall(todo.popleft())
                selector.register(connection, selectors.EVENT_READ, (due, bytearray()))
            pause = max(0.0, due - now) if todo and idle else None
            for key, _ in selector.select(pause):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                due, answer = key.data
                answer += connection.recv(4096)
                if not _is_complete(answer):
                    continue
                waits.append(time.perf_counter() - due)
                selector.unregister(connection)
                if b"Connection: close" in answer:
                    connection.close()
                    connection = _connect(port)
                idle.append(connection)
    took = time.perf_counter() - began
    for connection in idle:
        connection.close()
    return Load(len(requests) / took, waits)


def _is_complete(answer: bytearray) -> bool:
    if not answer.startswith(b"HTTP/1.1 200 "[: len(answer)]) or not answer:
        raise SystemExit(f"answered {bytes(answer[:200])!r}: the figures would mean nothing")
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return length is not None and len(body) == int(length[1])


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
