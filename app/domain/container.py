"""What a file really is, read from its own structure: video (MP4, QuickTime) or picture (JPEG, PNG, WebP).

A file counts only if it is whole: its outermost structure must reach the end of the file. Reads headers, skips what is
between (PNG alone is read through, for its checksums), and so takes little memory and time whatever the size.

Sources: ISO/IEC 14496-12 (boxes, mvhd, mvex, tkhd, mdhd, hdlr, stsz), ITU-T T.81 (JPEG), W3C PNG, RFC 9649 (WebP).
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from app.domain.errors import FetchFailed

#: More boxes, segments or chunks than this are no file of ours, but millions of tiny ones meant to keep us busy.
MOST_PARTS = 20_000
#: the same for the boxes inside a box
MOST_CHILDREN = 100
#: bytes in which a JPEG's end mark is looked for: some writers pad the end
JPEG_TAIL = 4096
#: bytes read at once where a PNG is read through
CHUNK = 256 * 1024
#: boxes that may stand before ftyp and say nothing
FILLERS = {b"free", b"skip", b"wide"}
#: version 0, version 1: (timescale and duration) of mvhd and of mdhd
_TIMES = {0: struct.Struct(">12xII"), 1: struct.Struct(">20xIQ")}
#: durations that say nothing: a fragmented file's, and "unknown" in either version
_NO_DURATION = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
#: version 0, version 1: the first two numbers of tkhd's matrix, then width and height, each 16.16 fixed point
_TKHD = {0: struct.Struct(">40xii28xII"), 1: struct.Struct(">52xii28xII")}
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG, DAC
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}  # RST0 to RST7 and TEM carry no length
_TEXTS = {
    "an HTML page": re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body)", re.IGNORECASE | re.DOTALL),
    "an XML document": re.compile(rb"\s*<[?a-z]", re.IGNORECASE),
    "JSON": re.compile(rb"\s*[{\[]\s*[\"{\[\]}]"),
}


class NotMedia(FetchFailed):
    """The file is not a whole video or picture of a kind that we know."""


@dataclass(frozen=True)
class Media:
    """What a file says of itself."""

    #: such as `video/mp4`
    content_type: str
    #: file name extension, without the dot
    extension: str
    #: pixels, as shown: a video that is stored lying and turned by its player is upright
    width: int | None
    #: pixels
    height: int | None
    #: play time; None for pictures, and for videos that do not say
    seconds: float | None
    #: whether there is sound, though it may be silence; None for pictures, and for fragmented videos that do not say
    audio: bool | None = None


def inspect(file: BinaryIO, size: int, *, picture: bool = False) -> Media:
    """Check that a file is a whole video, or a whole picture, and say which.

    :param file: open for reading; left at position 0
    :param size: its length in bytes
    :raises NotMedia: anything is wrong with it; the message names what
    """
    try:
        if size == 0:
            raise NotMedia("empty")
        file.seek(0)
        _refuse_text(file.read(512), "a picture" if picture else "a video")
        return _picture(file, size) if picture else _video(file, size)
    finally:
        file.seek(0)


def _refuse_text(start: bytes, wanted: str) -> None:
    for name, pattern in _TEXTS.items():
        if pattern.match(start):
            raise NotMedia(f"{name}, not {wanted}")


def _read(file: BinaryIO, position: int, length: int, inside: str) -> bytes:
    file.seek(position)
    data = file.read(length)
    if len(data) != length:
        raise NotMedia(f"ends inside {inside}")
    return data


# Videos


@dataclass(frozen=True)
class _Box:
    kind: bytes
    #: where its content starts and ends in the file
    start: int
    end: int

    @property
    def name(self) -> str:
        return f"box '{self.kind.decode('latin-1')}'" if self.kind.isalnum() else f"box {self.kind.hex()}"


def _boxes(file: BinaryIO, start: int, end: int, inside: str, *, top: bool = False) -> Iterator[_Box]:
    """Walk the boxes that fill a part of the file to its very end."""
    most = MOST_PARTS if top else MOST_CHILDREN
    for _ in range(most):
        if start == end:
            return
        if end - start < 8:
            raise NotMedia(f"ends inside a box header, {end - start} bytes before the end of {inside}")
        length, kind = struct.unpack(">I4s", _read(file, start, 8, inside))
        header = 8
        if length == 1 and end - start >= 16:
            header, length = 16, int.from_bytes(_read(file, start + 8, 8, inside))
        elif length == 0 and top:
            length = end - start  # "to the end of the file"
        box = _Box(kind, start + header, start + length)
        if length < header:
            raise NotMedia(f"{box.name} in {inside} claims a length of {length} bytes")
        if box.end > end:
            raise NotMedia(f"ends inside {box.name}: {end - start} of its {length} bytes are there")
        yield box
        start = box.end
    raise NotMedia(f"more than {most} boxes in {inside}")


def _video(file: BinaryIO, size: int) -> Media:
    brand, moov, data = None, None, 0
    for box in _boxes(file, 0, size, "the file", top=True):
        if brand is None and box.kind not in FILLERS:
            if box.kind != b"ftyp" or box.end - box.start < 4:
                raise NotMedia(f"no MP4: it begins with {box.name} in place of 'ftyp'")
            brand = _read(file, box.start, 4, box.name)
        elif box.kind == b"moov":
            moov = box
        elif box.kind == b"mdat":
            data += box.end - box.start
    if brand is None or moov is None or not data:
        missing = "box 'ftyp'" if brand is None else "box 'moov'" if moov is None else "content in box 'mdat'"
        raise NotMedia(f"no MP4: it has no {missing}")
    seconds, (width, height), audio = _movie(file, moov)
    if brand == b"qt  ":
        return Media("video/quicktime", "mov", width, height, seconds, audio)
    return Media("video/mp4", "mp4", width, height, seconds, audio)


def _movie(file: BinaryIO, moov: _Box) -> tuple[float | None, tuple[int, int], bool | None]:
    seconds, dimensions, header_seen, fragmented = None, None, False, False
    sounds = []
    for box in _boxes(file, moov.start, moov.end, moov.name):
        if box.kind == b"mvhd":
            header_seen = True
            scale, duration = _versioned(file, box, _TIMES)
            if scale and duration not in _NO_DURATION:
                seconds = round(duration / scale, 3)
        elif box.kind == b"mvex":
            fragmented = True
        elif box.kind == b"trak":
            track = _children(file, box)
            media = _children(file, track.get(b"mdia"))
            handler = _handler(file, media.get(b"hdlr"))
            if handler == b"vide" and dimensions is None:
                dimensions = _shown_size(file, track.get(b"tkhd"))
            elif handler == b"soun":
                sounds.append(_has_samples(file, media))
    if not header_seen:
        raise NotMedia("box 'moov' has no box 'mvhd'")
    if dimensions is None:
        raise NotMedia("no video track")
    audio = any(sounds)
    # A fragmented file's samples stand behind its moov.
    return seconds, dimensions, None if fragmented and sounds and not audio else audio


def _children(file: BinaryIO, box: _Box | None) -> dict[bytes, _Box]:
    """What is inside a box, by kind. Only one of a kind counts: else boxes in boxes in boxes could keep us busy."""
    return {} if box is None else {child.kind: child for child in _boxes(file, box.start, box.end, box.name)}


def _handler(file: BinaryIO, hdlr: _Box | None) -> bytes:
    """What a track is of: `vide`, `soun`, or something else."""
    return b"" if hdlr is None or hdlr.end - hdlr.start < 12 else _read(file, hdlr.start + 8, 4, hdlr.name)


def _shown_size(file: BinaryIO, tkhd: _Box | None) -> tuple[int, int]:
    """Width and height of a video track, in pixels, after its matrix."""
    a, b, width, height = _versioned(file, tkhd, _TKHD) if tkhd else (0, 0, 0, 0)
    width, height = width >> 16, height >> 16
    if not width or not height:
        raise NotMedia("the video track has no picture size")
    # A matrix that begins with 0 and not with 0, 0 (which is none) makes rows of columns: a quarter turn.
    return (height, width) if a == 0 and b else (width, height)


def _has_samples(file: BinaryIO, mdia: dict[bytes, _Box]) -> bool:
    """Whether there is anything in a track, by its duration or its table of sample sizes."""
    header = mdia.get(b"mdhd")
    if header and _versioned(file, header, _TIMES)[1] not in _NO_DURATION:
        return True
    table = _children(file, _children(file, mdia.get(b"minf")).get(b"stbl"))
    sizes = table.get(b"stsz") or table.get(b"stz2")
    return (
        sizes is not None and sizes.end - sizes.start >= 12 and _read(file, sizes.start + 8, 4, sizes.name) != bytes(4)
    )


def _versioned(file: BinaryIO, box: _Box, layouts: dict[int, struct.Struct]) -> tuple[int, ...]:
    """Numbers of a full box, whose first byte, its version, says where they stand."""
    length = box.end - box.start
    layout = layouts.get(_read(file, box.start, 1, box.name)[0]) if length else None
    if layout is None or length < layout.size:
        raise NotMedia(f"{box.name} is malformed")
    return layout.unpack(_read(file, box.start, layout.size, box.name))


# Pictures


def _picture(file: BinaryIO, size: int) -> Media:
    file.seek(0)
    start = file.read(12)
    if start.startswith(b"\xff\xd8"):
        content_type, extension, (width, height) = "image/jpeg", "jpg", _jpeg(file, size)
    elif start.startswith(b"\x89PNG\r\n\x1a\n"):
        content_type, extension, (width, height) = "image/png", "png", _png(file, size)
    elif start[:4] == b"RIFF" and start[8:] == b"WEBP":
        content_type, extension, (width, height) = "image/webp", "webp", _webp(file, size)
    else:
        raise NotMedia(f"no JPEG, PNG or WebP: it begins with {start.hex(' ')}")
    if not width or not height:
        raise NotMedia("the picture has no size")
    return Media(content_type, extension, width, height, None)


def _jpeg(file: BinaryIO, size: int) -> tuple[int, int]:
    dimensions = None
    position = 2
    for _ in range(MOST_PARTS):
        mark, code = _read(file, position, 2, "a JPEG header")
        if mark != 0xFF:
            raise NotMedia(f"malformed JPEG: no marker at byte {position}")
        if code == 0xFF or code in _JPEG_BARE:
            position += 1 if code == 0xFF else 2  # a fill byte; a marker without content
            continue
        length = int.from_bytes(_read(file, position + 2, 2, "a JPEG segment"))
        if length < 2 or code in (0xD8, 0xD9):
            raise NotMedia(f"malformed JPEG: marker {code:02x} at byte {position}")
        if code in _JPEG_SIZES:
            height, width = struct.unpack(">HH", _read(file, position + 5, 4, "a JPEG segment"))
            dimensions = width, height
        position += 2 + length
        if code == 0xDA:
            break
    else:
        raise NotMedia(f"more than {MOST_PARTS} segments in a JPEG")
    tail = max(position, size - JPEG_TAIL)
    # Compressed data never holds these two bytes in a row, so what is cut off has no end mark.
    if position > size or b"\xff\xd9" not in _read(file, tail, size - tail, "a JPEG's picture data"):
        raise NotMedia("ends inside a JPEG's picture data: no end mark")
    if dimensions is None:
        raise NotMedia("malformed JPEG: it has no frame header")
    return dimensions


def _png(file: BinaryIO, size: int) -> tuple[int, int]:
    dimensions, data_seen, position = None, False, 8
    for _ in range(MOST_PARTS):
        length, kind = struct.unpack(">I4s", _read(file, position, 8, "a PNG chunk header"))
        if position + 12 + length > size:
            raise NotMedia(f"ends inside PNG chunk {kind!r}")
        checksum, left = zlib.crc32(kind), length
        while left:
            part = _read(file, position + 8 + length - left, min(left, CHUNK), f"PNG chunk {kind!r}")
            checksum, left = zlib.crc32(part, checksum), left - len(part)
        if int.from_bytes(_read(file, position + 8 + length, 4, f"PNG chunk {kind!r}")) != checksum:
            raise NotMedia(f"PNG chunk {kind!r} is damaged: wrong checksum")
        if kind == b"IHDR" and length == 13:
            dimensions = struct.unpack(">II", _read(file, position + 8, 8, "PNG chunk IHDR"))
        data_seen = data_seen or kind == b"IDAT"
        position += 12 + length
        if kind == b"IEND":
            break
    else:
        raise NotMedia(f"more than {MOST_PARTS} chunks in a PNG")
    if dimensions is None or not data_seen:
        raise NotMedia(f"malformed PNG: it has no {'IHDR' if dimensions is None else 'IDAT'}")
    return dimensions[0], dimensions[1]


def _webp(file: BinaryIO, size: int) -> tuple[int, int]:
    claimed = int.from_bytes(_read(file, 4, 4, "a WebP header"), "little") + 8
    if claimed > size:
        raise NotMedia(f"ends inside a WebP: {size} of its {claimed} bytes are there")
    if claimed < 30 or claimed + 1 < size:
        raise NotMedia(f"malformed WebP: {size} bytes, of which it claims {claimed}")
    kind, head = struct.unpack(">4s4x10s", _read(file, 12, 18, "a WebP header"))
    if kind == b"VP8X":  # 24 bits each, less one
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L" and head[0] == 0x2F:  # 14 bits each, less one
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and head[3:6] == b"\x9d\x01\x2a":  # 14 bits each
        width, height = struct.unpack("<HH", head[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise NotMedia(f"malformed WebP: it begins with chunk {kind!r}")
