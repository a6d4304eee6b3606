"""Orders of upgrades: real ledger, real vendor client, the simulator's own books."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.adapters.kie import KieVendor
from app.adapters.redis_ledger import RedisLedger
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.vendor import OrderAnswer
from app.domain.work import Item, Kind, Step
from app.pipeline.settle import settle
from app.pipeline.track import UpgradeRequest, request_upgrade, track
from app.pipeline.upgrade import upgrade
from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.support.waiting import wait_for

#: leases and pauses so short that the next look is due at once
QUICK = Policy(
    first_poll_after=0.001, poll_interval=0.001, poll_interval_max=0.01, upgrade_poll_after=0.01, lease=0.001
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the pipeline may catch it."""


class DyingVendor(KieVendor):
    """A vendor client whose process dies just before, or just after, an order is sent."""

    def __init__(self, vendor_url: str, *, after: bool) -> None:
        super().__init__("sim-key", vendor_url)
        self._after = after

    def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
        if self._after:
            super().ask_upgrade(kind, task_id, index, callback_url)
        raise Killed


class Shop:
    """A succeeded generation at the simulator, known to a ledger."""

    def __init__(self, simulator: Simulator, redis_url: str) -> None:
        self.url = simulator.url
        self.client = SimulatorClient(simulator.url)
        self.vendor = KieVendor("sim-key", simulator.url)
        self.ledger = RedisLedger(redis_url)

    def succeed(self, scenario: str = "plain", upgrades: tuple[Kind, ...] = ()) -> str:
        task_id = self.client.generate(f"scenario={scenario} a cat")
        track(task_id, upgrades, {}, self.ledger, QUICK)

        def settled() -> bool:
            settle(Item(Step.SETTLE, task_id), self.ledger, self.vendor, QUICK)
            generation = self.ledger.read(task_id).generation
            return generation is not None and bool(generation.renditions)

        wait_for(settled)
        return task_id

    def ask(self, task_id: str, kind: Kind, vendor: KieVendor | None = None, policy: Policy = QUICK) -> None:
        upgrade(Item(Step.UPGRADE, task_id, kind), self.ledger, vendor or self.vendor, policy, lambda token: None)

    def rendition(self, task_id: str, kind: Kind) -> Rendition:
        generation = self.ledger.read(task_id).generation
        found = generation and generation.find(kind, 0)
        assert found
        return found

    def bought(self, task_id: str) -> list[tuple[str, float]]:
        return [(row["kind"], row["credits"]) for row in self.client.books()["purchases"] if row["taskId"] == task_id]

    def ask_until_ready(self, task_id: str, kind: Kind) -> None:
        def ready() -> bool:
            self.ask(task_id, kind)
            return bool(self.rendition(task_id, kind).url)

        wait_for(ready)


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    with Simulator(Options(speed=600, rate_limit=0, retry_after=1)) as simulator:
        yield Shop(simulator, redis_url)


@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD])
@pytest.mark.parametrize("after", [False, True], ids=["before-the-request", "after-the-request"])
@pytest.mark.parametrize("kills", [1, 3])
def test_a_worker_killed_around_the_request_neither_doubles_nor_forgets_the_purchase(
    shop: Shop, kind: Kind, after: bool, kills: int
) -> None:
    task_id = shop.succeed(upgrades=(kind,))
    for _ in range(kills):
        with pytest.raises(Killed):
            shop.ask(task_id, kind, DyingVendor(shop.url, after=after))
        order = shop.rendition(task_id, kind).order
        assert order is not None, "the intention is recorded before the request"
        wait_for(lambda: shop.ledger.now() > (shop.rendition(task_id, kind).work.at or 0), every=0.001)
    shop.ask_until_ready(task_id, kind)
    assert len(shop.bought(task_id)) == 1


def test_orders_are_not_repeated_within_the_poll_interval(shop: Shop) -> None:
    patient = Policy(poll_interval=60, poll_interval_max=60, lease=0.001)
    task_id = shop.succeed(upgrades=(Kind.UHD,))
    for _ in range(4):
        shop.ask(task_id, Kind.UHD, policy=patient)
        shop.ledger.change(
            task_id, lambda draft: draft.generation and draft.generation.renditions[1].work.put_back(0.0)
        )
    asked = [row["count"] for row in shop.client.books()["asked"] if row["taskId"] == task_id]
    assert asked == [1]


