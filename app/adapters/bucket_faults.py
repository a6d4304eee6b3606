"""What a store refuses, in our words: with what to mend, as far as the answer tells."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from app.domain.errors import StoreUnavailable

#: what to mend, by the status of an answer that has no words
REMEDIES = {
    "301": "it is in another region: set AWS_DEFAULT_REGION",
    "400": "the store refused the request: check AWS_DEFAULT_REGION and the keys",
    # without s3:ListBucket an object that is not there looks like one that may not be seen
    "403": "access refused: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and that they may list the bucket (s3:ListBucket)",
    "404": "there is no such bucket: make it, or mend REELKEEP_S3_BUCKET",
}
#: the right that a request needs. HEAD has no words to refuse with: see above
RIGHTS = {
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
}


@contextmanager
def store_faults(bucket: str, key: str, action: str) -> Iterator[None]:
    """Turn what boto3 raises into our error. ValueError is what it raises for a malformed endpoint."""
    try:
        yield
    except ClientError as error:
        raise StoreUnavailable(f"bucket {bucket}, {key}: cannot {action}: {_tell(error)}") from error
    except (BotoCoreError, OSError, ValueError) as error:
        raise StoreUnavailable(f"bucket {bucket}, {key}: cannot {action}: {type(error).__name__}") from error


def code_of(error: ClientError) -> str:
    """The S3 error code; the HTTP status where an answer to HEAD has no body to hold one."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _tell(error: ClientError) -> str:
    code, right = code_of(error), RIGHTS.get(error.operation_name)
    if code == "AccessDenied" and right:
        return f"{code}: allow {right}"
    if code == "404" or code not in REMEDIES:  # a 404 is an object's, or has a better name elsewhere
        return code
    return f"{code}: {REMEDIES[code]}"
