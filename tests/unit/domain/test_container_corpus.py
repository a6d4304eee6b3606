"""Real files, damaged in hundreds of ways and altered harmlessly in hundreds of others: of the first none may pass, of the
second all must."""

import io
import random
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from app.domain.container import Media, NotMedia, inspect
from tests.support.films import (
    HOLDERS,
    Part,
    box,
    chunk,
    endless_box,
    large_box,
    moved,
    parts,
    png,
    rewritten,
    riff_chunk,
    sample_entry,
    tables,
    times,
    track,
    vp8,
    vp8l,
    vp8x,
    webp,
)

FOLDER = Path(__file__).parents[3] / "app" / "simulator" / "media"
VIDEOS = {name: (FOLDER / f"{name}.mp4").read_bytes() for name in ("result-720p", "origin-720p-portrait", "upgrade-4k")}
JPEG = (FOLDER / "preview.jpg").read_bytes()
PNG = png(64, 48, parts=3)
WEBPS = {
    "lossy": webp(vp8(640, 360, bytes(range(1, 100)) * 4)),
    "lossless": webp(vp8l(640, 360, bytes(range(1, 100)) * 4)),
    "extended": webp(vp8x(640, 360), riff_chunk(b"ICCP", bytes(33)), vp8(640, 360, bytes(range(1, 100)) * 4)),
}

#: what was done, whether a picture is wanted, and the file
Case = tuple[str, bool, bytes]


def look(data: bytes, *, picture: bool) -> Media:
    return inspect(io.BytesIO(data), len(data), picture=picture)


def top(data: bytes) -> dict[bytes, bytes]:
    """A video's outermost boxes, header and all."""
    return {part.kind: data[part.head : part.end] for part in parts(data)}


# --- damage ------------------------------------------------------------------------------------------------------------


def cuts(name: str, data: bytes, picture: bool, borders: set[int], seed: int) -> Iterator[Case]:
    """Cut at every border and at random places."""
    chance = random.Random(seed)
    inside = borders - {0, len(data)}
    for at in sorted(inside | {edge + 4 for edge in inside if edge + 4 < len(data)}):
        yield f"{name} cut at border {at}", picture, data[:at]
    for at in [0, 1, 7, 8, len(data) - 1, *(chance.randrange(len(data)) for _ in range(20))]:
        yield f"{name} cut at {at}", picture, data[:at]


def holes(name: str, data: bytes, picture: bool, seed: int) -> Iterator[Case]:
    """Something missing from the middle, or there twice."""
    chance = random.Random(seed)
    for _ in range(10):
        start = chance.randrange(1, len(data) - 1000)
        length = chance.randrange(1, 900)
        yield f"{name} without {length} bytes at {start}", picture, data[:start] + data[start + length :]
        yield f"{name} with {length} bytes twice at {start}", picture, data[: start + length] + data[start:]


def additions(name: str, data: bytes, picture: bool, seed: int) -> Iterator[Case]:
    """Something behind the end that is no box."""
    chance = random.Random(seed)
    yield f"{name} and a page", picture, data + b"<html>Internal Server Error</html>"
    for length in (1, 2, 7, 15, 100, 5000):
        yield f"{name} and {length} random bytes", picture, data + chance.randbytes(length - 1) + b"\x01"


def zeroed_ends(name: str, data: bytes, seed: int) -> Iterator[Case]:
    """Zeros from somewhere in the pictures and sound to the end, and even behind it: what an unfilled file looks like."""
    chance = random.Random(seed)
    for film, title in ((data, name), (fragmented(data, 3), f"{name} in 3"), (fragmented(data, 20), f"{name} in 20")):
        content = [at for part in parts(film) if part.kind == b"mdat" for at in range(part.start + 1, part.end - 1)]
        last = next(part.end for part in reversed(list(parts(film))) if part.kind == b"mdat")
        for at in [last - 700, *chance.sample(content, 20)]:
            yield f"{title} zeroed from {at}", False, film[:at] + bytes(len(film) - at)
            yield f"{title} zeros from {at} on", False, film[:at] + bytes(len(film))


