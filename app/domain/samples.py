"""The samples of an MP4: every one that its tables or fragments tell of must lie inside the data that the file has.

H.264 and H.265 samples are also made of units with a length before each: those must fill the sample. So data that is not
what the tables are about (another file's, shifted, zeroed) is found without decoding anything.

Sources: ISO/IEC 14496-12 (stsc, stsz, stz2, stco, co64, stsd, moof, traf, trun), ISO/IEC 14496-15 (avcC, hvcC, the units).
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat

from app.domain.boxes import Box, read_boxes, read_content
from app.domain.media import NotMedia, Source

#: samples of a track whose units are walked, spread evenly; the last is always one of them
MOST_LOOKED_AT = 1000
#: units of a file that are walked
MOST_UNITS = 100_000
#: units of nothing in a sample; more are a hole
MOST_EMPTY = 16
#: bytes of zeros that may be a sample of sound, put in by its writer for want of any; more are a hole
MOST_ZEROS = 4
#: by the coding of a video track: the box that it cannot be decoded without, and where in that the size of a unit's length is
_SETTINGS = {b"avc1": (b"avcC", 4), b"avc3": (b"avcC", 4), b"hvc1": (b"hvcC", 21), b"hev1": (b"hvcC", 21)}
#: bytes of a video's sample entry before its boxes, its own header not counted
_ENTRY = 78

#: where a sample is, and how many bytes it has
Sample = tuple[int, int]


@dataclass(frozen=True)
class Track:
    """One track of a movie."""

    #: `vide` or `soun`
    handler: bytes
    id: int
    #: the boxes of its sample table
    table: dict[bytes, Box]


def check_samples(
    file: Source,
    tracks: Sequence[Track],
    default_sizes: dict[int, int],
    data: Sequence[Box],
    fragments: Sequence[Box],
) -> None:
    """Check that all samples of pictures and sound are there.

    :param default_sizes: bytes of a sample by the number of the track, where its fragments do not say
    :param data: the boxes `mdat` that are not empty
    :param fragments: the boxes `moof`
    :raises NotMedia: one is not
    """
    found = {track.id: _Samples(MOST_LOOKED_AT if track.handler == b"vide" else 0) for track in tracks}
    if len(found) != len(tracks):
        raise NotMedia("two tracks of one number")
    room = _Room(data)
    for track in tracks:
        _read_table(file, track.table, room, found[track.id])
    sequence = [_read_fragment(file, fragment, default_sizes, room, found) for fragment in fragments]
    if not any(found[track.id].bytes for track in tracks if track.handler == b"vide"):
        raise NotMedia("the video track has no samples")
    # Boxes of data may hold other things. But where the fragments' numbers have a gap too, it is what a lost one has left.
    complete = all(number <= 1 for number in sequence[:1]) and all(b == a + 1 for a, b in pairwise(sequence))
    if fragments and not complete and not all(room.used):
        raise NotMedia(f"nothing tells of the data in box 'mdat' at byte {data[room.used.index(False)].head}")
    steps = repeat(None, MOST_UNITS)
    for track in tracks:
        samples = found[track.id].some()
        coding, length = _coding(file, track) if samples else (b"", 0)
        for position, size in samples if length else ():
            _walk_units(file, position, size, length, steps)
        # Where a file was filled up with zeros, its last samples are zeros; no AAC is.
        position, size = samples[-1] if coding == b"mp4a" else (0, 0)
        if size > MOST_ZEROS and file.is_zero(position, position + size):
            raise NotMedia(f"the sample at byte {position} is damaged: zeros in place of sound")


class _Room:
    """The places in which samples may be."""

    def __init__(self, data: Sequence[Box]) -> None:
        self._data = data
        self._starts = [box.start for box in data]
        #: whether there is a sample in it, for each place
        self.used = [False] * len(data)

    def take(self, position: int, size: int) -> None:
        """There are samples here. :raises NotMedia: it is outside"""
        number = bisect_right(self._starts, position) - 1
        if size and (number < 0 or position + size > self._data[number].end):
            raise NotMedia(f"samples at bytes {position} to {position + size}, which is outside the file's data")
        if size:
            self.used[number] = True


class _Sizes:
    """Bytes of the samples of a table or run."""

    def __init__(self, sizes: Sequence[int], *, count: int | None = None, uniform: int = 0) -> None:
        """Of each one, or of all of them."""
        self._sizes = sizes
        self.uniform = None if count is None else uniform
        self.count = len(sizes) if count is None else count

    def between(self, first: int, end: int) -> int:
        """Bytes from one sample to before another."""
        return sum(self._sizes[first:end]) if self.uniform is None else self.uniform * (end - first)


class _Samples:
    """The samples of a track, some of which are remembered, spread evenly."""

    def __init__(self, most: int) -> None:
        """Remember so many, and the last."""
        self._most = most
        self._some: list[Sample] = []
        self._step = 1
        self._count = 0
        #: bytes of all of them
        self.bytes = 0
        #: the row that came last: where it begins, and which of the sizes are its
        self._row = 0, _Sizes(()), 0, 0

    def add(self, position: int, length: int, sizes: _Sizes, first: int, end: int) -> None:
        """A row of them begins at this position. :param length: its bytes :param sizes: which of them are its"""
        if not length:
            return
        before, self._count = self._count, self._count + end - first
        self.bytes += length
        self._row = position, sizes, first, end
        while self._count // self._step > self._most:
            self._some, self._step = self._some[1::2], 2 * self._step
        for number in range(first + (-1 - before) % self._step, end, self._step):  # the last of every so many
            position += sizes.between(first, number)
            self._some.append((position, sizes.between(number, number + 1)))
            first = number

    def some(self) -> list[Sample]:
        """Those that are remembered, and the last, by position."""
        position, sizes, first, end = self._row
        last = position + sizes.between(first, end - 1), sizes.between(end - 1, end)
        return sorted({sample for sample in (*self._some, last) if sample[1]})


def _read_table(file: Source, table: dict[bytes, Box], room: _Room, found: _Samples) -> None:
    """Check where the tables of a track say that samples are, and tell of them."""
    sizes = _read_sizes(file, table)
    chunks = _read_chunks(file, table)
    runs = _numbers(read_content(file, table[b"stsc"], 8), 4, 12, "stsc")
    counts = _samples_of_chunks(runs, len(chunks))
    surplus = sum(counts) - sizes.count
    if surplus:
        # The last chunk may say that it is as full as those before. Whether samples are missing, the times tell.
        times = sum(_numbers(read_content(file, table[b"stts"], 8), 4, 8, "stts")[0::2])
        if not 0 < surplus < (counts or [0])[-1] or times != sizes.count:
            raise NotMedia(f"its tables tell of {sum(counts)} samples in chunks, and of {sizes.count} with sizes")
        counts[-1] -= surplus
    number = 0
    for position, count in zip(chunks, counts, strict=True):
        length = sizes.between(number, number + count)
        room.take(position, length)
        found.add(position, length, sizes, number, number + count)
        number += count


def _samples_of_chunks(runs: Sequence[int], chunks: int) -> list[int]:
    """How many samples each chunk has. :param runs: from `stsc`: first chunk, from 1, samples in each, description; again …"""
    firsts, each = [*runs[0::3], chunks + 1], runs[1::3]
    if (chunks and firsts[0] != 1) or any(one > next_ for one, next_ in pairwise(firsts)):
        raise NotMedia("box 'stsc' is malformed")
    counts: list[int] = []
    for (first, next_), count in zip(pairwise(firsts), each, strict=True):
        counts += [count] * (next_ - first)
    return counts


def _read_sizes(file: Source, table: dict[bytes, Box]) -> _Sizes:
    box = table.get(b"stsz") or table.get(b"stz2")
    if box is None:
        raise NotMedia("box 'stbl' has no box 'stsz'")
    content = read_content(file, box, 12)
    uniform, count = int.from_bytes(content[4:8]), int.from_bytes(content[8:12])
    if box.kind == b"stsz":
        return _Sizes((), count=count, uniform=uniform) if uniform else _Sizes(_numbers(content, 8, 4, "stsz"))
    bits = uniform & 0xFF
    if bits == 4 and (count + 1) // 2 <= len(content) - 12:
        return _Sizes(bytes(half for byte in content[12:] for half in (byte >> 4, byte & 15))[:count])
    if bits not in (8, 16):
        raise NotMedia(f"{box.name} is malformed")
    return _Sizes(_numbers(content, 8, bits // 8, "stz2", "B" if bits == 8 else "H"))


def _read_chunks(file: Source, table: dict[bytes, Box]) -> Sequence[int]:
    """Where each chunk of a track is in the file; a track without samples may lack the table."""
    box = table.get(b"stco") or table.get(b"co64")
    if box is None:
        return ()
    content = read_content(file, box, 8)
    return _numbers(content, 4, 4, "stco") if box.kind == b"stco" else _numbers(content, 4, 8, "co64", "Q")


def _numbers(content: bytes, at: int, row: int, name: str, form: str = "I") -> Sequence[int]:
    """The numbers of a table whose count of rows stands at a byte, with the rows behind.

    :param row: bytes of a row
    :param form: of a number: `B`, `H`, `I`, `Q` for 8, 16, 32 or 64 bits
    """
    count = int.from_bytes(content[at : at + 4])
    rows = content[at + 4 : at + 4 + count * row]
    if len(rows) != count * row:
        raise NotMedia(f"box '{name}' has less than its {count} entries")
    numbers = array(form, rows)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


# Fragments


def _read_fragment(
    file: Source, moof: Box, default_sizes: dict[int, int], room: _Room, found: dict[int, _Samples]
) -> int:
    """Check where a fragment says that samples are, and tell of them. Gives the fragment's number."""
    sequence = 0
    end = moof.head
    for box in read_boxes(file, moof.start, moof.end, moof.name):
        if box.kind == b"mfhd":
            sequence = int.from_bytes(read_content(file, box, 8)[4:8])
        if box.kind != b"traf":
            continue
        header, runs = b"", []
        for child in read_boxes(file, box.start, box.end, box.name):
            if child.kind == b"tfhd":
                header = read_content(file, child, 8)
            elif child.kind == b"trun":
                runs.append(read_content(file, child, 8))
        if not header:
            raise NotMedia(f"{box.name} has no box 'tfhd'")
        flags, number = int.from_bytes(header[1:4]), int.from_bytes(header[4:8])
        fields = _optional(header[8:], flags, ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)), "tfhd")
        # Data begins where it says, or at the fragment, or behind that of the track before.
        base = fields.get(0x1, moof.head if flags & 0x20000 else end)
        end = base
        for run in runs:
            offset, sizes = _read_run(run, fields.get(0x10, default_sizes.get(number, 0)))
            position = end if offset is None else base + offset
            end = position + sizes.between(0, sizes.count)
            if number in found:
                if sizes.count and sizes.uniform == 0:
                    raise NotMedia(f"{box.name} does not say how large its samples are")
                room.take(position, end - position)
                found[number].add(position, end - position, sizes, 0, sizes.count)
    return sequence


