"""The vendor's rules about 1080p and 4K (veo-api §5, §6, §13).

In the dedicated form an upgrade is ordered once and asking again only asks; in the unified form every request orders.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.simulator import answers, checks, prices
from app.simulator.answers import Answer, success
from app.simulator.records import Form, Generation, Upgrade, UpgradeKind, unavailable
from app.simulator.samples import Size
from app.simulator.scenarios import FOURTEEN_DAYS, Message, PostFaults
from app.simulator.vendor import Vendor

logger = logging.getLogger(__name__)

_TOO_SMALL: Mapping[UpgradeKind, Size] = {"1080p": "720p", "4k": "1080p"}


@dataclass(frozen=True)
class _Course:
    """What a scenario says of one kind of upgrade."""

    outcome: Literal["works", "already-made", "unavailable", "too-old", "base-not-done"]
    takes: float
    callbacks: tuple[Message, ...]
    faults: PostFaults


@dataclass(frozen=True)
class _Order:
    """What somebody wants to buy."""

    base: Generation
    kind: UpgradeKind
    index: int
    form: Form
    callback_url: str | None = None

    @property
    def key(self) -> tuple[str, int, UpgradeKind]:
        return self.base.task_id, self.index, self.kind

    @property
    def course(self) -> _Course:
        said = self.base.scenario
        if self.kind == "1080p":
            return _Course(said.upgrade_1080p, said.takes_1080p, said.callbacks_1080p, said.order_1080p)
        return _Course(said.upgrade_4k, said.takes_4k, said.callbacks_4k, said.order_4k)


@dataclass(frozen=True)
class Upgrades:
    """The upgrade endpoints of both forms."""

    vendor: Vendor

    def get_1080p(self, task_id: str, index: int) -> Answer:
        """GET /api/v1/veo/get-1080p-video: the first one that is accepted orders, every one asks."""
        base = self._eligible("1080p", task_id, index)
        if isinstance(base, Answer):
            return base
        if base.scenario.upgrade_1080p == "unavailable":
            # What the vendor says here is documented nowhere; this is the 4K's answer.
            return Answer(500, unavailable("1080p").msg)
        order = _Order(base, "1080p", index, "dedicated")
        upgrade = self._asked_again(order)
        if upgrade is not None:
            return self._state_1080p(upgrade)
        bought = self._buy(order)
        return bought if isinstance(bought, Answer) else self._answer(order, self._state_1080p(bought))

    def get_4k(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/veo/get-4k-video: the first one that is accepted orders, a repeat asks."""
        order = self._read("4k", fields, "dedicated")
        if isinstance(order, Answer):
            return order
        upgrade = self._asked_again(order)
        if upgrade is not None:
            return self._state_4k(upgrade)
        bought = self._buy(order)
        if isinstance(bought, Answer):
            return bought
        if order.course.outcome == "already-made":
            return self._state_4k(bought)
        return self._answer(order, success({"taskId": bought.task_id, "resultUrls": None, "imageUrls": None}))

    def create(self, kind: UpgradeKind, fields: Mapping[str, Any]) -> Answer:
        """createTask of an upgrade: another one every time, paid every time (veo-api §13)."""
        order = self._read(kind, fields, "unified")
        if isinstance(order, Answer):
            return order
        bought = self._buy(order)
        return bought if isinstance(bought, Answer) else self._answer(order, success({"taskId": bought.task_id}))

    def _read(self, kind: UpgradeKind, fields: Mapping[str, Any], form: Form) -> _Order | Answer:
        """The order that a POST means, or why it means none."""
        refusal = checks.refuse_upgrade(fields)
        if refusal:
            return answers.invalid(refusal)
        index = fields.get("index") or 0
        base = self._eligible(kind, fields["taskId"], index)
        return base if isinstance(base, Answer) else _Order(base, kind, index, form, fields.get("callBackUrl"))

    def _eligible(self, kind: UpgradeKind, task_id: str, index: int) -> Generation | Answer:
        """The generation whose result can be upgraded, or why not. Counts the question."""
        self.vendor.upgrades_asked[task_id, index, kind] += 1
        base = self.vendor.visible(task_id)
        if base is None:
            return answers.NO_RECORD
        if base.outcome(self.vendor.clock()) != "success":
            return answers.BASE_NOT_DONE
        if base.scenario.fallback:
            return answers.NOT_FOR_FALLBACK
        known = 0 <= index < len(base.results) and base.results[index] is not None
        return base if known else answers.NO_SUCH_INDEX

    def _asked_again(self, order: _Order) -> Upgrade | None:
        """What was ordered before (dedicated form)."""
        upgrade = self.vendor.upgrades.get(order.key)
        if upgrade is not None:
            upgrade.asked_at.append(self.vendor.clock())
        return upgrade

    def _answer(self, order: _Order, answer: Answer) -> Answer:
        return self.vendor.gate.answer(order.key, order.course.faults, answer)

    def _buy(self, order: _Order) -> Upgrade | Answer:
        """Take the order and the money, or say why not."""
        vendor, course, scenario = self.vendor, order.course, order.base.scenario
        age = (vendor.clock() - order.base.ready_at) * vendor.speed
        if course.outcome == "too-old" or (order.kind == "4k" and age > FOURTEEN_DAYS):
            return answers.TOO_OLD
        if course.outcome == "base-not-done":
            return answers.BASE_NOT_DONE
        if course.outcome == "already-made" and order.form == "dedicated":
            return self._make(replace(order, callback_url=None), vendor.clock(), price=0, charged=0)
        refusal = vendor.gate.refuse(order.key, course.faults)
        if refusal is not None:
            return refusal
        price = prices.UPGRADES[order.kind]
        charged = vendor.charge(price, scenario)
        if charged is None:
            return answers.NO_CREDITS
        return self._make(order, vendor.gate.note_creation(), price=price, charged=charged)

    def _make(self, order: _Order, now: float, *, price: float, charged: float) -> Upgrade:
        """Write the upgrade down, with its files and its callbacks."""
        vendor, base, course = self.vendor, order.base, order.course
        unified = order.form == "unified"
        own_id = unified or (order.kind == "4k" and base.scenario.id_4k == "new")
        upgrade = Upgrade(
            parent=base,
            form=order.form,
            kind=order.kind,
            index=order.index,
            task_id=vendor.new_id() if own_id else base.task_id,
            callback_url=order.callback_url,
            credits=price,
            charged=charged,
            created_at=now,
            visible_at=vendor.later(base.scenario.invisible) if unified else now,
            ready_at=now if course.outcome == "already-made" else vendor.later(course.takes),
            asked_at=[now],
        )
        vendor.orders.append(upgrade)
        if not unified:
            vendor.upgrades[order.key] = upgrade
        if own_id:
            vendor.upgrade_ids[upgrade.task_id] = upgrade
        if course.outcome != "unavailable":
            self._make_files(upgrade)
        vendor.schedule(upgrade, course.callbacks, upgrade.ready_at)
        logger.info("upgrade.ordered task=%s kind=%s index=%d", base.task_id, order.kind, order.index)
        return upgrade

    def _make_files(self, upgrade: Upgrade) -> None:
        add, base, kind = self.vendor.shelf.add, upgrade.parent, upgrade.kind
        about = (upgrade.index, base.scenario, upgrade.ready_at)
        size = _TOO_SMALL[kind] if base.scenario.upgrade_too_small else kind
        upgrade.videos.append(add(base.task_id, kind, *about, size=size, portrait=base.portrait))
        if kind == "4k":
            upgrade.images.append(add(base.task_id, "image", *about))

    def _state_1080p(self, upgrade: Upgrade) -> Answer:
        """The answer to a GET (veo-api §5)."""
        scenario, vendor = upgrade.scenario, self.vendor
        if vendor.clock() < upgrade.ready_at or len(upgrade.asked_at) <= scenario.asks_1080p:
            code = 422 if scenario.processing_1080p == "422" else 400
            status = 400 if scenario.processing_1080p == "http-400" else 200
            return Answer(code, answers.PROCESSING_1080P, status=status)
        return success({"resultUrl": vendor.current_urls(upgrade)["resultUrls"][0]})

    def _state_4k(self, upgrade: Upgrade) -> Answer:
        """The answer to a repeated POST (veo-api §6): the URLs decide, not the code."""
        outcome = upgrade.outcome(self.vendor.clock())
        if outcome == "unavailable":
            return Answer(500, unavailable("4k").msg)
        done = outcome == "success"
        urls = self.vendor.current_urls(upgrade) if done else {"resultUrls": None, "imageUrls": None}
        return Answer(422, answers.MADE_4K if done else answers.PROCESSING_4K, {"taskId": upgrade.task_id, **urls})
