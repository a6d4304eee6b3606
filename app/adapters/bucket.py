"""The S3 bucket. With the other `bucket_…` modules all that knows boto3; what stores really confirm is in `_vouches`."""

import base64
import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, suppress
from functools import partial
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

from app.adapters.bucket_contents import examine_object, hash_object
from app.adapters.bucket_faults import REMEDIES, store_faults
from app.adapters.bucket_faults import code_of as _code
from app.adapters.bucket_parts import BucketParts, list_folders
from app.domain.errors import StoreConflict, StoreUnavailable
from app.domain.ports import Download, Stored

if TYPE_CHECKING:
    from botocore.config import _S3Dict
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef, PutObjectOutputTypeDef

#: times that a key is looked at anew because somebody else wrote it in between
MOST_LOOKS = 3
#: answers to a PUT whose condition does not hold (any more)
OVERTAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey")
#: answers of stores that know no conditions
UNKNOWN_HEADER = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400")
#: answers to a body that has another SHA-256 than is said: of AWS and most others, and of MinIO
WRONG_CHECKSUM = ("BadDigest", "XAmzContentChecksumMismatch")
AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")


class S3Bucket:
    """A bucket, by boto3's own variables for credentials, region and endpoint. May be used from many threads."""

    def __init__(self, name: str, client: "S3Client | None" = None, *, probe: str = ".parts/checksum-probe") -> None:
        """Connects to nothing.

        :param client: in place of one made from the environment on first use
        :param probe: key of the object by which it is found out whether the store compares checksums
        """
        self.name = name
        self._client = client
        #: for what must not hang: a worker that waits for it does nothing else
        self._checker = client
        self._lock = threading.Lock()
        self._probe, self._probing = probe, threading.Lock()
        #: whether the store compares checksums; None: not known yet
        self._compares: bool | None = None
        #: whether the store takes the conditions of a PUT; believed until it says otherwise
        self._knows_conditions = True

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
        """Store a file, unless it is there or another one is: see `app.domain.ports.Bucket`.

        Looked for first, since not every store heeds the conditions of a PUT (rclone 1.75, measured, heeds none); those that
        do close the moment between the two.
        """
        with self._faults("store", key):
            for _ in range(MOST_LOOKS):
                found = self._look(key)
                if found is not None and self._is_same(key, found, download):
                    return
                # Of what is there already nothing is overwritten but the damaged object that was looked at.
                answer = self._put(key, download, metadata, over=found["ETag"] if found else "")
                if answer is not None:
                    self._confirm(key, answer, download)
                    return
        raise self._unconfirmed(key, "others keep writing it")

    def _look(self, key: str) -> "HeadObjectOutputTypeDef | None":
        try:
            return self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) == "404":
                return None
            raise

    def _is_same(self, key: str, found: "HeadObjectOutputTypeDef", download: Download) -> bool:
        """Whether what was found is the file, under its SHA-256. False: it may be replaced.

        :raises StoreConflict: it is another file
        """
        noted = _lower(found["Metadata"]).get("sha256")
        if self._has_bytes_of(key, found, download):
            return noted == download.sha256  # if not, the same bytes are put with what should be noted of them
        if noted == download.sha256:
            return False  # an upload of ours that was cut or changed on its way
        sha256, media = examine_object(
            self.client, self.name, key, picture=download.media.content_type.startswith("image/")
        )
        is_sound = media is not None if noted is None else sha256 == noted
        if is_sound:
            what = f"{found['ContentLength']} bytes, SHA-256 {sha256[:16]}…"
            mine = f"{download.bytes} bytes, SHA-256 {download.sha256[:16]}…"
            raise StoreConflict(
                f"bucket {self.name}, {key}: conflict: it holds another file ({what}) than the one fetched ({mine}); "
                "nothing was overwritten: move one away, then retry"
            )
        return False

    def _has_bytes_of(self, key: str, found: "HeadObjectOutputTypeDef", download: Download) -> bool:
        """Whether an object is this file, byte for byte: by what `_confirm` would believe."""
        if found["ContentLength"] != download.bytes:
            return False
        return self._vouches(found, download) or hash_object(self.client, self.name, key) == download.sha256

    def _put(
        self, key: str, download: Download, metadata: dict[str, str], *, over: str
    ) -> "PutObjectOutputTypeDef | None":
        """Send a file. Gives the answer; None: somebody else wrote the object meanwhile.

        :param over: ETag of the object that it may replace; empty: there is none
        """
        send = partial(
            self.client.put_object,
            Bucket=self.name,
            Key=key,
            # What is in memory goes out in one piece.
            Body=download.file.getvalue() if isinstance(download.file, io.BytesIO) else download.file,
            ContentLength=download.bytes,
            ContentType=download.media.content_type,
            ChecksumSHA256=_base64(download.sha256),
            Metadata=metadata,
        )
        download.file.seek(0)
        try:
            if not self._knows_conditions:
                return send()
            return send(IfMatch=over) if over else send(IfNoneMatch="*")
        except ClientError as error:
            if _code(error) in OVERTAKEN:
                return None
            if not self._knows_conditions or _code(error) not in UNKNOWN_HEADER:
                raise
            download.file.seek(0)
            answer = send()
            self._knows_conditions = False
            return answer

    def _confirm(self, key: str, answer: "PutObjectOutputTypeDef", download: Download) -> None:
        """Make sure that the store has what we sent: by its own word, if that proves something, else by reading it back."""
        if _has_md5(answer, download):
            return
        if self.compares_checksums():
            head = self._look(key)
            if head is None:
                raise self._unconfirmed(key, "it is not there")
            if head["ContentLength"] != download.bytes:
                raise self._unconfirmed(key, f"it has {head['ContentLength']} bytes where {download.bytes} were sent")
            if self._vouches(head, download):
                return
        if hash_object(self.client, self.name, key) != download.sha256:
            raise self._unconfirmed(key, "what it has is not what was sent")

    def _vouches(self, head: "HeadObjectOutputTypeDef", download: Download) -> bool:
        """Whether the store's word proves that an object is this file.

        Of a SHA-256 only the word of a store that compares: rclone 1.75, measured, takes any and hands it back.
        """
        if _has_md5(head, download):
            return True
        return self.compares_checksums() and head.get("ChecksumSHA256") == _base64(download.sha256)

    def wants_md5(self) -> bool:
        """Whether a file's MD5 may serve to confirm it. Where the store compares checksums, making it would be wasted."""
        try:
            with self._faults("try", self._probe):
                return not self.compares_checksums()
        except StoreUnavailable:
            return True

    def compares_checksums(self) -> bool:
        """Whether the store refuses what has another SHA-256 than is said. Found out once, by trying; until then: no."""
        # Nobody waits for who finds out: a store that hangs then would hold up one thread after the other.
        if self._compares is None and self._probing.acquire(blocking=False):
            try:
                if self._compares is None:
                    self._compares = self._refuses_wrong_checksum()
            finally:
                self._probing.release()
        return bool(self._compares)

    def _refuses_wrong_checksum(self) -> bool | None:
        """None: the store had other troubles."""
        wrong, client = _base64(hashlib.sha256(b"").hexdigest()), self._quick_client()
        try:
            client.put_object(Bucket=self.name, Key=self._probe, Body=b"probe", ChecksumSHA256=wrong)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return None if status >= 500 and status != 501 else _code(error) in WRONG_CHECKSUM
        with suppress(ClientError, BotoCoreError, OSError):  # a few bytes under a name that says what they are
            client.delete_object(Bucket=self.name, Key=self._probe)
        return False

    def find_file(self, key: str, task_id: str, *, picture: bool = False) -> Stored | None:
        """What a worker stored that died before it could say so: see `app.domain.ports.Bucket`."""
        with self._faults("look for", key):
            found = self._look(key)
            noted = _lower(found["Metadata"]) if found else {}
            if found is None or noted.get("task-id") != task_id:
                return None
            sha256, media = examine_object(self.client, self.name, key, picture=picture)
            if media is None or sha256 != noted.get("sha256"):
                return None
            return Stored(found["ContentLength"], sha256, media)

    def parts(self, folder: str) -> BucketParts:
        """Where pieces of a rendition are kept: see `app.domain.ports.Bucket`."""
        return BucketParts(lambda: self.client, self.name, folder)

    def list_parts(self, prefix: str) -> list[str]:
        """The folders of all renditions that have pieces, `<task id>/<kind>-<index>`. :raises StoreUnavailable:"""
        return list_folders(self.client, self.name, prefix)

    def put_json(self, key: str, text: str) -> None:
        """Store a JSON document, and have it confirmed.

        :raises StoreUnavailable:
        """
        with self._faults("store", key):
            body = text.encode()
            sha256 = hashlib.sha256(body).hexdigest()
            answer = self.client.put_object(
                Bucket=self.name, Key=key, Body=body, ContentType="application/json", ChecksumSHA256=_base64(sha256)
            )
            # The store's own MD5 saves the question; where it has none to give, the document is small enough to read back.
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            if _etag(answer.get("ETag", "")) != md5 and hash_object(self.client, self.name, key) != sha256:
                raise self._unconfirmed(key, "what it has is not what was sent")

    def get_json(self, key: str, *, soon: bool = False) -> str | None:
        """Read a JSON document; None if there is no such object.

        :param soon: rather fail than wait for long: quick steps wait behind this one
        :raises StoreUnavailable: also where the keys may not list the bucket, since the store then hides what is missing
        """
        with self._faults("read", key):
            client = self._quick_client() if soon else self.client
            try:
                with closing(client.get_object(Bucket=self.name, Key=key)["Body"]) as body:
                    return body.read().decode()
            except client.exceptions.NoSuchKey:
                return None

    def has(self, key: str) -> bool:
        """Whether there is such an object.

        :raises StoreUnavailable:
        """
        with self._faults("look for", key):
            return self._look(key) is not None

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

    def _faults(self, action: str, key: str) -> AbstractContextManager[None]:
        return store_faults(self.name, key, action)