def damaged_boxes(name: str, data: bytes) -> Iterator[Case]:
    """Headers of boxes zeroed, lengths flipped, kinds flipped."""
    needed = {
        b"ftyp",
        b"moov",
        b"mvhd",
        b"trak",
        b"tkhd",
        b"mdia",
        b"mdhd",
        b"hdlr",
        b"minf",
        b"stbl",
        b"stsd",
        b"stts",
    }
    needed |= {b"stsc", b"stsz", b"stco", b"mdat"}
    sound_track = data.rindex(b"trak") - 4  # by another kind it is no track at all, and the film a silent one
    for part in parts(data, deep=True):
        title = f"{name} {part.kind.decode()} at {part.head}"
        for start, length, what in ((0, 8, "header"), (4, 4, "kind")):
            at = part.head + start
            yield f"{title}: {what} zeroed", False, data[:at] + bytes(length) + data[at + length :]
        for bit in (1, 9, 17, 30):
            length = int.from_bytes(data[part.head : part.head + 4]) ^ (1 << bit)
            yield f"{title}: length flipped", False, data[: part.head] + length.to_bytes(4) + data[part.head + 4 :]
        if part.kind in needed and part.head != sound_track:
            kind = bytes([part.kind[0] ^ 1]) + part.kind[1:]
            yield f"{title}: kind flipped", False, data[: part.head + 4] + kind + data[part.head + 8 :]
            if part.end < len(data):
                yield f"{title}: missing", False, data[: part.head] + data[part.end :]
    for part in parts(data, deep=True):
        if part.kind in {b"stsd", b"stsz", b"stco"}:
            yield (
                f"{name} {part.kind.decode()} empty",
                False,
                data[: part.start] + bytes(part.end - part.start) + data[part.end :],
            )
        if part.kind in {b"stsz", b"stsc", b"stco"}:  # the count of entries
            at = part.start + (8 if part.kind == b"stsz" else 4)
            told = int.from_bytes(data[at : at + 4])
            for count in (1, 3, told - 1, told + 1, 10**6, 2**32 - 1):
                changed = data[:at] + count.to_bytes(4) + data[at + 4 :]
                if changed != data:
                    yield f"{name} {part.kind.decode()} of {count}", False, changed
    places, sizes = spread(next(data[part.start : part.end] for part in parts(data, deep=True) if part.kind == b"stbl"))
    for at, size in list(zip(places, sizes, strict=True))[::3]:
        yield f"{name} picture at {at} zeroed", False, data[:at] + bytes(size) + data[at + size :]
        yield f"{name} picture at {at}: length zeroed", False, data[:at] + bytes(4) + data[at + 4 :]
        yield f"{name} picture at {at} shifted", False, data[:at] + b"\0" + data[at : at + size - 1] + data[at + size :]


def swapped(one: str, other: str) -> Iterator[Case]:
    """The data of one file under the movie of another."""
    mine, theirs = top(VIDEOS[one]), top(VIDEOS[other])
    yield f"{one} with the data of {other}", False, mine[b"ftyp"] + mine[b"moov"] + mine[b"free"] + theirs[b"mdat"]
    longer = theirs[b"mdat"][8:] + bytes(len(mine[b"mdat"]))
    yield f"{one} with longer data", False, mine[b"ftyp"] + mine[b"moov"] + mine[b"free"] + box(b"mdat", longer)
    yield f"{one} with its data moved", False, mine[b"ftyp"] + box(b"free", b"x") + mine[b"moov"] + mine[b"mdat"]
    yield f"{one} in another order", False, mine[b"moov"] + mine[b"ftyp"] + mine[b"free"] + mine[b"mdat"]


def damaged_pictures() -> Iterator[Case]:
    for number, (name, data) in enumerate({"jpeg": JPEG, "png": PNG, **WEBPS}.items()):
        borders = set(jpeg_borders(JPEG)) if name == "jpeg" else set(range(8, len(data), 97))
        yield from cuts(name, data, True, borders, number)
        for at in range(12 if name in WEBPS else 8):
            if (name in WEBPS and 4 <= at < 8) or (name == "jpeg" and at > 3):
                continue
            yield f"{name}: byte {at} flipped", True, data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
    for at in range(8, len(PNG), 61):  # everything in a PNG is under a checksum
        yield f"png: byte {at} flipped", True, PNG[:at] + bytes([PNG[at] ^ 0x10]) + PNG[at + 1 :]
    for border in jpeg_borders(JPEG):
        if JPEG[border] != 0xFF:
            continue  # the picture data
        yield f"jpeg: marker at {border} zeroed", True, JPEG[:border] + bytes(2) + JPEG[border + 2 :]
        code = JPEG[border + 1]
        if code in (0xC0, 0xDA):
            length = int.from_bytes(JPEG[border + 2 : border + 4])
            yield f"jpeg: {code:02x} missing", True, JPEG[:border] + JPEG[border + 2 + length :]
    for name, data in WEBPS.items():
        for size in (0, 1, 20, 10**6):
            yield f"{name}: claims {size}", True, data[:4] + size.to_bytes(4, "little") + data[8:]
            yield f"{name}: chunk claims {size}", True, data[:16] + size.to_bytes(4, "little") + data[20:]


