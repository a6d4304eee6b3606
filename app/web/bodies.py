"""Request bodies, as bytes."""

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

#: bytes
LARGEST_BODY = 1024 * 1024


def read_bytes() -> bytes:
    """The present request's body. :raises RequestEntityTooLarge:"""
    text = request.get_data(cache=False)
    # Of a body that does not tell its length, werkzeug gives what the limit allows, and says nothing of what is behind it.
    if len(text) == LARGEST_BODY and request.content_length is None and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge
    return text
