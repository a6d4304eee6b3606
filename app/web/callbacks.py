"""`POST /callbacks/veo[/4k][/<token>]`: where the vendor brings its news.

    200  recorded; repeats and unknown ids too
    400  no usable id
    401  bad signature or token
    413  over 1 MiB
    503  not recorded: Redis is down or silent; the vendor tries again

Reading the body and one script in Redis is all that happens here. It happens before Flask, whose way to a view and back costs
more than that: docs/performance.md. Whatever is wrong is raised inside Flask and answered there, like all other errors.
"""

import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from flask import Blueprint, request
from werkzeug.exceptions import NotFound

from app.domain.callbacks import UnreadableCallback
from app.domain.ledger import Ledger, Route
from app.logs import log_event
from app.pipeline.record import Delivery, Unauthorised, Verify, record_callback
from app.web.bodies import read_bytes
from app.web.problems import Problem
from app.web.refusals import Refusals

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ACCEPTED = b'{"code":200,"msg":"success"}'
_HEADERS = (("Content-Type", "application/json"), ("Content-Length", str(len(ACCEPTED))))
_PATH = re.compile(r"/callbacks/veo(?P<uhd>/4k(?=/|$))?(?:/(?P<token>[^/]+))?")
#: in a request's environment: the error that Flask shall answer with
_ERROR = "reelkeep.error"

#: seconds without a byte after which a body is given up: bodies that never end must not hold every connection
LONGEST_SILENCE = 5


class FrontDoor:
    """WSGI middleware: takes callbacks in, and leaves all else to the application behind it."""

    def __init__(self, behind: "WSGIApplication", ledger: Ledger, verify: Verify | None) -> None:
        """:param behind: Flask's, with `callback_routes`

        :param verify: None: unsigned callbacks are allowed
        """
        self._behind, self._ledger, self._verify = behind, ledger, verify

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        path = _PATH.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if path is None:
            return self._behind(environ, start_response)
        try:
            self._record(Route.UHD if path["uhd"] else Route.GENERATION, path["token"], environ)
        except Exception as error:
            environ[_ERROR] = error
            return self._behind(environ, start_response)
        start_response("200 OK", list(_HEADERS))
        return [ACCEPTED]

    def _record(self, route: Route, token: str | None, environ: "WSGIEnvironment") -> None:
        delivery = Delivery(
            route=route,
            raw=_read_patiently(environ),
            at=time.time(),
            token=token and token.encode("latin-1").decode("utf-8", "replace"),  # as WSGI writes paths
            timestamp=environ.get("HTTP_X_WEBHOOK_TIMESTAMP"),
            signature=environ.get("HTTP_X_WEBHOOK_SIGNATURE"),
        )
        try:
            task_id = record_callback(delivery, self._ledger, self._verify)
        except UnreadableCallback as error:
            log_event("callback.refused", route=route, reason=str(error))
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        except Unauthorised as error:
            log_event("callback.refused", route=route, reason=str(error))
            raise Problem(HTTPStatus.UNAUTHORIZED, str(error)) from None
        log_event("callback.recorded", route=route, task_id=task_id)


def _read_patiently(environ: "WSGIEnvironment") -> bytes:
    connection = environ.get("gunicorn.socket")  # there is none under other servers
    if connection is None:
        return read_bytes(environ)
    connection.settimeout(LONGEST_SILENCE)
    try:
        return read_bytes(environ)
    finally:
        connection.settimeout(None)


def callback_routes(ledger: Ledger) -> Blueprint:
    """The routes as Flask knows them: for what the front door could not take in."""
    routes = Blueprint("callbacks", __name__)
    routes.after_request(Refusals(ledger).count)

    @routes.post("/callbacks/veo")
    @routes.post("/callbacks/veo/<token>")
    @routes.post("/callbacks/veo/4k")
    @routes.post("/callbacks/veo/4k/<token>")
    def refuse(token: str | None = None) -> NoReturn:
        raise request.environ.get(_ERROR, NotFound())

    return routes
