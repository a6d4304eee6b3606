import io
import random
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from app.domain.container import Media, NotMedia, inspect
from app.domain.media import CHUNK
from tests.support.films import (
    AT,
    DATA,
    SIGNATURE,
    box,
    chunk,
    endless_box,
    ftyp,
    large_box,
    movie,
    png,
    riff_chunk,
    sample_entry,
    tables,
    times,
    track,
    vp8,
    vp8l,
    vp8x,
    webp,
    with_tracks,
)

MEDIA = Path(__file__).parents[2] / "media"
SAMPLES = Path(__file__).parents[3] / "app" / "simulator" / "media"
VIDEO = (MEDIA / "result-720p.mp4").read_bytes()
PORTRAIT = (MEDIA / "origin-720p-portrait.mp4").read_bytes()
JPEG = (MEDIA / "preview.jpg").read_bytes()


def look(data: bytes, *, picture: bool = False) -> Media:
    return inspect(io.BytesIO(data), len(data), picture=picture)


PNG = png(3, 2)
IHDR = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0))
IDAT = chunk(b"IDAT", zlib.compress(bytes(2 * (1 + 3 * 3))))
WEBPS = {
    "extended": webp(vp8x(640, 360), vp8(640, 360)),
    "lossless": webp(vp8l(640, 360)),
    "lossy": webp(vp8(640, 360)),
}


def test_a_video_tells_its_kind_size_and_length() -> None:
    assert Media("video/mp4", "mp4", 1280, 720, 2.0, audio=True) == look(VIDEO)


def test_a_portrait_video_is_higher_than_wide() -> None:
    media = look(PORTRAIT)
    assert (media.width, media.height) == (720, 1280)


def test_the_quicktime_brand_makes_a_mov() -> None:
    sound = track(b"soun", stbl=tables(88))
    data = ftyp(b"qt  ") + DATA + movie(track(b"vide", 64, 32), sound)
    assert Media("video/quicktime", "mov", 64, 32, 8.0, audio=True) == look(data)


@pytest.mark.parametrize("version", [0, 1])
def test_both_versions_of_the_headers_are_read(version: int) -> None:
    data = ftyp() + DATA + movie(track(b"vide", 1920, 1080, version=version), version=version)
    assert Media("video/mp4", "mp4", 1920, 1080, 8.0, audio=False) == look(data)


def test_the_size_is_the_video_tracks_whatever_the_order_of_tracks() -> None:
    media = look(with_tracks(track(b"soun"), track(b"vide", 64, 32)))
    assert (media.width, media.height) == (64, 32)


def test_a_box_may_have_a_64_bit_length() -> None:
    assert (
        look(ftyp() + large_box(b"mdat", b"x" * 9) + movie(track(b"vide", 4, 4, stbl=tables(9, at=32)))).seconds == 8.0
    )


def test_the_last_box_may_reach_to_the_end_of_the_file() -> None:
    head = ftyp() + movie(track(b"vide", 4, 4, stbl=tables(9, at=1000)))
    filler = box(b"free", bytes(1000 - 16 - len(head)))
    assert look(head + filler + endless_box(b"mdat", b"x" * 9)).seconds == 8.0


@pytest.mark.parametrize("name", ["result-720p.mp4", "origin-720p-portrait.mp4", "upgrade-1080p.mp4", "upgrade-4k.mp4"])
def test_the_sample_videos_have_sound(name: str) -> None:
    assert look((SAMPLES / name).read_bytes()).audio is True


PICTURES = track(b"vide", 64, 32)


