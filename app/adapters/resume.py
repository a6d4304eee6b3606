"""Going on where a transfer broke (RFC 9110 §13.1.5, §14): which files can be recognised, and which answers continue one."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import BinaryIO

#: seconds that must lie between a file's last change and the answer, for its time to tell two versions apart (RFC 9110 §8.8.2.2)
SETTLED = 60
_STRONG = re.compile(r'"[\x21\x23-\x7e]*"')
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def read_validator(headers: Mapping[str, str]) -> str:
    """What `If-Range` may be asked with: a strong ETag, else a last change that is long enough ago. Empty: nothing is."""
    if headers.get("Accept-Ranges", "").strip().lower() == "none":
        return ""
    tag, changed = headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip()
    if tag:
        return tag if _STRONG.fullmatch(tag) else ""
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(changed)
    except (TypeError, ValueError):  # none there, malformed, or one without a time zone
        return ""
    return changed if age.total_seconds() >= SETTLED else ""


@dataclass
class Body:
    """A file that arrives: what of it is there, and which file it is."""

    file: BinaryIO
    #: bytes that have come
    size: int = 0
    #: bytes that there will be, if known
    total: int | None = None
    #: recognises the file when it is asked for again; empty: nothing does
    validator: str = ""
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def begin(self, validator: str, total: int | None) -> None:
        """Take in a file from its first byte."""
        self.file.seek(0)
        self.file.truncate()
        self.size, self.total, self.validator = 0, total, validator
        self.sha256 = hashlib.sha256()

    def append(self, chunk: bytes) -> None:
        """Take in what comes next."""
        self.file.write(chunk)
        self.sha256.update(chunk)
        self.size += len(chunk)

    def version(self, piece: int) -> str:
        """A name for this very file, cut into pieces of so many bytes."""
        return hashlib.sha256(f"{self.validator}\n{self.total}\n{piece}".encode()).hexdigest()[:32]

    @property
    def wanted(self) -> dict[str, str]:
        """Headers that ask for the rest; of a file that cannot be recognised, or has not begun, for all of it."""
        if not self.size or not self.validator:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.validator}

    def is_continued_by(self, headers: Mapping[str, str]) -> bool:
        """Whether a partial answer brings the rest of the same file. Not every server that knows ranges heeds `If-Range`."""
        found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if found is None or read_validator(headers) != self.validator:
            return False
        first, last, total = map(int, found.groups())
        if first != self.size or last + 1 != total or self.total not in (None, total):
            return False
        self.total = total
        return True
