"""Servers that a test holds in its hands: a vendor that answers when it is told to, a way to Redis that falls silent."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

#: the vendor's answer about a generation that failed, which ends it, and about one that is under way (veo-api §8)
FAILED = {"successFlag": 2, "errorCode": 501, "errorMessage": "Video generation task failed"}
GENERATING = {"successFlag": 0}


class HeldVendor:
    """Tells of generations, while it is open; while it is not, whoever asks has to wait."""

    def __init__(self) -> None:
        self._gate = threading.Event()
        self._gate.set()
        #: how often each generation was asked about
        self.asked: Counter[str] = Counter()
        #: what is answered about a generation, in turn; after that it has failed
        self.answers: dict[str, list[dict[str, object]]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Whoever asks from now on has to wait."""
        with self._lock:
            self._gate = threading.Event()

    def open(self) -> None:
        """Answer, those who wait too."""
        self._gate.set()

    def ask(self, task_id: str) -> dict[str, object]:
        """The answer about a generation, when it may be given."""
        with self._lock:
            self.asked[task_id] += 1
            gate = self._gate
        gate.wait()
        with self._lock:
            answers = self.answers.get(task_id)
            return answers.pop(0) if answers else FAILED


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A worker that was killed while it waited for its answer."""


@contextmanager
def held_vendor() -> Iterator[tuple[HeldVendor, str]]:
    """Such a vendor, and its URL."""
    vendor = HeldVendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            [task_id] = parse_qs(urlsplit(self.path).query).get("taskId", [""])
            data = {"taskId": task_id, **vendor.ask(task_id)} if task_id else 1000  # the credits that are left
            body = json.dumps({"code": 200, "msg": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield vendor, f"http://127.0.0.1:{server.server_port}"
    finally:
        vendor.open()
        server.shutdown()
        server.server_close()


class Way:
    """A TCP proxy on loopback. Connections that it has let fall silent stay open, and nothing comes through any more."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._live: list[socket.socket] = []
        self._silent: list[socket.socket] = []
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def fall_silent(self) -> int:
        """From now on, nothing passes on the connections that there are; new ones are good. Gives how many there were."""
        with self._lock:
            count = len(self._live) // 2
            self._silent += self._live
            self._live = []
            return count

    def close(self) -> None:
        """End all."""
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake who waits for the next connection
        self._accepting.join()
        self._listener.close()
        with self._lock:
            for end in self._live + self._silent:
                end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here = self._listener.accept()[0]
                there = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._live += [here, there]
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    if source in self._live:
                        sink.sendall(data)
        with self._lock, suppress(OSError):
            if source in self._live:
                sink.shutdown(socket.SHUT_RDWR)
