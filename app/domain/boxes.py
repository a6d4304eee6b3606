"""Boxes, of which MP4 and QuickTime files are made (ISO/IEC 14496-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from app.domain.media import NotMedia, Source

#: bytes of a file's tables and headers; an hour of video has some 5 MB
MOST_TABLES = 16 * 1024 * 1024
#: boxes that say nothing
FILLERS = {b"free", b"skip", b"wide"}
#: boxes that may say "to the end of the file" in place of a length
ENDLESS = FILLERS | {b"mdat", b"moov", b"moof", b"mfra", b"meta", b"uuid"}


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a file."""

    kind: bytes
    #: where its header starts, its content starts, and it ends in the file
    head: int
    start: int
    end: int

    @property
    def name(self) -> str:
        return f"box '{self.kind.decode('latin-1')}'" if self.kind.isalnum() else f"box {self.kind.hex()}"

    @property
    def length(self) -> int:
        """Bytes of content."""
        return self.end - self.start


def read_boxes(file: Source, start: int, end: int, inside: str, *, top: bool = False) -> Iterator[Box]:
    """Walk the boxes that fill a part of the file to its very end. :raises NotMedia: they do not

    Zeros may fill what is left: any number of them behind the outermost boxes, less than a header's inside of a box.
    """
    while start < end:
        head = file.read(start, min(end - start, 8), inside)
        if not any(head) and (len(head) < 8 or top) and file.is_zero(start, end):
            return
        if len(head) < 8:
            raise NotMedia(f"ends inside a box header, {end - start} bytes before the end of {inside}")
        length, kind = struct.unpack(">I4s", head)
        header = 8
        if length == 1 and end - start >= 16:
            header, length = 16, int.from_bytes(file.read(start + 8, 8, inside))
        elif length == 0 and top and kind in ENDLESS:
            length = end - start
        box = Box(kind, start, start + header, start + length)
        if length < header:
            raise NotMedia(f"{box.name} in {inside} claims a length of {length} bytes")
        if box.end > end:
            raise NotMedia(f"ends inside {box.name}: {end - start} of its {length} bytes are there")
        if not all(0x20 <= letter < 0x7F for letter in kind):
            raise NotMedia(f"{box.name} in {inside} is no box")
        yield box
        start = box.end


def read_children(file: Source, box: Box | None) -> dict[bytes, Box]:
    """What is inside a box, by kind. Only one of a kind counts: else boxes in boxes in boxes could keep us busy."""
    return {} if box is None else {child.kind: child for child in read_boxes(file, box.start, box.end, box.name)}


def read_content(file: Source, box: Box, least: int = 0) -> bytes:
    """The content of a box. :param least: bytes that it must have :raises NotMedia: it has less, or all together far too much"""
    file.tables += box.length
    if box.length < least or file.tables > MOST_TABLES:
        raise NotMedia(f"{box.name} is malformed: it has {box.length} bytes")
    return file.read(box.start, box.length, box.name)
