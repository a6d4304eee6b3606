"""A name server on loopback that answers as it is told, and a way to ask it: to show what a name server can do to us."""

import ipaddress
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

A, AAAA = 1, 28
#: seconds for an answer, as a system's resolver has them: longer than anybody here waits
PATIENCE = 5.0
_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHHIH")
_NO_SUCH_NAME = 0x8183


class NameServer:
    """Answers over UDP. What it says of a name may be another thing each time it is asked."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        #: addresses of a name, one round for each look-up, the last for all that follow; a round of None: silence
        self.rounds: dict[str, Sequence[Sequence[str] | None]] = {}
        #: what every other name leads to
        self.elsewhere: Sequence[str] = ()
        #: questions by name and type
        self.asked: Counter[tuple[str, int]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._thread = threading.Thread(target=self._serve, name="name-server", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._socket.getsockname()
        return host, port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"", self.address)  # nothing: the sign to leave
        self._thread.join()
        self._socket.close()

    def lookups(self, name: str) -> int:
        """How often the IPv4 addresses of a name were asked for."""
        return self.asked[name, A]

    def _serve(self) -> None:
        while True:
            packet, client = self._socket.recvfrom(4096)
            if not packet:
                return
            answer = self._answer(packet)
            if answer is not None:
                self._socket.sendto(answer, client)

    def _answer(self, packet: bytes) -> bytes | None:
        name, end = _read_name(packet)
        (kind,) = struct.unpack_from(">H", packet, end)
        rounds = self.rounds.get(name, [self.elsewhere])
        addresses = rounds[min(self.asked[name, kind], len(rounds) - 1)]
        self.asked[name, kind] += 1
        if addresses is None:
            return None
        version = {A: 4, AAAA: 6}.get(kind)
        found = [ip.packed for ip in map(ipaddress.ip_address, addresses) if ip.version == version]
        flags = 0x8180 if addresses else _NO_SUCH_NAME
        (number,) = struct.unpack_from(">H", packet)
        records = b"".join(_RECORD.pack(0xC00C, kind, 1, 0, len(data)) + data for data in found)
        return _HEADER.pack(number, flags, 1, len(found), 0, 0) + packet[12 : end + 4] + records


def asking(server: tuple[str, int]) -> Callable[[str], list[str]]:
    """A look-up that asks one name server, and nobody else."""

    def look_up(host: str) -> list[str]:
        return [address for kind in (A, AAAA) for address in _ask(server, host, kind)]

    return look_up


def _ask(server: tuple[str, int], host: str, kind: int) -> list[str]:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
    number = time.monotonic_ns() & 0xFFFF
    question = labels + b"\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(PATIENCE)
        connection.sendto(_HEADER.pack(number, 0x0100, 1, 0, 0, 0) + question, server)
        answer = connection.recv(4096)
    _, flags, _, count, _, _ = _HEADER.unpack_from(answer)
    if flags == _NO_SUCH_NAME:
        raise OSError(socket.EAI_NONAME, "Name or service not known")
    position, found = 12 + len(question), []
    for _ in range(count):
        *_, length = _RECORD.unpack_from(answer, position)
        position += _RECORD.size + length
        found.append(str(ipaddress.ip_address(answer[position - length : position])))
    return found


def _read_name(packet: bytes) -> tuple[str, int]:
    """The name of a question, and where its type stands."""
    position, labels = 12, []
    while length := packet[position]:
        labels.append(packet[position + 1 : position + 1 + length].decode().lower())
        position += 1 + length
    return ".".join(labels), position + 1
