"""MP4s, JPEGs, PNGs and WebPs made by hand, and sound ways to change real ones."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO

#: where the content of `DATA` begins in a file that begins with `ftyp()` and `DATA`
AT = 24
_numbers = count(1)


def box(kind: bytes, *content: bytes) -> bytes:
    """A box."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def large_box(kind: bytes, content: bytes) -> bytes:
    """A box whose length has 64 bits."""
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def endless_box(kind: bytes, content: bytes) -> bytes:
    """A box that reaches to the end of the file."""
    return struct.pack(">I4s", 0, kind) + content


DATA = box(b"mdat", b"x" * 400)


def ftyp(brand: bytes = b"isom") -> bytes:
    """The box that a file begins with."""
    return box(b"ftyp", brand, bytes(4))


def times(kind: bytes, scale: int, duration: int, *, version: int = 0) -> bytes:
    """A box `mvhd` or `mdhd`."""
    start = bytes([version, 0, 0, 0]) + bytes(8 if version == 0 else 16)
    return box(kind, start, struct.pack(">II" if version == 0 else ">IQ", scale, duration), bytes(80))


def sample_entry(coding: bytes = b"mp4v", *settings: bytes) -> bytes:
    """A box `stsd`."""
    return box(b"stsd", bytes(4), struct.pack(">I", 1), box(coding, bytes(78), *settings))


def tables(samples: int, *, kind: bytes = b"stsz", at: int = AT, size: int = 1, entry: bytes | None = None) -> bytes:
    """A box `stbl` of so many samples, in one chunk that begins at a byte of the file."""
    some = int(samples > 0)
    sizes = struct.pack(">III", 0, size, samples)
    if kind == b"stz2":
        sizes = struct.pack(">III", 0, 8, samples) + bytes([size]) * samples
    return box(
        b"stbl",
        sample_entry() if entry is None else entry,
        box(b"stts", bytes(4), struct.pack(">III", 1, samples, 1)),
        box(b"stsc", bytes(4), struct.pack(">I", some), struct.pack(">III", 1, samples, 1) * some),
        box(kind, sizes),
        box(b"stco", bytes(4), struct.pack(">I", some), struct.pack(">I", at) * some),
    )


def track(
    handler: bytes,
    width: int = 0,
    height: int = 0,
    *,
    mdhd: bytes | None = None,
    stbl: bytes | None = None,
    version: int = 0,
    matrix: tuple[int, ...] = (0,) * 9,
    number: int = 0,
) -> bytes:
    """A box `trak`; pictures have one sample and sound none, unless it is said otherwise, and each a number of its own."""
    name = struct.pack(">I", number or next(_numbers))
    start = bytes(8) + name + bytes(24) if version == 0 else bytes(16) + name + bytes(28)
    header = bytes([version, 0, 0, 0]) + start + struct.pack(">9i", *matrix)
    tkhd = box(b"tkhd", header, struct.pack(">II", width << 16, height << 16))
    media = times(b"mdhd", 1000, 0) if mdhd is None else mdhd
    table = tables(int(handler == b"vide")) if stbl is None else stbl
    return box(b"trak", tkhd, box(b"mdia", media, box(b"hdlr", bytes(8), handler, bytes(12)), box(b"minf", table)))


def movie(*tracks: bytes, scale: int = 1000, duration: int = 8000, version: int = 0) -> bytes:
    """A box `moov`."""
    header = times(b"mvhd", scale, duration, version=version)
    return box(b"moov", header, *(tracks or (track(b"vide", 640, 360),)))


def with_tracks(*tracks: bytes) -> bytes:
    """A whole file."""
    return ftyp() + DATA + movie(*tracks)


#: bytes of a sample in a long film
SAMPLE = 512 * 1024


