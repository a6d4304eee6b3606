"""Joins the web process's parts."""

import os
import time
from http import HTTPStatus

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.adapters.celery_outlet import CeleryOutlet
from app.adapters.manifest_link import read_by_link
from app.adapters.presign import Presigner
from app.adapters.redis_ledger import RedisLedger
from app.adapters.signature import verify
from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger, Trust
from app.logs import log_event
from app.settings import Settings
from app.web.access import Access
from app.web.bodies import LARGEST_BODY
from app.web.callbacks import FrontDoor, callback_routes
from app.web.dashboard.routes import dashboard_routes
from app.web.generations import generation_routes
from app.web.health import health_routes
from app.web.metrics import metrics_routes
from app.web.openapi import openapi_routes
from app.web.problems import Problem, on_http_exception, on_problem, render_problem

#: seconds for connecting to Redis and for its answer: two of these stay well under the 3 s in which a callback is answered
REDIS_TIMEOUT = 0.8


def create_app(settings: Settings) -> Flask:
    """The application for these settings. Nothing is connected yet."""
    presigner = _find_presigner(settings)
    ledger = RedisLedger(
        settings.redis_url,
        broker_url=settings.broker,
        outlet=lambda: CeleryOutlet(settings.broker),
        timeout=REDIS_TIMEOUT,
        fail_fast=True,
        leaves_room=True,
        events=bool(settings.events_url),
        read_manifest=read_by_link(presigner, settings.s3_prefix, os.environ) if presigner else None,
    )
    return build_app(settings, ledger)


def build_app(settings: Settings, ledger: Ledger) -> Flask:
    """The application on a given ledger."""
    app = Flask("reelkeep", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.url_map.merge_slashes = False  # what is at no route of ours is refused, and not sent elsewhere
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default JSON provider
    keys = [key.get_secret_value() for key in settings.webhook_keys]

    def check(task_id: str, timestamp: str | None, signature: str | None) -> Trust | None:
        return verify(keys, task_id, timestamp, signature, now=time.time(), max_age=settings.webhook_max_age)

    access = Access([token.get_secret_value() for token in settings.api_tokens], ledger)
    app.register_blueprint(callback_routes(ledger))
    app.wsgi_app = FrontDoor(app.wsgi_app, ledger, check if keys else None)  # type: ignore[method-assign]
    app.register_blueprint(
        generation_routes(
            ledger, settings.policy, access, can_submit=settings.can_submit, warn_below=settings.credits_warn_below
        )
    )
    app.register_blueprint(
        health_routes(ledger, settings.sweep_every, settings.download_deadline, settings.credits_warn_below)
    )
    app.register_blueprint(metrics_routes(ledger, settings))
    app.register_blueprint(openapi_routes())
    app.register_blueprint(dashboard_routes(ledger, settings, access, _find_presigner(settings)))
    app.register_error_handler(Problem, on_problem)
    app.register_error_handler(HTTPException, on_http_exception)
    app.register_error_handler(LedgerUnavailable, _on_ledger_unavailable)
    return app


def _find_presigner(settings: Settings) -> Presigner | None:
    """By boto3's own variables, as far as they are in the environment: see app/adapters/presign.py."""
    return Presigner.from_environment(settings.s3_bucket, os.environ)


def _on_ledger_unavailable(error: LedgerUnavailable) -> Response:
    log_event("request.refused", error=str(error))
    return render_problem(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{error}; it may not have been recorded: ask again", {"Retry-After": "5"}
    )
