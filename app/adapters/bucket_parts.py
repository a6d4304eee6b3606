"""Pieces of large files that are under way, as small objects of their own: see `docs/decisions/0009-resumed-transfers.md`."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from itertools import count, takewhile
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from app.adapters.bucket_faults import store_faults
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
                _delete(client, self._bucket, [entry["Key"] for entry in page.get("Contents", ())])
        self.used = False

    def _faults(self, action: str) -> AbstractContextManager[None]:
        return store_faults(self._bucket, self._folder, action)


def list_folders(client: "S3Client", bucket: str, prefix: str) -> list[str]:
    """The folders two levels below a prefix: of each rendition that has pieces. :raises StoreUnavailable:"""
    found = set()
    with store_faults(bucket, prefix, "list"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                found.add("/".join(entry["Key"].removeprefix(prefix).split("/")[:2]))
    return sorted(found)


def _delete(client: "S3Client", bucket: str, keys: list[str]) -> None:
    """Delete a page of objects at once; one by one where the store has anything against that, and then it says what."""
    if not keys:
        return
    try:
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
        is_done = not answer.get("Errors")
    except ClientError:  # not every store knows it, or the checksum that boto3 sends with it
        is_done = False
    for key in () if is_done else keys:
        client.delete_object(Bucket=bucket, Key=key)


def _digest(piece: bytes) -> str:
    return hashlib.sha256(piece).hexdigest()[:DIGITS]
