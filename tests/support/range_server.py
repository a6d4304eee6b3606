"""A server of one file that breaks where it is told to, and knows ranges as well or badly as it is told to."""

import fcntl
import http.server
import re
import socket
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.waiting import wait_for


@dataclass
class Shelf:
    """What the server has, and how it gives it away."""

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    #: for each answer in turn, after how many bytes it breaks; the others come whole
    breaks: list[int] = field(default_factory=list)
    #: how: an orderly close, a reset, or silence until the client is gone
    how: str = "close"
    #: set when it breaks
    broken: threading.Event = field(default_factory=threading.Event)
    knows_ranges: bool = True
    heeds_if_range: bool = True
    length_is_named: bool = True
    #: what the server has from the second answer on, and by which headers it is known
    later: tuple[bytes, dict[str, str]] | None = None
    #: in place of what belongs there
    content_range: str = ""
    #: statuses in place of what belongs there, by the number of the answer, from 1
    statuses: dict[int, int] = field(default_factory=dict)
    redirects: bool = False
    #: range and validator that were asked for, and bytes sent, of each answer
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


class _Serving(http.server.BaseHTTPRequestHandler):
    shelf: Shelf

    def do_GET(self) -> None:
        shelf = self.shelf
        if shelf.redirects and self.path == "/v.mp4":
            self.send_response(302)
            self.send_header("Location", "/moved.mp4")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        shelf.asked.append((wanted, condition))
        if shelf.later and len(shelf.asked) == 2:
            shelf.body, shelf.headers = shelf.later
        self._answer(shelf, wanted, condition)

    def _answer(self, shelf: Shelf, wanted: str | None, condition: str | None) -> None:
        known = (shelf.headers.get("ETag"), shelf.headers.get("Last-Modified"))
        partial = wanted is not None and shelf.knows_ranges and (not shelf.heeds_if_range or condition in known)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if partial else 0  # type: ignore[arg-type, index]
        status = 206 if partial else 200
        self.send_response_only(shelf.statuses.get(len(shelf.asked), status))
        rest = shelf.body[start:]
        if partial:
            own = f"bytes {start}-{len(shelf.body) - 1}/{len(shelf.body)}"
            self.send_header("Content-Range", shelf.content_range or own)
        if shelf.length_is_named:
            self.send_header("Content-Length", str(len(rest)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        for name, value in shelf.headers.items():
            self.send_header(name, value)
        self.end_headers()
        number = len(shelf.asked) - 1
        breaks = number < len(shelf.breaks)
        given = rest[: shelf.breaks[number]] if breaks else rest
        shelf.sent.append(len(given))
        if shelf.length_is_named:
            self.wfile.write(given)
        else:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(given), given) + (b"" if breaks else b"0\r\n\r\n"))
        self.wfile.flush()
        self.close_connection = True
        if breaks:
            shelf.broken.set()
        if breaks and shelf.how == "silence":
            self.connection.recv(1)
        if breaks and shelf.how == "reset":
            wait_for(self._all_is_delivered, every=0.002)  # a reset drops what is still to be sent
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _all_is_delivered(self) -> bool:
        return fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)) == bytes(4)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class _Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are what this is about."""


@contextmanager
def serve(shelf: Shelf) -> Iterator[str]:
    """The file's URL, while it is served."""
    handler = type("Handler", (_Serving,), {"shelf": shelf})
    with _Quiet(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield f"http://127.0.0.1:{server.server_port}/v.mp4"
        server.shutdown()
