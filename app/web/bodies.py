"""Request bodies, as bytes."""

from typing import TYPE_CHECKING

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: bytes
LARGEST_BODY = 1024 * 1024
TOO_LARGE = "the body is over 1 MiB"


def read_bytes(environ: "WSGIEnvironment") -> bytes:
    """A request's body. :raises RequestEntityTooLarge:"""
    try:
        text = get_input_stream(environ, max_content_length=LARGEST_BODY).read()
    except RequestEntityTooLarge:
        raise RequestEntityTooLarge(TOO_LARGE) from None
    # Of a body that does not tell its length, werkzeug gives what the limit allows, and says nothing of what is behind it.
    if len(text) == LARGEST_BODY and not environ.get("CONTENT_LENGTH") and environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge(TOO_LARGE)
    return text
