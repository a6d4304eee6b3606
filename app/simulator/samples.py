"""The sample videos and the picture, and sound variants of them made by changing a few bytes of their headers."""

from __future__ import annotations

import struct
from functools import cache
from importlib.resources import files
from typing import Literal

#: The shorter side of a video, in the vendor's words.
Size = Literal["720p", "1080p", "4k"]
_VIDEOS: dict[Size, str] = {"720p": "result-720p.mp4", "1080p": "upgrade-1080p.mp4", "4k": "upgrade-4k.mp4"}
_PORTRAIT = "origin-720p-portrait.mp4"
_PICTURE = "preview.jpg"


@cache
def picture() -> bytes:
    """The JPEG."""
    return _load(_PICTURE)


@cache
def video(size: Size, *, portrait: bool = False, silent: bool = False) -> bytes:
    """An MP4 of this size; `silent`: without a sound track."""
    if portrait and size == "720p":
        made = _load(_PORTRAIT)
    else:
        made = _turned(_load(_VIDEOS[size])) if portrait else _load(_VIDEOS[size])
    return _silenced(made) if silent else made


def marked(medium: bytes, name: str) -> bytes:
    """The medium, still sound, with `name` in it: an MP4 `free` box at the end or a JPEG comment."""
    mark = name.encode()
    if medium.startswith(b"\xff\xd8"):
        return medium[:2] + b"\xff\xfe" + struct.pack(">H", len(mark) + 2) + mark + medium[2:]
    return medium + struct.pack(">I4s", len(mark) + 8, b"free") + mark


@cache
def _load(name: str) -> bytes:
    return (files(__package__) / "media" / name).read_bytes()


def _turned(sample: bytes) -> bytes:
    """Shown upright: the first track, the picture, gets the matrix of a quarter turn (ISO/IEC 14496-12, tkhd version 0)."""
    at = sample.index(b"tkhd") + 44
    height = struct.unpack_from(">I", sample, at + 40)[0]
    return sample[:at] + struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, height, 0, 1 << 30) + sample[at + 36 :]


def _silenced(sample: bytes) -> bytes:
    """The box of the sound track becomes one that players skip; no other box moves."""
    at = sample.rindex(b"trak", 0, sample.index(b"soun"))
    return sample[:at] + b"free" + sample[at + 4 :]