@pytest.mark.parametrize(
    ("tracks", "audio"),
    [
        ([PICTURES], False),
        ([track(b"vide", 64, 32, mdhd=times(b"mdhd", 1000, 8000), stbl=tables(99))], False),
        ([PICTURES, track(b"soun")], False),
        ([PICTURES, track(b"soun", mdhd=times(b"mdhd", 44100, 0))], False),
        ([PICTURES, track(b"soun", mdhd=times(b"mdhd", 44100, 0xFFFFFFFF))], False),
        ([PICTURES, track(b"text", mdhd=times(b"mdhd", 1000, 8000), stbl=tables(9))], False),
        ([PICTURES, track(b"soun", mdhd=times(b"mdhd", 44100, 89224))], True),
        ([PICTURES, track(b"soun", mdhd=times(b"mdhd", 44100, 89224, version=1))], True),
        ([PICTURES, track(b"soun", mdhd=times(b"mdhd", 44100, 0), stbl=tables(88))], True),
        ([PICTURES, track(b"soun", stbl=tables(256, kind=b"stz2"))], True),
        ([track(b"soun", stbl=tables(88)), PICTURES], True),
        ([PICTURES, track(b"soun"), track(b"soun", stbl=tables(88))], True),
        ([PICTURES, track(b"soun", stbl=tables(88)), track(b"soun")], True),
        ([PICTURES, box(b"mvex"), track(b"soun", mdhd=times(b"mdhd", 44100, 0))], None),
        ([PICTURES, box(b"mvex"), track(b"soun", mdhd=times(b"mdhd", 44100, 89224))], True),
        ([PICTURES, box(b"mvex")], False),
    ],
    ids=[
        "pictures only",
        "a filled video track",
        "a bare sound track",
        "no samples",
        "unknown duration, no samples",
        "subtitles",
        "a duration",
        "a 64-bit duration",
        "samples",
        "compact samples",
        "sound before pictures",
        "the second sound track filled",
        "the first sound track filled",
        "fragmented: unsaid",
        "fragmented with a duration",
        "fragmented pictures only",
    ],
)
def test_sound_is_a_sound_track_with_something_in_it(tracks: list[bytes], audio: bool | None) -> None:
    assert look(with_tracks(*tracks)).audio is audio


AVC = sample_entry(b"avc1", box(b"avcC", b"\x01\x64\x00\x1f\xff"))
ONE, MINUS, W = 0x10000, -0x10000, 0x40000000


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("matrix", "size"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, W), (1920, 1080)),
        ((MINUS, 0, 0, 0, MINUS, 0, 1920 << 16, 1080 << 16, W), (1920, 1080)),
        ((0, ONE, 0, MINUS, 0, 0, 1080 << 16, 0, W), (1080, 1920)),
        ((0, MINUS, 0, ONE, 0, 0, 0, 1920 << 16, W), (1080, 1920)),
        ((0,) * 9, (1920, 1080)),
    ],
    ids=["upright", "half turn", "quarter turn", "quarter turn back", "no matrix"],
)
def test_a_video_that_its_player_turns_has_the_size_that_is_shown(
    version: int, matrix: tuple[int, ...], size: tuple[int, int]
) -> None:
    media = look(with_tracks(track(b"vide", 1920, 1080, version=version, matrix=matrix)))
    assert (media.width, media.height) == size


def units(length: int, *sizes: int) -> bytes:
    """A sample of units, with so many bytes of length before each."""
    return b"".join(size.to_bytes(length) + b"u" * size for size in sizes)


def coded(coding: bytes, length: int, sample: bytes, *, behind: bytes = b"") -> bytes:
    """A film of one sample. :param behind: what follows in the description of its coding"""
    last = bytes([0xFC | length - 1])
    settings = box(b"hvcC", bytes(21), last, b"\0") if coding in (b"hvc1", b"hev1") else box(b"avcC", bytes(4), last)
    entry = sample_entry(coding, settings + behind)
    return ftyp() + box(b"mdat", sample) + movie(track(b"vide", 4, 4, stbl=tables(1, size=len(sample), entry=entry)))


@pytest.mark.parametrize("coding", [b"avc1", b"avc3", b"hvc1", b"hev1"])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_units_with_lengths_of_any_size_fill_their_sample(coding: bytes, length: int) -> None:
    assert look(coded(coding, length, units(length, 5, 200, 1))).width == 4
    for damaged in (units(length, 5, 200, 1)[:-1], units(length, 5)[:-2] + b"uuuu", bytes(100)):
        with pytest.raises(NotMedia, match="its units do not fill it"):
            look(coded(coding, length, damaged))


@pytest.mark.parametrize("behind", [bytes(4), box(b"btrt", bytes(12)), box(b"pasp", bytes(8)) + bytes(4)])
def test_zeros_at_the_end_of_a_description_are_no_damage(behind: bytes) -> None:
    assert look(coded(b"avc1", 4, units(4, 9), behind=behind)).width == 4


def test_a_unit_of_nothing_is_no_damage_beside_others() -> None:
    assert look(coded(b"avc1", 4, units(4, 0, 9, 0))).width == 4


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_zeros_may_fill_a_sample_where_no_length_has_room(zeros: int) -> None:
    assert look(coded(b"avc1", 4, units(4, 9, 5) + bytes(zeros))).width == 4
    with pytest.raises(NotMedia, match="its units do not fill it"):
        look(coded(b"avc1", 4, units(4, 9, 5) + bytes(zeros - 1) + b"u"))


