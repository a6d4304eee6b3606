"""What a file really is, read from its own structure: video (MP4, QuickTime) or picture (JPEG, PNG, WebP).

A file counts only if it is whole: its outermost structure must be there to its end, and what points into it must point
inside. What is looked at, and what cannot be seen this way, is listed in `docs/decisions/0003-downloads.md`.
"""

import re
from typing import BinaryIO

from app.domain.media import Media, NotMedia, Source
from app.domain.mp4 import read_video
from app.domain.pictures import read_picture

__all__ = ["Media", "NotMedia", "inspect"]

_TEXTS = {
    "an HTML page": re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body)", re.IGNORECASE | re.DOTALL),
    "an XML document": re.compile(rb"\s*<[?a-z]", re.IGNORECASE),
    "JSON": re.compile(rb"\s*[{\[]\s*[\"{\[\]}]"),
}


def inspect(file: BinaryIO, size: int, *, picture: bool = False) -> Media:
    """Check that a file is a whole video, or a whole picture, and say which.

    :param file: open for reading; left at position 0
    :param size: its length in bytes
    :raises NotMedia: anything is wrong with it; the message names what
    """
    try:
        if size == 0:
            raise NotMedia("empty")
        source = Source(file, size)
        _refuse_text(source.read(0, min(size, 512), "the file"), "a picture" if picture else "a video")
        return read_picture(source) if picture else read_video(source)
    finally:
        file.seek(0)


def _refuse_text(start: bytes, wanted: str) -> None:
    for name, pattern in _TEXTS.items():
        if pattern.match(start):
            raise NotMedia(f"{name}, not {wanted}")
