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
from contextlib import ExitStack
from dataclasses import dataclass

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


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
    todo, waits = deque(requests), list[float]()
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        idle = deque(_Sender(selector, port) for _ in range(connections))
        for sender in idle:
            stack.callback(sender.close)
        began = time.perf_counter()
        while len(waits) < len(requests):
            now = time.perf_counter()
            while todo and idle:
                due = began + (len(requests) - len(todo)) / rate if rate else now
                if due > now:
                    break
                idle.popleft().send(todo.popleft(), due)
            pause = max(0.0, due - now) if todo and idle else None
            for key, _ in selector.select(pause):
                if key.data.receive():
                    waits.append(time.perf_counter() - key.data.due)
                    idle.append(key.data)
        took = time.perf_counter() - began
    return Load(len(requests) / took, waits)


class _Sender:
    """One connection, kept open, and opened anew where the server closes it."""

    def __init__(self, selector: selectors.BaseSelector, port: int) -> None:
        self._selector, self._port = selector, port
        self._open()
        # Whichever of a server's processes wakes first takes a connection. Of many at once, one takes almost all.
        time.sleep(0.005)

    def send(self, request: bytes, due: float) -> None:
        self.due, self._answer = due, b""
        self._connection.sendall(request)

    def receive(self) -> bool:
        """Take what has come. Gives whether the answer is complete."""
        self._answer += self._connection.recv(4096)
        if not self._answer.startswith(b"HTTP/1.1 200 "[: len(self._answer)]) or not self._answer:
            raise SystemExit(f"answered {self._answer[:200]!r}: the figures would mean nothing")
        head, _, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None or len(body) != int(length[1]):
            return False
        if b"Connection: close" in head:
            self.close()
            self._open()
        return True

    def close(self) -> None:
        self._selector.unregister(self._connection)
        self._connection.close()

    def _open(self) -> None:
        self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._connection, selectors.EVENT_READ, self)