def make_client(*, connect: float = 5, read: float = 60, attempts: int = 3) -> "S3Client":
    """A client from boto3's environment variables and files. Stores other than AWS are addressed by path:
    most have no DNS name for each bucket."""
    session = boto3.session.Session()
    # A body's checksum is a signed header: hashing the body once more for the signature would protect nothing else.
    special: _S3Dict = {"payload_signing_enabled": False}
    config = Config(
        connect_timeout=connect,
        read_timeout=read,
        retries={"mode": "standard", "total_max_attempts": attempts},
        signature_version="s3v4",
        # We send a checksum of our own where it matters; newer ones by default are refused by some stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=32,
        s3=special,
        # A name of our own for the store's log; boto3 puts its long one together anew for each request.
        user_agent="Reelkeep",
    )
    client = session.client("s3", config=config)  # boto3 takes us-east-1 where no region is set
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith(AWS_DOMAINS):
        return client
    client.close()
    return session.client("s3", config=config.merge(Config(s3=special | {"addressing_style": "path"})))


def _etag(header: str) -> str:
    return header.strip('"').lower()


def _has_md5(answer: "PutObjectOutputTypeDef | HeadObjectOutputTypeDef", download: Download) -> bool:
    """Whether an ETag is a file's MD5. Then the store has made it from what it has, for nobody has told it."""
    return bool(download.md5) and _etag(answer.get("ETag", "")) == download.md5


def _lower(metadata: dict[str, str]) -> dict[str, str]:
    """Names of metadata are the only ones that may come back in another case."""
    return {name.lower(): value for name, value in metadata.items()}


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
