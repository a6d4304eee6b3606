"""`GET /` and below: the dashboard. The first screen is `/`, the rest is under `/ui/`, beside `/login` and `/logout`."""

import hashlib
import threading
import time
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request, url_for
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from app.adapters.presign import Presigner
from app.domain.errors import ArchiveUnavailable, LedgerUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Ledger
from app.domain.requests import explain as explain_faults
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.view import tell_error
from app.domain.work import UPGRADES, Kind, is_submission_id, is_task_id
from app.logs import log_event
from app.pipeline.track import look_back, look_up
from app.settings import Settings
from app.version import own_version
from app.web.access import Access
from app.web.dashboard import doing, words
from app.web.dashboard.chart import draw
from app.web.dashboard.export import AT_ONCE, limit_silence, write_sheet
from app.web.dashboard.findings import explain, find_what_is_wrong, look_at_parts
from app.web.dashboard.one import (
    can_retry,
    compare_asked,
    lay_out,
    link_objects,
    list_films,
    list_offers,
    show_callbacks,
)
from app.web.dashboard.search import Search
from app.web.dashboard.sessions import COOKIE, LIFETIME, Session, Sessions
from app.web.health import look_at_redis
from app.web.problems import Problem

#: rows of a list's page
ROWS = 50
NOTE = "reelkeep_note"
STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
#: seconds for which a browser keeps them; their address changes with what is in them
KEPT = 365 * 86400
_OPEN = ("dashboard.login", "dashboard.log_in", "dashboard.static")
#: what tells nothing, so that it can be answered while nobody knows whether a session was ended
_HARMLESS = (*_OPEN, "dashboard.log_out")


