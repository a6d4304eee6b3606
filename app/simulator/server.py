"""The simulator's HTTP side: the vendor's API, its file host, and the admin routes."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from threading import Event, RLock, Thread
from typing import Any

from flask import Flask, Request, Response, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from app.simulator import answers
from app.simulator.answers import Answer
from app.simulator.books import write_books
from app.simulator.deliveries import Courier
from app.simulator.files import Shelf
from app.simulator.scenarios import BUILT_IN, Scenario
from app.simulator.serving import Host
from app.simulator.upgrades import Upgrades
from app.simulator.vendor import Vendor

logger = logging.getLogger(__name__)

Lock = AbstractContextManager[object]

#: The vendor's seconds between two attempts at one callback (documented nowhere).
RETRY_SPACING = 30.0


@dataclass(frozen=True)
class Options:
    """How to run the simulator."""

    host: str = "127.0.0.1"
    #: 0: a free one.
    port: int = 0
    api_key: str = "sim-key"
    #: None: callbacks are not signed.
    webhook_key: str | None = None
    #: How much faster than the vendor's time goes by.
    speed: float = 1.0
    #: None: other ids every time.
    seed: int | None = None
    #: Beside the built-in ones, or in their place.
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)
    #: New generation requests per 10 s; 0: no limit.
    rate_limit: int = 20
    credits: float = 1_000_000.25
    #: What the URLs of files begin with; None: the address that the simulator listens on.
    public_url: str | None = None


class Simulator:
    """A running stand-in for the vendor: `with Simulator(Options(speed=60)) as simulator: simulator.url`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        # The application needs the port, which is known once the server has bound it.
        self._server = make_server(options.host, options.port, Flask(__name__), threaded=True, request_handler=_Handler)
        self.url = f"http://{options.host}:{self._server.server_port}"
        self._stopping = Event()
        self._courier = Courier(time.time, RETRY_SPACING / options.speed, options.webhook_key)
        new_id = _ids(options.seed)
        shelf = Shelf(
            public_url=(options.public_url or self.url).rstrip("/"),
            clock=time.time,
            speed=options.speed,
            new_hex=new_id,
        )
        vendor = Vendor(
            clock=time.time,
            speed=options.speed,
            new_id=new_id,
            shelf=shelf,
            courier=self._courier,
            scenarios={**BUILT_IN, **options.scenarios},
            credits=options.credits,
            rate_limit=options.rate_limit,
        )
        self._server.app = create_app(vendor, options.api_key, self._stopping)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self) -> None:
        self._courier.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop within about a second; what is under way is dropped."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._courier.stop()

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ids(seed: int | None) -> Callable[[], str]:
    random = Random(seed)
    return lambda: f"{random.getrandbits(128):032x}"


class _Handler(WSGIRequestHandler):
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing: events are logged where they happen, and request lines hold signed queries."""


def create_app(vendor: Vendor, api_key: str, stopping: Event) -> Flask:
    """The routes. One lock is held while the vendor thinks, never while an answer is sent."""
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
            answer = action()
        logger.info("request.answered path=%s status=%d code=%d", request.path, answer.status, answer.code)
        if answer.hold:
            stopping.wait(answer.hold)
        return _json(answer.body, answer.status)

    _add_api(app, vendor, reply)
    host = Host(vendor.shelf, lock, stopping)
    for folder in "vpd":
        app.add_url_rule(f"/{folder}/<name>", f"file_{folder}", lambda name: host.answer(request))
    _add_admin(app, vendor, lock, received)
    return app


def _add_api(app: Flask, vendor: Vendor, reply: Callable[[Callable[[], Answer]], Response]) -> None:
    upgrades = Upgrades(vendor)
    posts: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
        "/api/v1/veo/generate": vendor.generate,
        "/api/v1/veo/extend": vendor.extend,
        "/api/v1/veo/get-4k-video": upgrades.get_4k,
        "/api/v1/common/download-url": vendor.download_url,
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

    @app.get("/api/v1/veo/record-info")
    def record_info() -> Response:
        task_id = request.args.get("taskId", "")
        return reply(lambda: vendor.details(task_id) if task_id else answers.invalid("taskId is required."))

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


def _fields(given: Request) -> dict[str, Any] | None:
    """The body, if it is a JSON object."""
    body = given.get_json(force=True, silent=True)
    return body if isinstance(body, dict) else None


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    """Content type as recorded (live)."""
    return Response(json.dumps(body), status, content_type="application/json;charset=UTF-8")