def test_a_hole_in_a_sample_is_damage() -> None:
    with pytest.raises(NotMedia, match="its units do not fill it"):
        look(coded(b"avc1", 4, units(4, 9) + bytes(400)))


def test_zeros_in_place_of_the_last_sound_are_damage() -> None:
    sound = track(b"soun", stbl=tables(4, size=100, entry=sample_entry(b"mp4a")))
    assert look(with_tracks(PICTURES, sound)).audio
    with pytest.raises(NotMedia, match="at byte 324 is damaged: zeros in place of sound"):
        look(ftyp() + box(b"mdat", b"x" * 300 + bytes(100)) + movie(PICTURES, sound))


# What some writers leave behind or leave out, and every player passes over.


@pytest.mark.parametrize("length", [1, 3, 4, 7, 8, 9, 512, 300_000])
def test_zeros_may_follow_the_last_box(length: int) -> None:
    assert look(with_tracks(PICTURES) + bytes(length)).width == 64


def test_the_first_movie_counts() -> None:
    assert (
        look(with_tracks(PICTURES) + ftyp() + DATA + movie(track(b"vide", 4, 4, stbl=tables(9, at=10**6)))).width == 64
    )


@pytest.mark.parametrize("handler", [b"meta", b"text", b"tmcd"])
def test_tracks_of_other_things_are_not_judged(handler: bytes) -> None:
    for stbl in (box(b"stbl"), tables(9, at=10**6)):
        assert look(with_tracks(PICTURES, track(handler, stbl=stbl))).audio is False


EMPTY = (box(b"stts", bytes(8)), box(b"stsc", bytes(8)), box(b"stsz", bytes(12)))


@pytest.mark.parametrize("stsd", [box(b"stsd", bytes(8)), sample_entry(b"mp4a")], ids=["no coding", "AAC"])
@pytest.mark.parametrize("stco", [b"", box(b"stco", bytes(8))], ids=["no chunks", "none of them"])
def test_a_sound_track_may_be_empty(stsd: bytes, stco: bytes) -> None:
    silent = track(b"soun", stbl=box(b"stbl", stsd, *EMPTY, stco))
    assert look(with_tracks(PICTURES, silent)).audio is False


def of_chunks(samples: int, each: int, chunks: int = 1, times: int | None = None) -> bytes:
    """A film whose chunks claim so many samples each. :param times: how many samples the times are told of"""
    stbl = box(
        b"stbl",
        sample_entry(),
        box(b"stts", struct.pack(">4I", 0, 1, samples if times is None else times, 1)),
        box(b"stsc", struct.pack(">5I", 0, 1, 1, each, 1)),
        box(b"stsz", struct.pack(">3I", 0, 1, samples)),
        box(b"stco", struct.pack(f">{2 + chunks}I", 0, chunks, *[AT] * chunks)),
    )
    return with_tracks(track(b"vide", 4, 4, stbl=stbl))


@pytest.mark.parametrize(("samples", "each", "chunks"), [(7, 7, 1), (7, 10, 1), (7, 4, 2), (7, 6, 2), (9, 4, 3)])
def test_the_last_chunk_may_claim_more_samples_than_there_are(samples: int, each: int, chunks: int) -> None:
    assert look(of_chunks(samples, each, chunks)).width == 4


@pytest.mark.parametrize(
    ("samples", "each", "chunks", "times"), [(7, 6, 1, 7), (7, 7, 2, 7), (7, 4, 3, 7), (7, 10, 1, 10), (0, 1, 1, 0)]
)
def test_chunks_that_do_not_agree_with_the_sizes_are_damage(samples: int, each: int, chunks: int, times: int) -> None:
    with pytest.raises(NotMedia, match="its tables tell of"):
        look(of_chunks(samples, each, chunks, times))


NUMBER = 10**6


def in_fragments(*pieces: bytes) -> bytes:
    """A film whose samples come behind its movie."""
    return ftyp() + movie(track(b"vide", 64, 32, stbl=tables(0), number=NUMBER), box(b"mvex")) + b"".join(pieces)


def piece(sequence: int, *, size: int = 10, data: bytes = b"x" * 100) -> bytes:
    """A fragment of ten samples and its data."""
    header = box(b"tfhd", struct.pack(">3I", 0x20010, NUMBER, size))

    def moof(offset: int) -> bytes:
        run = box(b"trun", struct.pack(">3I", 1, 10, offset))
        return box(b"moof", box(b"mfhd", struct.pack(">II", 0, sequence)), box(b"traf", header, run))

    return moof(len(moof(0)) + 8) + box(b"mdat", data)


