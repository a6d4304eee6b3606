"""The samples of an MP4: every one that its tables or fragments tell of must lie inside the data that the file has.

H.264 and H.265 samples are also made of units with a length before each: those must fill the sample. So data that is not
what the tables are about (another file's, shifted, zeroed) is found without decoding anything.

Sources: ISO/IEC 14496-12 (stsc, stsz, stz2, stco, co64, stsd, moof, traf, trun), ISO/IEC 14496-15 (avcC, hvcC, the units).
"""

import sys
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, repeat
from typing import BinaryIO

from app.domain.boxes import Box, read_boxes, read_content
from app.domain.media import NotMedia, read_part

#: samples of a track whose units are walked, spread evenly
MOST_LOOKED_AT = 1000
#: units of a sample that are walked
MOST_UNITS = 500
#: by the coding of a video track: the box that it cannot be decoded without, and where in that the size of a unit's length is
_SETTINGS = {b"avc1": (b"avcC", 4), b"avc3": (b"avcC", 4), b"hvc1": (b"hvcC", 21), b"hev1": (b"hvcC", 21)}
#: bytes of a video's sample entry before its boxes, its own header not counted
_ENTRY = 78

#: where a sample is, and how many bytes it has
Sample = tuple[int, int]


@dataclass(frozen=True)
class Track:
    """One track of a movie."""

    #: `vide`, `soun`, or something else
    handler: bytes
    id: int
    #: the boxes of its sample table
    table: dict[bytes, Box]


