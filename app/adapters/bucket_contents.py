"""What objects really hold: read back, hashed and looked into. Knows nothing of keys' meanings."""

import hashlib
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, cast

from app.domain.container import Media, NotMedia, inspect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: bytes read at once
CHUNK = 1024 * 1024


def hash_object(client: "S3Client", bucket: str, key: str, copy: BinaryIO | None = None) -> str:
    """The SHA-256 of an object's bytes, in hex. :param copy: where they are written to as well

    Raises what boto3 raises, also where less comes than the store has announced.
    """
    sha256 = hashlib.sha256()
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        for chunk in body.iter_chunks(CHUNK):
            sha256.update(chunk)
            if copy is not None:
                copy.write(chunk)
    return sha256.hexdigest()


def examine_object(client: "S3Client", bucket: str, key: str, *, picture: bool) -> tuple[str, Media | None]:
    """The SHA-256 of an object's bytes, in hex, and what they are; None: no whole video, or picture."""
    with cast(BinaryIO, tempfile.TemporaryFile()) as file:
        sha256 = hash_object(client, bucket, key, file)
        try:
            return sha256, inspect(file, file.tell(), picture=picture)
        except NotMedia:
            return sha256, None
