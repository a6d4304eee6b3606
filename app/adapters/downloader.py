"""The only place that fetches a URL from outside. `docs/decisions/0003-downloads.md` says why it is done this way."""

import http.client
import os
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from app.adapters.download_connection import LOOK_EVERY, LookUp, guarded_session, look_up
from app.adapters.download_policy import DownloadPolicy, judge_letters, judge_url, secure_url
from app.adapters.pieces import Pieces
from app.adapters.resume import Body, read_validator
from app.domain.container import NotMedia, inspect
from app.domain.errors import FetchFailed, FetchForbidden, Interrupted, LinkDead, ReelkeepError
from app.domain.ports import UNKNOWN, Download, Parts, Refused
from app.domain.urls import without_query
from app.traces import span

#: bytes asked for at once
CHUNK = 1024 * 1024
MOST_REDIRECTS = 3
#: times that a transfer goes on after it broke; each must have brought something
MOST_BREAKS = 5
#: bytes of a body between two looks at the free space
LOOK_BYTES = 8 * 1024**2
GONE = (403, 404, 410)
#: what faults of the protocol are, for whom the class's name tells nothing; the first that fits
_FAULTS: tuple[tuple[type[BaseException], str], ...] = (
    (http.client.RemoteDisconnected, "hung up without an answer"),
    (http.client.BadStatusLine, "what came is no HTTP answer"),
    (http.client.UnknownProtocol, "an unknown version of HTTP"),
    (http.client.IncompleteRead, "cut short"),
    (urllib3.exceptions.IncompleteRead, "cut short"),
    (http.client.HTTPException, "too many headers, or too long a line"),
)