def check_samples(
    file: BinaryIO,
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
    watched = {track.id: track for track in tracks if track.handler in (b"vide", b"soun")}
    if len(watched) != sum(track.handler in (b"vide", b"soun") for track in tracks):
        raise NotMedia("two tracks of one number")
    room = _Room(data)
    counts: Counter[int] = Counter()
    found: dict[int, list[Sample]] = {number: [] for number in watched}
    for number, track in watched.items():
        counts[number] = _read_table(file, track.table, room, found[number])
    for fragment in fragments:
        for number, count, samples in _read_fragment(file, fragment, default_sizes, room):
            counts[number] += count
            if number in found and len(found[number]) < MOST_LOOKED_AT:
                found[number] += samples
    if not any(counts[number] for number, track in watched.items() if track.handler == b"vide"):
        raise NotMedia("the video track has no samples")
    if fragments and not all(room.used):
        raise NotMedia(f"nothing tells of the data in box 'mdat' at byte {data[room.used.index(False)].head}")
    for number, track in watched.items():
        length = _unit_length(file, track)
        for position, size in found[number] if length else ():
            _walk_units(file, position, size, length)


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
    """Bytes of the samples of a track."""

    def __init__(self, sizes: Sequence[int], *, count: int = 0, uniform: int = 0) -> None:
        """Of each one, or of all of them."""
        self._sizes, self._uniform = sizes, uniform
        self._ends = [0, *accumulate(sizes)]
        self.count = count or len(sizes)

    def __getitem__(self, number: int) -> int:
        return self._uniform or self._sizes[number]

    def between(self, first: int, end: int) -> int:
        """Bytes from one sample to before another."""
        return self._uniform * (end - first) or self._ends[end] - self._ends[first]

    def pick(self, position: int, first: int, end: int, step: int) -> Iterator[Sample]:
        """Every so many-th sample of a row of them that begins at a position."""
        for number in range(first + -first % step, end, step):
            yield position + self.between(first, number), self[number]


def _read_table(file: BinaryIO, table: dict[bytes, Box], room: _Room, found: list[Sample]) -> int:
    """Check where the tables of a track say that samples are, and add some of them to `found`. Gives how many there are."""
    sizes = _read_sizes(file, table)
    chunks = _read_chunks(file, table)
    runs = _numbers(read_content(file, table[b"stsc"], 8), 4, 12, "stsc")
    counts = _samples_of_chunks(runs, len(chunks))
    if sum(counts) != sizes.count:
        raise NotMedia(f"its tables tell of {sum(counts)} samples in chunks, and of {sizes.count} with sizes")
    number, step = 0, 1 + sizes.count // MOST_LOOKED_AT
    for position, count in zip(chunks, counts, strict=True):
        room.take(position, sizes.between(number, number + count))
        found += sizes.pick(position, number, number + count, step)
        number += count
    return number


def _samples_of_chunks(runs: Sequence[int], chunks: int) -> list[int]:
    """How many samples each chunk has. :param runs: from `stsc`: first chunk, from 1, samples in each, description; again …"""
    firsts, each = [*runs[0::3], chunks + 1], runs[1::3]
    if (chunks and firsts[0] != 1) or any(one > next_ for one, next_ in pairwise(firsts)):
        raise NotMedia("box 'stsc' is malformed")
    counts: list[int] = []
    for (first, next_), count in zip(pairwise(firsts), each, strict=True):
        counts += [count] * (next_ - first)
    return counts


def _read_sizes(file: BinaryIO, table: dict[bytes, Box]) -> _Sizes:
    box = table.get(b"stsz") or table.get(b"stz2")
    if box is None:
        raise NotMedia("box 'stbl' has no box 'stsz'")
    content = read_content(file, box, 12)
    uniform, count = int.from_bytes(content[4:8]), int.from_bytes(content[8:12])
    if box.kind == b"stsz":
        return _Sizes((), count=count, uniform=uniform) if uniform else _Sizes(_numbers(content, 8, 4, "stsz"))
    bits = uniform & 0xFF
    if bits not in (4, 8, 16) or (count * bits + 7) // 8 > len(content) - 12:
        raise NotMedia(f"{box.name} is malformed")
    if bits == 4:
        return _Sizes([half for byte in content[12:] for half in (byte >> 4, byte & 15)][:count])
    step = bits // 8
    return _Sizes([int.from_bytes(content[at : at + step]) for at in range(12, 12 + count * step, step)])


def _read_chunks(file: BinaryIO, table: dict[bytes, Box]) -> Sequence[int]:
    """Where each chunk of a track is in the file."""
    box = table.get(b"stco") or table.get(b"co64")
    if box is None:
        raise NotMedia("box 'stbl' has no box 'stco'")
    content = read_content(file, box, 8)
    return _numbers(content, 4, 4, "stco") if box.kind == b"stco" else _numbers(content, 4, 8, "co64", "Q")


def _numbers(content: bytes, at: int, row: int, name: str, form: str = "I") -> Sequence[int]:
    """The numbers of a table whose count of rows stands at a byte, with the rows behind.

    :param row: bytes of a row
    :param form: of a number: `I` for 32 bits, `Q` for 64
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
    file: BinaryIO, moof: Box, default_sizes: dict[int, int], room: _Room
) -> Iterator[tuple[int, int, list[Sample]]]:
    """Check where a fragment says that samples are. Gives for each run the track's number, how many, and some of them."""
    end = moof.head
    for box in read_boxes(file, moof.start, moof.end, moof.name):
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
            room.take(position, end - position)
            step = 1 + sizes.count // MOST_LOOKED_AT
            yield number, sizes.count, list(sizes.pick(position, 0, sizes.count, step))


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


def _unit_length(file: BinaryIO, track: Track) -> int:
    """Bytes of the length before each unit of a track's samples; 0: it has no units that we know."""
    box = track.table[b"stsd"]
    content = read_content(file, box, 8)
    count = int.from_bytes(content[4:8])
    entry = next(read_boxes(file, box.start + 8, box.end, box.name), None) if count else None
    if entry is None:
        raise NotMedia("box 'stsd' is empty")
    if track.handler != b"vide" or entry.kind not in _SETTINGS:
        return 0
    kind, at = _SETTINGS[entry.kind]
    settings = _find_settings(file, entry, kind)
    # Samples of several codings may be mixed: which is which is not followed.
    return (read_content(file, settings, at + 1)[at] & 3) + 1 if count == 1 else 0


def _find_settings(file: BinaryIO, entry: Box, kind: bytes) -> Box:
    position = entry.start + _ENTRY
    while entry.end - position >= 8:  # QuickTime writers may leave four zero bytes at the end
        box = next(read_boxes(file, position, entry.end, entry.name))
        if box.kind == kind:
            return box
        position = box.end
    raise NotMedia(f"{entry.name} has no box '{kind.decode()}'")


def _walk_units(file: BinaryIO, position: int, size: int, length: int) -> None:
    """Go from unit to unit. :param length: bytes of the length before each :raises NotMedia: they do not fill the sample"""
    at, end, filled = position, position + size, size == 0
    for _ in repeat(None, MOST_UNITS):
        if at + length > end:
            break
        unit = int.from_bytes(read_part(file, at, length, "a sample"))
        filled = filled or unit > 0
        at += length + unit
    else:
        at = end  # enough seen
    if at != end or not filled:
        raise NotMedia(f"the sample at byte {position} is damaged: its units do not fill it")
