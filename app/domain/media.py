"""What a file says of itself, and what the walkers of its containers share."""

from dataclasses import dataclass
from typing import BinaryIO

from app.domain.errors import FetchFailed

#: bytes read at once where a file is read through
CHUNK = 256 * 1024
#: A file that takes more reads than this is none of ours, but millions of tiny parts meant to keep us busy: an hour of video
#: in fragments of a second takes less than 100,000. A read counts once more for each page of it.
MOST_READS = 500_000
PAGE = 4096


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


class Source:
    """A file that is looked into here and there, so often and no more."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        #: its length in bytes
        self.size = size
        self._reads = 0
        #: bytes of tables that have been read so far
        self.tables = 0

    def read(self, position: int, length: int, inside: str) -> bytes:
        """So many bytes from a position. :raises NotMedia: the file ends before, or has been read from too often"""
        self._reads += 1 + length // PAGE
        if self._reads > MOST_READS:
            raise NotMedia("made of too many parts")
        self._file.seek(position)
        data = self._file.read(length)
        if len(data) != length:
            raise NotMedia(f"ends inside {inside}")
        return data

    def is_zero(self, start: int, end: int) -> bool:
        """Whether there is nothing but zeros from one byte to before another."""
        lengths = {at: min(CHUNK, end - at) for at in range(start, end, CHUNK)}
        return all(self.read(at, length, "zeros") == bytes(length) for at, length in lengths.items())
