"""A bad way to an S3 endpoint: a proxy that passes requests on, and refuses, breaks, holds up, garbles or loses some of them.

    python -m tests.support.s3_faults --port 9000 --upstream 9001 --seed 1

    GET  /_faults   what has been served so far, by fault
    POST /_faults   the shares from now on, as JSON; see `Shares`. {} is a good way

The same seed and request, sent as often, meets the same fault.
"""

import argparse
import http.client
import http.server
import json
import os
import random
import signal
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

ADMIN = "/_faults"
#: headers that are of one connection only
OF_A_HOP = frozenset({"connection", "keep-alive", "expect", "transfer-encoding", "content-length"})
#: seconds that the endpoint behind has for an answer
PATIENCE = 120.0

Fault = Literal["errors", "resets", "stalls", "garbled", "lost", "outage"]


@dataclass(frozen=True)
class Shares:
    """How many requests, between 0 and 1, meet which fault."""

    #: 500 InternalError or 503 SlowDown, in half of the cases after the request was carried out
    errors: float = 0.0
    #: a TCP reset: at once, in the middle of a body, or in place of the answer
    resets: float = 0.0
    #: carried out, and the answer held back for `stall` seconds
    stalls: float = 0.0
    stall: float = 20.0
    #: an object with one byte changed on the way, and confirmed as if it were whole
    garbled: float = 0.0
    #: an object that is confirmed and not kept
    lost: float = 0.0
    #: every connection is reset
    outage: bool = False


@dataclass
class Way:
    """What all connections share."""

    upstream: int
    seed: int = 0
    shares: Shares = Shares()  # frozen
    served: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, method: str, path: str, *, is_object: bool) -> tuple[Fault | None, random.Random]:
        """What happens to a request, and the chance that decides the details."""
        with self.lock:
            self.requests += 1
            self.seen[f"{method} {path}"] += 1
            chance = random.Random(f"{self.seed} {method} {path} {self.seen[f'{method} {path}']}")
            fault = self._pick(chance.random(), is_object=is_object)
            if fault is not None:
                self.served[fault] += 1
            return fault, chance

    def _pick(self, drawn: float, *, is_object: bool) -> Fault | None:
        if self.shares.outage:
            return "outage"
        faults: tuple[Fault, ...] = ("errors", "resets", "stalls", *(("garbled", "lost") if is_object else ()))
        for fault in faults:
            share = getattr(self.shares, fault)
            if drawn < share:
                return fault
            drawn -= share
        return None

    def tell(self) -> dict[str, Any]:
        """What `/_faults` answers."""
        with self.lock:
            return {"shares": asdict(self.shares), "requests": self.requests, "served": dict(self.served)}

    def change(self, shares: dict[str, Any]) -> None:
        """What `POST /_faults` does."""
        with self.lock:
            self.shares = replace(Shares(), **shares)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the endpoint."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    way: Way
    upstream: http.client.HTTPConnection | None = None

    def do_request(self) -> None:
        """Any method."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == ADMIN:
            if self.command == "POST":
                self.way.change(json.loads(body))
            self._send(200, {"Content-Type": "application/json"}, json.dumps(self.way.tell()).encode())
            return
        is_object = self.command == "PUT" and bool(body)
        fault, chance = self.way.draw(self.command, self.path.partition("?")[0], is_object=is_object)
        getattr(self, f"_{fault or 'pass'}")(body, chance)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_request

    def _pass(self, body: bytes, chance: random.Random) -> None:
        self._send(*self._ask(body))

    def _errors(self, body: bytes, chance: random.Random) -> None:
        if chance.random() < 0.5:
            self._ask(body)
        status, code = chance.choice(((500, "InternalError"), (503, "SlowDown")))
        text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>Please try again.</Message></Error>'
        self._send(status, {"Content-Type": "application/xml"}, text.encode())

    def _resets(self, body: bytes, chance: random.Random) -> None:
        where = chance.choice(("at once", "half-way", "afterwards"))
        if where == "half-way" and len(body) > 1:
            self._ask(body, sent=len(body) // 2)
        elif where == "afterwards":
            self._ask(body)
        self._reset()

    def _stalls(self, body: bytes, chance: random.Random) -> None:
        answer = self._ask(body)
        time.sleep(self.way.shares.stall)
        self._send(*answer)

    def _garbled(self, body: bytes, chance: random.Random) -> None:
        at = chance.randrange(len(body))
        self._ask(body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :])
        self._send(200, {"ETag": '"0"'}, b"")

    def _lost(self, body: bytes, chance: random.Random) -> None:
        self._send(200, {"ETag": '"0"'}, b"")

    def _outage(self, body: bytes, chance: random.Random) -> None:
        self._reset()

    def _ask(self, body: bytes, sent: int | None = None) -> tuple[int, dict[str, str], bytes]:
        """The endpoint's answer. :param sent: so many bytes of the body alone are sent, and the connection is closed"""
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection("127.0.0.1", self.way.upstream, timeout=PATIENCE)
        self.upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in OF_A_HOP:
                self.upstream.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            self.upstream.putheader("Content-Length", str(len(body)))
        self.upstream.endheaders(body[:sent] or None)
        if sent is not None:
            self.upstream.close()
            return 0, {}, b""
        response = self.upstream.getresponse()
        headers = {name: value for name, value in response.getheaders() if name.lower() not in OF_A_HOP}
        if self.command == "HEAD" and (length := response.headers["Content-Length"]):
            headers["Content-Length"] = length
        return response.status, headers, response.read()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def finish(self) -> None:
        """The connection ends."""
        super().finish()
        if self.upstream is not None:
            self.upstream.close()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: signatures are in the headers' lines."""


class Server(http.server.ThreadingHTTPServer):
    """Keeps quiet about clients that are gone."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke, on either side."""


def make_server(port: int, way: Way) -> Server:
    """A server that listens on 127.0.0.1 and does not serve yet."""
    handler = type("WayHandler", (Handler,), {"way": way})
    return Server(("127.0.0.1", port), handler)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True, help="port of the S3 endpoint on 127.0.0.1")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server = make_server(options.port, Way(options.upstream, options.seed))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stopping.wait()


if __name__ == "__main__":
    main()
