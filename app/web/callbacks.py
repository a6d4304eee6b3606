"""`POST /callbacks/veo[/4k][/<token>]`: where the vendor brings its news.

    200  recorded; repeats and unknown ids too
    400  no usable id
    401  bad signature or token
    413  over 1 MiB
    503  not recorded: Redis is down or silent; the vendor tries again

Reading the body and one script in Redis is all that happens here.
"""

import time
from http import HTTPStatus

from flask import Blueprint, Response, request

from app.domain.callbacks import UnreadableCallback
from app.domain.ledger import Ledger, Route
from app.logs import log_event
from app.pipeline.record import Delivery, Unauthorised, Verify, record_callback
from app.web.bodies import read_bytes
from app.web.problems import Problem
from app.web.refusals import Refusals

ACCEPTED = b'{"code":200,"msg":"success"}'


#: seconds without a byte after which a body is given up: bodies that never end must not hold every thread
LONGEST_SILENCE = 5.0


def _limit_silence() -> None:
    connection = request.environ.get("gunicorn.socket")  # there is none under other servers
    if connection is not None:
        connection.settimeout(LONGEST_SILENCE)


def callback_routes(ledger: Ledger, verify: Verify | None) -> Blueprint:
    """The routes. :param verify: None: unsigned callbacks are allowed"""
    routes = Blueprint("callbacks", __name__)
    routes.after_request(Refusals(ledger).count)

    def receive(route: Route, token: str | None) -> Response:
        _limit_silence()
        delivery = Delivery(
            route=route,
            raw=read_bytes(),
            at=time.time(),
            token=token,
            timestamp=request.headers.get("X-Webhook-Timestamp"),
            signature=request.headers.get("X-Webhook-Signature"),
        )
        try:
            callback = record_callback(delivery, ledger, verify)
        except UnreadableCallback as error:
            log_event("callback.refused", route=route, reason=str(error))
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        except Unauthorised as error:
            log_event("callback.refused", route=route, reason=str(error))
            raise Problem(HTTPStatus.UNAUTHORIZED, str(error)) from None
        log_event("callback.recorded", route=route, task_id=callback.task_id, outcome=callback.outcome)
        return Response(ACCEPTED, 200, content_type="application/json")

    @routes.post("/callbacks/veo")
    @routes.post("/callbacks/veo/<token>")
    def receive_generation(token: str | None = None) -> Response:
        return receive(Route.GENERATION, token)

    @routes.post("/callbacks/veo/4k")
    @routes.post("/callbacks/veo/4k/<token>")
    def receive_4k(token: str | None = None) -> Response:
        return receive(Route.UHD, token)

    return routes
