"""The simulator's HTTP side: the vendor's API, its file host, and the admin routes."""

from __future__ import annotations

import hmac
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from threading import Event, RLock
from typing import Any

from flask import Flask, Request, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from app.simulator import answers
from app.simulator.answers import Answer
from app.simulator.books import write_books
from app.simulator.jobs import Jobs
from app.simulator.scenarios import Scenario
from app.simulator.serving import Host
from app.simulator.upgrades import Upgrades
from app.simulator.vendor import Vendor
from app.simulator.weather import Climate, Weather

logger = logging.getLogger(__name__)

Lock = AbstractContextManager[object]


def create_app(
    vendor: Vendor,
    weather: Weather,
    stopping: Event,
    outstanding: Callable[[], int],
    *,
    api_key: str,
    retry_after: int | None = None,
) -> Flask:
    """The routes. One lock is held while the vendor thinks, never while an answer is sent.

    :param outstanding: how many callbacks are still to be sent
    :param retry_after: see `Options`
    """
    app = Flask(__name__)
    lock = RLock()
    received: Counter[str] = Counter()

    @app.before_request
    def check() -> Response | None:
        if not request.path.startswith("/api/"):
            return None
        with lock:
            received[f"{request.method} {request.path}"] += 1
        expected = f"Bearer {api_key}".encode()
        given = request.headers.get("Authorization", "").encode()
        return None if hmac.compare_digest(expected, given) else _json(answers.BAD_KEY.body, 401)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Any:
        if not request.path.startswith("/api/"):
            return error
        return _json(Answer(error.code or 500, error.name).body, error.code or 500)

    def reply(action: Callable[[], Answer]) -> Response:
        with lock:
            answer = weather.meet(_subject(request), action, posted=request.method == "POST")
        logger.info("request.answered path=%s status=%d code=%d", request.path, answer.status, answer.code)
        if answer.hold:
            stopping.wait(answer.hold)
        if answer.dropped:
            return Response(iter(_hang_up, b""))
        if answer.page:
            return Response(answer.page, answer.status, content_type="text/html")
        response = _json(answer.body, answer.status)
        if answer.status == 429 and retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        return response

    _add_api(app, vendor, reply)
    host = Host(vendor.shelf, lock, stopping)
    for folder in "vpd":
        app.add_url_rule(f"/{folder}/<name>", f"file_{folder}", lambda name: host.answer(request))
    _add_admin(app, vendor, lock, received)
    _add_weather(app, weather, lock, outstanding)
    return app


def _add_api(app: Flask, vendor: Vendor, reply: Callable[[Callable[[], Answer]], Response]) -> None:
    upgrades = Upgrades(vendor)
    jobs = Jobs(vendor, upgrades)
    posts: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
        "/api/v1/veo/generate": vendor.generate,
        "/api/v1/veo/extend": vendor.extend,
        "/api/v1/veo/get-4k-video": upgrades.get_4k,
        "/api/v1/common/download-url": vendor.download_url,
        "/api/v1/jobs/createTask": jobs.create_task,
    }

    def post() -> Response:
        fields = _fields(request)
        return reply(lambda: answers.NOT_JSON if fields is None else posts[request.path](fields))

    for path in posts:
        app.add_url_rule(path, path, post, methods=["POST"])

    @app.get("/api/v1/veo/get-1080p-video")
    def get_1080p() -> Response:
        task_id, index = request.args.get("taskId", ""), request.args.get("index", 0, type=int)
        return reply(lambda: upgrades.get_1080p(task_id, index))

    details = {"/api/v1/veo/record-info": vendor.details, "/api/v1/jobs/recordInfo": jobs.record_info}

    def record_info() -> Response:
        task_id, look_up = request.args.get("taskId", ""), details[request.path]
        return reply(lambda: look_up(task_id) if task_id else answers.invalid("taskId is required."))

    for path in details:
        app.add_url_rule(path, path, record_info)

    @app.get("/api/v1/chat/credit")
    def credit() -> Response:
        return reply(vendor.credit)


def _add_admin(app: Flask, vendor: Vendor, lock: Lock, received: Mapping[str, int]) -> None:
    @app.get("/_simulator/health")
    def health() -> Response:
        return _json({"status": "ok"})

    @app.get("/_simulator/books")
    def books() -> Response:
        with lock:
            return _json(write_books(vendor, received))

    @app.get("/_simulator/file")
    def file() -> Response:
        link = vendor.shelf.links.get(request.args.get("path", ""))
        if link is None:
            return _json({"error": "no such file"}, 404)
        return Response(link.file.content, content_type=link.file.media_type)

    @app.post("/_simulator/deliver")
    def deliver() -> Response:
        with lock:
            sent = vendor.deliver(str((_fields(request) or {}).get("taskId")))
        return _json({"sent": sent}, 200 if sent else 404)

    @app.post("/_simulator/scenarios")
    def scenarios() -> Response:
        fields = dict(_fields(request) or {})
        name = fields.pop("name", None)
        if not isinstance(name, str) or not name:
            return _json({"error": "name is required"}, 400)
        try:
            scenario = Scenario.model_validate(fields)
        except ValidationError as error:
            return _json({"error": str(error)}, 400)
        with lock:
            vendor.scenarios[name] = scenario
        return _json({"name": name})


def _add_weather(app: Flask, weather: Weather, lock: Lock, outstanding: Callable[[], int]) -> None:
    @app.get("/_simulator/weather")
    def tell_weather() -> Response:
        with lock:
            return _json({"climate": weather.climate.model_dump(), "served": dict(weather.served)})

    @app.post("/_simulator/weather")
    def change_weather() -> Response:
        try:
            climate = Climate.model_validate(_fields(request))
        except ValidationError as error:
            return _json({"error": str(error)}, 400)
        with lock:
            weather.climate = climate
        return tell_weather()

    @app.get("/_simulator/outstanding")
    def tell_outstanding() -> Response:
        return _json({"callbacks": outstanding()})


def _subject(given: Request) -> str:
    """What a request is about, whoever sends it and whatever its callback URL is."""
    fields = {**(_fields(given) or {}), **given.args}
    fields |= fields["input"] if isinstance(fields.get("input"), dict) else {}
    named = [str(fields.get(name, "")) for name in ("prompt", "taskId", "url", "index", "model")]
    return " ".join([given.method, given.path, *named])


def _fields(given: Request) -> dict[str, Any] | None:
    """The body, if it is a JSON object."""
    body = given.get_json(force=True, silent=True)
    return body if isinstance(body, dict) else None


def _hang_up() -> bytes:
    """The first piece of an answer of which nothing is sent."""
    raise ConnectionResetError


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    """Content type as recorded (live)."""
    return Response(json.dumps(body), status, content_type="application/json;charset=UTF-8")