class Downloader:
    """Fetches files under a policy. May be used from many threads: no fetch shares anything with another."""

    def __init__(
        self,
        policy: DownloadPolicy,
        stop: threading.Event,
        look_up: LookUp = look_up,
        *,
        wants_md5: Callable[[], bool] = lambda: True,
    ) -> None:
        """A downloader under a policy.

        :param look_up: finds the addresses of names
        :param wants_md5: whether who stores the files has a use for their MD5
        """
        self._policy = policy
        self._wants_md5 = wants_md5
        self._stop = stop
        self._look_up = look_up

    @contextmanager
    def fetch(
        self, url: str, *, picture: bool = False, parts: Parts | None = None, refused: Refused | None = None
    ) -> Iterator[Download]:
        """Fetch a URL whole and check it: see `app.domain.ports.Fetcher`."""
        url = secure_url(url, self._policy)
        judge_url(url, self._policy)
        with closing(self._new_body()) as body:
            try:
                with _Watch(self._policy, self._stop) as watch:
                    download = self._transfer(url, body, watch, picture, parts, refused)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                # ValueError: a redirect to what is no URL.
                # "from None": their own messages hold the whole URL, and a traceback would print them.
                raise FetchFailed(f"{without_query(url)}: {tell_cause(error)}") from None
            yield download

    def _new_body(self) -> Body:
        return Body(self._policy.temp_dir, self._policy.in_memory, with_md5=self._wants_md5())

    def _transfer(
        self, url: str, body: Body, watch: "_Watch", picture: bool, parts: Parts | None, refused: Refused | None
    ) -> Download:
        session = guarded_session(self._policy, watch, self._look_up)
        with session, Pieces(parts, self._policy, self._stop) as pieces:
            try:
                shown, host = self._fetch_whole(session, url, body, watch, pieces)
            finally:
                watch.end()  # what follows goes at the pace of our own store and disk, not of the server
        sha256, md5 = body.hashes.sha256, body.hashes.md5
        download = Download(file=body.file, bytes=body.size, sha256=sha256, md5=md5, media=UNKNOWN, host=host)
        try:
            with span("check"):
                return replace(download, media=inspect(body.file, body.size, picture=picture))
        except NotMedia as error:
            pieces.discard()  # the next attempt has to fetch every byte anew
            told = refused(download, str(error)) if refused is not None and body.total is not None else ""
            raise NotMedia(f"{shown}: {error}{told}") from error

    def _fetch_whole(
        self, session: requests.Session, url: str, body: Body, watch: "_Watch", pieces: Pieces
    ) -> tuple[str, str]:
        """Fetch all of a file, going on where the transfer breaks. Gives where it was found, to be shown, and the host."""
        kept: Sequence[str] = ()
        for number in range(2 + MOST_BREAKS):  # one more than it may break, to go on behind pieces that were kept
            with closing(self._open(session, url, body.wanted)) as response:
                shown = without_query(response.url)
                is_rest = self._begin(response, body, shown, is_recalled=bool(kept))
                kept = pieces.begin(body) if is_rest is False else ()
                before, broke = body.size, None
                if is_rest is not None and not kept:
                    broke = self._copy(response, body, watch, shown, pieces)
                    if broke is None:
                        return shown, urlsplit(response.url).hostname or ""
            for length in pieces.recall(kept, body):
                watch.received += length
                if watch.has_cut:
                    break
            may_go_on = broke is None or (body.validator and body.size > before and number < MOST_BREAKS)
            if watch.has_cut or not may_go_on:
                try:
                    raise broke or FetchFailed(f"{shown}: cut short, {body.size} bytes")
                finally:
                    del broke  # a frame and an error that hold each other would keep sockets open until a collection
        raise FetchFailed(f"{shown}: answers with parts that do not fit")

    def _begin(self, response: requests.Response, body: Body, shown: str, *, is_recalled: bool) -> bool | None:
        """Judge an answer: whether it is the rest of the file, or all of it. None: a part that is of no use, ask anew."""
        if body.size and response.status_code == 206:
            _refuse_coding(response, shown)
            if body.is_continued_by(response.headers):
                return True
            body.begin("", None)
            return None
        if is_recalled and body.size and response.status_code != 200:
            body.begin("", None)  # whatever it has against giving the rest: the whole may be had
            return None
        _refuse_answer(response, shown)
        validator = read_validator(response.headers)
        # The same file from its start, although the rest was asked for: it gives no parts.
        validator = "" if body.size and validator == body.validator else validator
        body.begin(validator, response.raw.length_remaining)
        return False

    def _open(self, session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer to a URL, or to what it redirects to. Each hop is judged like the first."""
        for _ in range(1 + MOST_REDIRECTS):
            response = session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(self._policy.connect_timeout, self._policy.read_timeout),
            )
            try:
                target = session.get_redirect_target(response)
                if target is None:
                    return response
                response.close()
                judge_letters(target)  # joining drops tabs and ends of lines
                url = urljoin(url, target)
                judge_url(url, self._policy)
            except ValueError:
                response.close()
                raise FetchFailed(f"{without_query(url)}: redirected to what is no URL") from None
            except FetchForbidden as error:  # a passing answer of the server's, not the URL that we were given
                raise FetchFailed(f"redirected to what may not be fetched: {error}") from error
        raise FetchFailed(f"{without_query(url)}: more than {MOST_REDIRECTS} redirects")

    def _copy(
        self, response: requests.Response, body: Body, watch: "_Watch", shown: str, pieces: Pieces
    ) -> Exception | None:
        """Copy what an answer brings to the file. Gives what broke the transfer, if something did."""
        most = self._policy.max_bytes
        if body.total is not None and body.total > most:
            raise FetchForbidden(f"{shown}: {body.total} bytes, more than the cap of {most}")
        _refuse_lack_of_room(self._policy, body, wanted=(body.total or body.size) - body.size)
        looked = body.size
        while True:
            try:
                # read1 gives what has come, so that the watch sees each byte; read would wait for a whole chunk.
                chunk = response.raw.read1(CHUNK, decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                return error
            if not chunk:
                break
            if body.size + len(chunk) > most:
                raise FetchForbidden(f"{shown}: more than the cap of {most} bytes")
            body.append(chunk)
            watch.received += len(chunk)
            pieces.note(body)
            if body.size - looked >= LOOK_BYTES:
                body.file.flush()
                _refuse_lack_of_room(self._policy, body, wanted=0)
                looked = body.size
        if body.total is not None and body.size != body.total:
            return FetchFailed(f"{shown}: cut short, {body.size} of {body.total} bytes")
        return None


def _refuse_lack_of_room(policy: DownloadPolicy, body: Body, *, wanted: int) -> None:
    """Refuse to go on where so many more bytes would leave the temporary files' disk with too little space."""
    if body.is_small:
        return
    try:
        disk = os.statvfs(policy.temp_dir or tempfile.gettempdir())
    except OSError as error:
        raise FetchFailed(f"no temporary file: {tell_cause(error)}") from error
    free = disk.f_bavail * disk.f_frsize
    if free < wanted + policy.spare_disk:
        need = f"{wanted} bytes are needed and " if wanted else ""
        raise FetchFailed(f"no room for a download: {need}{policy.spare_disk} stay free, and {free} are left")


def _refuse_answer(response: requests.Response, shown: str) -> None:
    if response.status_code in GONE:
        raise LinkDead(f"{shown}: HTTP {response.status_code}")
    if response.status_code != 200:
        raise FetchFailed(f"{shown}: HTTP {response.status_code}")
    _refuse_coding(response, shown)


def _refuse_coding(response: requests.Response, shown: str) -> None:
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity":
        raise FetchFailed(f"{shown}: encoded although we accept no encoding")


def tell_cause(error: BaseException) -> str:
    """What lies at the bottom of an error, without the URLs that the libraries put into their messages."""
    name, words = "", ""
    link: BaseException | None = error
    while link is not None:
        name = type(link).__name__
        if isinstance(link, OSError) and link.strerror:
            words = link.strerror
        elif isinstance(link, TimeoutError | urllib3.exceptions.TimeoutError | requests.Timeout):
            words = "timed out"
        else:
            words = next((fault for kind, fault in _FAULTS if isinstance(link, kind)), words)
        link = link.__cause__ or link.__context__
    return words or name


class _Watch:
    """Cuts a transfer's connections when time is up, when it is too slow, or when the process stops.

    A thread of its own, since a blocked read looks at no clock, and a byte now and then resets its time-out.
    The reason replaces whatever error the cut causes.
    """

    def __init__(self, policy: DownloadPolicy, stop: threading.Event) -> None:
        self._policy = policy
        self._stop = stop
        self._done = threading.Event()
        self._sockets: list[socket.socket] = []
        self._verdict: ReelkeepError | None = None
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._look, name="download-watch", daemon=True)
        #: bytes of bodies so far, told by the transfer
        self.received = 0

    @property
    def has_cut(self) -> bool:
        """Whether the transfer was ended from here."""
        return self._verdict is not None

    def __enter__(self) -> Self:
        if self._stop.is_set():
            raise Interrupted("the process is stopping")
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if error is not None and not isinstance(error, ReelkeepError):  # it may be that time was up between two looks
            self._verdict = self._verdict or self._judge_time(time.monotonic() - self._started)
        for connection in self._sockets:
            connection.close()
        if self._verdict is not None:
            raise self._verdict from None

    def end(self) -> None:
        """Look no more: nothing is awaited from the server."""
        self._done.set()

    def add(self, connection: socket.socket) -> None:
        # A duplicate: TLS takes the original over, and shutting down either cuts the connection.
        self._sockets.append(connection.dup())

    def go_on(self) -> None:
        """Nothing, while there is time. :raises TimeoutError: it is up, or the process is stopping: the verdict tells"""
        self._verdict = self._verdict or self._judge_time(time.monotonic() - self._started)
        if self._verdict is not None:
            raise TimeoutError

    def _look(self) -> None:
        started = self._started
        window = deque([(started, 0)])
        while not self._done.wait(LOOK_EVERY):
            now = time.monotonic()
            window.append((now, self.received))
            while len(window) > 1 and window[1][0] <= now - self._policy.rate_window:
                window.popleft()
            self._verdict = self._verdict or self._judge(now - started, now, *window[0])
            if self._verdict is not None:
                self._cut()  # at every look: a connection may be new

    def _judge(self, elapsed: float, now: float, then: float, received_then: int) -> ReelkeepError | None:
        policy = self._policy
        verdict = self._judge_time(elapsed)
        if verdict is not None:
            return verdict
        rate = (self.received - received_then) / (now - then)
        if now - then >= policy.rate_window and rate < policy.min_rate:
            return FetchFailed(f"too slow: {rate:.0f} bytes/s where {policy.min_rate:g} are wanted")
        return None

    def _judge_time(self, elapsed: float) -> ReelkeepError | None:
        if self._stop.is_set():
            return Interrupted("the process is stopping")
        if elapsed >= self._policy.deadline:
            return FetchFailed(f"not done within {self._policy.deadline:g} s: {self.received} bytes came")
        return None

    def _cut(self) -> None:
        for connection in self._sockets:
            with suppress(OSError):  # it was cut already, or the server closed it
                connection.shutdown(socket.SHUT_RDWR)