def jpeg_borders(data: bytes) -> list[int]:
    """Where the segments begin."""
    borders, at = [0], 2
    while data[at + 1] != 0xDA:
        borders.append(at)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return [*borders, at, at + 2 + int.from_bytes(data[at + 2 : at + 4]), len(data) - 2]


@cache
def damaged() -> list[Case]:
    cases: list[Case] = []
    for number, (name, data) in enumerate(VIDEOS.items()):
        borders = {edge for part in parts(data, deep=True) for edge in (part.head, part.start, part.end)}
        cases += cuts(name, data, False, borders, number)
        cases += holes(name, data, False, number)
        cases += additions(name, data, False, number)
        cases += zeroed_ends(name, data, number)
        cases += damaged_boxes(name, data)
        for other in VIDEOS:
            if other != name:
                cases += swapped(name, other)
        cases += broken_fragments(name, data)
        cases += [(f"{name} in place of a picture", True, data)]
    cases += damaged_pictures()
    return [*cases, *((f"{name} in place of a video", False, data) for name, data in WEBPS.items())]


# --- harmless changes --------------------------------------------------------------------------------------------------


def remuxed(name: str, data: bytes) -> Iterator[Case]:
    """The same film in other boxes, and in another order."""
    own = top(data)
    begin, moov, content = own[b"ftyp"], own[b"moov"], own[b"mdat"][8:]
    was = data.index(b"mdat") + 4

    def laid_out(title: str, *before: bytes, behind: tuple[bytes, ...] = (), wide: bool = False, kind: int = 0) -> Case:
        header = 16 if kind == 1 else 8
        moov_is_before = b"moov" in before
        length = len(moved(moov, 0, wide=wide))
        at = sum(length if piece == b"moov" else len(piece) for piece in before) + header
        new = moved(moov, at - was, wide=wide)
        head = b"".join(new if piece == b"moov" else piece for piece in before)
        body = (box, large_box, endless_box)[kind](b"mdat", content)
        tail = b"".join(behind) if moov_is_before else new + b"".join(behind)
        return f"{name} {title}", False, head + body + tail

    for number, filler in enumerate((b"", b"x", bytes(1000), b"moov" * 30, b"\xff" * 77)):
        for word in (b"free", b"skip", b"uuid", b"udta"):
            piece = box(word, filler)
            yield laid_out(f"{word!r} {number} before moov", begin, piece, b"moov")
            yield laid_out(f"{word!r} {number} before data", begin, b"moov", piece)
            yield laid_out(f"{word!r} {number} last", begin, b"moov", behind=(piece,))
            yield laid_out(f"{word!r} {number}, moov last", begin, piece, behind=(piece,))
    wide = box(b"wide")
    for kind, title in enumerate(("short", "long", "endless")):
        for wide_offsets in (False, True):
            yield laid_out(f"{title} data", begin, b"moov", wide=wide_offsets, kind=kind)
            yield laid_out(f"{title} data, wide", begin, wide, b"moov", wide, wide=wide_offsets, kind=kind)
            if kind < 2:
                yield laid_out(f"{title} data, moov last", begin, wide=wide_offsets, kind=kind)
                yield laid_out(
                    f"{title} data, endless filler", begin, b"moov", behind=(endless_box(b"free", b"x"),), kind=kind
                )
                yield laid_out(
                    f"{title} data, two", begin, b"moov", box(b"mdat"), behind=(box(b"mdat", b"more"),), kind=kind
                )
    yield laid_out("another brand", box(b"ftyp", b"mp42", bytes(4), b"isommp42"), b"moov")
    yield laid_out("QuickTime", box(b"ftyp", b"qt  ", bytes(4)), wide, b"moov")
    yield f"{name} as it is", False, data
    moov_64 = large_box(b"moov", moved(moov, 8)[8:])
    yield f"{name} long moov", False, begin + moov_64 + own[b"free"] + own[b"mdat"]