def test_an_order_over_the_days_budget_waits_for_the_next_day(shop: Shop) -> None:
    thrifty = Policy(upgrade_credits_per_day=125.0, lease=0.001, poll_interval=0.001)
    first, second = shop.succeed(upgrades=(Kind.UHD, Kind.HD)), shop.succeed(upgrades=(Kind.UHD,))
    for task_id, kind in [(first, Kind.UHD), (second, Kind.UHD), (first, Kind.HD)]:
        shop.ask(task_id, kind, policy=thrifty)
    assert sorted(shop.bought(first)) == [("1080p", 5), ("4k", 120)]
    assert shop.bought(second) == []
    held = shop.rendition(second, Kind.UHD)
    assert (held.state, held.order) == (RenditionState.WANTED, None)
    assert "REELKEEP_UPGRADE_CREDITS_PER_DAY" in held.error
    assert held.work.at is not None
    assert held.work.at % 86400 == 0
    third = shop.succeed()
    refused = request_upgrade(third, Kind.UHD, 0, shop.ledger, thrifty)
    assert refused.outcome is UpgradeRequest.OVER_BUDGET
    assert "REELKEEP_UPGRADE_CREDITS_PER_DAY" in refused.reason
    accepted = request_upgrade(third, Kind.UHD, 0, shop.ledger, QUICK)
    assert (accepted.outcome, accepted.reason) == (UpgradeRequest.ACCEPTED, "")


def test_orders_keep_to_the_vendors_rate(shop: Shop) -> None:
    slow = Policy(provider_rate=(1, 30.0))
    first, second = shop.succeed(upgrades=(Kind.HD,)), shop.succeed(upgrades=(Kind.HD,))
    shop.ask(first, Kind.HD, policy=slow)
    shop.ask(second, Kind.HD, policy=slow)
    assert (len(shop.bought(first)), len(shop.bought(second))) == (1, 0)
    held = shop.rendition(second, Kind.HD)
    assert held.error == "waiting for its turn at the vendor's rate limit"
    assert held.work.at is not None
    assert held.work.at > shop.ledger.now()


def test_questions_about_an_order_that_was_taken_need_no_slot_for_orders(shop: Shop) -> None:
    one_order = replace(QUICK, provider_rate=(1, 3000.0))
    first, second = shop.succeed(upgrades=(Kind.UHD,)), shop.succeed(upgrades=(Kind.UHD,))

    def ready() -> bool:
        shop.ask(first, Kind.UHD, policy=one_order)
        return bool(shop.rendition(first, Kind.UHD).url)

    wait_for(ready)
    shop.ask(second, Kind.UHD, policy=one_order)
    assert (len(shop.bought(first)), len(shop.bought(second))) == (1, 0)


def test_orders_need_no_slot_for_questions_and_questions_wait_for_theirs(shop: Shop) -> None:
    no_questions = replace(QUICK, poll_rate=(1, 3000.0))
    task_id = shop.succeed(upgrades=(Kind.UHD,))  # which has taken the only slot for questions
    shop.ask(task_id, Kind.UHD, policy=no_questions)
    assert shop.bought(task_id) == [("4k", 120)]
    shop.ledger.change(task_id, lambda draft: draft.generation and draft.generation.renditions[1].work.put_back(0.0))
    shop.ask(task_id, Kind.UHD, policy=no_questions)
    held = shop.rendition(task_id, Kind.UHD)
    assert held.error == "waiting for its turn at the vendor's rate limit"
    assert [row["asks"] for row in shop.client.books()["purchases"]] == [1]


def test_without_a_vendor_key_an_upgrade_ends_with_the_reason(shop: Shop) -> None:
    task_id = shop.succeed(upgrades=(Kind.UHD,))
    upgrade(Item(Step.UPGRADE, task_id, Kind.UHD), shop.ledger, None, QUICK, lambda token: None)
    rendition = shop.rendition(task_id, Kind.UHD)
    assert rendition.state is RenditionState.UNAVAILABLE
    assert "REELKEEP_KIE_API_KEY" in rendition.error


@pytest.mark.parametrize(
    ("scenario", "kind", "words"),
    [
        ("4k-too-old", Kind.UHD, "14 days"),
        ("4k-unavailable", Kind.UHD, "unavailable"),
        ("fallback", Kind.HD, "fallback"),
    ],
)
def test_a_refusal_ends_unavailable_in_the_vendors_words(shop: Shop, scenario: str, kind: Kind, words: str) -> None:
    task_id = shop.succeed(scenario, upgrades=(kind,))

    def ended() -> bool:
        shop.ask(task_id, kind)
        return shop.rendition(task_id, kind).state is RenditionState.UNAVAILABLE

    wait_for(ended)
    assert words in shop.rendition(task_id, kind).error


def test_a_busy_vendor_is_asked_again_and_sells_once(shop: Shop) -> None:
    task_id = shop.succeed("4k-busy", upgrades=(Kind.UHD,))
    shop.ask_until_ready(task_id, Kind.UHD)
    assert shop.bought(task_id) == [("4k", 120)]
