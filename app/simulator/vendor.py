"""The vendor's rules about generations, and the state that everything shares. No HTTP, threads, sleep."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from app.simulator import answers, bodies, checks
from app.simulator.answers import Answer, success
from app.simulator.bodies import Body
from app.simulator.deliveries import Delivery
from app.simulator.files import Shelf
from app.simulator.records import Generation, Upgrade, UpgradeKind
from app.simulator.scenarios import Message, PostFaults, Scenario, choose

logger = logging.getLogger(__name__)

#: The vendor's window for new generation requests, in real seconds (veo-api §1).
RATE_WINDOW = 10.0


class Sender(Protocol):
    """Takes a callback and sends it when it is due."""

    def send(self, delivery: Delivery) -> None: ...


@dataclass
class Vendor:
    """All state. Callers hold one lock around every call."""

    clock: Callable[[], float]
    speed: float
    #: Gives 32 lower-case hex characters, as real task ids are (live).
    new_id: Callable[[], str]
    shelf: Shelf
    courier: Sender
    scenarios: dict[str, Scenario]
    credits: float
    #: New generation requests per RATE_WINDOW; 0: no limit.
    rate_limit: int
    generations: dict[str, Generation] = field(default_factory=dict)
    upgrades: dict[tuple[str, int, UpgradeKind], Upgrade] = field(default_factory=dict)
    upgrade_ids: dict[str, Upgrade] = field(default_factory=dict)
    details_asked: Counter[str] = field(default_factory=Counter)
    upgrades_asked: Counter[tuple[str, int, UpgradeKind]] = field(default_factory=Counter)
    _recent: deque[float] = field(default_factory=deque)
    _received: Counter[Hashable] = field(default_factory=Counter)
    _taken: Counter[Hashable] = field(default_factory=Counter)

    # ------------------------------------------------------------------ the endpoints

    def generate(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/veo/generate (veo-api §2): 200 means created, not done."""
        refusal = checks.refuse_generate(fields)
        return answers.invalid(refusal) if refusal else self._submit(checks.generate_params(fields), None)

    def extend(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/veo/extend (veo-api §3)."""
        refusal = checks.refuse_extend(fields)
        if refusal:
            return answers.invalid(refusal)
        parent = self.visible(fields["taskId"])
        if parent is None:
            return answers.NO_RECORD
        if parent.outcome(self.clock()) != "success":
            return answers.BASE_NOT_DONE
        if any((parent.task_id, file.index, "1080p") in self.upgrades for file in parent.results):
            return answers.NOT_EXTENDABLE
        return self._submit(checks.extend_params(fields), parent)

    def details(self, task_id: str) -> Answer:
        """GET /api/v1/veo/record-info (veo-api §8)."""
        self.details_asked[task_id] += 1
        now, urls = self.clock(), self.shelf.current_urls
        upgrade = self.upgrade_ids.get(task_id)
        if upgrade is not None:
            return success(bodies.upgrade_details(upgrade, now, urls(upgrade.videos), urls(upgrade.images)))
        generation = self.visible(task_id)
        if generation is None:
            return answers.unknown_to_details(task_id)
        made = (urls(generation.results), urls(generation.origins), urls(generation.fulls))
        return success(bodies.generation_details(generation, now, *made))

    def credit(self) -> Answer:
        """GET /api/v1/chat/credit: a float (live)."""
        return success(float(self.credits))

    def download_url(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/common/download-url (veo-api §10)."""
        url = fields.get("url")
        fresh = self.shelf.renew(url) if isinstance(url, str) else None
        return success(fresh) if fresh else answers.WRONG_URL

    def deliver(self, task_id: str) -> bool:
        """Send the callback of a generation, or of a 4K with its own id, once more; False: there is none."""
        record: Generation | Upgrade | None = self.upgrade_ids.get(task_id) or self.generations.get(task_id)
        if record is None or record.callback_url is None or self.clock() < record.ready_at:
            return False
        body = self.generation_body(record) if isinstance(record, Generation) else self.upgrade_body(record)
        self.schedule(record, [body], self.clock())
        return True

    # ------------------------------------------------------------------ what the upgrades use too

    def later(self, seconds: float) -> float:
        """The moment that is so many of the vendor's seconds away."""
        return self.clock() + seconds / self.speed

    def visible(self, task_id: str) -> Generation | None:
        """The generation, unless it is unknown or still too fresh to be seen."""
        generation = self.generations.get(task_id)
        return generation if generation and self.clock() >= generation.visible_at else None

    def refuses(self, key: Hashable, faults: PostFaults) -> bool:
        """Whether this POST is one of the first that get 429."""
        self._received[key] += 1
        return self._received[key] <= faults.refuse_429

    def taken(self, key: Hashable, faults: PostFaults, answer: Answer) -> Answer:
        """The answer to a POST that was carried out: the first one's may get lost on its way."""
        self._taken[key] += 1
        if self._taken[key] > 1:
            return answer
        return replace(answers.UNCERTAIN if faults.fail_500 else answer, hold=faults.hold)

    def generation_body(self, generation: Generation, message: Message = "verdict") -> Body:
        """The body of a generation's callback."""
        if message == "failure" or generation.scenario.failure:
            return bodies.generation_failure(generation, passing=message == "failure")
        urls = self.shelf.first_urls
        made = (urls(generation.results), urls(generation.origins), urls(generation.fulls))
        return bodies.generation_success(generation, *made)

    def upgrade_body(self, upgrade: Upgrade, message: Message = "verdict") -> Body:
        """The body of a 4K's callback."""
        if message == "failure" or upgrade.unavailable:
            return bodies.upgrade_failure(upgrade)
        urls = self.shelf.first_urls
        return bodies.upgrade_success(upgrade, urls(upgrade.videos), urls(upgrade.images))

    def schedule(self, record: Generation | Upgrade, messages: Sequence[Body], start: float) -> None:
        """Hand the callbacks to the courier: in a row, or all for the same moment."""
        scenario = record.scenario if isinstance(record, Generation) else record.parent.scenario
        if record.callback_url is None:
            return
        following: Delivery | None = None
        for place, body in reversed(list(enumerate(messages))):
            at = start if scenario.callbacks_at_once else start + place * scenario.callback_spacing / self.speed
            delivery = Delivery(
                task_id=record.task_id,
                url=record.callback_url,
                body=body,
                due=at,
                record=record.deliveries,
                timestamp_shift=scenario.timestamp_shift,
                then=None if scenario.callbacks_at_once else following,
            )
            following = delivery
            if place == 0 or scenario.callbacks_at_once:
                self.courier.send(delivery)

    # ------------------------------------------------------------------ submits

    def _submit(self, params: dict[str, Any], parent: Generation | None) -> Answer:
        prompt = params["prompt"]
        name, scenario = choose(prompt, self.scenarios)
        if scenario is None:
            return answers.invalid(f"The simulator has no scenario {name!r}.")
        key = ("submit", prompt)
        if self.refuses(key, scenario.submit) or self._too_many():
            return answers.RATE_LIMITED
        price = checks.PRICES[params["model"]]
        if price > self.credits:
            return answers.NO_CREDITS
        self.credits -= price
        generation = self._create(name, scenario, params, parent, price)
        logger.info("generation.created task=%s scenario=%s", generation.task_id, name)
        return self.taken(key, scenario.submit, success({"taskId": generation.task_id}))

    def _too_many(self) -> bool:
        """Whether the rate limit is reached; a refused request does not count."""
        now = self.clock()
        while self._recent and self._recent[0] <= now - RATE_WINDOW:
            self._recent.popleft()
        if self.rate_limit and len(self._recent) >= self.rate_limit:
            return True
        self._recent.append(now)
        return False

    def _create(
        self, name: str, scenario: Scenario, params: dict[str, Any], parent: Generation | None, price: float
    ) -> Generation:
        generation = Generation(
            task_id=self.new_id(),
            scenario_name=name,
            scenario=scenario,
            params=params,
            parent=parent.task_id if parent else None,
            credits=price,
            created_at=self.clock(),
            visible_at=self.later(scenario.invisible),
            ready_at=self.later(scenario.takes),
        )
        self.generations[generation.task_id] = generation
        if scenario.failure is None:
            self._make_files(generation)
        start = generation.ready_at + scenario.callback_delay / self.speed
        messages = [self.generation_body(generation, message) for message in scenario.callbacks]
        self.schedule(generation, messages, start)
        return generation

    def _make_files(self, generation: Generation) -> None:
        """A fallback success has no origins (veo-api §4)."""
        scenario, add = generation.scenario, self.shelf.add
        portrait = scenario.portrait or generation.params.get("aspectRatio") == "9:16"
        about = (scenario, generation.ready_at)
        for index in range(scenario.results):
            result = add(generation.task_id, "result", index, *about, portrait=portrait)
            generation.results.append(result)
            if portrait and not scenario.fallback:
                generation.origins.append(add(generation.task_id, "origin", index, *about))
        if generation.parent is not None:
            generation.fulls.append(add(generation.task_id, "full", 0, *about, portrait=portrait))