def _read_run(run: bytes, default_size: int) -> tuple[int | None, _Sizes]:
    """Where the data of a run begins, if it says so, and its samples."""
    flags, count = int.from_bytes(run[1:4]), int.from_bytes(run[4:8])
    offset = int.from_bytes(run[8:12], signed=True) if flags & 0x1 else None
    at = 8 + 4 * (bool(flags & 0x1) + bool(flags & 0x4))
    columns = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
    if len(run) < at + 4 * len(columns) * count:
        raise NotMedia(f"box 'trun' has less than its {count} entries")
    if 0x200 not in columns:
        return offset, _Sizes((), count=count, uniform=default_size)
    numbers = _numbers(run[4:8] + run[at:], 0, 4 * len(columns), "trun")
    return offset, _Sizes(numbers[columns.index(0x200) :: len(columns)])


def _optional(content: bytes, flags: int, fields: Sequence[tuple[int, int]], name: str) -> dict[int, int]:
    """Numbers that are there if their flag is, one behind the other. :param fields: flag and bytes of each"""
    found, at = {}, 0
    for flag, length in fields:
        if flags & flag:
            found[flag] = int.from_bytes(content[at : at + length])
            at += length
    if at > len(content):
        raise NotMedia(f"box '{name}' is malformed")
    return found