def retold(name: str, data: bytes) -> Iterator[Case]:
    """The same film with other tables that say the same."""
    own = top(data)
    was = data.index(b"mdat") + 4

    def with_boxes(title: str, moov: bytes, zeros: int = 0) -> Case:
        by = len(own[b"ftyp"]) + len(moov) + zeros + 8 - was
        new = box(b"moov", moved(moov, by)[8:], bytes(zeros))
        return f"{name} {title}", False, own[b"ftyp"] + new + own[b"mdat"]

    def drop(*kinds: bytes) -> bytes:
        return rewritten(own[b"moov"], lambda part, _: b"" if part.kind in kinds else None)

    for kinds in ((b"udta",), (b"edts",), (b"sgpd", b"sbgp"), (b"stss",), (b"ctts",), (b"vmhd", b"smhd"), (b"dinf",)):
        yield with_boxes(f"without {kinds!r}", drop(*kinds))

    def add(part: Part, content: bytes) -> bytes | None:
        if part.kind in (b"tkhd", b"mdhd", b"stsd", b"stts"):
            return box(part.kind, content) + box(b"free", b"between")
        return None

    yield with_boxes("with fillers inside", rewritten(own[b"moov"], add))

    def single(part: Part, content: bytes) -> bytes | None:
        """Each sample in a chunk of its own."""
        return chunks_of_one(content) if part.kind == b"stbl" else None

    yield with_boxes("a chunk for each sample", rewritten(own[b"moov"], single))

    def overfull(part: Part, content: bytes) -> bytes | None:
        """The last chunk said to have more samples than there are."""
        return chunks_of_one(content, last=24) if part.kind == b"stbl" else None

    yield with_boxes("a last chunk that is not full", rewritten(own[b"moov"], overfull))
    for title, more in further_tracks().items():
        yield with_boxes(f"with {title}", box(b"moov", own[b"moov"][8:], more))
        yield with_boxes(f"with {title} and zeros behind", box(b"moov", own[b"moov"][8:], more), zeros=4)
    for length in (1, 2, 3):
        yield f"{name} with {length} zeros behind each sample", False, roomy(data, length)


def further_tracks() -> dict[str, bytes]:
    """Tracks that no player needs."""
    header, bare = times(b"mdhd", 1000, 0), box(b"stbl", box(b"stsd", bytes(8)))
    found = {
        f"a track of {kind.decode()} without tables": track(kind, stbl=bare) for kind in (b"meta", b"text", b"tmcd")
    }
    found["a track of text elsewhere"] = track(b"text", stbl=tables(3, at=10**9))
    found["a track of nothing"] = box(b"trak", box(b"mdia", box(b"hdlr", bytes(8), b"meta", bytes(12))))
    empty = [box(b"stts", bytes(8)), box(b"stsc", bytes(8)), box(b"stsz", bytes(12))]
    found["a silent track"] = track(b"soun", mdhd=header, stbl=box(b"stbl", sample_entry(b"mp4a"), *empty))
    chunks = box(b"stco", bytes(8))
    found["a silent track of no coding"] = track(b"soun", stbl=box(b"stbl", box(b"stsd", bytes(8)), *empty, chunks))
    return found


def roomy(data: bytes, length: int) -> bytes:
    """A film with so many zeros behind each sample, each of them in a chunk of its own."""
    begin, old = top(data)[b"ftyp"], top(data)[b"moov"]
    content = b""

    def change(part: Part, table: bytes) -> bytes | None:
        nonlocal content
        if part.kind != b"stbl":
            return None
        places, sizes = spread(table)
        starts = [len(begin) + 8 + len(content) + sum(sizes[:n]) + n * length for n in range(len(sizes))]
        content += b"".join(data[at : at + size] + bytes(length) for at, size in zip(places, sizes, strict=True))
        counts = struct.pack(f">{3 + len(sizes)}I", 0, 0, len(sizes), *(size + length for size in sizes))
        return chunks_of_one(table, at=starts, stsz=box(b"stsz", counts))

    moov = rewritten(old, change)
    return begin + box(b"mdat", content) + moov


