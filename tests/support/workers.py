"""Workers without Celery: the real steps on the real ledger and vendor client, in processes of their own that can be killed.

They are forked off a server that has loaded the application once, so that one more costs milliseconds.
"""

import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import redis

from app.adapters import redis_ledger
from app.adapters.kie import KieVendor
from app.adapters.redis_ledger import RedisLedger
from app.domain.ledger import Ledger
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.vendor import Vendor
from app.domain.work import Item, Kind, Lane, Step
from app.pipeline.settle import settle
from app.pipeline.submit import accept, submit
from app.pipeline.upgrade import upgrade

CONTEXT = multiprocessing.get_context("forkserver")
# pytest: each child imports the main module of its parent anew.
CONTEXT.set_forkserver_preload(["pytest", "tests.support.workers", "tests.support.doomed"])

#: seconds after which a message that is gone counts as lost
LOST_AFTER = 0.5
#: seconds in which processes must have started
START_LIMIT = 60.0
#: rates that hold nobody up
NO_RATES: dict[str, Any] = {"provider_rate": (1_000_000, 1.0), "poll_rate": (1_000_000, 1.0)}


@dataclass(frozen=True)
class Shop:
    """All that a worker has to know."""

    redis_url: str
    vendor_url: str
    #: where the vendor reaches us; empty: nowhere
    door: str = ""
    form: Literal["veo", "jobs"] = "veo"
    policy: Policy = field(default_factory=Policy)

    def open_ledger(self) -> RedisLedger:
        return RedisLedger(self.redis_url)

    def open_vendor(self) -> KieVendor:
        return KieVendor("sim-key", self.vendor_url, form=self.form)

    def do(self, item: Item, ledger: Ledger, vendor: Vendor) -> None:
        """One step; downloads and manifests are left out."""
        if item.step is Step.SUBMIT:
            submit(item, ledger, vendor, self.policy, lambda token: self._url(token))
        elif item.step is Step.SETTLE:
            settle(item, ledger, vendor, self.policy)
        elif item.step is Step.UPGRADE:
            upgrade(item, ledger, vendor, self.policy, lambda token: self._url(f"4k/{token}"))

    def _url(self, path: str) -> str | None:
        return f"{self.door}/callbacks/veo/{path}" if self.door else None


@dataclass(frozen=True)
class Wish:
    """A generation that somebody wants."""

    prompt: str
    upgrades: tuple[Kind, ...] = ()


def work(shop: Shop, wishes: Sequence[Wish], together: Any) -> None:
    """Ask for some generations, then take messages off the quick queue and do what they say, for ever; sweep when there is none.

    :param together: a barrier at which all workers meet before and after the asking
    """
    redis_ledger.LOST_AFTER = LOST_AFTER
    ledger, vendor = shop.open_ledger(), shop.open_vendor()
    queue: Any = redis.Redis.from_url(shop.redis_url, decode_responses=True)
    together.wait(START_LIMIT)
    for wish in wishes:
        accept(GenerateRequest(prompt=wish.prompt), wish.upgrades, {}, wish.prompt, ledger, shop.policy)
    together.wait(START_LIMIT)
    while True:
        message = queue.rpop(Lane.QUICK.queue)
        if message is None:
            ledger.wake()
            ledger.tick()
            time.sleep(0.05)
        else:
            shop.do(Item.parse(json.loads(json.loads(message)["body"])[1]["item"]), ledger, vendor)


@contextmanager
def workers(count: int, shop: Shop, wishes: Sequence[Wish] = ()) -> Iterator[None]:
    """So many worker processes for the length of a block. They share out the wishes, and begin with those at the same time."""
    together = CONTEXT.Barrier(count + 1)
    with ExitStack() as stack:
        for number in range(count):
            process = CONTEXT.Process(target=work, args=(shop, wishes[number::count], together), daemon=True)
            process.start()
            stack.callback(_end, process)
        together.wait(START_LIMIT)
        together.wait(START_LIMIT)
        yield


def _end(process: Any) -> None:
    process.kill()
    process.join()
    process.close()
