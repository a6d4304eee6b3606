"""The vendor's callback signature (veo-api §9): base64(HMAC-SHA256(key, taskId + "." + timestamp)).

It covers the id and the time, not the body: a good signature says only that something happened to this generation.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from app.domain.ledger import Trust

#: how far ahead of ours the vendor's clock may be, in seconds (veo-api §9)
MAX_AHEAD = 300


def sign(key: str, task_id: str, timestamp: str) -> str:
    """The signature for an id and a time, 44 characters of base64."""
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def verify(
    keys: Sequence[str], task_id: str, timestamp: str | None, signature: str | None, *, now: float, max_age: float
) -> Trust | None:
    """Judge a signature in constant time against each key (several, so that keys can be rotated).

    :param timestamp: Unix seconds, as sent in `X-Webhook-Timestamp`
    :param now: epoch seconds
    :param max_age: seconds
    :return: SIGNED, STALE outside the age window, None if there is no good signature
    """
    if not timestamp or not signature or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return None
    # Bytes: compare_digest refuses text that is not ASCII, and a header may hold any.
    given = signature.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(sign(key, task_id, timestamp).encode(), given) for key in keys]
    if not any(matches):
        return None
    return Trust.SIGNED if -MAX_AHEAD <= now - int(timestamp) <= max_age else Trust.STALE
