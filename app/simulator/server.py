"""The running simulator: its parts, its threads and its server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from threading import Event, Thread
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from app.simulator.deliveries import Courier
from app.simulator.files import Shelf
from app.simulator.gate import Gate
from app.simulator.routes import create_app
from app.simulator.scenarios import BUILT_IN, Scenario
from app.simulator.vendor import Vendor
from app.simulator.weather import Climate, Weather

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
    #: New generations, extensions and orders per 10 s; 0: no limit.
    rate_limit: int = 20
    #: What answers of 429 say in `Retry-After`, in seconds; None: they have no such header.
    retry_after: int | None = None
    credits: float = 1_000_000.25
    #: What goes wrong by chance, at every endpoint of the API.
    climate: Climate = field(default_factory=Climate)
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
        weather = Weather(time.time, options.climate)
        vendor = Vendor(
            clock=time.time,
            speed=options.speed,
            new_id=new_id,
            shelf=shelf,
            courier=self._courier,
            scenarios={**BUILT_IN, **options.scenarios},
            credits=options.credits,
            gate=Gate(time.time, options.rate_limit),
            fog=weather.fog,
        )
        self._server.app = create_app(
            vendor,
            weather,
            self._stopping,
            lambda: self._courier.outstanding,
            api_key=options.api_key,
            retry_after=options.retry_after,
        )
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

    def connection_dropped(self, error: BaseException, environ: Mapping[str, Any] | None = None) -> None:
        """Close it: with nothing answered, the server would wait on it for another request."""
        self.close_connection = True

    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing: events are logged where they happen, and request lines hold signed queries."""
