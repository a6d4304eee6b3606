"""What a file says of itself, and what the walkers of its containers share."""

import io
from dataclasses import dataclass
from typing import BinaryIO

from app.domain.errors import FetchFailed

#: bytes read at once where a file is read through
CHUNK = 256 * 1024


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


def read_part(file: BinaryIO, position: int, length: int, inside: str) -> bytes:
    """So many bytes from a position. :raises NotMedia: the file ends before"""
    file.seek(position, io.SEEK_SET)
    data = file.read(length)
    if len(data) != length:
        raise NotMedia(f"ends inside {inside}")
    return data
