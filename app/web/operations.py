"""What the API's document says of each route, beside the models: in words, with the statuses that it answers."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from app.domain.generation import Generation
from app.domain.rendition import Rendition, RenditionState
from app.domain.requests import KEY
from app.domain.vendor import Progress
from app.domain.view import describe
from app.domain.work import TASK_ID, Kind
from app.web.access import MOST_FAILURES, WINDOW
from app.web.bodies import LARGEST_BODY
from app.web.reading import MOST_PER_PAGE

INTRODUCTION = f"""
Reelkeep keeps every video that you pay for: it submits generations to KIE.AI's Veo3.1 API, receives the callbacks, and
copies each file into your bucket before the vendor's links die.

**Words.** A *generation* is one task at the vendor's, named by its `taskId`. What is submitted here has an `id` of
Reelkeep's own from the first moment; both are taken wherever a generation is named. A *rendition* is one file of a
generation. An *upgrade* is a rendition that is bought: `1080p` or `4k`.

**Who may.** Your routes need `Authorization: Bearer <token>`. More than {MOST_FAILURES} wrong tokens from one address within
{WINDOW:.0f} s are answered 429; a right token is let in all the same.

**Errors** are `application/problem+json` (RFC 9457): `detail` says what is wrong and what to do; for status 400 `errors`
names each field. Fields and parameters that are not listed are refused, and so is a parameter that is given twice.

