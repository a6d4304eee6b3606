"""MP4 and QuickTime: the boxes must fill the file to its very end, and the movie must be in there whole.

Reads headers and tables, skips what is between, and so takes little memory and time whatever the size.

Sources: ISO/IEC 14496-12 (boxes and tables).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.boxes import FILLERS, Box, read_boxes, read_children, read_content
from app.domain.media import Media, NotMedia, Source
from app.domain.samples import Track, check_samples

#: version 0, version 1: (timescale and duration) of mvhd and of mdhd
_TIMES = {0: struct.Struct(">12xII"), 1: struct.Struct(">20xIQ")}
#: durations that say nothing: a fragmented file's, and "unknown" in either version
_NO_DURATION = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
#: version 0, version 1: the first two numbers of tkhd's matrix, then width and height, each 16.16 fixed point
_TKHD = {0: struct.Struct(">40xii28xII"), 1: struct.Struct(">52xii28xII")}


@dataclass
class Movie:
    """What a movie box says."""

    seconds: float | None = None
    size: tuple[int, int] | None = None
    #: its samples may stand behind it, in fragments
    fragmented: bool = False
    #: for each sound track, whether there is anything in it
    sounds: list[bool] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    #: bytes of each sample of a track, where its fragments do not say
    default_sizes: dict[int, int] = field(default_factory=dict)


def read_video(file: Source) -> Media:
    """Check a video, and say what it is. :raises NotMedia:

    The first movie box counts, as for players: some tools leave an older one, or append a copy.
    """
    brand, moov, end = None, None, 0
    data: list[Box] = []
    fragments: list[Box] = []
    for box in read_boxes(file, 0, file.size, "the file", top=True):
        end = box.end
        if brand is None and box.kind not in FILLERS:
            if box.kind != b"ftyp" or box.length < 4:
                raise NotMedia(f"no MP4: it begins with {box.name} in place of 'ftyp'")
            brand = file.read(box.start, 4, box.name)
        elif box.kind == b"moov" and moov is None:
            moov = box
        elif box.kind == b"mdat" and box.length:
            data.append(box)
        elif box.kind == b"moof":
            fragments.append(box)
        elif box.kind not in FILLERS and box.length >= 8 and file.read(box.start + 4, 4, box.name) == b"mfhd":
            raise NotMedia(f"{box.name} is a damaged 'moof'")
    if fragments:
        _check_end(file, data, end)
    if brand is None or moov is None or not data:
        missing = "box 'ftyp'" if brand is None else "box 'moov'" if moov is None else "content in box 'mdat'"
        raise NotMedia(f"no MP4: it has no {missing}")
    movie = _read_movie(file, moov)
    if movie.size is None:
        raise NotMedia("no video track")
    check_samples(file, movie.tracks, movie.default_sizes, data, fragments)
    audio = any(movie.sounds)
    # A fragmented file's samples stand behind its moov.
    sound = None if movie.fragmented and movie.sounds and not audio else audio
    if brand == b"qt  ":
        return Media("video/quicktime", "mov", *movie.size, movie.seconds, sound)
    return Media("video/mp4", "mp4", *movie.size, movie.seconds, sound)


def _check_end(file: Source, data: Sequence[Box], end: int) -> None:
    """Zeros behind a film may stand for fragments that are lost. :param end: where the last box ends"""
    cut_header = 0 < file.size - end < 8
    zeroed = file.size > end and any(box.end == end and file.is_zero(end - 1, end) for box in data)
    if cut_header or zeroed:
        raise NotMedia(f"zeros in place of fragments at byte {end}")


def _read_movie(file: Source, moov: Box) -> Movie:
    movie, header_seen = Movie(), False
    for box in read_boxes(file, moov.start, moov.end, moov.name):
        if box.kind == b"mvhd":
            header_seen = True
            scale, duration = _versioned(file, box, _TIMES)
            if scale and duration not in _NO_DURATION:
                movie.seconds = round(duration / scale, 3)
        elif box.kind == b"mvex":
            movie.fragmented = True
            movie.default_sizes = _read_defaults(file, box)
        elif box.kind == b"trak":
            _read_track(file, box, movie)
    if not header_seen:
        raise NotMedia("box 'moov' has no box 'mvhd'")
    return movie


def _read_track(file: Source, trak: Box, movie: Movie) -> None:
    media = _parts(file, _parts(file, trak, b"mdia")[b"mdia"], b"hdlr")
    handler = read_content(file, media[b"hdlr"], 12)[8:12]
    if handler not in (b"vide", b"soun"):
        return  # times, places, subtitles: no player needs them, and their writers leave out what they like
    track = _parts(file, trak, b"tkhd")
    media = _parts(file, track[b"mdia"], b"mdhd", b"minf")
    information = _parts(file, media[b"minf"], b"stbl")
    table = _parts(file, information[b"stbl"], b"stsd", b"stts", b"stsc")
    for optional in (track.get(b"edts"), information.get(b"dinf")):
        read_children(file, optional)  # of no use here, but whole
    if handler == b"vide" and movie.size is None:
        movie.size = _shown_size(file, track[b"tkhd"])
    header = read_content(file, track[b"tkhd"], 24)
    number = int.from_bytes(header[20:24] if header[0] == 1 else header[12:16])
    movie.tracks.append(Track(handler, number, table))
    if handler == b"soun":
        movie.sounds.append(_has_samples(file, media[b"mdhd"], table))


def _parts(file: Source, box: Box, *needed: bytes) -> dict[bytes, Box]:
    """The boxes in a box of a track, of which some may not be missing."""
    found = read_children(file, box)
    for kind in needed:
        if kind not in found:
            raise NotMedia(f"{box.name} has no box '{kind.decode()}'")
    return found


def _read_defaults(file: Source, mvex: Box) -> dict[int, int]:
    """Bytes of a sample by track, from the boxes `trex`."""
    found = [box for box in read_boxes(file, mvex.start, mvex.end, mvex.name) if box.kind == b"trex"]
    contents = [read_content(file, box, 24) for box in found]
    return {int.from_bytes(content[4:8]): int.from_bytes(content[16:20]) for content in contents}


def _shown_size(file: Source, tkhd: Box) -> tuple[int, int]:
    """Width and height of a video track, in pixels, after its matrix."""
    a, b, width, height = _versioned(file, tkhd, _TKHD)
    width, height = width >> 16, height >> 16
    if not width or not height:
        raise NotMedia("the video track has no picture size")
    # A matrix that begins with 0 and not with 0, 0 (which is none) makes rows of columns: a quarter turn.
    return (height, width) if a == 0 and b else (width, height)


def _has_samples(file: Source, mdhd: Box, table: dict[bytes, Box]) -> bool:
    """Whether there is anything in a track, by its duration or its table of sample sizes."""
    if _versioned(file, mdhd, _TIMES)[1] not in _NO_DURATION:
        return True
    sizes = table.get(b"stsz") or table.get(b"stz2")
    return sizes is not None and sizes.length >= 12 and file.read(sizes.start + 8, 4, sizes.name) != bytes(4)


def _versioned(file: Source, box: Box, layouts: dict[int, struct.Struct]) -> tuple[int, ...]:
    """Numbers of a full box, whose first byte, its version, says where they stand."""
    layout = layouts.get(file.read(box.start, 1, box.name)[0]) if box.length else None
    if layout is None or box.length < layout.size:
        raise NotMedia(f"{box.name} is malformed")
    return layout.unpack(file.read(box.start, layout.size, box.name))
