"""Going on where a transfer broke (RFC 9110 §13.1.5, §14): which files can be recognised, and which answers continue one."""

import hashlib
import io
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import BinaryIO, cast

from app.adapters.hashes import Hashes
from app.domain.errors import FetchFailed

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


class Body:
    """A file that arrives: what of it is there, and which file it is."""

    def __init__(self, folder: str | None, in_memory: int, *, with_md5: bool) -> None:
        """Nothing yet.

        :param folder: of the temporary file; None: the system's
        :param in_memory: a file that is known to have no more bytes than this is kept in memory
        :param with_md5: make its MD5 too
        """
        self._folder, self._in_memory, self._with_md5 = folder, in_memory, with_md5
        self.file: BinaryIO = io.BytesIO()
        #: bytes that have come
        self.size = 0
        #: bytes that there will be, if known
        self.total: int | None = None
        #: recognises the file when it is asked for again; empty: nothing does
        self.validator = ""
        self.hashes = Hashes(with_md5=with_md5, beside=False)

    @property
    def is_small(self) -> bool:
        """Whether it is kept in memory."""
        return isinstance(self.file, io.BytesIO)

    def begin(self, validator: str, total: int | None) -> None:
        """Take in a file from its first byte. :raises FetchFailed: there can be no temporary file"""
        self.size, self.total, self.validator = 0, total, validator
        is_small = total is not None and total <= self._in_memory
        try:
            file = io.BytesIO() if is_small else self._new_file()
        except OSError as error:
            raise FetchFailed(f"no temporary file: {error.strerror}") from error
        self.close()
        self.file, self.hashes = file, Hashes(with_md5=self._with_md5, beside=not is_small)

    def _new_file(self) -> BinaryIO:
        # Without a name in its folder, so that a killed process leaves nothing behind.
        return cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))

    def close(self) -> None:
        """Give up what has come."""
        self.hashes.close()
        with suppress(OSError):  # on a full disk the last flush fails again
            self.file.close()

    def append(self, chunk: bytes) -> None:
        """Take in what comes next."""
        self.file.write(chunk)
        self.hashes.update(chunk)
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