**Asking again.** `PUT`, the upgrades and `POST` with an `Idempotency-Key` may be repeated: nothing is bought twice. After a
503 repeat the request; without a key look first at what its `detail` names.
""".strip()

TAGS = {
    "generations": "submit, follow, try again",
    "account": "credits and budgets",
    "callbacks": "where the vendor brings its news: point nothing else at it",
    "events": "what your receiver (`REELKEEP_EVENTS_URL`) is told, signed by the Standard Webhooks scheme",
    "health": "for the platform that runs the processes",
}

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "the vendor's `taskId`, or Reelkeep's own `id`",
    "schema": {"type": "string", "pattern": f"^{TASK_ID.pattern}$"},
    "example": "2b1b13eca3e8b8bbd5a88610d29dfd51",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "your name for this very request: repeated with the same body it gives the same generation, however often",
    "schema": {"type": "string", "pattern": KEY, "minLength": 1, "maxLength": 255},
    "example": "shot-12-take-3",
}
_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "the secret part of a callback URL that Reelkeep gave to the vendor: names what the callback is about",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
}
_TIMESTAMP = {
    "name": "X-Webhook-Timestamp",
    "in": "header",
    "description": "epoch seconds; part of what is signed",
    "schema": {"type": "string"},
}


@dataclass(frozen=True)
class Answer:
    """One status that an operation answers."""

    status: HTTPStatus
    description: str
    schema: str = "Problem"
    example: Any = None
    headers: dict[str, str] | None = None
    links: dict[str, Any] | None = None

    @property
    def content_type(self) -> str:
        """Errors have their own, and so has what Prometheus reads."""
        return {"Problem": "application/problem+json", "Metrics": "text/plain"}.get(self.schema, "application/json")


_RETRY = {"Retry-After": "seconds"}
_UNKNOWN_TOKEN = Answer(
    HTTPStatus.UNAUTHORIZED, "no token, or none of ours", headers={"WWW-Authenticate": "how to send one"}
)
_TOO_MANY = Answer(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens from this address", headers=_RETRY)
_SILENT = Answer(HTTPStatus.SERVICE_UNAVAILABLE, "Redis is down, silent or full: ask again", headers=_RETRY)
_BAD = Answer(
    HTTPStatus.BAD_REQUEST,
    "something is wrong with the request; `errors` names each field",
    example={
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "upgrades.0: Input must be '1080p' or '4k'",
        "errors": [{"field": "upgrades.0", "message": "Input must be '1080p' or '4k'"}],
    },
)
_UNKNOWN = Answer(HTTPStatus.NOT_FOUND, "no such generation is known here")
_TOO_LARGE = Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {LARGEST_BODY} bytes")
_NO_JSON = Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is not said to be `application/json`")
_OVER_BUDGET = Answer(HTTPStatus.PAYMENT_REQUIRED, "over a budget that is set; `GET /account` shows them")
_OTHER_BODY = Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "something else was asked for under this Idempotency-Key")


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    description: str
    answers: tuple[Answer, ...]
    parameters: tuple[dict[str, Any], ...] = ()
    security: str = "token"
    #: JSON Schema of the body; None: there is none
    body: dict[str, Any] | None = None
    body_required: bool = True
    examples: dict[str, Any] | None = None
    #: it takes the query of a list
    lists: bool = False

    @property
    def all_answers(self) -> tuple[Answer, ...]:
        """Those of its own, and those that all of its kind have."""
        shared = (_UNKNOWN_TOKEN, _TOO_MANY, _BAD, _SILENT) if self.security == "token" else ()
        bodied = (_TOO_LARGE, _NO_JSON) if self.security == "token" and self.method in ("post", "put") else ()
        return (*self.answers, *shared, *bodied)


def _example() -> Generation:
    at = 1785999477.0
    task_id = "2b1b13eca3e8b8bbd5a88610d29dfd51"
    stored = Rendition(
        kind=Kind.RESULT,
        state=RenditionState.STORED,
        since=at + 90,
        attempts=1,
        key=f"veo/{task_id}/result-0.mp4",
        bytes=3009049,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        width=1280,
        height=720,
        seconds=8.0,
        audio=True,
        stored_at=at + 93,
    )
    return Generation(
        task_id=task_id,
        tracked_at=at,
        waiting_since=at,
        labels={"shot": "12"},
        verdict=Progress.SUCCEEDED,
        verdict_at=at + 90,
        verdict_from="callback",
        complete_at=at + 94,
        code=200,
        msg="Veo3.1 video generated successfully.",
        credits=60.0,
        received=1,
        heard=["generation succeeded 200"],
        renditions=[stored],
    )


EXAMPLE = _example()
_EXAMPLE = describe(EXAMPLE)


def _generation(status: HTTPStatus, description: str, *, example: bool = False) -> Answer:
    return Answer(status, description, "Generation", _EXAMPLE if example else None, links=_LINKS)


def _link(operation: str, text: str, field: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    link: dict[str, Any] = {
        "operationId": operation,
        "description": text,
        "parameters": {"id": f"$response.body#/{field}"},
    }
    return link | ({"requestBody": body} if body is not None else {})


_LINKS = {
    "Show": _link("getGeneration", "how it stands", "taskId"),
    "Retry": _link("retryGeneration", "try again what failed", "taskId"),
    "Upgrade": _link("upgradeGeneration", "buy an upgrade", "taskId", {"kind": "4k"}),
}
_LINKS_OF_SUBMISSION = {
    "Show": _link("getGeneration", "how it stands", "id"),
    "Retry": _link("retryGeneration", "send it again, if the vendor has certainly not created it", "id"),
}


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model}"}


def _submitted(text: str) -> Answer:
    return Answer(HTTPStatus.ACCEPTED, text, "Generation", links=_LINKS_OF_SUBMISSION)


_NO_VENDOR_KEY = Answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "no vendor key is set (`REELKEEP_KIE_API_KEY`); or Redis is down, silent or full, and `detail` says how to go on",
    headers=_RETRY,
)

_CALLBACK_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "code": {"description": "200: it succeeded"},
        "msg": {},
        "data": {
            "type": "object",
            "required": ["taskId"],
            "properties": {"taskId": {"type": "string", "pattern": f"^{TASK_ID.pattern}$"}},
        },
    },
}
_CALLBACK_EXAMPLE = {
    "success": {
        "value": {
            "code": 200,
            "msg": "Veo3.1 video generated successfully.",
            "data": {
                "taskId": "2b1b13eca3e8b8bbd5a88610d29dfd51",
                "info": {"resultUrls": ["https://tempfile.aiquickdraw.com/v/a.mp4"], "resolution": "720p"},
            },
        }
    }
}


def _callback(path: str, name: str, summary: str, *, token: bool) -> Operation:
    return Operation(
        "post",
        path,
        name,
        "callbacks",
        summary,
        "Answered 200 once it is safely recorded, whatever it says: repeats and unknown ids too. Its `code` and URLs are "
        "confirmed with the vendor before anything is fetched. A signature that is too old is a reason to ask the vendor, and "
        "no more. Where the URL holds a token, `data` may be null.",
        (
            Answer(HTTPStatus.OK, "recorded", "CallbackAnswer", {"code": 200, "msg": "success"}),
            Answer(HTTPStatus.BAD_REQUEST, "the body names no generation"),
            Answer(HTTPStatus.UNAUTHORIZED, "wrong signature, or a token that nobody was given"),
            *((Answer(HTTPStatus.NOT_FOUND, "a token with a slash in it is no token"),) if token else ()),
            _TOO_LARGE,
            Answer(HTTPStatus.SERVICE_UNAVAILABLE, "not recorded: bring it again", headers=_RETRY),
        ),
        ((_TOKEN, _TIMESTAMP) if token else (_TIMESTAMP,)),
        security="signature",
        body=_CALLBACK_BODY,
        examples=_CALLBACK_EXAMPLE,
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "get",
        "/generations",
        "listGenerations",
        "generations",
        "List generations",
        "Newest first, and what was submitted and has no generation yet among them. Ask for the next page with the `cursor` of "
        f"the one before and the same other parameters, until it is null; at most {MOST_PER_PAGE} a page. A cursor stays good: "
        "what comes in meanwhile does not shift the pages, and what leaves the state that is filtered for is only missing. "
        "What has been settled for `REELKEEP_KEEP_DAYS` is not listed any more, and still shown by its id.",
        (Answer(HTTPStatus.OK, "one page", "Page", {"generations": [_EXAMPLE], "cursor": None}),),
        lists=True,
    ),
    Operation(
        "post",
        "/generations",
        "submitGeneration",
        "generations",
        "Submit a generation",
        "The body holds the vendor's own fields, and `upgrades` and `labels`. Leave `callBackUrl` out: Reelkeep gives the "
        "vendor its own. It is sent once, at the pace that the account allows; if the vendor's answer is lost it becomes "
        "`uncertain` and is never sent twice. `aspectRatio` is taken for `aspect_ratio` too.",
        (
            _submitted("taken on; follow it under `id`"),
            _OVER_BUDGET,
            _OTHER_BODY,
            _NO_VENDOR_KEY,
        ),
        (_KEY,),
        body=_ref("GenerateBody"),
        examples={
            "text": {"summary": "from a text", "value": {"prompt": "a cat on the moon", "resolution": "720p"}},
            "wishes": {
                "summary": "with a 4K and labels",
                "value": {"prompt": "a cat on the moon", "upgrades": ["4k"], "labels": {"shot": "12"}},
            },
            "frames": {
                "summary": "between two pictures",
                "value": {
                    "prompt": "the cat wakes up",
                    "generationType": "FIRST_AND_LAST_FRAMES_2_VIDEO",
                    "imageUrls": ["https://example.com/first.png", "https://example.com/last.png"],
                },
            },
        },
    ),
    Operation(
        "get",
        "/generations/{id}",
        "getGeneration",
        "generations",
        "Show a generation",
        "How it stands, with every rendition.",
        (_generation(HTTPStatus.OK, "as it is now", example=True), _UNKNOWN),
        (_ID,),
    ),
    Operation(
        "put",
        "/generations/{id}",
        "trackGeneration",
        "generations",
        "Track a generation that was submitted elsewhere",
        "Repeat it as often as you like: upgrades and labels that are new are added. A callback alone makes a generation "
        "known too. With `submission` it settles what an `uncertain` submission has come to.",
        (
            _generation(HTTPStatus.CREATED, "tracked from now on"),
            _generation(HTTPStatus.OK, "it was known"),
            Answer(HTTPStatus.NOT_FOUND, "no such submission is known here"),
            Answer(HTTPStatus.CONFLICT, "the submission has come to something else, or to nothing yet"),
        ),
        (_ID,),
        body=_ref("TrackBody"),
        body_required=False,
        examples={"4k": {"value": {"upgrades": ["4k"], "labels": {"shot": "12"}}}},
    ),
    Operation(
        "post",
        "/generations/{id}/extensions",
        "extendGeneration",
        "generations",
        "Extend a generation",
        "Submits an extension, which is a generation of its own. One whose 1080p was made cannot be extended.",
        (
            _submitted("taken on; follow it under `id`"),
            _OVER_BUDGET,
            _UNKNOWN,
            Answer(HTTPStatus.CONFLICT, "it cannot be extended, or not yet"),
            _OTHER_BODY,
            _NO_VENDOR_KEY,
        ),
        (_ID, _KEY),
        body=_ref("ExtendBody"),
        examples={"text": {"value": {"prompt": "the cat jumps"}}},
    ),
    Operation(
        "post",
        "/generations/{id}/upgrades",
        "upgradeGeneration",
        "generations",
        "Buy an upgrade",
        "Bought once, however often it is asked for. One that was `unavailable` is ordered anew.",
        (
            _generation(HTTPStatus.ACCEPTED, "it will be bought"),
            _generation(HTTPStatus.OK, "it was asked for before"),
            _OVER_BUDGET,
            _UNKNOWN,
            Answer(HTTPStatus.CONFLICT, "it cannot be upgraded, or not yet"),
            _NO_VENDOR_KEY,
        ),
        (_ID,),
        body=_ref("UpgradeBody"),
        examples={"4k": {"value": {"kind": "4k"}}},
    ),
    Operation(
        "post",
        "/generations/{id}/retry",
        "retryGeneration",
        "generations",
        "Try again what failed",
        "Downloads and verdicts; nothing is bought. A submission is sent again only if the vendor has certainly not created it.",
        (
            _generation(HTTPStatus.ACCEPTED, "under way again, if anything had failed"),
            _UNKNOWN,
            Answer(HTTPStatus.CONFLICT, "the submission must not be sent again"),
        ),
        (_ID,),
    ),
    Operation(
        "get",
        "/account",
        "getAccount",
        "account",
        "Credits and budgets",
        "The balance as it was last looked at, what was spent today, and what may be.",
        (Answer(HTTPStatus.OK, "as far as is known", "Account"),),
    ),
    _callback("/callbacks/veo", "receiveCallback", "News of a generation", token=False),
    _callback("/callbacks/veo/{token}", "receiveCallbackUnderToken", "News of what was submitted here", token=True),
    _callback("/callbacks/veo/4k", "receiveUpgradeCallback", "News of an upgrade", token=False),
    _callback("/callbacks/veo/4k/{token}", "receiveUpgradeCallbackUnderToken", "News of an order", token=True),
    Operation(
        "get",
        "/healthz",
        "isAlive",
        "health",
        "Is this process alive?",
        "For restarts. It asks nobody else.",
        (Answer(HTTPStatus.OK, "yes", "Alive"),),
        security="",
    ),
    Operation(
        "get",
        "/readyz",
        "isReady",
        "health",
        "Is all well?",
        "Redis answers and takes writes, sweeps run, the bucket is reachable, nothing is stuck.",
        (
            Answer(HTTPStatus.OK, "yes", "Ready"),
            Answer(HTTPStatus.SERVICE_UNAVAILABLE, "no; `checks` says what is wrong", "Ready"),
        ),
        security="",
    ),
    Operation(
        "get",
        "/metrics",
        "getMetrics",
        "health",
        "Figures for Prometheus",
        "Of the whole fleet, whichever process answers. Without Redis `reelkeep_up` is 0, and the rest is left out. If "
        "`REELKEEP_METRICS_TOKEN` is set, it is wanted here.",
        (
            Answer(HTTPStatus.OK, "Prometheus's text format, version 0.0.4", "Metrics"),
            Answer(
                HTTPStatus.UNAUTHORIZED,
                "`REELKEEP_METRICS_TOKEN` is set, and was not sent",
                headers={"WWW-Authenticate": "how to send it"},
            ),
            _TOO_MANY,
        ),
        security="",
    ),
    Operation(
        "get",
        "/openapi.json",
        "getDocument",
        "health",
        "This document",
        "Made from the code that answers. Keep it by its ETag.",
        (Answer(HTTPStatus.OK, "OpenAPI 3.1", "Document", headers={"ETag": "its version"}),),
        security="",
    ),
)
