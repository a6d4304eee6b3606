"""All that a worker has at hand: the ledger, a queue, our client of the vendor, and the simulator behind it. The steps are called
by hand, in the order of the queue."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from uuid import uuid4

import redis
import requests
from flask import Flask
from pydantic import SecretStr
from werkzeug.serving import WSGIRequestHandler, make_server

from app.adapters.kie import KieVendor
from app.adapters.redis_ledger import RedisLedger
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import Rendition
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.submission import Submission
from app.domain.view import describe
from app.domain.work import Item, Kind, Lane, Step
from app.pipeline.settle import settle
from app.pipeline.submit import accept, submit
from app.pipeline.track import look_up
from app.pipeline.upgrade import upgrade
from app.settings import Settings
from app.simulator.client import SimulatorClient
from app.simulator.server import Simulator
from app.web.application import create_app
from tests.integration.looks import queued
from tests.support.waiting import wait_for

WEBHOOK_KEY = "webhook-key"
TOKEN = "user-token"
#: pauses so short that the next look is due at once, and rates that hold nobody up
QUICK = Policy(
    first_poll_after=0.05,
    poll_interval=0.01,
    poll_interval_max=0.05,
    upgrade_poll_after=0.05,
    lease=10,
    retry_base=0.01,
    retry_max=0.02,
    provider_rate=(10_000, 1.0),
    poll_rate=(10_000, 1.0),
)


@dataclass
class Desk:
    """One worker's."""

    simulator: Simulator
    redis_url: str
    policy: Policy = QUICK
    form: Literal["veo", "jobs"] = "veo"
    #: seconds that the vendor's answers are waited for
    patience: float = 20.0
    #: where the vendor can reach us; empty: nowhere
    door: str = ""

    def __post_init__(self) -> None:
        self.ledger = RedisLedger(self.redis_url)
        self.queue = redis.Redis.from_url(self.redis_url, decode_responses=True)
        self.vendor = self.vendor_at(self.simulator.url, self.patience)
        self.client = SimulatorClient(self.simulator.url)

    def vendor_at(self, url: str, patience: float = 20.0) -> KieVendor:
        return KieVendor("sim-key", url, timeout=(5.0, patience), form=self.form)

    def post(self, url: str, body: str, headers: dict[str, str] | None = None) -> requests.Response:
        """What anybody who knows the address may send."""
        return requests.post(url, data=body, headers=headers, timeout=20)

    # --- what a user does ----------------------------------------------------------------------------------------------

    def take_on(self, request: Request, *upgrades: Kind) -> str:
        """Ask for something, and give its id."""
        answer = accept(request, upgrades, {}, uuid4().hex, self.ledger, self.policy)
        assert answer.submission is not None, answer
        return answer.submission.id

    def generate(self, scenario: str, *upgrades: Kind, **fields: Any) -> str:
        return self.take_on(GenerateRequest(prompt=f"scenario={scenario} a cat", **fields), *upgrades)

    def extend(self, task_id: str, scenario: str = "plain", *upgrades: Kind) -> str:
        return self.take_on(ExtendRequest(taskId=task_id, prompt=f"scenario={scenario} and on"), *upgrades)

    def show(self, record_id: str) -> dict[str, Any]:
        """What the user sees."""
        record = look_up(record_id, self.ledger, self.policy)
        assert record is not None
        return describe(record)

    # --- what a worker does --------------------------------------------------------------------------------------------

    def work(self, most: int = 50) -> int:
        """Do what is due now, downloads and manifests left out; gives how many steps that were."""
        self.ledger.wake()
        steps: dict[Step, Callable[[Item], None]] = {
            Step.SUBMIT: lambda item: submit(item, self.ledger, self.vendor, self.policy, self._url("")),
            Step.SETTLE: lambda item: settle(item, self.ledger, self.vendor, self.policy),
            Step.UPGRADE: lambda item: upgrade(item, self.ledger, self.vendor, self.policy, self._url("4k/")),
        }
        for done in range(most):
            items = queued(self.queue)
            if not items:
                return done
            self.queue.rpop(Lane.QUICK.queue)
            item = Item.parse(items[0])
            steps[item.step](item)
        return most

    def work_until(self, condition: Callable[[], Any]) -> None:
        def reached() -> bool:
            self.work()
            return bool(condition())

        wait_for(reached, every=0.01)

    def work_until_state(self, record_id: str, state: str) -> dict[str, Any]:
        """Work until the user sees a state, and give all that is seen then."""
        try:
            self.work_until(lambda: self.show(record_id)["state"] == state)
        except AssertionError:
            raise AssertionError(f"not {state}: {self.show(record_id)}") from None
        return self.show(record_id)

    def _url(self, way: str) -> Callable[[str], str | None]:
        return lambda token: f"{self.door}/callbacks/veo/{way}{token}" if self.door else None

    # --- what the ledger and the vendor know ---------------------------------------------------------------------------

    def submission(self, record_id: str) -> Submission:
        found = self.ledger.read(record_id).submission
        assert found is not None
        return found

    def generation(self, record_id: str) -> Generation:
        found = look_up(record_id, self.ledger, self.policy)
        assert isinstance(found, Generation), found
        return found

    def rendition(self, record_id: str, kind: Kind) -> Rendition:
        found = self.generation(record_id).find(kind, 0)
        assert found is not None
        return found

    def made(self) -> dict[str, dict[str, Any]]:
        """The generations in the vendor's books, by id."""
        return dict(self.client.books()["generations"])

    def bought(self) -> Sequence[dict[str, Any]]:
        """The upgrades in the vendor's books."""
        return list(self.client.books()["purchases"])

    def sent(self, path: str) -> int:
        """How many requests the vendor has received at a path."""
        return int(self.client.books()["requests"].get(f"POST {path}", 0))


class _Handler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """An application on loopback; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def front_door(redis_url: str, **settings: Any) -> Flask:
    """The front door as it is, for a vendor that signs with `WEBHOOK_KEY`."""
    keys, tokens = (SecretStr(WEBHOOK_KEY),), (SecretStr(TOKEN),)
    given: dict[str, Any] = {"kie_api_key": SecretStr("sim-key"), "webhook_keys": keys, "api_tokens": tokens} | settings
    return create_app(Settings(redis_url=redis_url, **given))
