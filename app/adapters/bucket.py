"""The S3 bucket. With `bucket_probe` all that knows boto3; what AWS and others really confirm is in `_confirm`."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)

from app.domain.errors import StoreUnavailable
from app.domain.ports import Download

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: bytes read at once when an object is read back
CHUNK = 1024 * 1024
AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")
#: what to mend, by the code of an answer to `check`
REMEDIES = {
    "301": "it is in another region: set AWS_DEFAULT_REGION",
    "400": "the store refused the request: check AWS_DEFAULT_REGION and the keys",
    "403": "access refused: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and that they may list the bucket",
    "404": "there is no such bucket: make it, or mend REELKEEP_S3_BUCKET",
}


class S3Bucket:
    """A bucket, by boto3's own variables for credentials, region and endpoint. May be used from many threads."""

    def __init__(self, name: str, client: "S3Client | None" = None) -> None:
        """Connects to nothing.

        :param client: in place of one made from the environment on first use
        """
        self.name = name
        self._client = client
        #: for `check`, which must not hang: a worker that waits for it does nothing else
        self._checker = client
        self._lock = threading.Lock()

    @property
    def client(self) -> "S3Client":
        with self._lock:  # a session is not safe to share while it makes a client; the client is
            if self._client is None:
                self._client = make_client()
            return self._client

    def _quick_client(self) -> "S3Client":
        with self._lock:
            if self._checker is None:
                self._checker = make_client(connect=3, read=5, attempts=1)
            return self._checker

    def put_file(self, key: str, download: Download, metadata: dict[str, str]) -> None:
        """Store a file and have its checksum confirmed: see `app.domain.ports.Bucket`."""
        with self._faults("store", key):
            download.file.seek(0)
            self.client.put_object(
                Bucket=self.name,
                Key=key,
                Body=download.file,
                ContentLength=download.bytes,
                ContentType=download.media.content_type,
                ChecksumSHA256=_base64(download.sha256),
                Metadata=metadata,
            )
            self._confirm(key, download)

    def _confirm(self, key: str, download: Download) -> None:
        """Make sure that the store has what we sent.

        An ETag equal to the MD5 was computed by the store from what it has. Without one, a SHA-256 counts only from
        AWS with KMS or customer keys, which checks it on receipt and has no MD5 to give: other stores (rclone 1.75,
        measured) hand back whatever checksum they were sent. Anything else is read back and hashed.
        """
        head = self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        if head["ContentLength"] != download.bytes:
            raise self._unconfirmed(key, f"it has {head['ContentLength']} bytes where {download.bytes} were sent")
        if _etag(head["ETag"]) == download.md5:
            return
        no_md5 = head.get("ServerSideEncryption", "").startswith("aws:kms") or "SSECustomerAlgorithm" in head
        if no_md5 and head.get("ChecksumSHA256") == _base64(download.sha256):
            return
        if self._read_back(key) != download.sha256:
            raise self._unconfirmed(key, "what it has is not what was sent")

    def _read_back(self, key: str) -> str:
        sha256 = hashlib.sha256()
        with closing(self.client.get_object(Bucket=self.name, Key=key)["Body"]) as body:
            for chunk in body.iter_chunks(CHUNK):
                sha256.update(chunk)
        return sha256.hexdigest()

    def put_json(self, key: str, text: str) -> None:
        """Store a JSON document, and have it confirmed.

        :raises StoreUnavailable:
        """
        with self._faults("store", key):
            body = text.encode()
            answer = self.client.put_object(Bucket=self.name, Key=key, Body=body, ContentType="application/json")
            # The store's own MD5 saves the question; where it has none to give, the document is small enough to read back.
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            if _etag(answer.get("ETag", "")) != md5 and self._read_back(key) != hashlib.sha256(body).hexdigest():
                raise self._unconfirmed(key, "what it has is not what was sent")

    def get_json(self, key: str) -> str | None:
        """Read a JSON document; None if there is no such object.

        :raises StoreUnavailable: also where the keys may not list the bucket, since the store then hides what is missing
        """
        with self._faults("read", key):
            try:
                with closing(self.client.get_object(Bucket=self.name, Key=key)["Body"]) as body:
                    return body.read().decode()
            except self.client.exceptions.NoSuchKey:
                return None

    def has(self, key: str) -> bool:
        """Whether there is such an object.

        :raises StoreUnavailable:
        """
        with self._faults("look for", key):
            try:
                self.client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if _code(error) == "404":
                    return False
                raise
            return True

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix, in order, page by page.

        :raises StoreUnavailable:
        """
        with self._faults("list", prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def check(self) -> None:
        """Ask whether the bucket can be reached with our rights.

        :raises StoreUnavailable: the message says what to mend
        """
        try:
            self._quick_client().head_bucket(Bucket=self.name)
        except ClientError as error:
            code = _code(error)
            remedy = REMEDIES.get(code, f"the store answered {code}")
            raise StoreUnavailable(f"bucket {self.name}: {remedy}") from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            remedy = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            raise StoreUnavailable(f"bucket {self.name}: {remedy}") from error
        except EndpointConnectionError as error:
            remedy = f"nothing answers at {self._endpoint()}: check AWS_ENDPOINT_URL_S3"
            raise StoreUnavailable(f"bucket {self.name}: {remedy}") from error
        except (BotoCoreError, OSError, ValueError) as error:
            raise StoreUnavailable(f"bucket {self.name}: {type(error).__name__}") from error

    def _endpoint(self) -> str:
        parts = urlsplit(self.client.meta.endpoint_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def _unconfirmed(self, key: str, why: str) -> StoreUnavailable:
        return StoreUnavailable(f"bucket {self.name}, {key}: not confirmed: {why}")

    @contextmanager
    def _faults(self, action: str, key: str) -> Iterator[None]:
        """Turn what boto3 raises into our error. ValueError is what it raises for a malformed endpoint."""
        try:
            yield
        except ClientError as error:
            raise StoreUnavailable(f"bucket {self.name}, {key}: cannot {action}: {_code(error)}") from error
        except (BotoCoreError, OSError, ValueError) as error:
            raise StoreUnavailable(f"bucket {self.name}, {key}: cannot {action}: {type(error).__name__}") from error


def make_client(*, connect: float = 5, read: float = 60, attempts: int = 3) -> "S3Client":
    """A client from boto3's environment variables and files. Stores other than AWS are addressed by path:
    most have no DNS name for each bucket."""
    session = boto3.session.Session()
    config = Config(
        connect_timeout=connect,
        read_timeout=read,
        retries={"mode": "standard", "total_max_attempts": attempts},
        signature_version="s3v4",
        # We send a checksum of our own where it matters; newer ones by default are refused by some stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=32,
    )
    client = session.client("s3", config=config)  # boto3 takes us-east-1 where no region is set
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith(AWS_DOMAINS):
        return client
    client.close()
    return session.client("s3", config=config.merge(Config(s3={"addressing_style": "path"})))


def _etag(header: str) -> str:
    return header.strip('"').lower()


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def _code(error: ClientError) -> str:
    """The S3 error code; the HTTP status where an answer to HEAD has no body to hold one."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))
