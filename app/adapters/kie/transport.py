"""One request to the vendor, and what came of it.

What was sent matters as much as what was answered: a request of which nothing was sent bought nothing, and one that was sent
and not answered may have.
"""

import json
import re
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.adapters.kie.answers import Envelope
from app.traces import span

#: An odd User-Agent can get a plain-text 403 from the CDN (veo-api §1).
USER_AGENT = "Mozilla/5.0 (compatible; Reelkeep/0.1)"
#: seconds to connect, seconds between bytes
TIMEOUT = (5.0, 20.0)
#: bytes of an answer; the longest known ones are a few KiB
LARGEST_ANSWER = 4 * 1024 * 1024
#: the codes that the vendor's bodies are known to have (veo-api §1)
CODES = frozenset({200, 400, 401, 402, 404, 408, 422, 429, 433, 451, 455, 500, 501, 505})
#: seconds to keep quiet when the vendor does not say how many, the fewest and the most: its window is 10 s (veo-api §1)
PAUSE, SHORTEST_PAUSE, LONGEST_PAUSE = 10.0, 1.0, 300.0
#: A key of fewer characters is no real one, and could be part of an answer by chance.
SHORTEST_KEY = 8

_CDN_REFUSAL = re.compile(r"error code: 10[0-9]{2}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True)
class Call:
    """A request to be sent."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    #: It may buy something when it arrives.
    buys: bool = False


class Wire(StrEnum):
    """What happened to a request on its way."""

    #: nothing of it was sent: no such host, nobody there, no connection in time, no TLS
    UNSENT = "unsent"
    #: the CDN turned it away, and the service never saw it (veo-api §1)
    TURNED_AWAY = "turned away"
    #: it was sent, at least in part, and no whole answer came
    LOST = "lost"
    #: something was answered that is no envelope
    UNREADABLE = "unreadable"
    #: an envelope was answered
    ANSWERED = "answered"


@dataclass(frozen=True)
class Reply:
    """What came of a request."""

    wire: Wire
    #: what is wrong, in words that hold no secret; empty: there is an envelope
    trouble: str = ""
    envelope: Envelope | None = None
    #: the body's code; 429 also where only the HTTP status says so. None: there is none
    code: int | None = None
    #: the account's rate limit was hit: nobody may send for so many seconds
    pause: float | None = None

    @property
    def msg(self) -> str:
        """The vendor's words, or ours."""
        return self.envelope.msg if self.envelope is not None else self.trouble

    @property
    def data(self) -> object:
        """The envelope's `data`."""
        return self.envelope.data if self.envelope is not None else None


class Transport:
    """Sends requests, each at most once. Thread-safe: a session a thread."""

    def __init__(self, api_key: str, base_url: str, timeout: tuple[float, float] = TIMEOUT) -> None:
        self._key = api_key
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._local = threading.local()

    def send(self, call: Call) -> Reply:
        """Send a request. Never raises: a fault is a reply too."""
        if not call.buys:
            return self._exchange(self._session(), call)
        # On a kept connection that the server is just closing, nobody could tell whether a purchase arrived.
        with closing(_Session(self._key)) as session:
            return self._exchange(session, call)

    def _exchange(self, session: "_Session", call: Call) -> Reply:
        session.sent.clear()
        try:
            with (
                span("ask vendor", path=call.path),
                session.request(
                    call.method,
                    self._base_url + call.path,
                    params=call.query,
                    json=call.body,
                    timeout=self._timeout,
                    stream=True,
                ) as response,
            ):
                content = _read_content(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # ValueError: a key that cannot be a header, an address that is no URL.
            return Reply(Wire.LOST if session.sent.is_set() else Wire.UNSENT, f"{call.path}: {_name(error)}")
        if content is None:
            return Reply(Wire.LOST, f"{call.path} answered more than {LARGEST_ANSWER} bytes")
        text = content.decode("utf-8", "replace").removeprefix("\ufeff")
        if len(self._key) >= SHORTEST_KEY:
            text = text.replace(self._key, "…")  # the vendor may name the key that it does not like
        return _read_reply(call.path, response, text)

    def _session(self) -> "_Session":
        session: _Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = _Session(self._key)
        return session


class _Session(requests.Session):
    """A session that follows no redirect, uses no proxy or password file, and notes whether it sent anything.

    Exceptions do not tell: the same ones come from a TLS handshake and from an encrypted answer that breaks off.
    """

    def __init__(self, api_key: str) -> None:
        super().__init__()
        #: set once something of a request is sent
        self.sent = threading.Event()
        self.trust_env = False
        self.headers["Authorization"] = f"Bearer {api_key}"
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Content-Type"] = "application/json"
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(self.sent))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None. With `allow_redirects=False` instead, requests would still read the answer whole and parse its `Location`."""


class _Adapter(HTTPAdapter):
    def __init__(self, sent: threading.Event) -> None:
        super().__init__(max_retries=0)
        self._sent = sent

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        kind = _NotingTlsConnection if pool.scheme == "https" else _NotingConnection
        pool.ConnectionCls = partial(kind, sent=self._sent)
        return pool


class _NotingConnection(HTTPConnection):
    def __init__(self, *args: Any, sent: threading.Event, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sent = sent

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self._sent.set()
        super().send(data)


class _NotingTlsConnection(_NotingConnection, HTTPSConnection):
    pass


def _read_content(response: requests.Response) -> bytes | None:
    """The body; None: it is too large."""
    content = bytearray()
    for chunk in response.iter_content(64 * 1024):
        content += chunk
        if len(content) > LARGEST_ANSWER:
            return None
    return bytes(content)


def _read_reply(path: str, response: requests.Response, text: str) -> Reply:
    """Read an answer: the body first, then the HTTP status (veo-api §1)."""
    status = response.status_code
    try:
        body, lack = json.loads(text), "without a code"
    except (ValueError, RecursionError):  # also integers of thousands of digits
        body, lack = None, "not JSON"
    envelope = Envelope.model_validate(body if isinstance(body, dict) else {})
    code = 429 if status == 429 and envelope.code not in CODES else envelope.code
    pause = read_pause(response.headers) if code == 429 else None
    if envelope.code is not None:
        return Reply(Wire.ANSWERED, envelope=envelope, code=code, pause=pause)
    turned_away = status == 403 and _CDN_REFUSAL.fullmatch(text.strip())
    wire = Wire.TURNED_AWAY if turned_away else Wire.UNREADABLE
    return Reply(wire, f"{path} answered HTTP {status}, {lack}", code=code, pause=pause)


def read_pause(headers: Mapping[str, str]) -> float:
    """The seconds for which nobody should ask, by `Retry-After`: seconds, or a date, counted by the answer's own clock."""
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    elif (until := _read_date(value)) is not None:
        now = _read_date(headers.get("Date", "")) or datetime.now(UTC)
        seconds = (until - now).total_seconds()
    else:
        seconds = PAUSE
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE)


def _read_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _name(error: Exception) -> str:
    """What went wrong, in one word: the messages of the libraries hold whole URLs."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason if isinstance(reason, Exception) else error).__name__
