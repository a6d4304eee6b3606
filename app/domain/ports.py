"""What the pipeline needs of the outside, as Protocols. Adapters implement them; tests may too."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from app.domain.container import Media
from app.domain.outbox import Event


@dataclass(frozen=True)
class Download:
    """A whole, checked file on local disk. It disappears when the context that gave it ends."""

    #: open for reading, at position 0
    file: BinaryIO
    #: length in bytes
    bytes: int
    #: lower-case hex SHA-256 of the content
    sha256: str
    #: what the container says it is
    media: Media
    #: the host it came from, without scheme, port or path
    host: str
    #: lower-case hex MD5 of the content, for stores whose word counts by that; empty where nobody has asked for it
    md5: str = ""


#: what a file is of which nothing could be read
UNKNOWN = Media("application/octet-stream", "", None, None, None)
#: is handed a file that was refused, and why; gives what the error is to say besides
Refused = Callable[[Download, str], str]


@dataclass(frozen=True)
class Stored:
    """A file of ours that was found in the bucket, whole."""

    #: length in bytes
    bytes: int
    #: lower-case hex SHA-256 of what the store has
    sha256: str
    media: Media


class Parts(Protocol):
    """Pieces of one rendition that is under way, kept where whoever goes on with it finds them. Any method may raise
    StoreUnavailable, which costs no more than fetching again."""

    #: whether there may be pieces, as far as is known
    used: bool

    def find(self, version: str) -> Sequence[str]:
        """The names of the pieces of a version, from the first on."""
        ...

    def read(self, name: str) -> bytes:
        """A piece, unchanged."""
        ...

    def keep(self, version: str, number: int, piece: bytes) -> None:
        """Keep a piece, by its number from 0."""
        ...

    def discard(self) -> None:
        """Delete all pieces, of every version."""
        ...


class Fetcher(Protocol):
    def fetch(
        self, url: str, *, picture: bool = False, parts: Parts | None = None, refused: Refused | None = None
    ) -> AbstractContextManager[Download]:
        """Fetch a URL whole, to memory or a temporary file, and check it.

        :param picture: a JPEG, PNG or WebP is wanted instead of a video.
        :param parts: where the pieces of a large file are kept meanwhile, and what is there already is taken from
        :param refused: is handed what came in the length that the server had named, and is no video or picture
        :raises FetchForbidden: the URL or an address behind it is not allowed, or the file is too large
        :raises LinkDead: the server answered 403, 404 or 410
        :raises FetchFailed: anything else: broken, short, slow, not a video; worth another try
        :raises Interrupted: the process is stopping
        """
        ...


class Bucket(Protocol):
    def put_file(self, key: str, download: Download, metadata: dict[str, str]) -> None:
        """Store a file under a key and have the store confirm its checksum.

        If it is there already, nothing is sent; what is there and damaged is replaced.

        :param metadata: with the SHA-256 under `sha256`, by which a damaged object is told from another one
        :raises StoreUnavailable: it is not certain that the whole file is there
        :raises StoreConflict: there is another sound file, which is left as it is
        """
        ...

    def find_file(self, key: str, task_id: str, *, picture: bool = False) -> Stored | None:
        """A file that was stored under a key for a generation, if it is there, whole and unchanged.

        :raises StoreUnavailable:
        """
        ...

    def parts(self, folder: str) -> Parts:
        """Where pieces of a rendition are kept. :param folder: what their keys begin with, with a slash at the end"""
        ...

    def list_parts(self, prefix: str) -> Sequence[str]:
        """The folders of all renditions that have pieces, `<task id>/<kind>-<index>`. :raises StoreUnavailable:"""
        ...

    def put_json(self, key: str, text: str) -> None:
        """Store a JSON document. :raises StoreUnavailable:"""
        ...

    def check(self) -> None:
        """Ask whether the bucket can be reached with our rights. :raises StoreUnavailable:"""
        ...


class Notifier(Protocol):
    def deliver(self, event: Event) -> None:
        """Bring an event to the user's receiver, within some seconds.

        :raises ReceiverGone: it wants no more
        :raises NotDelivered: it did not take it; worth another try
        """
        ...