def spread(table: bytes) -> tuple[list[int], list[int]]:
    """Where each sample of a table is, and its size."""
    own = {part.kind: table[part.start : part.end] for part in parts(table)}
    sizes = struct.unpack(f">{(len(own[b'stsz']) - 12) // 4}I", own[b"stsz"][12:])
    chunks = struct.unpack(f">{(len(own[b'stco']) - 8) // 4}I", own[b"stco"][8:])
    runs = list(struct.iter_unpack(">III", own[b"stsc"][8:]))
    places, number = [], 0
    for index, position in enumerate(chunks, 1):
        count = next(each for first, each, _ in reversed(runs) if first <= index)
        for size in sizes[number : number + count]:
            places.append(position)
            position += size
        number += count
    return places, list(sizes)


def chunks_of_one(table: bytes, *, at: list[int] | None = None, last: int = 1, stsz: bytes | None = None) -> bytes:
    """A table with a chunk for each sample.

    :param at: where those are from now on
    :param last: how many samples the last chunk claims to have
    :param stsz: in place of the sizes
    """
    places = at or spread(table)[0]
    new = {
        b"stco": box(b"stco", bytes(4), struct.pack(f">{1 + len(places)}I", len(places), *places)),
        b"stsc": box(b"stsc", bytes(4), struct.pack(">7I", 2, 1, 1, 1, len(places), last, 1)),
    }
    if stsz is not None:
        new[b"stsz"] = stsz
    return box(b"stbl", rewritten(table, lambda part, _: new.get(part.kind)))