# Units


def _coding(file: Source, track: Track) -> tuple[bytes, int]:
    """How a track is coded, and bytes of the length before each unit of its samples; 0: it has no units that we know."""
    box = track.table[b"stsd"]
    content = read_content(file, box, 8)
    count = int.from_bytes(content[4:8])
    entry = next(read_boxes(file, box.start + 8, box.end, box.name), None) if count else None
    if entry is None:
        raise NotMedia("box 'stsd' is empty")
    if track.handler == b"vide" and entry.kind in _SETTINGS:
        kind, at = _SETTINGS[entry.kind]
        length = (read_content(file, _find_settings(file, entry, kind), at + 1)[at] & 3) + 1
    else:
        length = 0
    # Samples of several codings may be mixed: which is which is not followed.
    return (entry.kind, length) if count == 1 else (b"", 0)


def _find_settings(file: Source, entry: Box, kind: bytes) -> Box:
    for box in read_boxes(file, entry.start + _ENTRY, entry.end, entry.name):
        if box.kind == kind:
            return box
    raise NotMedia(f"{entry.name} has no box '{kind.decode()}'")


def _walk_units(file: Source, position: int, size: int, length: int, steps: Iterator[None]) -> None:
    """Go from unit to unit.

    :param length: bytes of the length before each
    :param steps: what is left of those that may be taken
    :raises NotMedia: they do not fill the sample; zeros may, where no further length has room
    """
    at, end, filled, empty = position, position + size, False, 0
    for _ in steps:
        if at + length > end:
            break
        unit = int.from_bytes(file.read(at, length, "a sample"))
        filled, empty = filled or unit > 0, empty + (unit == 0)
        at += length + unit
    else:
        return  # enough seen
    if at > end or not filled or empty > MOST_EMPTY or not (at == end or file.is_zero(at, end)):
        raise NotMedia(f"the sample at byte {position} is damaged: its units do not fill it")
