"""The user's routes: submit, extend, track, look, list, upgrade, try again. All need a bearer token."""

import hmac
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, GenerateRequest, Request, explain
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.view import describe, show_time
from app.domain.work import Kind, is_submission_id, is_task_id
from app.pipeline.submit import NO_KEY, Acceptance, accept, name_submission, submission_id, why_not_named
from app.pipeline.track import UpgradeRequest, look_up, request_upgrade, retry, track
from app.web.problems import Problem

MOST_PER_PAGE = 500

Upgrade = Literal["1080p", "4k"]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]
LabelValue = Annotated[str, StringConstraints(max_length=256)]
Body = TypeVar("Body", bound=BaseModel)
Parsed = TypeVar("Parsed")
_JSON_OBJECT = TypeAdapter(dict[str, Any])
#: characters of an `Idempotency-Key`
LONGEST_KEY = 255


class Wishes(BaseModel):
    """What is wanted of a generation besides itself."""

    model_config = ConfigDict(extra="forbid")

    upgrades: list[Upgrade] = Field(default=[], max_length=2)
    labels: dict[Label, LabelValue] = Field(default={}, max_length=32)

    @property
    def kinds(self) -> list[Kind]:
        """The upgrades."""
        return [Kind(upgrade) for upgrade in self.upgrades]


class TrackBody(Wishes):
    """`PUT /generations/<task_id>`."""

    #: the submission that it has come of, if the user has found that out
    submission: Annotated[str, StringConstraints(pattern=r"^sub_[0-9a-f]{32}$")] | None = None


class UpgradeBody(BaseModel):
    """`POST /generations/<task_id>/upgrades`."""

    model_config = ConfigDict(extra="forbid")

    kind: Upgrade
    index: int = Field(default=0, ge=0, lt=32, strict=True)


def generation_routes(
    ledger: Ledger, policy: Policy, tokens: Sequence[str], *, can_submit: bool = True, warn_below: float | None = None
) -> Blueprint:
    """The routes.

    :param tokens: the bearer tokens; none: nobody may
    :param can_submit: whether there is a vendor key
    :param warn_below: credits in the vendor's account under which a warning is shown
    """
    routes = Blueprint("generations", __name__)
    routes.before_request(lambda: _require_token(tokens))

    def created(record_id: str) -> str:
        """The vendor's id for one of its own, or for one of ours whose generation exists."""
        if not is_submission_id(record_id):
            return _checked(record_id)
        submission = ledger.read(record_id).submission or _unknown(record_id)
        if not submission.task_id:
            raise Problem(HTTPStatus.CONFLICT, submission.why_not_yet)
        return submission.task_id

    def _require_vendor_key() -> None:
        if not can_submit:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, NO_KEY)

    def submit(wanted: Request, wishes: Wishes) -> tuple[Response, int]:
        _require_vendor_key()
        key = _read_key() or secrets.token_hex(16)
        try:
            answer = accept(wanted, wishes.kinds, wishes.labels, key, ledger, policy)
        except LedgerUnavailable as error:
            advice = f"it may have been recorded: before you ask again look at GET /generations/{submission_id(key)}"
            detail = f"{error}; {advice}, or repeat your Idempotency-Key"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"}) from None
        if answer.outcome is Acceptance.OTHER_BODY:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, answer.reason)
        if answer.outcome is Acceptance.OVER_BUDGET:
            raise Problem(HTTPStatus.PAYMENT_REQUIRED, answer.reason)
        if answer.outcome is Acceptance.IMPOSSIBLE:
            raise Problem(HTTPStatus.CONFLICT, answer.reason)
        submission = answer.submission or _unknown(wanted.task_id if isinstance(wanted, ExtendRequest) else "")
        shown = describe(look_up(submission.id, ledger, policy) or submission)
        if shown["taskId"] is None:
            del shown["taskId"]
        return jsonify(shown), 202

    @routes.post("/generations")
    def post_generation() -> tuple[Response, int]:
        return submit(*_read_request(GenerateRequest))

    @routes.post("/generations/<record_id>/extensions")
    def post_extension(record_id: str) -> tuple[Response, int]:
        return submit(*_read_request(ExtendRequest, {"taskId": created(record_id)}))

    @routes.put("/generations/<task_id>")
    def put_generation(task_id: str) -> tuple[Response, int]:
        body = _read_body(TrackBody)
        if body.submission is not None:
            _name(body.submission, _checked(task_id))
        tracked = track(_checked(task_id), body.kinds, body.labels, ledger, policy)
        return jsonify(describe(tracked.generation)), 201 if tracked.created else 200

    def _name(submission: str, task_id: str) -> None:
        named = name_submission(submission, task_id, ledger)
        if named is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"submission: {submission} is not known here")
        if named.task_id != task_id:
            raise Problem(HTTPStatus.CONFLICT, f"submission: {why_not_named(named, task_id)}")

    @routes.get("/account")
    def get_account() -> Response:
        health = ledger.health()
        budgets = {"day": policy.credits_per_day, "dayForUpgrades": policy.upgrade_credits_per_day}
        return jsonify(
            credits=health.credits,
            creditsAt=show_time(health.credits_at),
            warning=health.warn_of_account(warn_below) or None,
            spentToday=ledger.spent_today(),
            budgets=budgets | {"generation": policy.credits_per_generation},
        )

    @routes.get("/generations/<record_id>")
    def get_generation(record_id: str) -> Response:
        return jsonify(describe(look_up(_checked_any(record_id), ledger, policy) or _unknown(record_id)))

    @routes.get("/generations")
    def list_generations() -> Response:
        try:
            page = ledger.page(_read_state(), _read_limit(), request.args.get("cursor"))
        except ValueError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
        return jsonify(generations=[describe(record) for record in page.generations], cursor=page.cursor)

    @routes.post("/generations/<record_id>/upgrades")
    def post_upgrade(record_id: str) -> tuple[Response, int]:
        body = _read_body(UpgradeBody)
        _require_vendor_key()
        answer = request_upgrade(created(record_id), Kind(body.kind), body.index, ledger, policy)
        generation = answer.generation or _unknown(record_id)
        if answer.outcome is UpgradeRequest.IMPOSSIBLE:
            raise Problem(HTTPStatus.CONFLICT, answer.reason)
        if answer.outcome is UpgradeRequest.OVER_BUDGET:
            raise Problem(HTTPStatus.PAYMENT_REQUIRED, answer.reason)
        return jsonify(describe(generation)), 200 if answer.outcome is UpgradeRequest.ALREADY else 202

    @routes.post("/generations/<record_id>/retry")
    def post_retry(record_id: str) -> tuple[Response, int]:
        known = look_up(_checked_any(record_id), ledger, policy) or _unknown(record_id)
        again, record = retry(known.id if isinstance(known, Submission) else known.task_id, ledger)
        if isinstance(record, Submission) and not again:
            raise Problem(HTTPStatus.CONFLICT, record.why_no_retry)
        return jsonify(describe(record or _unknown(record_id))), 202

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