def dashboard_routes(ledger: Ledger, settings: Settings, access: Access, presigner: Presigner | None) -> Blueprint:
    """The routes.

    :param access: who may
    :param presigner: makes links to the bucket's objects; None: there are no keys for that
    """
    routes = Blueprint("dashboard", __name__, template_folder="templates")
    sessions = Sessions([token.get_secret_value() for token in settings.api_tokens])
    policy = settings.policy
    headers = _security_headers(presigner)
    # One at a time in each process: the rest of it is for callbacks.
    exporting = threading.Lock()

    # --- who may -------------------------------------------------------------------------------------------------------

    @routes.before_request
    def admit() -> BaseResponse | None:
        """Find the session; send visitors to the login, and forms that are not ours away."""
        g.session = find_session()
        if request.endpoint not in _OPEN and not (g.session and g.session.is_user):
            back = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else "/"
            return redirect(url_for("dashboard.login", next=back), 303)
        if request.method == "POST" and not (g.session and g.session.owns(request.form.get("csrf", ""))):
            log_event("form.refused", path=request.path)
            abort(
                HTTPStatus.FORBIDDEN, "This form is too old, or is none of ours. Load the page anew and send it again."
            )
        return None

    def find_session() -> Session | None:
        """None: there is none, or not any more. :raises LedgerUnavailable: nobody knows, and it matters"""
        session = sessions.find(request.cookies.get(COOKIE, ""))
        if session and session.is_user:
            try:
                return None if ledger.is_revoked(session.name) else session
            except LedgerUnavailable:
                if request.endpoint not in _HARMLESS:
                    raise
        return session

    @routes.after_request
    def protect(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        if NOTE in request.cookies and response.status_code < 300 and request.endpoint != "dashboard.static":
            response.delete_cookie(NOTE)  # it was said
        return response

    def keep(response: BaseResponse, session: Session) -> BaseResponse:
        response.set_cookie(
            COOKIE, session.cookie, max_age=LIFETIME, secure=_is_secure(settings), httponly=True, samesite="Lax"
        )
        return response

    def noted(response: BaseResponse, sentence: str) -> BaseResponse:
        """Have the next page say something."""
        sealed, secure = g.session.seal(sentence), _is_secure(settings)
        response.set_cookie(NOTE, sealed, max_age=60, secure=secure, httponly=True, samesite="Lax")
        return response

    @routes.context_processor
    def shared() -> dict[str, object]:
        return {
            "session": getattr(g, "session", None),
            "note": _read_note(),
            "words": words,
            "static_url": _static_url,
            "State": State,
            "flower": settings.flower_url,
            "version": own_version(),
            "origin": presigner.origin if presigner else "",
        }

    @routes.get("/login")
    def login() -> BaseResponse:
        if g.session and g.session.is_user:
            return redirect(_own_path(request.args.get("next", "")), 303)
        return show_login("", HTTPStatus.OK)

    def show_login(fault: str, status: HTTPStatus) -> BaseResponse:
        session = g.session = g.session or sessions.begin()
        page = render_template(
            "login.html", fault=fault, back=_own_path(request.values.get("next", "")), nobody=not settings.api_tokens
        )
        return keep(make_response(page, status), session)

    @routes.post("/login")
    def log_in() -> BaseResponse:
        token = request.form.get("token", "").strip()
        try:
            if not access.admits(token):
                return show_login("This is no token of ours.", HTTPStatus.UNAUTHORIZED)
        except Problem as problem:  # what it says is for programs
            answer = show_login("Too many wrong tokens came from your address. A right one is let in.", problem.status)
            answer.headers.update(problem.headers)
            return answer
        log_event("dashboard.login")
        return keep(redirect(_own_path(request.form.get("next", "")), 303), sessions.begin(token))

    @routes.post("/logout")
    def log_out() -> BaseResponse:
        ended, g.session = g.session, None
        try:
            ledger.revoke(ended.name, LIFETIME)
        except LedgerUnavailable as error:
            log_event("request.refused", error=str(error))
            fault = f"{error}. You are logged out in this browser, but a copy of its cookie would still be let in."
            return show_login(fault, HTTPStatus.SERVICE_UNAVAILABLE)
        response = redirect(url_for("dashboard.login"), 303)
        response.delete_cookie(COOKIE)
        return response

    # --- the first screen ----------------------------------------------------------------------------------------------

    @routes.get("/")
    def first_screen() -> str:
        return render_template("first.html", **look())

    @routes.get("/ui/now")
    def first_screen_again() -> str:
        """What changes of it, for the script."""
        return render_template("now.html", **look())

    def look() -> dict[str, object]:
        overview = ledger.overview()
        parts = look_at_parts(overview, look_at_redis(ledger), settings)
        findings = find_what_is_wrong(overview, parts, policy)
        return {
            "overview": overview,
            "now": overview.now,
            "parts": parts,
            "findings": findings,
            "verdict": "Not all is well" if findings else "All is well",
            "risks": [(risk, explain(risk)) for risk in overview.risks],
            "chart": draw(overview.hours),
            "policy": policy,
            "counts": {**overview.counts, State.UNCERTAIN: overview.uncertain},
        }

    # --- the list ------------------------------------------------------------------------------------------------------

    def read_search(given: dict[str, str]) -> tuple[Search, list[tuple[str, str]]]:
        try:
            return Search.model_validate(given), []
        except ValidationError as error:
            return Search(), explain_faults(error)

    def keep_filter(given: dict[str, str]) -> dict[str, Any]:
        """What is looked for, wherever in the list one is."""
        return {name: given[name] for name in Search.model_fields if given.get(name) and name != "cursor"}

    @routes.get("/ui/generations")
    def generations() -> BaseResponse:
        given = request.args.to_dict()
        search, faults = read_search(given)
        # A whole id is looked up, and not looked for.
        if search.is_plain and _is_id(search.text) and look_up(search.text, ledger, policy) is not None:
            return redirect(url_for("dashboard.generation", record_id=search.text), 303)
        page = None if faults else ledger.page(search.listed_state, ROWS, search.cursor, search.filter)
        text = render_template(
            "list.html",
            given=given,
            kept=keep_filter(given),
            faults=faults,
            page=page,
            now=ledger.health().now,
            most=doing.MOST_AT_ONCE,
            rows=[(record, _tell_why(record)) for record in page.generations] if page else [],
        )
        return make_response(text, HTTPStatus.BAD_REQUEST if faults else HTTPStatus.OK)

    def read_search_or_refuse(given: dict[str, str]) -> Search:
        search, faults = read_search(given)
        if faults:
            abort(HTTPStatus.BAD_REQUEST, "; ".join(f"{field}: {message}" for field, message in faults))
        return search

    @routes.get("/ui/generations.csv")
    def export() -> Response:
        given = request.args.to_dict()
        search = read_search_or_refuse(given)
        first = ledger.page(search.listed_state, AT_ONCE, search.cursor, search.filter)
        path = url_for("dashboard.export", **keep_filter(given))
        limit_silence()
        if not exporting.acquire(blocking=False):
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "Another export is under way. Try again.", {"Retry-After": "5"}
            )
        response = Response(write_sheet(first, search, ledger, path), content_type="text/csv; charset=utf-8")
        response.call_on_close(exporting.release)
        name = f"reelkeep-{time.strftime('%Y-%m-%dT%H%MZ', time.gmtime())}.csv"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    @routes.post("/ui/generations/retry")
    def retry_list() -> BaseResponse:
        given: dict[str, Any] = {name: value for name, value in request.form.items() if name in Search.model_fields}
        search = read_search_or_refuse(given)
        said = doing.retry_all(search, ledger).sentence
        return noted(redirect(url_for("dashboard.generations", **given), 303), said)

    # --- one generation ------------------------------------------------------------------------------------------------

    def find(record_id: str) -> Generation | Submission:
        record = look_up(record_id, ledger, policy) if _is_id(record_id) else None
        return record or abort(HTTPStatus.NOT_FOUND, f"No generation {record_id[:200]} is known here.")

    def back_to(record_id: str, said: str) -> BaseResponse:
        return noted(redirect(url_for("dashboard.generation", record_id=record_id), 303), said)

    @routes.get("/ui/generations/<record_id>")
    def generation(record_id: str) -> str:
        record = find(record_id)
        own_id = record.id if isinstance(record, Submission) else record.task_id
        links = link_objects(record, presigner)
        return render_template(
            "one.html",
            record=record,
            own_id=own_id,
            error=_tell_why(record),
            submission=isinstance(record, Submission),
            renditions=[] if isinstance(record, Submission) else record.renditions,
            now=ledger.health().now,
            links=links,
            films=list_films(record, links),
            asked=compare_asked(record),
            events=lay_out(look_back(record, ledger)),
            callbacks=show_callbacks(record, ledger.history(own_id)),
            offers=list_offers(record, policy, can_submit=settings.can_submit),
            can_retry=can_retry(record),
        )

    @routes.post("/ui/generations/<record_id>/retry")
    def retry_generation(record_id: str) -> BaseResponse:
        record = find(record_id)
        own_id = record.id if isinstance(record, Submission) else record.task_id
        return back_to(own_id, doing.retry_one(own_id, ledger))

    @routes.post("/ui/generations/<record_id>/upgrades")
    def upgrade_generation(record_id: str) -> BaseResponse:
        record = find(record_id)
        kind, index = request.form.get("kind", ""), request.form.get("index", "0")
        if kind not in UPGRADES or not (index.isascii() and index.isdigit() and len(index) < 3):
            abort(HTTPStatus.BAD_REQUEST, "There is no such upgrade.")
        if isinstance(record, Submission) or not settings.can_submit:
            abort(HTTPStatus.CONFLICT, "It cannot be upgraded, or not yet.")
        return back_to(record.task_id, doing.buy(record.task_id, Kind(kind), int(index), ledger, policy))

    @routes.post("/ui/generations/<record_id>/replay")
    def replay_generation(record_id: str) -> BaseResponse:
        find(record_id)
        return back_to(record_id, doing.replay_one(record_id, ledger, policy))

    # --- the rest ------------------------------------------------------------------------------------------------------

    @routes.get("/ui/static/<name>")
    def static(name: str) -> Response:
        if name not in STATIC:
            abort(HTTPStatus.NOT_FOUND)
        response = Response(_read_static(name), content_type=f"{STATIC[name]}; charset=utf-8")
        response.headers["Cache-Control"] = f"public, max-age={KEPT}, immutable"
        return response

    @routes.route("/ui/", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @routes.route("/ui/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def nothing(rest: str) -> Response:
        abort(HTTPStatus.NOT_FOUND, "There is no such page.")

    def show_error(status: HTTPStatus, sentence: str, more: dict[str, str] | None = None) -> BaseResponse:
        page = render_template("error.html", status=status, sentence=sentence)
        return make_response(page, status, more or {})

    @routes.errorhandler(Problem)
    def on_problem(problem: Problem) -> BaseResponse:
        return show_error(problem.status, problem.detail, problem.headers)

    @routes.errorhandler(HTTPException)
    def on_http_exception(error: HTTPException) -> BaseResponse:
        status = HTTPStatus(error.code or 500)
        return show_error(status, error.description or status.description)

    @routes.errorhandler(LedgerUnavailable)
    def on_ledger_unavailable(error: LedgerUnavailable) -> BaseResponse:
        log_event("request.refused", error=str(error))
        if isinstance(error, ArchiveUnavailable):
            return show_error(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}.", {"Retry-After": "5"})
        sentence = (
            f"{error}. Nothing can be shown until it does; callbacks are answered 503, and the vendor brings them again. "
            "`reelkeep doctor` says what to mend."
        )
        return show_error(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"Retry-After": "5"})

    return routes


def _security_headers(presigner: Presigner | None) -> dict[str, str]:
    bucket = f" {presigner.origin}" if presigner else ""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": f"'self'{bucket}",
        "media-src": bucket.strip() or "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "Cache-Control": "no-store",
    }


def _is_secure(settings: Settings) -> bool:
    """Whether the browser came by https: by gunicorn's word, or since the page's host is the public one behind a proxy."""
    public = urlsplit(settings.public_url)
    return request.is_secure or (public.scheme == "https" and public.netloc == request.host)


def _own_path(path: str) -> str:
    """Where to go after the login: a page of the dashboard, and nowhere else."""
    return path if path.startswith("/ui/") and "\\" not in path and "//" not in path else "/"


def _tell_why(record: Generation | Submission) -> str:
    """Why it stands as it does, for a line of the list; empty: there is nothing to say."""
    return tell_error(record) or (record.msg if record.state == State.FAILED else "")


def _is_id(text: str) -> bool:
    return is_task_id(text) or is_submission_id(text)


def _read_note() -> str:
    session, sealed = getattr(g, "session", None), request.cookies.get(NOTE)
    return session.unseal(sealed) if session and sealed else ""


@cache
def _read_static(name: str) -> bytes:
    return (resources.files("app.web.dashboard") / "static" / name).read_bytes()


def _static_url(name: str) -> str:
    version = hashlib.sha256(_read_static(name)).hexdigest()[:12]
    return url_for("dashboard.static", name=name, v=version)
