"""The connection of a download: names, addresses, TLS and the head of the answer, each under the policy."""

import errno
import http.client
import ipaddress
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from itertools import chain, zip_longest
from typing import Any, BinaryIO, Protocol, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.adapters.download_policy import DownloadPolicy, judge_addresses, judge_host, judge_port

#: addresses of a name that are tried; each may cost a connect time-out
MOST_ADDRESSES = 3
#: bytes of status lines and headers of one answer, answers of "go on" (1xx) before it included
MOST_HEAD = 64 * 1024
#: a few delivery networks turn away what names no browser at all
USER_AGENT = "Mozilla/5.0 (compatible; Reelkeep)"

#: seconds between two looks at what happens meanwhile: how late a stop or the deadline may be noticed
LOOK_EVERY = 0.1

#: gives the addresses of a host. :raises OSError:
LookUp = Callable[[str], Sequence[str]]


class Watching(Protocol):
    """Whoever cuts connections when time is up."""

    def add(self, connection: socket.socket) -> None: ...

    def go_on(self) -> None: ...


def look_up(host: str) -> list[str]:
    """The addresses of a host by the system's resolver, in its order. :raises OSError:"""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def _look_up_in_time(host: str, look_up: LookUp, timeout: float, watch: Watching) -> list[str]:
    """The addresses of a host, without repeats.

    The system's resolver takes no time-out from its caller: what is late is left to end alone.
    """
    answers: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(look_up(host))
        except OSError as error:
            answers.put(error)
        except ValueError:
            answers.put(OSError(errno.EINVAL, "no name that could be looked up"))

    threading.Thread(target=ask, name="download-look-up", daemon=True).start()
    ends = time.monotonic() + timeout
    while (left := ends - time.monotonic()) > 0:
        watch.go_on()
        with suppress(queue.Empty):
            answer = answers.get(timeout=min(left, LOOK_EVERY))
            if isinstance(answer, OSError):
                raise answer
            return list(dict.fromkeys(answer))
    raise TimeoutError(errno.ETIMEDOUT, "the name servers said nothing in time")


def dial(
    host: str, port: int, timeout: float, *, policy: DownloadPolicy, watch: Watching, look_up: LookUp
) -> socket.socket:
    """Connect to a host under the policy. The addresses are looked up once: what was judged is what is used.

    Host and port are judged again, here where they are used: two libraries may read one URL in two ways.

    :param timeout: seconds for the look-up, and for each address
    """
    judge_host(host, policy)
    judge_port(port, policy)
    addresses = _look_up_in_time(host, look_up, timeout, watch)
    judge_addresses(host, addresses, policy)
    failure: OSError | None = None
    for address in by_turns(addresses)[:MOST_ADDRESSES]:
        try:
            return _connect(address, port, timeout, watch)
        except OSError as error:
            failure = error
    raise failure or OSError(f"no address for {host}")


def _connect(address: str, port: int, timeout: float, watch: Watching) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        watch.go_on()
        watch.add(connection)
        connection.settimeout(timeout)
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


def by_turns(addresses: Sequence[str]) -> list[str]:
    """Addresses of both families in turns: of a machine whose IPv6 leads nowhere the first few may all be dead."""
    first = [address for address in addresses if _family(address) == _family(addresses[0])]
    others = [address for address in addresses if address not in first]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address is not None]


def _family(address: str) -> int:
    return ipaddress.ip_address(address.partition("%")[0]).version


def guarded_session(policy: DownloadPolicy, watch: Watching, look_up: LookUp) -> requests.Session:
    """A session for one fetch: no proxy, netrc or certificate from the environment, no cookie from anybody."""
    session = _Session()
    session.trust_env = False
    session.verify = policy.ca_file or True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})
    adapter = _GuardedAdapter(partial(dial, policy=policy, watch=watch, look_up=look_up))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Session(requests.Session):
    def resolve_redirects(self, *args: Any, **options: Any) -> Iterator[Any]:
        """Nothing: redirects are followed by hand.

        It is called even where redirects are not to be followed, and then reads the body of a redirect whole into
        memory, decoded: without an end, or out of a few compressed bytes.
        """
        return iter(())


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, dial: partial[socket.socket]) -> None:
        super().__init__(max_retries=0)
        self._dial = dial

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        kind = _GuardedTlsConnection if pool.scheme == "https" else _GuardedConnection
        pool.ConnectionCls = partial(kind, dial=self._dial)
        return pool


class _Head:
    """A file of which only so much can be read, by lines."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MOST_HEAD

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, f"more than {MOST_HEAD} bytes of headers")
        return line

    def close(self) -> None:
        self._file.close()


class _BoundedAnswer(http.client.HTTPResponse):
    """An answer whose head has an end, and says where the body's is.

    The library bounds lines and headers, not 1xx answers, and allows megabytes. What it does not understand of a length it
    leaves out, and takes for whole what comes until the connection ends.
    """

    def begin(self) -> None:
        whole = self.fp
        head = _Head(whole)
        self.fp = cast(Any, head)
        try:
            super().begin()
        finally:
            if cast(Any, self.fp) is head:  # closed, it is None
                self.fp = whole
        lengths = {part.strip() for line in self.headers.get_all("Content-Length", []) for part in line.split(",")}
        if len(lengths) > 1:
            raise OSError(errno.EPROTO, "it claims two lengths")
        if not all(re.fullmatch(r"[0-9]+", length, re.ASCII) for length in lengths):
            raise OSError(errno.EPROTO, "its length is no number")
        codings = self.headers.get_all("Transfer-Encoding", ["chunked"])
        if [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise OSError(errno.EPROTO, "its transfer encoding is not just chunked")


class _GuardedConnection(HTTPConnection):
    """A connection that is dialled by us. TLS and the Host header still go by the name."""

    response_class = _BoundedAnswer

    def __init__(self, *args: Any, dial: partial[socket.socket], **options: Any) -> None:
        super().__init__(*args, **options)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial(self.host, self.port, self.timeout)


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    pass
