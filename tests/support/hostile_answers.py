"""What a hostile server says, and what is to be made of it."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

from app.domain.container import NotMedia
from app.domain.errors import FetchFailed, FetchForbidden, LinkDead, ReelkeepError
from tests.support.hostile_world import PAUSE, RESET, SILENCE, Answer, World

MEDIA = Path(__file__).parents[1] / "media"
VIDEO = (MEDIA / "result-720p.mp4").read_bytes()
JPEG = (MEDIA / "preview.jpg").read_bytes()
#: the most bytes that a file may have in these tests
CAP = 10**6
#: ten megabytes of nothing, in ten kilobytes
BOMB = gzip.compress(bytes(10**7))
OK = b"HTTP/1.1 200 OK\r\n"

#: what shortens the patience in a trap that is about time: a deadline in seconds, a time-out, a rate
SOON: dict[str, float] = {"deadline": 0.3}
SILENT: dict[str, float] = {"read_timeout": 0.2}
SLOW: dict[str, float] = {"min_rate": 100_000, "rate_window": 0.3}


@dataclass(frozen=True)
class Trap:
    """An answer, the error that it must end in (None: the video is kept, and nothing else), and what that must say."""

    answer: Answer
    error: type[ReelkeepError] | None
    says: str = ""
    #: fields of the policy that are another's here
    policy: dict[str, float] = field(default_factory=dict)


def full(body: bytes = VIDEO, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """An answer as it should be."""
    lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def says(*pieces: Any) -> Answer:
    """Always the same pieces."""
    return lambda _: pieces


def forever(start: bytes, again: bytes, *, drip: bool = False) -> Answer:
    """Something, and then something else without an end: as fast as can be, or a drop now and then."""

    def answer(_: World) -> Iterator[Any]:
        yield start
        while True:
            yield again
            if drip:
                yield PAUSE

    return answer


def chunks(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    parts = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


def leads(target: str, status: str = "302 Found", *headers: str, body: bytes = b"") -> Answer:
    """A redirect. In the target: {port}, and {here} for where this server is."""

    def answer(world: World) -> Iterable[bytes]:
        location = target.format(port=world.port, here=world.url("").partition("?")[0])
        # A header may hold any byte; what is written in letters beyond Latin-1 goes as UTF-8.
        coding = "latin-1" if all(ord(letter) < 256 for letter in location) else "utf-8"
        start, end = full(body, "Location: ?", *headers, status=status).split(b"?", 1)
        return [start + location.encode(coding) + end]

    return answer


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = OK + b"Content-Length: 100000\r\n\r\n"
OPEN = OK + b"\r\n"

_NOT_200 = (101, 102, 103, 201, 203, 207, 226, 300, 305, 400, 401, 402, 407, 408, 416, 418, 429, 451)
_NOT_200 += (500, 501, 502, 503, 504, 520, 522, 599, 999)

_STATUSES = {
    **{f"status {code}": Trap(says(full(status=f"{code} Gone")), LinkDead, f"HTTP {code}") for code in (403, 404, 410)},
    **{f"status {code}": Trap(says(full(status=f"{code} Odd")), FetchFailed, f"HTTP {code}") for code in _NOT_200},
    # these have no body, whatever follows
    **{f"status {code}": Trap(says(full(status=f"{code} None")), FetchFailed, f"HTTP {code}") for code in (204, 304)},
    "part, unasked": Trap(
        says(full(VIDEO, f"Content-Range: bytes 0-{len(VIDEO) - 1}/{len(VIDEO)}", status="206 Partial Content")),
        FetchFailed,
        "HTTP 206",
    ),
    "part of another size": Trap(
        says(full(VIDEO, "Content-Range: bytes 5-9/7", status="206 Partial Content")), FetchFailed, "HTTP 206"
    ),
    "parts": Trap(
        says(full(VIDEO, "Content-Type: multipart/byteranges; boundary=x", status="206 Partial Content")),
        FetchFailed,
        "HTTP 206",
    ),
    "whole, called a part": Trap(says(full(VIDEO, "Content-Range: bytes 0-9/10")), None),
    "first half, called whole": Trap(
        says(full(VIDEO[:50_000], f"Content-Range: bytes 0-49999/{len(VIDEO)}")), NotMedia, "ends inside"
    ),
    "go on, then the video": Trap(says(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + full()), None),
    "go on without end": Trap(forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500), FetchFailed, "of headers"),
    "go on with headers": Trap(
        forever(b"", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 9000 + b"\r\n\r\n"), FetchFailed, "of headers"
    ),
    "go on, now and then": Trap(
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", drip=True), FetchFailed, r"not done within", SOON
    ),
}

_HEADS = {
    "headers without end": Trap(forever(OK, b"X-More: yes\r\n" * 99), FetchFailed, "of headers|too many headers"),
    "long headers": Trap(forever(OK, b"X-More: " + b"y" * 8000 + b"\r\n"), FetchFailed, "of headers"),
    "a header without end": Trap(forever(OK + b"X-Long: ", b"y" * 9999), FetchFailed, "of headers"),
    "a status line without end": Trap(forever(b"HTTP/1.1 200 ", b"O" * 9999), FetchFailed, "of headers"),
    "a protocol without end": Trap(forever(b"", b"H" * 9999), FetchFailed, "of headers|no HTTP answer"),
    "too many headers": Trap(
        says(full(VIDEO, *(f"X-{number}: y" for number in range(150)))), FetchFailed, "too many headers"
    ),
    "HTTP/0.9": Trap(says(VIDEO), FetchFailed, "no HTTP answer"),
    "HTTP/0.9, text": Trap(says(b"<html>hello</html>\r\n"), FetchFailed, "no HTTP answer"),
    "HTTP/2, answered to 1.1": Trap(says(b"HTTP/2 200\r\n\r\n" + VIDEO), FetchFailed, "unknown version"),
    "HTTP/2 frames": Trap(says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), FetchFailed, "no HTTP answer"),
    "radio": Trap(says(b"ICY 200 OK\r\n\r\n" + VIDEO), FetchFailed, "no HTTP answer"),
    "status in words": Trap(says(b"HTTP/1.1 good\r\n\r\n" + VIDEO), FetchFailed, "no HTTP answer"),
    "status of two digits": Trap(says(full(status="20 OK")), FetchFailed, "no HTTP answer"),
    "status of four digits": Trap(says(full(status="2000 OK")), FetchFailed, "no HTTP answer"),
    "status below zero": Trap(says(full(status="-200 OK")), FetchFailed, "no HTTP answer"),
    "no status": Trap(says(b"HTTP/1.1\r\n\r\n" + VIDEO), FetchFailed, "no HTTP answer"),
    "blank lines": Trap(says(b"\r\n\r\n\r\n" + full()), FetchFailed, "no HTTP answer"),
    "nothing": Trap(says(), FetchFailed, "hung up without an answer|reset|EOF"),
    "half a head": Trap(says(OK + b"Content-Le"), NotMedia, "empty"),
    "reset at once": Trap(says(RESET), FetchFailed, "reset|hung up"),
    "reset in the head": Trap(says(OK, RESET), FetchFailed, "reset|cut|empty|hung up"),
    "another protocol": Trap(says(b"220 mail.example ESMTP\r\n"), FetchFailed, "no HTTP answer"),
    "cookies": Trap(says(full(VIDEO, *(f"Set-Cookie: c{n}={'x' * 300}" for n in range(50)))), None),
}

_LENGTHS = {
    "two lengths": Trap(says(full(VIDEO, "Content-Length: 5")), FetchFailed, "claims two lengths"),
    "two lengths in one": Trap(
        says(full(VIDEO, f"Content-Length: {len(VIDEO)}, 5", length=False)), FetchFailed, "claims two lengths"
    ),
    "the same length twice": Trap(says(full(VIDEO, f"Content-Length: {len(VIDEO)}")), None),
    **{
        f"length {claim!r}": Trap(
            says(full(VIDEO, f"Content-Length: {claim}", length=False)), FetchFailed, "length is no number"
        )
        for claim in ("-1", f"+{len(VIDEO)}", "0x1b403", "1e5", "111619.0", "many", "", "1_1")
    },
    "length of another world": Trap(
        says(full(VIDEO, f"Content-Length: {10**30}", length=False)), FetchForbidden, "more than the cap"
    ),
    "length over the cap": Trap(
        says(full(b"", f"Content-Length: {CAP + 1}", length=False)), FetchForbidden, "more than the cap"
    ),
    "length too long": Trap(
        says(full(VIDEO, f"Content-Length: {len(VIDEO) + 1}", length=False)), FetchFailed, "cut short"
    ),
    "length too short": Trap(
        says(full(VIDEO, f"Content-Length: {len(VIDEO) - 1}", length=False)), NotMedia, "ends inside"
    ),
    "length of nothing": Trap(says(full(VIDEO, "Content-Length: 0", length=False)), NotMedia, "empty"),
    "more than the length": Trap(says(full() + b"<html>more</html>" * 1000), None),
    "another answer behind": Trap(says(full() + full(b"<html>smuggled</html>")), None),
    "length and chunks": Trap(
        says(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(VIDEO)), None
    ),
    "no length": Trap(says(full(length=False)), None),
    "no length, cut": Trap(says(full(VIDEO[:-7], length=False)), NotMedia, "ends inside"),
    "reset in the body": Trap(says(full()[:60_000], PAUSE, RESET), FetchFailed, "reset|cut short"),
    "closed in the body": Trap(says(full()[:60_000]), FetchFailed, "cut short"),
}

_CHUNKS = {
    "chunks": Trap(says(CHUNKED + chunks(VIDEO)), None),
    "chunks without a last": Trap(says(CHUNKED + chunks(VIDEO, b"")), FetchFailed, "cut short"),
    "a chunk cut": Trap(says(CHUNKED + chunks(VIDEO)[:50_000]), FetchFailed, "cut short"),
    "a chunk size in words": Trap(says(CHUNKED + b"many\r\n" + VIDEO), FetchFailed, "cut short"),
    "no chunk size": Trap(says(CHUNKED + b"\r\n" + VIDEO), FetchFailed, "cut short"),
    "a chunk size below zero": Trap(says(CHUNKED + b"-1\r\n" + VIDEO), FetchFailed, "cut short"),
    "a chunk below zero without end": Trap(forever(CHUNKED + b"-1\r\n", bytes(65536)), FetchForbidden, "the cap"),
    "a chunk of another world": Trap(says(CHUNKED + b"F" * 16 + b"\r\n" + VIDEO), FetchFailed, "cut short"),
    "a chunk size without end": Trap(forever(CHUNKED, b"0" * 9999), FetchFailed, "too long a line"),
    "a chunk's remark without end": Trap(forever(CHUNKED + b"5;", b"x" * 9999), FetchFailed, "too long a line"),
    "chunks of another size": Trap(says(CHUNKED + b"5\r\n" + VIDEO), FetchFailed, "cut short"),
    "chunks of one byte": Trap(
        says(CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in VIDEO[:5000])), FetchFailed, "cut"
    ),
    "trailers without end": Trap(
        forever(CHUNKED + chunks(VIDEO, b"0\r\n"), b"X: y\r\n" * 99), FetchFailed, "done", SOON
    ),
    "not chunked although it says so": Trap(says(CHUNKED + VIDEO), FetchFailed, "cut short"),
    "a body of chunks without end": Trap(
        forever(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"), FetchForbidden, "more than the cap"
    ),
    **{
        f"transfer encoding {coding!r}": Trap(
            says(OK + f"Transfer-Encoding: {coding}\r\n\r\n".encode() + chunks(VIDEO)), FetchFailed, "not just chunked"
        )
        for coding in ("gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked, chunked", "gzip")
    },
}


def _bomb_without_end(_: World) -> Iterator[bytes]:
    yield OK + b"Content-Encoding: gzip\r\n\r\n"
    squeeze = zlib.compressobj(wbits=31)
    while True:
        yield squeeze.compress(bytes(10**7))


_ENCODINGS = {
    **{
        f"encoded: {coding}": Trap(
            says(full(gzip.compress(VIDEO), f"Content-Encoding: {coding}")), FetchFailed, "encoded although"
        )
        for coding in ("gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "rot13")
    },
    "a bomb": Trap(says(full(BOMB, "Content-Encoding: gzip")), FetchFailed, "encoded although"),
    "a bomb in a bomb": Trap(says(full(gzip.compress(BOMB), "Content-Encoding: gzip, gzip")), FetchFailed, "encoded"),
    "a bomb without end": Trap(_bomb_without_end, FetchFailed, "encoded although"),
    "a bomb, unsaid": Trap(says(full(BOMB)), NotMedia, "ends inside"),
    "encoded, unsaid": Trap(says(full(gzip.compress(VIDEO))), NotMedia, "ends inside"),
    "not encoded, and says so": Trap(says(full(VIDEO, "Content-Encoding: identity")), None),
}


_BODIES = {
    "a body without end": Trap(forever(OPEN, bytes(65536)), FetchForbidden, "more than the cap"),
    "empty": Trap(says(full(b"")), NotMedia, "empty"),
    "empty, no length": Trap(says(full(b"", length=False)), NotMedia, "empty"),
    "HTML": Trap(says(full(b"<!DOCTYPE html><html>sorry</html>")), NotMedia, "an HTML page"),
    "HTML called video": Trap(says(full(b"<html></html>", "Content-Type: video/mp4")), NotMedia, "an HTML page"),
    "HTML behind a remark": Trap(says(full(b"  <!-- x --><HTML>sorry</HTML>")), NotMedia, "an HTML page"),
    "XML": Trap(says(full(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")), NotMedia, "an XML"),
    "JSON": Trap(says(full(b'{"code":422,"msg":"url is wrong","data":null}')), NotMedia, "JSON"),
    "text": Trap(says(full(b"error code: 1010")), NotMedia, "no MP4|claims|ends inside"),
    "picture": Trap(says(full(JPEG)), NotMedia, "no MP4|ends inside|claims"),
    "archive": Trap(says(full(b"PK\x03\x04" + bytes(500))), NotMedia, "no MP4|ends inside"),
    "program": Trap(says(full(b"\x7fELF" + bytes(500))), NotMedia, "no MP4|ends inside"),
    "playlist": Trap(says(full(b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://169.254.169.254/")), NotMedia, "no MP4|ends inside"),
    "zeros": Trap(says(full(bytes(5000))), NotMedia, "no MP4"),
    "one byte": Trap(says(full(b"\0")), NotMedia, "no MP4"),
    "video, first byte missing": Trap(says(full(VIDEO[1:])), NotMedia, "no MP4|ends inside|claims"),
    "video, last byte missing": Trap(says(full(VIDEO[:-1])), NotMedia, "ends inside"),
    "video and one byte more": Trap(says(full(VIDEO + b"x")), NotMedia, "ends inside"),
    "video and a page": Trap(says(full(VIDEO + b"<html></html>")), NotMedia, "ends inside"),
    "page and a video": Trap(says(full(b"<html></html>" + VIDEO)), NotMedia, "an HTML page"),
    "video twice, half": Trap(says(full(VIDEO + VIDEO[: len(VIDEO) // 2])), NotMedia, "ends inside box"),
    "only a brand": Trap(says(full(VIDEO[:32])), NotMedia, "no MP4|ends inside"),
    "boxes upon boxes": Trap(says(full(b"\0\0\0\x08free" * 30_000)), NotMedia, "no MP4"),
}

_TIMES = {
    "drip: status line": Trap(forever(b"HTTP/1.1 200 ", b"O", drip=True), FetchFailed, "not done within", SOON),
    "drip: headers": Trap(forever(OK, b"X-More: yes\r\n", drip=True), FetchFailed, "not done within", SOON),
    "drip: a header": Trap(forever(OK + b"X: ", b"y", drip=True), FetchFailed, "not done within", SOON),
    "drip: body": Trap(forever(LENGTH, b"x", drip=True), FetchFailed, "not done within", SOON),
    "drip: body without length": Trap(forever(OPEN, b"x", drip=True), FetchFailed, "not done within", SOON),
    "drip: chunk size": Trap(forever(CHUNKED, b"0", drip=True), FetchFailed, "not done within", SOON),
    "drip: chunks": Trap(forever(CHUNKED, b"1\r\nx\r\n", drip=True), FetchFailed, "not done within", SOON),
    "drip: a chunk": Trap(forever(CHUNKED + b"ffff\r\n", b"x", drip=True), FetchFailed, "not done within", SOON),
    "drip: trailers": Trap(
        forever(CHUNKED + chunks(VIDEO, b"0\r\n"), b"X: y\r\n", drip=True), FetchFailed, "not done within", SOON
    ),
    "drip: redirect's body": Trap(
        lambda world: iter(
            [
                full(b"", f"Location: {world.url('good')}", "Content-Length: 9", status="302 Found", length=False),
                *repeat(PAUSE, 99),
            ]
        ),
        None,
    ),
    "silence": Trap(says(SILENCE), FetchFailed, "timed out", SILENT),
    "silence in the head": Trap(says(OK, SILENCE), FetchFailed, "timed out", SILENT),
    "silence in the body": Trap(says(LENGTH + VIDEO[:9999], SILENCE), FetchFailed, "timed out", SILENT),
    "silence for the deadline": Trap(says(SILENCE), FetchFailed, "not done within", SOON),
    "too slow": Trap(forever(LENGTH, b"x", drip=True), FetchFailed, "too slow", SLOW),
    "too slow after a fast start": Trap(
        forever(LENGTH + bytes(80_000), b"x", drip=True), FetchFailed, "too slow", SLOW
    ),
    "too slow: headers": Trap(forever(OK, b"X-More: yes\r\n", drip=True), FetchFailed, "too slow", SLOW),
    "too slow: remarks": Trap(
        forever(CHUNKED, b"1;" + b"x" * 9000 + b"\r\nx\r\n", drip=True), FetchFailed, "too slow", SLOW
    ),
}

OFF = "redirected to what may not be fetched"
_REDIRECTS = {
    "redirect to itself": Trap(leads("{here}redirect%20to%20itself"), FetchFailed, "more than 3 redirects"),
    "redirect there": Trap(leads("{here}redirect%20back"), FetchFailed, "more than 3 redirects"),
    "redirect back": Trap(leads("{here}redirect%20there"), FetchFailed, "more than 3 redirects"),
    "redirect once": Trap(leads("{here}good"), None),
    "redirect twice": Trap(leads("/redirect%20once"), None),
    "redirect thrice": Trap(leads("redirect%20twice"), None),
    "redirect four times": Trap(leads("{here}redirect%20thrice"), FetchFailed, "more than 3 redirects"),
    "redirect inwards": Trap(leads("https://127.0.0.1:{port}/v"), FetchFailed, OFF),
    "redirect twice, then inwards": Trap(leads("{here}redirect%20inwards"), FetchFailed, OFF),
    "redirect thrice, then inwards": Trap(leads("{here}redirect%20twice,%20then%20inwards"), FetchFailed, OFF),
    "redirect to http": Trap(leads("http://cdn.films.example/v"), FetchFailed, OFF),
    "redirect to nowhere": Trap(says(full(b"", status="302 Found")), FetchFailed, "HTTP 302"),
    "redirect to nothing": Trap(leads(""), FetchFailed, "more than 3 redirects|HTTP 302"),
    "redirect to no URL": Trap(leads("https://[::1"), FetchFailed, "no URL"),
    "redirect to no text": Trap(leads("/\xff\xfe"), FetchFailed, "no URL"),
    "redirect to a list": Trap(
        leads("{here}good", "302 Found", "Location: https://127.0.0.1/"), FetchFailed, "HTTP|off|not"
    ),
    "redirect of 60 KB": Trap(leads("{here}good?" + "x" * 60_000), None),
    "redirect over 64 KB": Trap(leads("{here}good?" + "x" * 70_000), FetchFailed, "of headers"),
    "redirect by 300": Trap(leads("https://127.0.0.1:{port}/v", "300 Choices"), FetchFailed, "HTTP 300"),
    "redirect by 305": Trap(leads("https://127.0.0.1:{port}/v", "305 Use Proxy"), FetchFailed, "HTTP 305"),
    "redirect by 201": Trap(leads("https://127.0.0.1:{port}/v", "201 Created"), FetchFailed, "HTTP 201"),
    "refresh": Trap(says(full(b"<html></html>", "Refresh: 0; url=https://127.0.0.1/")), NotMedia, "an HTML page"),
    "alternative service": Trap(says(full(VIDEO, 'Alt-Svc: h2="127.0.0.1:6379"; ma=99999')), None),
    "link ahead": Trap(says(full(VIDEO, "Link: <https://127.0.0.1/>; rel=preload")), None),
    "redirect with a body without end": Trap(
        lambda world: forever(
            full(b"", f"Location: {world.url('good')}", status="302 Found", length=False), bytes(65536)
        )(world),
        None,
    ),
    "redirect with a bomb": Trap(
        lambda world: [full(BOMB, f"Location: {world.url('good')}", "Content-Encoding: gzip", status="302 Found")], None
    ),
    "dead, with a body without end": Trap(forever(b"HTTP/1.1 404 Gone\r\n\r\n", bytes(65536)), LinkDead, "HTTP 404"),
    "busy, with a bomb": Trap(says(full(BOMB, "Content-Encoding: gzip", status="503 Busy")), FetchFailed, "HTTP 503"),
}

#: by name: every trap
TRAPS: dict[str, Trap] = {
    "good": Trap(says(full()), None),
    **_STATUSES,
    **_HEADS,
    **_LENGTHS,
    **_CHUNKS,
    **_ENCODINGS,
    **_BODIES,
    **_TIMES,
    **_REDIRECTS,
}
