"""Tries the bucket's rights with a small object of our own, the way the mirror uses them."""

import hashlib
import io
import secrets
from contextlib import closing

from botocore.exceptions import BotoCoreError, ClientError

from app.adapters.bucket import S3Bucket, make_client
from app.adapters.bucket_faults import code_of, store_faults
from app.domain.checkup import Level, Remark
from app.domain.container import Media
from app.domain.errors import StoreUnavailable
from app.domain.ports import Download

BODY = b'{"about": "reelkeep doctor tried its rights here; it may be deleted"}\n'
#: what to do where the error itself says nothing of it
LOOK = "see that the store works, and whether AWS_ENDPOINT_URL_S3 and AWS_DEFAULT_REGION are right"
RIGHTS = "allow s3:PutObject and s3:GetObject under the prefix, and s3:ListBucket on the bucket"


def probe_bucket(name: str, folder: str) -> list[Remark]:
    """Put, look at, read and delete an object `<folder>doctor-<random>.json`. Never raises; ends within half a minute.

    :param name: the bucket's; credentials, region and endpoint are boto3's own
    :param folder: where pieces of large files are kept, the only place where Reelkeep has to delete anything
    """
    about = "bucket"
    try:
        client = make_client(connect=2, read=4, attempts=1)
    except (BotoCoreError, ValueError) as error:
        mend = "check AWS_ENDPOINT_URL_S3 and the AWS profile"
        return [Remark(about, Level.PROBLEM, f"no S3 client can be made: {type(error).__name__}", mend)]
    with closing(client):
        bucket = S3Bucket(name, client, probe=f"{folder}checksum-probe")
        try:
            bucket.check()
        except StoreUnavailable as error:
            text, _, mend = str(error).removeprefix(f"bucket {name}: ").partition(": ")
            return [Remark(about, Level.PROBLEM, f"bucket {name}: {text}", mend or LOOK)]
        return _try_rights(bucket, f"{folder}doctor-{secrets.token_hex(8)}.json")


def _try_rights(bucket: S3Bucket, key: str) -> list[Remark]:
    try:
        bucket.put_file(key, _make_download(), {"source-host": "doctor"})
        if bucket.get_json(key) != BODY.decode():
            raise StoreUnavailable(f"bucket {bucket.name}, {key}: what is read is not what was stored")
        remarks = [_judge_checksum(bucket, key)]
    except StoreUnavailable as error:
        remarks = [Remark("bucket", Level.PROBLEM, str(error), RIGHTS)]
    # Also where it is not certain that there is one: an answer may have been lost.
    if trouble := _delete(bucket, key):
        text = f"bucket {bucket.name}: {key} cannot be deleted: {trouble}"
        mend = (
            f"allow s3:DeleteObject under {key.rpartition('/')[0]}/, or pieces of large files stay there too; delete it by hand, "
            "or by a lifecycle rule for that prefix"
        )
        remarks.append(Remark("bucket", Level.WARNING, text, mend))
    return remarks


def _judge_checksum(bucket: S3Bucket, key: str) -> Remark:
    """How `S3Bucket.put_file` has had the object confirmed."""
    done = f"bucket {bucket.name} can be written and read under {key.rpartition('/')[0]}/"
    with store_faults(bucket.name, key, "compare"):
        compares = bucket.compares_checksums()
    how = (
        "the store compares checksums" if compares else "the store compares no checksums: each object is read back once"
    )
    return Remark("bucket", Level.OK, f"{done}; {how}")


def _delete(bucket: S3Bucket, key: str) -> str:
    """Delete the object. Gives what was wrong, or nothing."""
    try:
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    except ClientError as error:
        return code_of(error)
    except (BotoCoreError, OSError) as error:
        return type(error).__name__
    return ""


def _make_download() -> Download:
    return Download(
        file=io.BytesIO(BODY),
        bytes=len(BODY),
        sha256=hashlib.sha256(BODY).hexdigest(),
        md5=hashlib.md5(BODY, usedforsecurity=False).hexdigest(),
        media=Media("application/json", "json", None, None, None),
        host="doctor",
    )