def fragmented(data: bytes, pieces: int, *, base: str = "moof", shift: int = 0) -> bytes:
    """A film in fragments.

    :param base: what offsets count from: the fragment, or the file
    :param shift: by so many bytes the offsets are wrong
    """
    own = top(data)
    tables = [own[b"moov"][p.start : p.end] for p in parts(own[b"moov"], deep=True) if p.kind == b"stbl"]
    tracks = [spread(table) for table in tables]
    empty = {b"stsz": bytes(12), b"stco": bytes(8), b"stsc": bytes(8), b"stts": bytes(8)}
    skip = {b"ctts", b"stss", b"sgpd", b"sbgp"}

    def hollow(part: Part, _: bytes) -> bytes | None:
        return b"" if part.kind in skip else box(part.kind, empty[part.kind]) if part.kind in empty else None

    trex = [box(b"trex", bytes(4), struct.pack(">IIIII", number + 1, 1, 0, 0, 0)) for number in range(len(tracks))]
    made = own[b"ftyp"] + box(b"moov", rewritten(own[b"moov"][8:], hollow), box(b"mvex", *trex))
    for piece in range(pieces):
        content, runs = b"", []
        for places, sizes in tracks:
            first, last = (len(places) * at // pieces for at in (piece, piece + 1))
            runs.append((len(content) + 8 + shift, sizes[first:last]))
            content += b"".join(
                data[at : at + size] for at, size in zip(places[first:last], sizes[first:last], strict=True)
            )
        start = len(made) if base == "file" else None
        length = len(fragment(0, runs, 0, start))
        made += fragment(piece + 1, runs, length, start) + box(b"mdat", content)
    return made


def fragment(sequence: int, runs: list[tuple[int, list[int]]], length: int, start: int | None) -> bytes:
    """A box `moof`. :param length: its own :param start: where it is in the file, if offsets count from there"""
    boxes = []
    for number, (offset, sizes) in enumerate(runs, 1):
        flags, where = (0x20000, b"") if start is None else (0x1, struct.pack(">Q", start))
        head = struct.pack(">IIi", 0x201, len(sizes), length + offset)
        trun = box(b"trun", head, struct.pack(f">{len(sizes)}I", *sizes))
        boxes.append(box(b"traf", box(b"tfhd", flags.to_bytes(4), struct.pack(">I", number), where), trun))
    return box(b"moof", box(b"mfhd", struct.pack(">II", 0, sequence)), *boxes)


def in_fragments(name: str, data: bytes) -> Iterator[Case]:
    for pieces in (1, 2, 3, 8, 20):
        for base in ("moof", "file"):
            film = fragmented(data, pieces, base=base)
            yield f"{name} in {pieces} fragments from {base}", False, film
            yield (
                f"{name} in {pieces} fragments from {base}, indexed",
                False,
                film + box(b"mfra", box(b"mfro", bytes(8))),
            )
        film, more = fragmented(data, pieces), box(b"mdat", b"more")
        for part in parts(film):
            if part.kind == b"moof":
                yield f"{name} with more data at {part.head}", False, film[: part.head] + more + film[part.head :]
        yield f"{name} in {pieces} fragments with more data", False, film + more
        for length in (8, 16, 4096):
            yield f"{name} in {pieces} fragments padded by {length}", False, film + bytes(length)
        yield f"{name} in {pieces} fragments and a copy of their movie", False, film + top(film)[b"moov"]


def broken_fragments(name: str, data: bytes) -> Iterator[Case]:
    for pieces in (1, 3, 8):
        film = fragmented(data, pieces)
        *others, last = (part.head for part in parts(film) if part.kind == b"moof")
        for part in parts(film):
            if part.kind == b"moof":
                if part.head != last or not others:  # of the last one there is no trace
                    yield f"{name} fragment at {part.head} missing", False, film[: part.head] + film[part.end :]
                other = film[: part.head + 4] + b"noof" + film[part.start :]
                yield f"{name} fragment at {part.head}: kind flipped", False, other
                for length in (1, 2, 3):
                    yield f"{name} fragment at {part.head} cut", False, film[: part.head + length]
                yield f"{name} fragment at {part.head} zeroed", False, film[: part.head] + bytes(8) + film[part.start :]
                for inner in parts(film, part.start, part.end, deep=True):
                    yield (
                        f"{name} {inner.kind.decode()} at {inner.head} zeroed",
                        False,
                        film[: inner.head] + bytes(8) + film[inner.start :],
                    )
            elif part.kind == b"mdat":
                yield f"{name} data at {part.head} missing", False, film[: part.head] + film[part.end :]
        for shift in (-9000, -8, 1, 8, 10**7):
            yield f"{name} fragments {shift} off", False, fragmented(data, pieces, shift=shift)


def followed(name: str, data: bytes) -> Iterator[Case]:
    """A film that something follows which no player minds."""
    for length in (1, 3, 4, 7, 8, 9, 16, 512, 4096, 300_000):
        yield f"{name} padded by {length}", False, data + bytes(length)
    moov = top(data)[b"moov"]
    yield f"{name} twice", False, data + data
    yield f"{name} with its movie twice", False, data + moov
    yield f"{name} with an old movie", False, data + moved(moov, 10**6)
    yield f"{name} with another beginning", False, data + box(b"ftyp", b"isom", bytes(4))
    for other, film in VIDEOS.items():
        yield f"{name} with the movie of {other}", False, data + top(film)[b"moov"]
        yield f"{name} and {other}", False, data + film


def followed_pictures() -> Iterator[Case]:
    """Pictures that something follows: no viewer looks behind the end."""
    chance = random.Random(1)
    for name, data in {"jpeg": JPEG, "png": PNG, **WEBPS}.items():
        yield f"{name} twice", True, data + data
        yield f"{name} and a film", True, data + VIDEOS["result-720p"]
        yield f"{name} and a line end", True, data + b"\r\n"
        yield f"{name} and a page", True, data + b"<html></html>"
        for length in (1, 2, 7, 100, 5000, 300_000):
            yield f"{name} and {length} zeros", True, data + bytes(length)
            yield f"{name} and {length} random bytes", True, data + chance.randbytes(length)
    index = b"\xff\xe2" + struct.pack(">H", 2 + 20) + b"MPF\0" + bytes(16)
    yield "jpeg of two pictures", True, JPEG[:2] + index + JPEG[2:] + JPEG


def sound_pictures() -> Iterator[Case]:
    comment = b"\xff\xfe\x00\x06four"
    for length in (0, 1, 16, 4096):
        yield f"jpeg padded by {length}", True, JPEG + bytes(length)
        yield f"jpeg filled by {length}", True, JPEG + b"\xff" * length
        yield f"jpeg, {length} fill bytes before a marker", True, JPEG[:2] + b"\xff" * length + JPEG[2:]
    for count in (1, 2, 50):
        yield f"jpeg with {count} comments", True, JPEG[:2] + comment * count + JPEG[2:]
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(JPEG)) + JPEG
    yield "jpeg with a picture in its header", True, JPEG[:2] + thumbnail + JPEG[2:]
    scan = JPEG.index(b"\xff\xda")
    yield "jpeg of two scans", True, JPEG[:-2] + JPEG[scan:]
    yield "jpeg with a restart mark", True, JPEG[:-2] + b"\xff\xd0" + JPEG[-200:]
    for parts_ in (1, 2, 5):
        for width, height in ((1, 1), (64, 48), (333, 7)):
            yield f"png {width}x{height} in {parts_}", True, png(width, height, parts=parts_)
            text = chunk(b"tEXt", b"about\0" + b"x" * width)
            yield (
                f"png {width}x{height} in {parts_} with text",
                True,
                png(width, height, text, text, parts=parts_, behind=(text,)),
            )
    for size in ((1, 1), (640, 360), (16383, 16383)):
        for make in (vp8, vp8l):
            for data in (b"x" * 50, b"y" * 51, bytes(4000)):
                picture = make(*size, data)
                yield f"webp {make.__name__} {size} {len(data)}", True, webp(picture)
                yield f"webp {make.__name__} {size} {len(data)} padded", True, webp(picture) + b"\0"
                more = riff_chunk(b"EXIF", b"exif!")
                yield f"webp {make.__name__} {size} {len(data)} extended", True, webp(vp8x(*size), picture, more)
        frame = riff_chunk(b"ANMF", bytes(16) + vp8(*size))
        yield f"webp {size} moving", True, webp(vp8x(*size), riff_chunk(b"ANIM", bytes(6)), frame, frame)


