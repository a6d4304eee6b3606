"""Errors as `application/problem+json` (RFC 9457)."""

import json
from http import HTTPStatus
from typing import Any

from flask import Response
from werkzeug.exceptions import HTTPException


class Problem(Exception):
    """An error that the client is told of: what is wrong, and what to do."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: dict[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ):
        """The status, one sentence for a person, headers to send along, and members for programs."""
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers or {}, more or {}


def render_problem(
    status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, more: dict[str, Any] | None = None
) -> Response:
    """The answer for a problem."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, **(more or {})}
    text = json.dumps(body, ensure_ascii=False) + "\n"
    return Response(text, status.value, headers, content_type="application/problem+json")


def on_problem(problem: Problem) -> Response:
    """Flask's handler for `Problem`."""
    return render_problem(problem.status, problem.detail, problem.headers, problem.more)


def on_http_exception(error: HTTPException) -> Response:
    """Flask's handler for its own errors: no such route, method not allowed, body too large."""
    status = HTTPStatus(error.code or 500)
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return render_problem(status, error.description or status.description, headers)
