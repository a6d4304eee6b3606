"""Pieces of large files that are under way, as small objects of their own: see `docs/decisions/0009-resumed-transfers.md`."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count, takewhile
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from app.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: hex digits of a piece's SHA-256 in its key
DIGITS = 32


class BucketParts:
    """The pieces of one rendition: `<folder><version>/<number>-<hash>`. The key vouches for the bytes, whoever wrote them."""

    def __init__(self, client: "Callable[[], S3Client]", bucket: str, folder: str) -> None:
        """Connects to nothing. :param folder: what the keys begin with, with a slash at the end"""
        self._client, self._bucket, self._folder = client, bucket, folder
        #: whether there may be pieces, as far as is known
        self.used = False

    def find(self, version: str) -> Sequence[str]:
        """The keys of the pieces of a version, from the first to before the first that is missing."""
        found: dict[int, str] = {}
        with self._faults("list"):
            for page in (
                self._client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self._bucket, Prefix=f"{self._folder}{version}/")
            ):
                for entry in page.get("Contents", ()):
                    number = entry["Key"].rpartition("/")[2].partition("-")[0]
                    if number.isdecimal():
                        found[int(number)] = entry["Key"]
        self.used = self.used or bool(found)
        return [found[number] for number in takewhile(found.__contains__, count())]

    def read(self, name: str) -> bytes:
        """A piece that was found. :raises StoreUnavailable: it is gone, or is not what its key says"""
        with self._faults("read"), closing(self._client().get_object(Bucket=self._bucket, Key=name)["Body"]) as body:
            piece = body.read()
        if _digest(piece) != name.rpartition("-")[2]:
            raise StoreUnavailable(f"bucket {self._bucket}, {name}: damaged")
        return piece

    def keep(self, version: str, number: int, piece: bytes) -> None:
        """Keep a piece, by its number from 0."""
        self.used = True
        key = f"{self._folder}{version}/{number:06}-{_digest(piece)}"
        with self._faults("store"):
            self._client().put_object(Bucket=self._bucket, Key=key, Body=piece, ContentLength=len(piece))

    def discard(self) -> None:
        """Delete all pieces, of every version."""
        client = self._client()
        with self._faults("delete"):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._folder):
                for entry in page.get("Contents", ()):
                    client.delete_object(Bucket=self._bucket, Key=entry["Key"])
        self.used = False

    @contextmanager
    def _faults(self, action: str) -> Iterator[None]:
        with store_faults(self._bucket, self._folder, action):
            yield


def list_folders(client: "S3Client", bucket: str, prefix: str) -> list[str]:
    """The folders two levels below a prefix: of each rendition that has pieces. :raises StoreUnavailable:"""
    found = set()
    with store_faults(bucket, prefix, "list"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                found.add("/".join(entry["Key"].removeprefix(prefix).split("/")[:2]))
    return sorted(found)


@contextmanager
def store_faults(bucket: str, key: str, action: str) -> Iterator[None]:
    """Turn what boto3 raises into our error."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise StoreUnavailable(f"bucket {bucket}, {key}: cannot {action}: {code}") from error
    except (BotoCoreError, OSError, ValueError) as error:
        raise StoreUnavailable(f"bucket {bucket}, {key}: cannot {action}: {type(error).__name__}") from error


def _digest(piece: bytes) -> str:
    return hashlib.sha256(piece).hexdigest()[:DIGITS]