def test_a_film_in_fragments_may_have_other_data() -> None:
    assert look(in_fragments(piece(1), piece(2))).width == 64
    assert look(in_fragments(DATA, piece(1), DATA, piece(2), DATA)).width == 64


@pytest.mark.parametrize("pieces", [(DATA, piece(2)), (piece(1), DATA, piece(3)), (piece(1), DATA, piece(1))])
def test_data_beside_a_gap_in_the_fragments_is_damage(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(NotMedia, match="nothing tells of the data in box 'mdat'"):
        look(in_fragments(*pieces))


def test_a_fragment_of_another_name_is_damage() -> None:
    with pytest.raises(NotMedia, match="box 'noof' is a damaged 'moof'"):
        look(in_fragments(piece(1), piece(2).replace(b"moof", b"noof")))


@pytest.mark.parametrize("size", [0, 8, 512])
def test_zeros_may_follow_the_last_fragment(size: int) -> None:
    assert look(in_fragments(piece(1), piece(2)) + bytes(size)).width == 64


@pytest.mark.parametrize("end", [piece(2) + bytes(3), piece(2, data=b"x" * 99 + b"\0") + bytes(8)])
def test_zeros_that_may_be_a_lost_fragment_are_damage(end: bytes) -> None:
    with pytest.raises(NotMedia, match="zeros in place of fragments"):
        look(in_fragments(piece(1), end))


def test_a_fragment_that_does_not_say_how_large_its_samples_are_is_damage() -> None:
    with pytest.raises(NotMedia, match="'traf' does not say how large its samples are"):
        look(in_fragments(piece(1), piece(2, size=0)))


class Counting(io.BytesIO):
    """Tells how often it was read from."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize("each", [1, 7, 70_000])
def test_a_film_of_many_samples_takes_few_reads_that_are_spread_evenly(each: int) -> None:
    sample, many = units(4, 9, 9, 9), 70_000
    places = range(AT, AT + len(sample) * many, len(sample) * each)
    stbl = box(
        b"stbl",
        AVC,
        box(b"stts", struct.pack(">4I", 0, 1, many, 1)),
        box(b"stsc", struct.pack(">5I", 0, 1, 1, each, 1)),
        box(b"stsz", struct.pack(">3I", 0, len(sample), many)),
        box(b"stco", struct.pack(f">{2 + len(places)}I", 0, len(places), *places)),
    )
    film = bytearray(ftyp() + box(b"mdat", sample * many) + movie(track(b"vide", 4, 4, stbl=stbl)))
    file = Counting(film)
    assert inspect(file, len(film)).width == 4
    assert 1_500 < file.reads < 5_000
    step = len(sample) * many // 100
    for at in range(AT, AT + 100 * step, 9 * step):
        damaged = film[:at] + bytes(step) + film[at + step :]
        with pytest.raises(NotMedia, match="its units do not fill it"):
            look(bytes(damaged))


def test_a_sample_of_many_units_takes_few_reads() -> None:
    file = Counting(coded(b"avc1", 1, b"\1u" * 10**6))
    assert inspect(file, len(file.getvalue())).width == 4
    assert file.reads < 101_000


def test_millions_of_samples_are_gone_through_in_little_time() -> None:
    many = 5_000_000
    stsz = box(b"stsz", struct.pack(">III", 0, 1, many))
    stbl = tables(1).replace(box(b"stsz", struct.pack(">III", 0, 1, 1)), stsz)
    stbl = stbl.replace(struct.pack(">IIII", 1, 1, 1, 1), struct.pack(">IIII", 1, 1, many, 1))
    started = time.monotonic()
    data = ftyp() + box(b"mdat", bytes(many)) + movie(track(b"vide", 4, 4), track(b"soun", stbl=stbl))
    assert look(data).audio is True
    with pytest.raises(NotMedia, match="outside the file's data"):
        look(with_tracks(track(b"vide", 4, 4), track(b"soun", stbl=stbl)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("duration", [0, 0xFFFFFFFF])
def test_a_video_may_leave_its_length_unsaid(duration: int) -> None:
    assert look(ftyp() + DATA + movie(duration=duration)).seconds is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><html></html>", "an HTML page, not a video"),
        (b"<!-- x --><HTML>", "an HTML page, not a video"),
        (b'<?xml version="1.0"?><Error/>', "an XML document, not a video"),
        (b'{"code": 404}', "JSON, not a video"),
        (VIDEO[:-1], "ends inside box 'mdat'"),
        (VIDEO[:20], "ends inside box 'ftyp'"),
        (VIDEO + b"abc", "ends inside a box header"),
        (JPEG, "ends inside box"),
        (movie() + ftyp() + DATA, "begins with box 'moov' in place of 'ftyp'"),
        (box(b"free"), "no box 'ftyp'"),
        (ftyp() + DATA, "no box 'moov'"),
        (ftyp() + movie(), "no content in box 'mdat'"),
        (ftyp() + movie() + box(b"mdat"), "no content in box 'mdat'"),
        (ftyp() + DATA + box(b"moov", track(b"vide", 1, 1)), "no box 'mvhd'"),
        (with_tracks(track(b"soun")), "no video track"),
        (with_tracks(track(b"vide", 0, 0)), "no picture size"),
        (ftyp() + movie() + struct.pack(">I4s", 7, b"mdat"), "claims a length of 7 bytes"),
        (ftyp() + box(b"moov", struct.pack(">I4s", 0, b"mvhd")) + DATA, "claims a length of 0 bytes"),
        (ftyp() + box(b"moov", box(b"mvhd", b"\x07" + bytes(99))) + DATA, "'mvhd' is malformed"),
        (ftyp() + box(b"moov", box(b"mvhd", bytes(5))) + DATA, "'mvhd' is malformed"),
        (with_tracks(track(b"vide", 1, 1), track(b"soun", mdhd=box(b"mdhd", bytes(5)))), "'mdhd' is malformed"),
        (ftyp() + box(b"moov", struct.pack(">I4s", 999, b"mvhd")) + DATA, "ends inside box 'mvhd'"),
        (with_tracks(track(b"vide", 1, 1, stbl=tables(401))), "bytes 24 to 425, which is outside the file's data"),
        (with_tracks(track(b"vide", 1, 1, stbl=tables(1, at=20))), "bytes 20 to 21, which is outside"),
        (with_tracks(track(b"vide", 1, 1, stbl=tables(0))), "the video track has no samples"),
        (with_tracks(track(b"vide", 1, 1, stbl=tables(1, entry=sample_entry(b"avc1")))), "'avc1' has no box 'avcC'"),
        (with_tracks(track(b"vide", 1, 1, stbl=tables(9, entry=AVC))), "at byte 24 is damaged: its units do not fill"),
        (with_tracks(track(b"vide", 1, 1, stbl=tables(1, entry=box(b"stsd", bytes(8))))), "box 'stsd' is empty"),
        (with_tracks(PICTURES, PICTURES), "two tracks of one number"),
        (with_tracks(PICTURES) + bytes(8) + DATA, "box 00000000 in the file claims a length of 0 bytes"),
        (ftyp() + DATA + box(b"moov", movie()[8:], bytes(8)), "box 00000000 in box 'moov' claims a length of 0 bytes"),
        (with_tracks(PICTURES) + struct.pack(">II", 8, 0), "box 00000000 in the file is no box"),
        (ftyp() + box(b"free") * 600_000, "made of too many parts"),
        (ftyp() + DATA + box(b"moov", box(b"free") * 600_000), "made of too many parts"),
        (
            with_tracks(track(b"vide", 1, 1, stbl=tables(1, entry=box(b"stsd", bytes(20_000_000))))),
            "'stsd' is malformed",
        ),
    ],
)
def test_what_is_no_whole_video_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(NotMedia, match=message):
        look(data)


def test_a_jpeg_tells_its_size() -> None:
    assert Media("image/jpeg", "jpg", 640, 360, None) == look(JPEG, picture=True)


@pytest.mark.parametrize("behind", [bytes(16), bytes(300_000), b"\n", b"\xff\xff", b"a trailer", JPEG, VIDEO])
def test_a_picture_ends_where_it_says_whatever_follows(behind: bytes) -> None:
    for picture in (JPEG, PNG, *WEBPS.values()):
        assert look(picture + behind, picture=True) == look(picture, picture=True)


@pytest.mark.parametrize("behind", [bytes(16), JPEG], ids=["padding", "a second picture"])
def test_what_follows_does_not_stand_in_for_the_end_of_a_picture(behind: bytes) -> None:
    for picture in (JPEG, PNG):
        for length in (1, 2, 5, len(picture) // 2):
            with pytest.raises(NotMedia):
                look(picture[:-length] + behind, picture=True)


@pytest.mark.parametrize("length", range(3))
def test_the_end_mark_of_a_jpeg_is_found_where_two_reads_meet(length: int) -> None:
    scan = JPEG.index(b"\xff\xda")
    begin = JPEG[: scan + 2 + int.from_bytes(JPEG[scan + 2 : scan + 4])]
    assert look(begin + b"x" * (CHUNK - length) + b"\xff\xd9", picture=True).width == 640


def test_a_png_tells_its_size() -> None:
    assert Media("image/png", "png", 3, 2, None) == look(PNG, picture=True)


@pytest.mark.parametrize("form", WEBPS)
def test_a_webp_tells_its_size(form: str) -> None:
    assert Media("image/webp", "webp", 640, 360, None) == look(WEBPS[form], picture=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"<html>", "an HTML page, not a picture"),
        (VIDEO, "no JPEG, PNG or WebP"),
        (JPEG[:-2], "no end mark"),
        (JPEG[:100], "ends inside"),
        (b"\xff\xd8\xff\xd9", "ends inside a JPEG segment"),
        (b"\xff\xd8ab", "no marker at byte 2"),
        (b"\xff\xd8\xff\xd8\x00\x04", "marker d8 at byte 2"),
        (b"\xff\xd8\xff\xda\x00\x02..\xff\xd9", "no frame header"),
        (b"\xff\xd8" + b"\xff" * 600_000, "made of too many parts"),
        (JPEG.replace(b"\xff\xdb", b"\xff\xe5"), "it has no tables"),
        (JPEG.replace(b"\xff\xc4", b"\xff\xe5"), "it has no tables"),
        (PNG[:-1], "ends inside PNG chunk b'IEND'"),
        (SIGNATURE + IHDR + IDAT, "ends inside a PNG chunk header"),
        (PNG[:45] + b"????" + PNG[49:], "chunk b'IDAT' is damaged"),
        (SIGNATURE + IDAT + chunk(b"IEND", b""), "chunk b'IDAT' at byte 8"),
        (SIGNATURE + chunk(b"IHDR", b"") + IDAT + chunk(b"IEND", b""), "it has no IHDR"),
        (SIGNATURE + IHDR + IDAT + chunk(b"teXt", b"") + IDAT + chunk(b"IEND", b""), "chunk b'IDAT' at byte"),
        (SIGNATURE + IHDR + chunk(b"IEND", b""), "it has no IDAT"),
        (SIGNATURE + IHDR + chunk(b"teXt", b"") * 300_000, "made of too many parts"),
        (WEBPS["lossy"][:-1], "ends inside a WebP"),
        (b"RIFF" + bytes(4) + WEBPS["lossy"][8:], "malformed WebP: it claims 8 bytes"),
        (webp(riff_chunk(b"ABCD", bytes(10))), "chunk b'ABCD' is no picture"),
        (webp(vp8(0, 0)), "no size"),
        (webp(riff_chunk(b"VP8 ", vp8(640, 360)[8:40])), "chunk b'VP8 ' is no picture"),
        (webp(vp8x(640, 360), riff_chunk(b"EXIF", b"x")), "it has no picture"),
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(NotMedia, match=message):
        look(data, picture=True)


@pytest.mark.parametrize("data", [VIDEO, b"<html>"])
def test_the_file_is_left_at_its_start(data: bytes) -> None:
    file = io.BytesIO(data)
    with suppress(NotMedia):
        inspect(file, len(data))
    assert file.tell() == 0


@pytest.mark.parametrize("data", [VIDEO, JPEG, PNG, *WEBPS.values()], ids=["mp4", "jpeg", "png", *WEBPS])
def test_no_cut_file_passes(data: bytes) -> None:
    picture = data is not VIDEO
    for length in {*range(0, len(data), 1 + len(data) // 500), len(data) - 1}:
        with pytest.raises(NotMedia):
            look(data[:length], picture=picture)


def test_damage_of_any_kind_ends_soon_and_in_no_other_error() -> None:
    chance = random.Random(20)
    sound = track(b"soun", mdhd=times(b"mdhd", 44100, 0), stbl=tables(9))
    seeds = [with_tracks(sound, track(b"vide", 4, 4)), JPEG[:2000], PNG]
    started = time.monotonic()
    for number in range(6000):
        data = bytearray(chance.choice([*seeds, *WEBPS.values()]))
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 8, 0x7F, 0xFF, chance.randrange(256)])
        with suppress(NotMedia):
            look(bytes(data), picture=number % 2 == 0)
    assert time.monotonic() - started < 30
