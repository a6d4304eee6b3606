"""The application: submits generations at the vendor's or through Reelkeep, and keeps book of what it was promised."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import requests

from app.simulator.client import SimulatorClient
from app.simulator.deliveries import sign
from tests.chaos.ground import Ground
from tests.chaos.plan import Planned, Way
from tests.support.fleet import WEBHOOK_KEY

#: requests of the application's that may be under way at once
HANDS = 16
#: seconds until the application asks again
AGAIN = 0.3
#: generations between two words about how many are in
SAY_EVERY = 500
#: seconds that it gives the vendor
PATIENCE = 6.0
#: seconds, beside three times those of the plan, after which it gives up
PATIENCE_AT_LAST = 120.0
GOOD = (200, 201, 202)


@dataclass
class Promises:
    """What was promised to the application. Written by many threads; each write is one operation of a dict or a list."""

    #: generations that the application knows, by the vendor's id; those that a PUT was answered for
    made: dict[str, Planned] = field(default_factory=dict)
    tracked: set[str] = field(default_factory=set)
    #: those submitted through Reelkeep, by our id
    submitted: dict[str, Planned] = field(default_factory=dict)
    #: forged callbacks that were answered 200, by the vendor's id
    forged: Counter[str] = field(default_factory=Counter)
    #: answers that are neither good nor 503
    odd_answers: list[str] = field(default_factory=list)
    #: seconds that answers of 503 took
    refusals: list[float] = field(default_factory=list)
    #: submissions at the vendor's own endpoint that the application could not tell the outcome of, or that were refused
    failed_submits: int = 0


class Application:
    """Feeds a plan's generations into the ground, which must know a scenario `decoy` that takes no time."""

    def __init__(self, ground: Ground, generations: Sequence[Planned]) -> None:
        self.promises = Promises()
        self._ground = ground
        self._vendor = SimulatorClient(ground.vendor.base_url, _key(ground), timeout=PATIENCE)
        self._generations = generations
        self._began = self._deadline = 0.0
        self._stop = threading.Event()
        # A video of somebody else's, for forged callbacks to point to; made while the weather is still good.
        self._decoy = _make_decoy(self._vendor)

    def feed(self, say: Callable[[str], None]) -> None:
        """Submit them all, each at its time or as soon after it as there is a hand free. Returns when all are promised.

        :param say: told now and then how many are
        """
        self._began = time.monotonic()
        self._deadline = self._began + 3 * self._ground.scale.lasts + PATIENCE_AT_LAST
        with ThreadPoolExecutor(HANDS, "application") as hands:
            try:
                for number, _ in enumerate(hands.map(self._go, self._generations), start=1):
                    if number % SAY_EVERY == 0:
                        say(f"{number} generations are in")
            finally:
                self._stop.set()

    def _go(self, planned: Planned) -> None:
        while (wait := self._began + planned.at - time.monotonic()) > 0:
            self._stop.wait(wait)
        if planned.way is Way.SUBMITTED:
            self._submit_here(planned)
            return
        task_id = self._submit_there(planned)
        self.promises.made[task_id] = planned
        if planned.way is Way.TRACKED:
            for _ in range(1 + planned.again):
                self._insist("PUT", f"/generations/{task_id}", json={"upgrades": list(planned.upgrades)})
                self.promises.tracked.add(task_id)
        if planned.forged:
            self._forge(task_id, planned)

    def _submit_here(self, planned: Planned) -> None:
        body = {"prompt": planned.prompt(), "upgrades": list(planned.upgrades)}
        for _ in range(1 + planned.again):
            answer = self._insist("POST", "/generations", json=body, headers={"Idempotency-Key": planned.name})
            self.promises.submitted[answer["id"]] = planned

    def _submit_there(self, planned: Planned) -> str:
        """Until there is an id. What an attempt without one may have created is another generation, which nobody tells us of."""
        for attempt in count(1):
            try:
                return self._create(planned.prompt(attempt))
            except (RuntimeError, ValueError, requests.RequestException):
                self.promises.failed_submits += 1
                self._rest()
        raise AssertionError

    def _create(self, prompt: str) -> str:
        if self._ground.form == "jobs":
            return self._vendor.create_task("veo-3-1", {"prompt": prompt}, self._ground.callback_url)
        return self._vendor.generate(prompt, self._ground.callback_url)

    def _insist(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """Ask until there is a good answer."""
        for answer in self._ask_again(lambda: self._ground.call(method, path, **kwargs)):
            if answer.status_code in GOOD:
                return dict(answer.json())
            if answer.status_code == 503:
                self.promises.refusals.append(answer.elapsed.total_seconds())
            else:
                self.promises.odd_answers.append(f"{method} {path} answered {answer.status_code}: {answer.text[:200]}")
        raise AssertionError

    def _ask_again(self, ask: Callable[[], requests.Response]) -> Iterator[requests.Response]:
        while True:
            with suppress(requests.RequestException):  # the process was killed, or none is up
                yield ask()
            self._rest()

    def _forge(self, task_id: str, planned: Planned) -> None:
        """One callback as an attacker sends it who has caught a signature: it does not cover the body (veo-api §9)."""
        timestamp = int(time.time())
        body: dict[str, Any] = {"code": 501, "msg": "forged", "data": {"taskId": task_id}}
        if planned.forged == "foreign":
            info = {"resultUrls": [self._decoy]}
            body = {"code": 200, "msg": "forged", "data": {"taskId": task_id, "info": info}}
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Timestamp": str(timestamp),
            "X-Webhook-Signature": sign(WEBHOOK_KEY, task_id, timestamp),
        }
        try:
            answer = requests.post(self._ground.callback_url, data=json.dumps(body), headers=headers, timeout=15)
        except requests.RequestException:
            return
        self.promises.forged[task_id] += answer.status_code == 200

    def _rest(self) -> None:
        if self._stop.wait(AGAIN) or time.monotonic() > self._deadline:
            raise RuntimeError("the application gets no answers")


def _make_decoy(vendor: SimulatorClient) -> str:
    task_id = vendor.generate("scenario=decoy a dog")
    answer = vendor.call("GET", "/api/v1/veo/record-info", params={"taskId": task_id})
    return str(answer.json()["data"]["response"]["resultUrls"][0])


def _key(ground: Ground) -> str:
    return ground.stack.env["REELKEEP_KIE_API_KEY"]
