"""The downloader against a server that misbehaves in every way we could think of."""

import hashlib
import http.server
import os
import resource
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.adapters.download_policy import DownloadPolicy, is_public, judge_url, secure_url
from app.adapters.downloader import Downloader
from app.domain.container import NotMedia
from app.domain.errors import FetchFailed, FetchForbidden, Interrupted, LinkDead

MEDIA = Path(__file__).parents[1] / "media"
VIDEO = (MEDIA / "result-720p.mp4").read_bytes()
JPEG = (MEDIA / "preview.jpg").read_bytes()
SECRET = "X-Amz-Signature=b1gsecret"

Handler = http.server.BaseHTTPRequestHandler
Page = Callable[[Handler], None]


def answer(status: int = 200, body: bytes = b"", length: int | None = None, **headers: str) -> Page:
    """A page with a body. :param length: the Content-Length that it claims; -1: none"""

    def page(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if length != -1:
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return page


def chunked(body: bytes) -> Page:
    def page(handler: Handler) -> None:
        answer(length=-1, Transfer_Encoding="chunked")(handler)
        for start in range(0, len(body), 10_000):
            part = body[start : start + 10_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    return page


def reset(handler: Handler) -> None:
    answer(body=VIDEO[:50_000], length=len(VIDEO))(handler)
    handler.wfile.flush()
    # Closing with a linger of 0 s sends RST in place of FIN.
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages` on a port of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def serve(self, page: Page, path: str = "/v/video.mp4") -> str:
        self.pages[path] = page
        return f"http://127.0.0.1:{self.server_port}{path}?{SECRET}"

    def drip(self, start: bytes, again: bytes) -> Page:
        """A page that sends something at once and then a little every 50 ms, until the client is gone."""

        def page(handler: Handler) -> None:
            handler.wfile.write(start)
            while not self.closing.wait(0.05):
                handler.wfile.write(again)

        return page

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on us all the time here."""


class Answering(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.pages[self.path.partition("?")[0]](self)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def policy(tmp_path: Path) -> Iterator[DownloadPolicy]:
    yield DownloadPolicy(
        hosts=("127.0.0.1",), insecure=True, max_bytes=10**6, deadline=20, min_rate=0, temp_dir=str(tmp_path)
    )
    assert os.listdir(tmp_path) == []


SECURE = DownloadPolicy(hosts=("*.example.com", "localhost"), insecure=False, max_bytes=1, deadline=5, min_rate=0)


def fetch(policy: DownloadPolicy, url: str, *, picture: bool = False, stop: threading.Event | None = None) -> bytes:
    with Downloader(policy, stop or threading.Event()).fetch(url, picture=picture) as download:
        return download.file.read()


# What arrives


@pytest.mark.parametrize("page", [answer(body=VIDEO), answer(body=VIDEO, length=-1), chunked(VIDEO)])
@pytest.mark.parametrize("in_memory", [len(VIDEO), len(VIDEO) - 1])
def test_a_whole_video_arrives_checked_and_hashed(
    server: Server, policy: DownloadPolicy, page: Page, in_memory: int
) -> None:
    url = server.serve(page)
    with Downloader(replace(policy, in_memory=in_memory), threading.Event()).fetch(url) as download:
        assert download.file.tell() == 0
        assert download.file.read() == VIDEO
        assert download.bytes == len(VIDEO)
        assert download.sha256 == hashlib.sha256(VIDEO).hexdigest()
        assert (download.media.content_type, download.media.width, download.media.height) == ("video/mp4", 1280, 720)
        assert download.host == "127.0.0.1"
        assert policy.temp_dir is not None
        assert os.listdir(policy.temp_dir) == []  # also while it is there: a killed process leaves nothing
    assert download.file.closed


@pytest.mark.parametrize("in_memory", [len(VIDEO), len(VIDEO) - 1])
@pytest.mark.parametrize("wanted", [True, False])
def test_an_md5_is_made_where_it_is_wanted(
    server: Server, policy: DownloadPolicy, in_memory: int, wanted: bool
) -> None:
    policy = replace(policy, in_memory=in_memory)
    downloader = Downloader(policy, threading.Event(), wants_md5=lambda: wanted)
    with downloader.fetch(server.serve(answer(body=VIDEO))) as download:
        assert download.md5 == (hashlib.md5(VIDEO).hexdigest() if wanted else "")


def test_a_picture_arrives_where_one_is_wanted(server: Server, policy: DownloadPolicy) -> None:
    assert fetch(policy, server.serve(answer(body=JPEG)), picture=True) == JPEG


def test_a_picture_in_place_of_a_video_is_refused(server: Server, policy: DownloadPolicy) -> None:
    with pytest.raises(NotMedia):
        fetch(policy, server.serve(answer(body=JPEG)))


def test_an_error_of_whoever_uses_the_file_is_left_alone(server: Server, policy: DownloadPolicy) -> None:
    url = server.serve(answer(body=VIDEO))
    with pytest.raises(OSError, match="theirs"), Downloader(policy, threading.Event()).fetch(url):
        raise OSError("theirs")


def test_sixteen_threads_may_share_one_downloader(server: Server, policy: DownloadPolicy) -> None:
    downloader = Downloader(policy, threading.Event())
    url = server.serve(answer(body=VIDEO))

    def one(_: int) -> bool:
        with downloader.fetch(url) as download:
            return download.file.read() == VIDEO

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(one, range(64)))


def test_the_request_is_plain_and_carries_nothing_from_the_environment(
    server: Server, policy: DownloadPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    server.serve(answer(302, Location="/v/video.mp4", Set_Cookie="id=1"), "/start")
    server.serve(answer(body=VIDEO))
    fetch(policy, f"http://127.0.0.1:{server.server_port}/start")
    for _, headers in server.requests:
        assert headers["Host"] == f"127.0.0.1:{server.server_port}"
        assert headers["Accept-Encoding"] == "identity"
        assert headers["User-Agent"].startswith("Mozilla/5.0")
        assert not {"Cookie", "Authorization"} & set(headers)
    assert len(server.requests) == 2


# What goes wrong on the way


BROKEN = {
    "truncated": (answer(body=VIDEO[:-7], length=len(VIDEO)), "cut short"),
    "reset": (reset, "Connection reset by peer|cut short"),
    "cut without a length": (answer(body=VIDEO[:-7], length=-1), "ends inside box 'mdat'"),
    "html": (answer(body=b"<!DOCTYPE html><html>sorry</html>"), "an HTML page, not a video"),
    "empty": (answer(), "empty"),
    "500": (answer(500, body=VIDEO), "HTTP 500"),
    "429": (answer(429), "HTTP 429"),
    "unasked range": (answer(206, body=VIDEO, Content_Range=f"bytes 0-{len(VIDEO) - 1}/{len(VIDEO)}"), "HTTP 206"),
    "compressed": (answer(body=VIDEO, Content_Encoding="gzip"), "encoded although"),
    "redirect to nowhere": (answer(302), "HTTP 302"),
    "redirect to no URL": (answer(302, Location="https://[::1"), "redirected to what is no URL"),
    "redirect to no text": (answer(302, Location="/\xff"), "redirected to what is no URL"),
    "no HTTP": (lambda handler: handler.wfile.write(b"SSH-2.0-hello\r\n") and None, "what came is no HTTP answer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_transfer_is_worth_another_try(server: Server, policy: DownloadPolicy, case: str) -> None:
    page, message = BROKEN[case]
    with pytest.raises(FetchFailed, match=message) as raised:
        fetch(policy, server.serve(page))
    shown = "".join(traceback.format_exception(raised.value))
    assert "/v/video.mp4" in str(raised.value)
    assert SECRET not in shown


def test_an_answer_of_two_lengths_is_worth_another_try(server: Server, policy: DownloadPolicy) -> None:
    with pytest.raises(FetchFailed, match=r"video\.mp4: it claims two lengths"):
        fetch(policy, server.serve(answer(body=VIDEO, length=5, content_length=str(len(VIDEO)))))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_dead_link_is_named_as_such(server: Server, policy: DownloadPolicy, status: int) -> None:
    with pytest.raises(LinkDead, match=f"/v/video.mp4: HTTP {status}$"):
        fetch(policy, server.serve(answer(status, body=VIDEO)))


def test_a_server_that_is_not_there_is_worth_another_try(policy: DownloadPolicy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchFailed, match=r"/v\.mp4: Connection refused$") as raised:
        fetch(policy, f"http://127.0.0.1:{port}/v.mp4?{SECRET}")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_name_that_does_not_resolve_is_worth_another_try(policy: DownloadPolicy) -> None:
    with pytest.raises(FetchFailed) as raised:
        fetch(replace(policy, hosts=("*.invalid",)), f"http://video.invalid/v.mp4?{SECRET}")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_server_that_does_not_speak_tls_is_worth_another_try(server: Server, policy: DownloadPolicy) -> None:
    with pytest.raises(FetchFailed, match="SSL") as raised:
        fetch(policy, server.serve(answer(body=VIDEO)).replace("http:", "https:"))
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_file_that_says_it_is_too_large_is_refused_for_good(server: Server, policy: DownloadPolicy) -> None:
    page = answer(body=b"", length=10**6 + 1)
    with pytest.raises(FetchForbidden, match="1000001 bytes, more than the cap of 1000000"):
        fetch(policy, server.serve(page))


def test_a_file_that_turns_out_too_large_is_refused_for_good(server: Server, policy: DownloadPolicy) -> None:
    with pytest.raises(FetchForbidden, match="more than the cap of 1000 bytes"):
        fetch(replace(policy, max_bytes=1000), server.serve(chunked(VIDEO)))


def test_a_full_disk_is_worth_another_try(server: Server, policy: DownloadPolicy) -> None:
    url = server.serve(answer(body=VIDEO))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(VIDEO) - 10, hard))
    try:
        with pytest.raises(FetchFailed, match="File too large"):
            fetch(replace(policy, in_memory=0), url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("length", [None, -1], ids=["larger", "of unknown length"])
def test_a_missing_temporary_folder_is_worth_another_try(
    server: Server, policy: DownloadPolicy, length: int | None
) -> None:
    without = replace(policy, temp_dir="/nowhere", in_memory=len(VIDEO) - (length is None))
    with pytest.raises(FetchFailed, match="no temporary file: No such file or directory"):
        fetch(without, server.serve(answer(body=VIDEO, length=length)))


@pytest.mark.parametrize("disk", [{"temp_dir": "/nowhere"}, {"spare_disk": 10**18}], ids=["missing", "full"])
def test_a_small_file_needs_no_disk(server: Server, policy: DownloadPolicy, disk: dict[str, Any]) -> None:
    assert fetch(replace(policy, **disk), server.serve(answer(body=VIDEO))) == VIDEO


# What takes too long

HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    "headers": (HEAD, b"X-More: yes\r\n"),
    "header line": (HEAD + b"X-Long: ", b"y"),
    "chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "body without end": (HEAD + b"\r\n", b"x"),
}


@pytest.mark.parametrize("part", DRIPS)
def test_a_slow_drip_does_not_outlast_the_deadline(server: Server, policy: DownloadPolicy, part: str) -> None:
    started = time.monotonic()
    with pytest.raises(FetchFailed, match=r"not done within 0\.5 s"):
        fetch(replace(policy, deadline=0.5), server.serve(server.drip(*DRIPS[part])))
    assert time.monotonic() - started < 5


def test_a_slow_tls_handshake_does_not_outlast_the_deadline(policy: DownloadPolicy) -> None:
    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x40\x00")  # "a handshake message of 16 KiB follows"
            while not done.wait(0.05):
                connection.sendall(b"x")

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        thread.submit(drip, listener)
        started = time.monotonic()
        with pytest.raises(FetchFailed, match=r"not done within 0\.5 s"):
            fetch(replace(policy, deadline=0.5), f"https://127.0.0.1:{listener.getsockname()[1]}/v")
        assert time.monotonic() - started < 5
        done.set()


def test_silence_ends_with_the_read_time_out(server: Server, policy: DownloadPolicy) -> None:
    page = server.drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"")
    with pytest.raises(FetchFailed, match="timed out"):
        fetch(replace(policy, read_timeout=0.3), server.serve(page))


def test_less_than_the_minimum_rate_is_too_slow(server: Server, policy: DownloadPolicy) -> None:
    patient = replace(policy, min_rate=100_000, rate_window=0.5)
    page = server.drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"x")
    with pytest.raises(FetchFailed, match=r"too slow: .* where 100000 are wanted"):
        fetch(patient, server.serve(page))


def test_a_fast_start_does_not_pay_for_a_slow_end(server: Server, policy: DownloadPolicy) -> None:
    patient = replace(policy, min_rate=1000, rate_window=0.5)
    page = server.drip(HEAD + b"Content-Length: 900000\r\n\r\n" + bytes(500_000), b"x")
    with pytest.raises(FetchFailed, match="too slow"):
        fetch(patient, server.serve(page))


def test_the_minimum_rate_leaves_a_steady_transfer_alone(server: Server, policy: DownloadPolicy) -> None:
    parts = [VIDEO[start : start + 5000] for start in range(0, len(VIDEO), 5000)]

    def page(handler: Handler) -> None:
        answer(length=len(VIDEO))(handler)
        for part in parts:
            handler.wfile.write(part)
            server.closing.wait(0.04)

    # some 100,000 bytes/s for a second, in pieces much smaller than what is asked for at once
    assert fetch(replace(policy, min_rate=20_000, rate_window=0.3), server.serve(page)) == VIDEO


def test_a_stop_interrupts_a_blocked_read_at_once(server: Server, policy: DownloadPolicy) -> None:
    stop, started = threading.Event(), time.monotonic()

    def page(handler: Handler) -> None:
        answer(length=100_000)(handler)
        stop.set()
        server.closing.wait()

    with pytest.raises(Interrupted):
        fetch(policy, server.serve(page), stop=stop)
    assert time.monotonic() - started < 5


def test_nothing_is_fetched_once_the_process_is_stopping(server: Server, policy: DownloadPolicy) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        fetch(policy, server.serve(answer(body=VIDEO)), stop=stop)
    assert server.requests == []


# Where it leads


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_on_the_list_is_followed(server: Server, policy: DownloadPolicy, status: int) -> None:
    server.serve(answer(body=VIDEO))
    assert fetch(policy, server.serve(answer(status, Location="/v/video.mp4"), "/start")) == VIDEO


def test_three_redirects_are_followed_and_no_more(server: Server, policy: DownloadPolicy) -> None:
    server.serve(answer(body=VIDEO), "/0")
    for number in range(1, 5):
        server.serve(answer(302, Location=f"{number - 1}?{SECRET}"), f"/{number}")
    assert fetch(policy, f"http://127.0.0.1:{server.server_port}/3") == VIDEO
    with pytest.raises(FetchFailed, match="more than 3 redirects") as raised:
        fetch(policy, f"http://127.0.0.1:{server.server_port}/4")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "target", ["http://localhost:{port}/v", "//10.0.0.1/v", "file:///etc/passwd", "http://u@127.0.0.1:{port}/v"]
)
def test_a_redirect_off_the_list_is_not_followed(server: Server, policy: DownloadPolicy, target: str) -> None:
    url = server.serve(answer(302, Location=target.format(port=server.server_port) + f"?{SECRET}"))
    with pytest.raises(FetchFailed, match="redirected to what may not be fetched") as raised:
        fetch(policy, url)
    assert SECRET not in str(raised.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["https://a.example.com/v.mp4", "https://A.B.Example.com:443/v.mp4?x=1"])
def test_a_listed_host_is_allowed(url: str) -> None:
    judge_url(url, SECURE)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.com/v", "'example.com' is not on the list"),
        ("https://a.example.com.evil.net/v", "is not on the list"),
        ("https://aexample.com/v", "is not on the list"),
        ("http://a.example.com/v", "scheme 'http' is not allowed"),
        ("ftp://a.example.com/v", "scheme 'ftp'"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("a.example.com/v", "scheme ''"),
        ("https:///v", "not a plain name"),
        ("https://a.example.com:8443/v", "port 8443"),
        ("https://a.example.com:http/v", "malformed"),
        ("https://[::1/v", "malformed"),
        ("https://me:secret@a.example.com/v", "user name"),
        ("https://@a.example.com/v", "user name"),
        ("https://a.example.com./v", "not a plain name"),
        ("https://a%2eexample.com/v", "not a plain name"),
        ("https://ä.example.com/v", "not a plain name"),
        ("https://a.example.com\\@evil.net/v", "backslash"),
        ("https://a.example.com/v\r\nHost: evil.net", "control character"),
        ("https://127.0.0.1/v", "is an address"),
        ("https://8.8.8.8/v", "is an address"),
        ("https://2130706433/v", "is an address"),
        ("https://0x7f000001/v", "is an address"),
        ("https://0x7f.1/v", "is an address"),
        ("https://0177.0.0.1/v", "is an address"),
        ("https://127.1/v", "is an address"),
        ("https://a.example.com.1/v", "is an address"),
        ("https://[::1]/v", "is an address"),
        ("https://[::ffff:127.0.0.1]/v", "is an address"),
    ],
)
def test_a_url_that_the_policy_does_not_allow_is_refused(url: str, message: str) -> None:
    with pytest.raises(FetchForbidden, match=message) as raised:
        judge_url(f"{url}?{SECRET}", SECURE)
    assert "secret" not in str(raised.value)


def test_a_listed_address_is_still_refused_in_earnest() -> None:
    with pytest.raises(FetchForbidden, match="is an address"):
        judge_url("https://127.0.0.1/v", replace(SECURE, hosts=("127.0.0.1",)))


def test_insecure_still_keeps_to_the_list(policy: DownloadPolicy) -> None:
    with pytest.raises(FetchForbidden, match=r"'127\.0\.0\.2' is not on the list"):
        fetch(policy, "http://127.0.0.2:1/v")


@pytest.mark.parametrize(
    ("given", "insecure", "fetched"),
    [
        ("http://a.example.com/v?x=1", False, "https://a.example.com/v?x=1"),
        ("HTTP://a.example.com/v", False, "https://a.example.com/v"),
        ("https://a.example.com/v", False, "https://a.example.com/v"),
        ("http://127.0.0.1:8000/v", True, "http://127.0.0.1:8000/v"),
    ],
)
def test_http_is_fetched_as_https_where_only_https_is_allowed(given: str, insecure: bool, fetched: str) -> None:
    assert secure_url(given, replace(SECURE, insecure=insecure)) == fetched


def test_a_listed_name_that_leads_to_a_private_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="'localhost' has an address that is not public"):
        fetch(replace(SECURE, temp_dir=str(tmp_path)), f"https://localhost/v.mp4?{SECRET}")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::5efe:808:808"]
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.251",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff0e::1",
        "2001::1",
        "2001:db8::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "not an address",
        "2002:a9fe:a9fe::1",
    ],
)
def test_an_address_of_ours_or_of_nobody_is_not_public(address: str) -> None:
    assert not is_public(address)
