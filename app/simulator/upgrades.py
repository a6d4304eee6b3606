"""The vendor's rules about 1080p and 4K (veo-api §5, §6): ordered once; asking again only asks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.simulator import answers
from app.simulator.answers import Answer, success
from app.simulator.records import Generation, Upgrade, UpgradeKind
from app.simulator.scenarios import FOURTEEN_DAYS
from app.simulator.vendor import Vendor

logger = logging.getLogger(__name__)

#: Credits (field). Whether a failed upgrade is paid back is documented nowhere; here it is not.
PRICES: Mapping[UpgradeKind, float] = {"1080p": 5, "4k": 120}


@dataclass(frozen=True)
class Upgrades:
    """The two upgrade endpoints."""

    vendor: Vendor

    def get_1080p(self, task_id: str, index: int) -> Answer:
        """GET /api/v1/veo/get-1080p-video: the first one that is accepted orders, every one asks."""
        vendor = self.vendor
        vendor.upgrades_asked[task_id, index, "1080p"] += 1
        base = self._eligible(task_id, index)
        if isinstance(base, Answer):
            return base
        if base.scenario.upgrade_1080p == "unavailable":
            return answers.UNAVAILABLE_1080P
        upgrade = vendor.upgrades.get((task_id, index, "1080p"))
        if upgrade is None:
            if vendor.credits < PRICES["1080p"]:
                return answers.NO_CREDITS
            upgrade = self._order(base, "1080p", index, base.scenario.takes_1080p)
            upgrade.videos.append(vendor.shelf.add(task_id, "1080p", index, base.scenario, upgrade.ready_at))
        upgrade.asks += 1
        if vendor.clock() < upgrade.ready_at or upgrade.asks <= base.scenario.asks_1080p:
            code = 422 if base.scenario.processing_1080p == "422" else 400
            status = 400 if base.scenario.processing_1080p == "http-400" else 200
            return Answer(code, answers.PROCESSING_1080P, status=status)
        return success({"resultUrl": vendor.shelf.current_urls(upgrade.videos)[0]})

    def get_4k(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/veo/get-4k-video: the first one that is accepted orders, a repeat asks."""
        vendor = self.vendor
        task_id, index = fields.get("taskId"), fields.get("index", 0)
        if not isinstance(task_id, str) or not isinstance(index, int):
            return answers.invalid("taskId and index are required.")
        vendor.upgrades_asked[task_id, index, "4k"] += 1
        base = self._eligible(task_id, index)
        if isinstance(base, Answer):
            return base
        upgrade = vendor.upgrades.get((task_id, index, "4k"))
        if upgrade is not None:
            return self._state_4k(upgrade)
        return self._order_4k(base, index, fields.get("callBackUrl"))

    def _eligible(self, task_id: str, index: int) -> Generation | Answer:
        """The generation whose result can be upgraded, or why not."""
        base = self.vendor.visible(task_id)
        if base is None:
            return answers.NO_RECORD
        if base.outcome(self.vendor.clock()) != "success":
            return answers.BASE_NOT_DONE
        if base.scenario.fallback:
            return answers.NOT_FOR_FALLBACK
        return base if 0 <= index < len(base.results) else answers.NO_SUCH_INDEX

    def _order(self, base: Generation, kind: UpgradeKind, index: int, takes: float) -> Upgrade:
        """Take the order and the money."""
        vendor = self.vendor
        own_id = kind == "4k" and base.scenario.id_4k == "new"
        made = kind == "4k" and base.scenario.upgrade_4k == "already-made"
        upgrade = Upgrade(
            parent=base,
            kind=kind,
            index=index,
            task_id=vendor.new_id() if own_id else base.task_id,
            credits=0 if made else PRICES[kind],
            ordered_at=vendor.clock(),
            ready_at=vendor.clock() if made else vendor.later(takes),
        )
        vendor.credits -= upgrade.credits
        vendor.upgrades[base.task_id, index, kind] = upgrade
        if own_id:
            vendor.upgrade_ids[upgrade.task_id] = upgrade
        logger.info("upgrade.ordered task=%s kind=%s index=%d", base.task_id, kind, index)
        return upgrade

    def _order_4k(self, base: Generation, index: int, callback_url: str | None) -> Answer:
        scenario, vendor = base.scenario, self.vendor
        key = ("4k", base.task_id, index)
        if vendor.refuses(key, scenario.order_4k):
            return answers.RATE_LIMITED
        age = (vendor.clock() - base.ready_at) * vendor.speed
        if scenario.upgrade_4k == "too-old" or age > FOURTEEN_DAYS:
            return answers.TOO_OLD
        if scenario.upgrade_4k == "base-not-done":
            return answers.BASE_NOT_DONE
        if scenario.upgrade_4k != "already-made" and vendor.credits < PRICES["4k"]:
            return answers.NO_CREDITS
        upgrade = self._order(base, "4k", index, scenario.takes_4k)
        if scenario.upgrade_4k != "unavailable":
            add, made_at = vendor.shelf.add, upgrade.ready_at
            upgrade.videos.append(add(base.task_id, "4k", index, scenario, made_at))
            upgrade.images.append(add(base.task_id, "image", index, scenario, made_at))
        if scenario.upgrade_4k == "already-made":
            return self._state_4k(upgrade)
        upgrade.callback_url = callback_url
        messages = [vendor.upgrade_body(upgrade, message) for message in scenario.callbacks_4k]
        vendor.schedule(upgrade, messages, upgrade.ready_at)
        accepted = success({"taskId": upgrade.task_id, "resultUrls": None, "imageUrls": None})
        return vendor.taken(key, scenario.order_4k, accepted)

    def _state_4k(self, upgrade: Upgrade) -> Answer:
        """The answer to a repeated POST (veo-api §6): the URLs decide, not the code."""
        outcome = upgrade.outcome(self.vendor.clock())
        if outcome == "unavailable":
            return Answer(500, answers.UNAVAILABLE_4K)
        urls = self.vendor.shelf.current_urls
        done = outcome == "success"
        data = {
            "taskId": upgrade.task_id,
            "resultUrls": urls(upgrade.videos) if done else None,
            "imageUrls": urls(upgrade.images) if done else None,
        }
        return Answer(422, answers.MADE_4K if done else answers.PROCESSING_4K, data)
