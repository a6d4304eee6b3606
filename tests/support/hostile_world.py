"""A small internet of loopback addresses: a listed host that misbehaves, canaries where nobody may go, and a name server.

Who is asked for `/<trap>` answers with that trap's bytes: see `hostile_answers.py`. Certificates go by a name's first label.
"""

import contextlib
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from tests.support.names import NameServer

TLS = Path(__file__).parent / "tls"
#: the certificate of whoever is trusted in this world
TRUSTED = str(TLS / "trusted.pem")
#: certificates by the first label of the name that is asked for; of any other: good.pem
WRONG = ("wrong-name", "expired", "not-yet", "unknown-authority", "self-signed")
#: seconds between two drops of a drip
DROP = 0.05

#: in place of bytes: wait for a drop's time; reset the connection; say nothing until the world ends
PAUSE, RESET, SILENCE = object(), object(), object()
#: what a server sends, piece by piece
Answer = Callable[["World"], Iterable[Any]]


class Listener:
    """Accepts connections, counts them, and gives each to a thread of its own."""

    def __init__(
        self, address: str, port: int, serve: Callable[[socket.socket], None], *, shared: bool = False
    ) -> None:
        """Listens at once. :param shared: one for all addresses may listen on the same port beside it"""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, backlog=128, reuse_port=shared)
        self._serve = serve
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        #: by connection, the address that it was made to
        self.visits: list[str] = []
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, name=f"listener-{address}", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.visits.append(connection.getsockname()[0])
            # A duplicate: TLS takes the original over, and shutting down either cuts the connection.
            handle = connection.dup()
            with self._lock:
                self._open.add(handle)
            threading.Thread(target=self._visit, args=(connection, handle), daemon=True).start()

    def _visit(self, connection: socket.socket, handle: socket.socket) -> None:
        # Who is fetching hangs up on us whenever it likes.
        with contextlib.suppress(OSError, ValueError), connection:
            self._serve(connection)
        with self._lock:
            self._open.discard(handle)
        handle.close()

    def hang_up(self) -> None:
        """Cut whoever is still there."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.hang_up()


class World:
    """The servers. Every address is one of loopback, or local by the routes of a network namespace of our own."""

    def __init__(
        self,
        answers: dict[str, Answer],
        internet: str = "127.1.0.1",
        forbidden: tuple[str, ...] = ("127.0.0.1", "::1"),
        port: int = 0,
        other_ports: tuple[int, ...] = (),
        name_server: tuple[str, int] = ("127.0.0.1", 0),
        elsewhere: str = "127.0.0.1",
    ) -> None:
        """A world.

        :param internet: address of the listed host
        :param forbidden: addresses that nobody may connect to; one may stand for all
        :param other_ports: more ports on which the forbidden addresses listen
        :param elsewhere: where names lead of which nothing else is said
        """
        self.internet = internet
        self._answers = answers
        self.names = NameServer(*name_server)
        self.names.elsewhere = [elsewhere]
        self.closing = threading.Event()
        #: request heads that the listed host got
        self.requests: list[bytes] = []
        self._contexts = {name: _context(name) for name in (*WRONG, "good")}
        self._contexts["good"].sni_callback = self._choose_certificate
        self.host, self.canaries = self._listen(port, forbidden, other_ports)
        self.port = self.host.port

    def _listen(
        self, port: int, forbidden: tuple[str, ...], other_ports: tuple[int, ...]
    ) -> tuple[Listener, list[Listener]]:
        for _ in range(10):
            host = Listener(self.internet, port, self._serve, shared=port != 0)
            canaries: list[Listener] = []
            try:
                for address in forbidden:
                    for number in (host.port, *other_ports):
                        # A machine may have no IPv6; then nobody can go there.
                        with contextlib.suppress(OSError) if ":" in address else contextlib.nullcontext():
                            canaries.append(Listener(address, number, lambda connection: None, shared=port != 0))
                return host, canaries
            except OSError:  # the port was free for the host, and not for a canary
                for listener in (host, *canaries):
                    listener.close()
        raise AssertionError("no port is free for the host and its canaries")

    def __enter__(self) -> Self:
        self.names.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.host.close()
        for canary in self.canaries:
            canary.close()
        self.names.__exit__(kind, error, trace)

    def url(self, trap: str, host: str = "cdn.films.example") -> str:
        """Where a trap is."""
        self.names.rounds.setdefault(host, [[self.internet]])
        return f"https://{host}:{self.port}/{trap}?X-Amz-Signature=b1gsecret"

    def answer(self, trap: str, answer: Answer) -> None:
        """One more trap."""
        self._answers[trap] = answer

    def trespasses(self) -> list[str]:
        """The forbidden addresses that were connected to, by connection so far."""
        return [address for canary in self.canaries for address in canary.visits]

    def _choose_certificate(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        label = (name or "").partition(".")[0]
        connection.context = self._contexts.get(label, context)

    def _serve(self, raw: socket.socket) -> None:
        with self._contexts["good"].wrap_socket(raw, server_side=True) as connection:
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            self.requests.append(head)
            trap = unquote(head.split()[1].partition(b"?")[0].decode()).lstrip("/")
            if trap in self._answers:
                self._send(connection, self._answers[trap])

    def _send(self, connection: ssl.SSLSocket, answer: Answer) -> None:
        for piece in answer(self):
            if piece is PAUSE:
                if self.closing.wait(DROP):
                    return
            elif piece is SILENCE:
                connection.recv(1)
                return
            elif piece is RESET:
                # Closing with a linger of 0 s sends RST in place of FIN.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            else:
                connection.sendall(piece)


def _context(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{name}.pem", TLS / "server.key")
    return context


@contextlib.contextmanager
def silent_listener(address: str, port: int) -> Iterator[None]:
    """An address that takes no connection and refuses none: its queue is full, so what comes is dropped."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


_noted: list[str] = []
_hooks: list[Any] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and arguments[0].type == socket.SOCK_STREAM:
        _noted.append(arguments[1][0])


def note_connects() -> list[str]:
    """Note the address of every TCP connection that this process tries to make from now on, whoever tries.

    By the interpreter's own audit events, so nothing is put in anything's place. They cannot be switched off again.
    """
    if not _hooks:
        _hooks.append(_note)
        sys.addaudithook(_note)
    _noted.clear()
    return _noted
