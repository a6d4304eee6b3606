"""The user's routes: submit, extend, track, look, list, upgrade, try again. All need a bearer token."""

import secrets
from http import HTTPStatus
from typing import NoReturn

from flask import Blueprint, Response, jsonify, request

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.submission import Submission
from app.domain.view import describe, show_time
from app.domain.work import TASK_ID, Kind, is_submission_id, is_task_id
from app.pipeline.submit import NO_KEY, Acceptance, accept, name_submission, submission_id, why_not_named
from app.pipeline.track import UpgradeRequest, look_up, request_upgrade, retry, track
from app.web.access import Access
from app.web.answers import AccountView, PageView
from app.web.problems import Problem
from app.web.reading import (
    ListQuery,
    Nothing,
    TrackBody,
    UpgradeBody,
    Wishes,
    bad_fields,
    read_body,
    read_key,
    read_query,
    read_request,
)


def generation_routes(
    ledger: Ledger, policy: Policy, access: Access, *, can_submit: bool = True, warn_below: float | None = None
) -> Blueprint:
    """The routes.

    :param access: who may
    :param can_submit: whether there is a vendor key
    :param warn_below: credits in the vendor's account under which a warning is shown
    """
    routes = Blueprint("generations", __name__)
    routes.before_request(access.require_bearer)
    routes.before_request(_refuse_queries)

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
        key = read_key() or secrets.token_hex(16)
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
        return submit(*read_request(GenerateRequest))

    @routes.post("/generations/<record_id>/extensions")
    def post_extension(record_id: str) -> tuple[Response, int]:
        return submit(*read_request(ExtendRequest, {"taskId": created(record_id)}))

    @routes.put("/generations/<record_id>")
    def put_generation(record_id: str) -> tuple[Response, int]:
        body, task_id = read_body(TrackBody), created(record_id)
        if body.submission is not None:
            _name(body.submission, task_id)
        tracked = track(task_id, body.kinds, body.labels, ledger, policy)
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
        account: AccountView = {
            "credits": health.credits,
            "creditsAt": show_time(health.credits_at),
            "warning": health.warn_of_account(warn_below) or None,
            "spentToday": ledger.spent_today(),
            "budgets": {
                "day": policy.credits_per_day,
                "dayForUpgrades": policy.upgrade_credits_per_day,
                "generation": policy.credits_per_generation,
            },
        }
        return jsonify(account)

    @routes.get("/generations/<record_id>")
    def get_generation(record_id: str) -> Response:
        return jsonify(describe(look_up(_checked_any(record_id), ledger, policy) or _unknown(record_id)))

    @routes.get("/generations")
    def list_generations() -> Response:
        query = read_query(ListQuery)
        page = ledger.page(query.state, query.limit, query.cursor)
        shown: PageView = {"generations": [describe(record) for record in page.generations], "cursor": page.cursor}
        return jsonify(shown)

    @routes.post("/generations/<record_id>/upgrades")
    def post_upgrade(record_id: str) -> tuple[Response, int]:
        body = read_body(UpgradeBody)
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
        read_body(Nothing)
        known = look_up(_checked_any(record_id), ledger, policy) or _unknown(record_id)
        again, record = retry(known.id if isinstance(known, Submission) else known.task_id, ledger)
        if isinstance(record, Submission) and not again:
            raise Problem(HTTPStatus.CONFLICT, record.why_no_retry)
        return jsonify(describe(record or _unknown(record_id))), 202

    return routes


def _refuse_queries() -> None:
    """A query where none is read is a mistake; saying nothing of it would hide it."""
    if request.endpoint != "generations.list_generations":
        read_query(Nothing)


def _checked(task_id: str) -> str:
    if not is_task_id(task_id):
        raise bad_fields([("id", f"must be of the form {TASK_ID.pattern}")])
    return task_id


def _checked_any(record_id: str) -> str:
    return record_id if is_submission_id(record_id) else _checked(record_id)


def _unknown(record_id: str) -> NoReturn:
    advice = "" if is_submission_id(record_id) else f"; PUT /generations/{record_id} tracks it"
    raise Problem(HTTPStatus.NOT_FOUND, f"generation {record_id} is not known here{advice}")