def long_film(file: BinaryIO, size: int) -> None:
    """Write a film of about so many bytes: AVC, in samples as large as a 4K's largest."""
    samples = size // SAMPLE
    entry = sample_entry(b"avc1", box(b"avcC", bytes((1, 100, 0, 51, 0xFF, 0xE0, 0))))
    at = len(ftyp()) + 16
    file.write(ftyp() + struct.pack(">I4sQ", 1, b"mdat", 16 + samples * SAMPLE))
    sample = struct.pack(">IB", SAMPLE - 4, 0x65) + bytes(range(1, 256)) * (SAMPLE // 255 + 1)
    for _ in range(samples):
        file.write(sample[:SAMPLE])
    file.write(movie(track(b"vide", 3840, 2160, stbl=tables(samples, at=at, size=SAMPLE, entry=entry))))


# Pictures


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(width: int, height: int, *chunks: bytes, parts: int = 1, behind: tuple[bytes, ...] = ()) -> bytes:
    """A PNG in colours, with further chunks before and behind its data, which may come in several parts."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = b"".join(b"\0" + bytes((x * 7 + y * 3) % 256 for x in range(3 * width)) for y in range(height))
    data = zlib.compress(rows)
    step = -(-len(data) // parts)
    pieces = [chunk(b"IDAT", data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join((SIGNATURE, header, *chunks, *pieces, *behind, chunk(b"IEND", b"")))


def riff_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a WebP."""
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def webp(*chunks: bytes) -> bytes:
    """A WebP."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8(width: int, height: int, data: bytes = bytes(50)) -> bytes:
    """A lossy picture, as far as its headers go. :param data: its first part, and what follows"""
    tag = (len(data) // 2 << 5 | 0x10).to_bytes(3, "little")
    return riff_chunk(b"VP8 ", tag + b"\x9d\x01\x2a" + struct.pack("<HH", width, height) + data)


def vp8l(width: int, height: int, data: bytes = bytes(50)) -> bytes:
    """A lossless picture, as far as its header goes."""
    return riff_chunk(b"VP8L", b"\x2f" + (width - 1 | (height - 1) << 14).to_bytes(4, "little") + data)


def vp8x(width: int, height: int) -> bytes:
    """The chunk that further chunks are announced with."""
    return riff_chunk(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


# Real files, taken apart


@dataclass(frozen=True)
class Part:
    """One box of a file."""

    kind: bytes
    #: where it starts, its content starts, and it ends
    head: int
    start: int
    end: int


#: boxes that are made of boxes, all the way down to the tables
HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"mvex", b"moof", b"traf"}


def parts(data: bytes, start: int = 0, end: int | None = None, *, deep: bool = False) -> Iterator[Part]:
    """The boxes of a file; `deep`: also those inside of them."""
    end = len(data) if end is None else end
    while start < end:
        length, kind = struct.unpack_from(">I4s", data, start)
        header = 16 if length == 1 else 8
        length = int.from_bytes(data[start + 8 : start + 16]) if length == 1 else length or end - start
        part = Part(kind, start, start + header, start + length)
        yield part
        if deep and kind in HOLDERS:
            yield from parts(data, part.start, part.end, deep=True)
        start = part.end


def moved(moov: bytes, by: int, *, wide: bool = False) -> bytes:
    """A movie box whose samples have moved by so many bytes. :param wide: chunks are told of in 64 bits from now on"""

    def change(part: Part, content: bytes) -> bytes | None:
        if part.kind != b"stco":
            return None
        offsets = [offset + by for offset in struct.unpack(f">{(len(content) - 8) // 4}I", content[8:])]
        form, kind = ("Q", b"co64") if wide else ("I", b"stco")
        return box(kind, content[:8], struct.pack(f">{len(offsets)}{form}", *offsets))

    return rewritten(moov, change)


def rewritten(data: bytes, change: Callable[[Part, bytes], bytes | None]) -> bytes:
    """Boxes with some replaced; those around get their new lengths. :param change: gives a box in place of one, or None"""
    made = b""
    for part in parts(data):
        content = data[part.start : part.end]
        new = change(part, content)
        if new is None and part.kind in HOLDERS:
            new = box(part.kind, rewritten(content, change))
        made += data[part.head : part.end] if new is None else new
    return made
