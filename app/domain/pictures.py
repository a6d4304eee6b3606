"""Pictures: JPEG, PNG and WebP, walked from their first mark to their last.

Sources: ITU-T T.81 (JPEG), W3C PNG, RFC 9649 (WebP), RFC 6386 (VP8).
"""

import re
import struct
import zlib

from app.domain.media import CHUNK, Media, NotMedia, Source

#: a marker in a JPEG's picture data: neither a stuffed byte nor a restart, and not the fill before a marker
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG, DAC
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}  # RST0 to RST7 and TEM carry no length
_PNG_KIND = re.compile(rb"[A-Za-z]{4}")


def read_picture(file: Source) -> Media:
    """Check a picture, and say what it is. :raises NotMedia:

    What stands behind its end mark is not looked at, as no viewer does: more pictures, a film, padding, a line end.
    """
    start = file.read(0, min(file.size, 12), "the file")
    if start.startswith(b"\xff\xd8"):
        content_type, extension, (width, height) = "image/jpeg", "jpg", _jpeg(file)
    elif start.startswith(b"\x89PNG\r\n\x1a\n"):
        content_type, extension, (width, height) = "image/png", "png", _png(file)
    elif start[:4] == b"RIFF" and start[8:] == b"WEBP":
        content_type, extension, (width, height) = "image/webp", "webp", _webp(file)
    else:
        raise NotMedia(f"no JPEG, PNG or WebP: it begins with {start.hex(' ')}")
    if not width or not height:
        raise NotMedia("the picture has no size")
    return Media(content_type, extension, width, height, None)


def _jpeg(file: Source) -> tuple[int, int]:
    dimensions, seen, position = None, set(), 2
    while True:
        mark, code = file.read(position, 2, "a JPEG: no end mark")
        if mark != 0xFF:
            raise NotMedia(f"malformed JPEG: no marker at byte {position}")
        if code == 0xFF or code in _JPEG_BARE:
            position += 1 if code == 0xFF else 2  # a fill byte; a marker without content
            continue
        if code == 0xD9 and 0xDA in seen:
            break
        length = int.from_bytes(file.read(position + 2, 2, "a JPEG segment"))
        if length < 2 or code < 0xC0 or code in (0xD8, 0xD9):
            raise NotMedia(f"malformed JPEG: marker {code:02x} at byte {position}")
        if code in _JPEG_SIZES:
            if dimensions is not None:
                raise NotMedia("malformed JPEG: it has two frame headers")
            height, width = struct.unpack(">HH", file.read(position + 5, 4, "a JPEG segment"))
            dimensions = width, height
        seen.add(code)
        position += 2 + length
        if code == 0xDA:
            position = _skip_scan(file, position)
    if dimensions is None:
        raise NotMedia("malformed JPEG: it has no frame header")
    # What the usual, Huffman-coded forms cannot be decoded without.
    if seen & {0xC0, 0xC1, 0xC2} and not seen >= {0xC4, 0xDB}:
        raise NotMedia("malformed JPEG: it has no tables")
    return dimensions


def _skip_scan(file: Source, start: int) -> int:
    """Where the picture data ends that starts here."""
    for position in range(start, file.size - 1, CHUNK - 1):  # one byte twice: a marker may lie on the border
        data = file.read(position, min(CHUNK, file.size - position), "a JPEG's picture data")
        if found := _MARKER.search(data):
            if position + found.start() == start:
                raise NotMedia("malformed JPEG: it has no picture data")
            return position + found.start()
    raise NotMedia("ends inside a JPEG's picture data: no end mark")


def _png(file: Source) -> tuple[int, int]:
    dimensions, data_seen, last, position = None, False, b"", 8
    while last != b"IEND":
        length, kind = struct.unpack(">I4s", file.read(position, 8, "a PNG chunk header"))
        if not _PNG_KIND.fullmatch(kind):
            raise NotMedia(f"malformed PNG: a chunk {kind!r}")
        if position + 12 + length > file.size:
            raise NotMedia(f"ends inside PNG chunk {kind!r}")
        checksum, left = zlib.crc32(kind), length
        while left:
            part = file.read(position + 8 + length - left, min(left, CHUNK), f"PNG chunk {kind!r}")
            checksum, left = zlib.crc32(part, checksum), left - len(part)
        if int.from_bytes(file.read(position + 8 + length, 4, f"PNG chunk {kind!r}")) != checksum:
            raise NotMedia(f"PNG chunk {kind!r} is damaged: wrong checksum")
        if (kind == b"IHDR") is not (position == 8) or (kind == b"IDAT" and data_seen and last != b"IDAT"):
            raise NotMedia(f"malformed PNG: chunk {kind!r} at byte {position}")
        if kind == b"IHDR" and length == 13:
            dimensions = struct.unpack(">II", file.read(position + 8, 8, "PNG chunk IHDR"))
        data_seen = data_seen or kind == b"IDAT"
        position, last = position + 12 + length, kind
    if dimensions is None or not data_seen:
        raise NotMedia(f"malformed PNG: it has no {'IHDR' if dimensions is None else 'IDAT'}")
    return dimensions[0], dimensions[1]


def _webp(file: Source) -> tuple[int, int]:
    claimed = int.from_bytes(file.read(4, 4, "a WebP header"), "little") + 8
    if claimed > file.size:
        raise NotMedia(f"ends inside a WebP: {file.size} of its {claimed} bytes are there")
    if claimed < 30:
        raise NotMedia(f"malformed WebP: it claims {claimed} bytes")
    dimensions, filled, position = None, False, 12
    while position != claimed:
        kind, length = struct.unpack("<4sI", file.read(position, 8, "a WebP chunk header"))
        end = position + 8 + length
        if end > claimed:
            raise NotMedia(f"ends inside WebP chunk {kind!r}")
        if not all(0x20 <= letter < 0x7F for letter in kind):
            raise NotMedia(f"malformed WebP: a chunk {kind!r}")
        if position == 12:
            dimensions = _webp_size(kind, length, file.read(20, min(length, 10), "a WebP header"))
        if kind in (b"VP8 ", b"VP8L", b"ANMF"):
            filled = True
            head = file.read(position + 8, min(length, 10), "a WebP chunk")
            if kind != b"ANMF":
                _webp_size(kind, length, head)
        position = min(end + length % 2, claimed)
    if dimensions is None or not filled:
        raise NotMedia("malformed WebP: it has no picture")
    return dimensions


def _webp_size(kind: bytes, length: int, head: bytes) -> tuple[int, int]:
    """Width and height by a chunk of this kind and length that begins so."""
    if kind == b"VP8X" and length >= 10:  # 24 bits each, less one
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L" and length > 5 and head[0] == 0x2F:  # 14 bits each, less one
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    # A key frame, whose first part must be in there; then 14 bits each.
    first_part = int.from_bytes(head[:3], "little") >> 5
    if kind == b"VP8 " and length > 10 and head[3:6] == b"\x9d\x01\x2a" and 10 + first_part <= length:
        width, height = struct.unpack("<HH", head[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise NotMedia(f"malformed WebP: chunk {kind!r} is no picture")