@cache
def sound() -> list[Case]:
    cases: list[Case] = []
    for name, data in VIDEOS.items():
        cases += [*remuxed(name, data), *retold(name, data), *in_fragments(name, data), *followed(name, data)]
    return [*cases, *sound_pictures(), *followed_pictures(), *((name, True, data) for name, data in WEBPS.items())]


# --- both --------------------------------------------------------------------------------------------------------------


def test_no_damaged_file_passes() -> None:
    accepted = []
    for title, picture, data in damaged():
        with suppress(NotMedia):
            accepted.append((title, look(data, picture=picture)))
    assert accepted == []


def test_no_sound_file_is_refused() -> None:
    refused = []
    for title, picture, data in sound():
        try:
            media = look(data, picture=picture)
        except NotMedia as error:
            refused.append((title, str(error)))
        else:
            assert media.width
            assert media.height
    assert refused == []


def test_the_corpus_is_as_large_as_it_is_meant_to_be() -> None:
    assert len({data for _, _, data in damaged()}) >= 500
    assert len({data for _, _, data in sound()}) >= 200


@pytest.mark.parametrize("name", VIDEOS)
def test_a_harmless_change_changes_nothing_of_what_is_said(name: str) -> None:
    said = look(VIDEOS[name], picture=False)
    for title, _, data in remuxed(name, VIDEOS[name]):
        media = look(data, picture=False)
        assert (media.width, media.height, media.seconds, media.audio) == (
            said.width,
            said.height,
            said.seconds,
            True,
        ), title


def test_no_other_error_gets_out_of_a_damaged_movie() -> None:
    """Numbers that tables are full of, at random places of headers and tables."""
    chance = random.Random(7)
    numbers = (0, 1, 2, 3, 7, 8, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
    name = "result-720p"
    for film in (VIDEOS[name], fragmented(VIDEOS[name], 3), fragmented(VIDEOS[name], 8, base="file")):
        inner = [part for part in parts(film, deep=True) if part.kind != b"mdat"]
        places = [at for part in inner for at in (part.head, part.head + 4)]
        places += [at for part in inner if part.kind not in HOLDERS for at in range(part.start, part.end - 3, 4)]
        for _ in range(1000):
            data = bytearray(film)
            for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
                at = chance.choice(places)
                data[at : at + 4] = chance.choice((*numbers, chance.getrandbits(32))).to_bytes(4)
            with suppress(NotMedia):
                look(bytes(data), picture=False)
