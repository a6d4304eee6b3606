"""The user's routes: track, look, list, upgrade, try again. All need a bearer token."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Literal, NoReturn, TypeVar

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.domain.generation import Generation, State
from app.domain.ledger import Ledger
from app.domain.policy import Policy
from app.domain.view import describe
from app.domain.work import Kind, is_task_id
from app.pipeline.track import OVER_BUDGET, UpgradeRequest, look_up, request_upgrade, retry, track
from app.web.problems import Problem

MOST_PER_PAGE = 500

Upgrade = Literal["1080p", "4k"]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]
LabelValue = Annotated[str, StringConstraints(max_length=256)]
Body = TypeVar("Body", bound=BaseModel)


class TrackBody(BaseModel):
    """`PUT /generations/<task_id>`."""

    model_config = ConfigDict(extra="forbid")

    upgrades: list[Upgrade] = Field(default=[], max_length=2)
    labels: dict[Label, LabelValue] = Field(default={}, max_length=32)


class UpgradeBody(BaseModel):
    """`POST /generations/<task_id>/upgrades`."""

    model_config = ConfigDict(extra="forbid")

    kind: Upgrade
    index: int = Field(default=0, ge=0, lt=32, strict=True)


def generation_routes(ledger: Ledger, policy: Policy, tokens: Sequence[str]) -> Blueprint:
    """The routes. :param tokens: the bearer tokens; none: nobody may"""
    routes = Blueprint("generations", __name__)
    routes.before_request(lambda: _require_token(tokens))

    @routes.put("/generations/<task_id>")
    def put_generation(task_id: str) -> tuple[Response, int]:
        body = _read_body(TrackBody)
        tracked = track(_checked(task_id), [Kind(kind) for kind in body.upgrades], body.labels, ledger, policy)
        return jsonify(describe(tracked.generation)), 201 if tracked.created else 200

    @routes.get("/generations/<task_id>")
    def get_generation(task_id: str) -> Response:
        return jsonify(describe(look_up(_checked(task_id), ledger, policy) or _unknown(task_id)))

    @routes.get("/generations")
    def list_generations() -> Response:
        try:
            page = ledger.page(_read_state(), _read_limit(), request.args.get("cursor"))
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        return jsonify(generations=[describe(generation) for generation in page.generations], cursor=page.cursor)

    @routes.post("/generations/<task_id>/upgrades")
    def post_upgrade(task_id: str) -> tuple[Response, int]:
        body = _read_body(UpgradeBody)
        outcome, generation = request_upgrade(_checked(task_id), Kind(body.kind), body.index, ledger, policy)
        if generation is None:
            _unknown(task_id)
        if outcome is UpgradeRequest.IMPOSSIBLE:
            raise Problem(HTTPStatus.CONFLICT, _why_not(generation, body.index))
        if outcome is UpgradeRequest.OVER_BUDGET:
            raise Problem(HTTPStatus.PAYMENT_REQUIRED, OVER_BUDGET)
        return jsonify(describe(generation)), 200 if outcome is UpgradeRequest.ALREADY else 202

    @routes.post("/generations/<task_id>/retry")
    def post_retry(task_id: str) -> tuple[Response, int]:
        _, generation = retry(_checked(task_id), ledger)
        return jsonify(describe(generation or _unknown(task_id))), 202

    return routes


def _require_token(tokens: Sequence[str]) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    presented = given.strip().encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(token.encode(), presented) for token in tokens]
    if scheme.casefold() != "bearer" or not any(matches):
        detail = "send Authorization: Bearer <token> with one of REELKEEP_API_TOKENS"
        raise Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": 'Bearer realm="reelkeep"'})


def _checked(task_id: str) -> str:
    if not is_task_id(task_id):
        raise Problem(HTTPStatus.BAD_REQUEST, "the task id is not of the form [A-Za-z0-9_-]{1,128}")
    return task_id


def _unknown(task_id: str) -> NoReturn:
    raise Problem(HTTPStatus.NOT_FOUND, f"generation {task_id} is not known here; PUT /generations/{task_id} tracks it")


def _why_not(generation: Generation, index: int) -> str:
    if generation.fallback:
        return "the fallback model made this video: it cannot be upgraded"
    if generation.state is State.WAITING:
        return 'the generation has no verdict yet; PUT it with "upgrades" to have it upgraded when it succeeds'
    return f"the generation is {generation.state} and has no result {index} that could be upgraded"


def _read_body(model: type[Body]) -> Body:
    raw = request.get_data(cache=False)
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Problem(HTTPStatus.BAD_REQUEST, f"{where}: {first['msg']}") from None


def _read_state() -> State | None:
    text = request.args.get("state")
    if not text:
        return None
    if text not in list(State):
        raise Problem(HTTPStatus.BAD_REQUEST, f"state: must be one of {', '.join(State)}")
    return State(text)


def _read_limit() -> int:
    text = request.args.get("limit", "50")
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MOST_PER_PAGE):
        raise Problem(HTTPStatus.BAD_REQUEST, f"limit: must be a number from 1 to {MOST_PER_PAGE}")
    return int(text)