def _checked_any(record_id: str) -> str:
    return record_id if is_submission_id(record_id) else _checked(record_id)


def _unknown(record_id: str) -> NoReturn:
    advice = "" if is_submission_id(record_id) else f"; PUT /generations/{record_id} tracks it"
    raise Problem(HTTPStatus.NOT_FOUND, f"generation {record_id} is not known here{advice}")


def _read_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise Problem(HTTPStatus.BAD_REQUEST, f"Idempotency-Key: must have 1 to {LONGEST_KEY} characters")
    return key


def _read_request(model: type[GenerateRequest] | type[ExtendRequest], given: dict[str, str] | None = None) -> Any:
    """A body that holds the vendor's fields and our own. All that is wrong with either is told at once.

    :param given: fields that the body does not name
    :return: the request and the wishes
    """
    fields = _parse(_JSON_OBJECT)
    if given and given.keys() & fields.keys():
        raise _bad_fields([(name, "is named by the URL") for name in given.keys() & fields.keys()])
    own = {name: fields.pop(name) for name in Wishes.model_fields if name in fields}
    read: list[Any] = []
    faults: list[tuple[str, str]] = []
    for wanted, values in ((model, fields | (given or {})), (Wishes, own)):
        try:
            read.append(wanted.model_validate(values))
        except ValidationError as error:
            faults += explain(error)
    if faults:
        raise _bad_fields(faults)
    return read


def _read_body(model: type[Body]) -> Body:
    return _parse(TypeAdapter(model))


def _parse(adapter: TypeAdapter[Parsed]) -> Parsed:
    try:
        return adapter.validate_json(request.get_data(cache=False) or b"{}")
    except ValidationError as error:
        raise _bad_fields(explain(error)) from None


def _bad_fields(faults: list[tuple[str, str]]) -> Problem:
    detail = "; ".join(f"{field}: {message}" for field, message in faults)
    errors = [{"field": field, "message": message} for field, message in faults]
    return Problem(HTTPStatus.BAD_REQUEST, detail, more={"errors": errors})


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
