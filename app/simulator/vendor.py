"""The vendor's rules about generations, and the state that both forms share. No HTTP, threads, sleep."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.simulator import answers, bodies, checks, prices
from app.simulator.answers import Answer, success
from app.simulator.bodies import Body, Urls
from app.simulator.deliveries import Delivery
from app.simulator.files import Shelf
from app.simulator.gate import Gate
from app.simulator.job_bodies import job_callback
from app.simulator.records import Form, Generation, Upgrade, UpgradeKind
from app.simulator.samples import Size
from app.simulator.scenarios import Message, Scenario, choose

logger = logging.getLogger(__name__)


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
    gate: Gate
    generations: dict[str, Generation] = field(default_factory=dict)
    #: Those of the dedicated form, where asking again only asks.
    upgrades: dict[tuple[str, int, UpgradeKind], Upgrade] = field(default_factory=dict)
    #: Every order, in either form; an upgrade can be bought twice in the unified one.
    orders: list[Upgrade] = field(default_factory=list)
    #: Upgrades under an id of their own.
    upgrade_ids: dict[str, Upgrade] = field(default_factory=dict)
    details_asked: Counter[str] = field(default_factory=Counter)
    upgrades_asked: Counter[tuple[str, int, UpgradeKind]] = field(default_factory=Counter)
    #: For how many of the vendor's seconds the id of a new generation, told by its prompt, is unknown at least.
    fog: Callable[[str], float] = lambda prompt: 0

    # ------------------------------------------------------------------ the endpoints

    def generate(self, fields: Mapping[str, Any], form: Form = "dedicated") -> Answer:
        """POST /api/v1/veo/generate (veo-api §2): 200 means created, not done."""
        refusal = checks.refuse_generate(fields)
        return answers.invalid(refusal) if refusal else self._submit(checks.generate_params(fields), None, form)

    def extend(self, fields: Mapping[str, Any], form: Form = "dedicated") -> Answer:
        """POST /api/v1/veo/extend (veo-api §3)."""
        refusal = checks.refuse_extend(fields)
        if refusal:
            return answers.invalid(refusal)
        parent = self.visible(fields["taskId"])
        if parent is None:
            return answers.NO_RECORD
        if parent.outcome(self.clock()) != "success":
            return answers.BASE_NOT_DONE
        if any(order.parent is parent and order.kind == "1080p" and order.failure is None for order in self.orders):
            return answers.NOT_EXTENDABLE
        return self._submit(checks.extend_params(fields), parent, form)

    def details(self, task_id: str) -> Answer:
        """GET /api/v1/veo/record-info (veo-api §8)."""
        record, now = self.look_up(task_id, "dedicated"), self.clock()
        if record is None:
            return answers.unknown_to_details(task_id)
        if isinstance(record, Upgrade):
            return success(bodies.upgrade_details(record, now, self.current_urls(record)))
        return success(bodies.generation_details(record, now, self.current_urls(record)))

    def credit(self) -> Answer:
        """GET /api/v1/chat/credit: a float (live)."""
        return success(float(self.credits))

    def download_url(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/common/download-url (veo-api §10)."""
        url = fields.get("url")
        fresh = self.shelf.renew(url) if isinstance(url, str) else None
        return success(fresh) if fresh else answers.WRONG_URL

    def deliver(self, task_id: str) -> bool:
        """Send the callback of a generation, or of an upgrade with its own id, once more; False: there is none."""
        record: Generation | Upgrade | None = self.upgrade_ids.get(task_id) or self.generations.get(task_id)
        if record is None or record.callback_url is None or self.clock() < record.ready_at:
            return False
        self.schedule(record, ["verdict"], self.clock())
        return True

    # ------------------------------------------------------------------ what the upgrades and jobs use too

    def later(self, seconds: float) -> float:
        """The moment that is so many of the vendor's seconds away."""
        return self.clock() + seconds / self.speed

    def visible(self, task_id: str) -> Generation | None:
        """The generation, unless it is unknown or still too fresh to be seen."""
        generation = self.generations.get(task_id)
        return generation if generation and self.clock() >= generation.visible_at else None

    def look_up(self, task_id: str, form: Form) -> Generation | Upgrade | None:
        """What the details endpoint of this form knows by this id now. Counts the question."""
        self.details_asked[task_id] += 1
        record: Generation | Upgrade | None = self.upgrade_ids.get(task_id) or self.generations.get(task_id)
        if record is None or record.form != form:
            return None
        if isinstance(record, Upgrade):
            record.asked_at.append(self.clock())
        return record if self.clock() >= record.visible_at else None

    def charge(self, price: float, scenario: Scenario) -> float | None:
        """Take what the scenario makes of this price, and tell it; None: the account does not hold so much."""
        charged = price * scenario.overcharge
        if charged > self.credits:
            return None
        self.credits -= charged
        return charged

    def current_urls(self, record: Generation | Upgrade) -> Urls:
        """The addresses that the endpoints give now."""
        return {name: self.shelf.current_urls(files) for name, files in record.made.items()}

    def schedule(self, record: Generation | Upgrade, messages: Sequence[Message], start: float) -> None:
        """Hand the callbacks to the courier: in a row, or all for the same moment."""
        scenario = record.scenario
        if record.callback_url is None:
            return
        following: Delivery | None = None
        for place, message in reversed(list(enumerate(messages))):
            at = start if scenario.callbacks_at_once else start + place * scenario.callback_spacing / self.speed
            delivery = Delivery(
                task_id=record.task_id,
                url=record.callback_url,
                body=self._body(record, message),
                due=at,
                record=record.deliveries,
                timestamp_shift=scenario.timestamp_shift,
                then=None if scenario.callbacks_at_once else following,
            )
            following = delivery
            if place == 0 or scenario.callbacks_at_once:
                self.courier.send(delivery)

    def _body(self, record: Generation | Upgrade, message: Message) -> Body:
        urls: Urls = {name: self.shelf.first_urls(files) for name, files in record.made.items()}
        failure = record.failure if message == "verdict" else record.passing_failure
        if record.form == "unified":
            return job_callback(record, urls, failure)
        if isinstance(record, Upgrade):
            return bodies.upgrade_failure(record, failure) if failure else bodies.upgrade_success(record, urls)
        return bodies.generation_failure(record, failure) if failure else bodies.generation_success(record, urls)

    # ------------------------------------------------------------------ submits

    def _submit(self, params: dict[str, Any], parent: Generation | None, form: Form) -> Answer:
        prompt = params["prompt"]
        name, scenario = choose(prompt, self.scenarios)
        if scenario is None:
            return answers.invalid(f"The simulator has no scenario {name!r}.")
        key = ("submit", prompt)
        refusal = self.gate.refuse(key, scenario.submit)
        if refusal is not None:
            return refusal
        price = prices.of_generation(params)
        charged = self.charge(price, scenario)
        if charged is None:
            return answers.NO_CREDITS
        if scenario.portrait:
            params["aspectRatio"] = "9:16"
        generation = Generation(
            task_id=self.new_id(),
            form=form,
            scenario_name=name,
            scenario=scenario,
            params=params,
            parent=parent.task_id if parent else None,
            portrait=params.get("aspectRatio") == "9:16" or (parent is not None and parent.portrait),
            callback_url=params.get("callBackUrl"),
            credits=price,
            charged=charged,
            created_at=self.gate.note_creation(),
            visible_at=self.later(max(scenario.invisible, self.fog(prompt))),
            ready_at=self.later(scenario.takes),
        )
        self._start(generation)
        return self.gate.answer(key, scenario.submit, success({"taskId": generation.task_id}))

    def _start(self, generation: Generation) -> None:
        scenario = generation.scenario
        self.generations[generation.task_id] = generation
        if scenario.failure is None:
            self._make_files(generation)
        self.schedule(generation, scenario.callbacks, generation.ready_at + scenario.callback_delay / self.speed)
        logger.info("generation.created task=%s scenario=%s", generation.task_id, generation.scenario_name)

    def _make_files(self, generation: Generation) -> None:
        """A fallback success has no origins (veo-api §4)."""
        scenario, portrait, add = generation.scenario, generation.portrait, self.shelf.add
        size: Size = "720p" if scenario.downgrades else generation.params.get("resolution", "720p")
        task_id, made = generation.task_id, (scenario, generation.ready_at)
        for index in range(scenario.results):
            there = index not in scenario.missing
            result = add(task_id, "result", index, *made, size=size, portrait=portrait) if there else None
            generation.results.append(result)
            if portrait and not scenario.fallback:
                generation.origins.append(add(task_id, "origin", index, *made, portrait=True) if there else None)
        if generation.parent is not None:
            generation.fulls.append(add(task_id, "full", 0, *made, portrait=portrait))
