"""Eight worker processes that want more than the budgets allow: by the vendor's books never a credit too many, and nothing is
left over that something wanted could still be bought with."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from app.adapters.redis_ledger import RedisLedger
from app.domain.policy import PRICES, Policy
from app.domain.submission import Submission
from app.domain.vendor import Progress
from app.domain.work import UPGRADES
from app.pipeline import budget
from app.pipeline.track import track
from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.support.waiting import wait_for
from tests.support.workers import NO_RATES, Shop, Wish, workers

QUICK = Policy(first_poll_after=0.05, poll_interval=0.02, poll_interval_max=0.1, upgrade_poll_after=0.05, **NO_RATES)
WORKERS = 8
GENERATION, HD, UHD = PRICES["veo3_fast"], PRICES["1080p"], PRICES["4k"]


@dataclass
class Till:
    """Where the money goes."""

    shop: Shop
    client: SimulatorClient
    ledger: RedisLedger

    def spend(self, policy: Policy, wishes: list[Wish]) -> None:
        """Have the workers ask for all of this at once, and work until nothing more happens."""
        wait_for(lambda: time.time() % 86400 < 86400 - 120, 130)  # a new day would bring a new budget
        with workers(WORKERS, replace(self.shop, policy=policy), wishes):
            wait_for(self.is_all_decided)

    def is_all_decided(self) -> bool:
        records = self.ledger.page(None, 500, None).generations
        return all(
            not isinstance(record, Submission)
            and record.verdict is Progress.SUCCEEDED
            and all(it.url or it.ended or it.error == budget.HELD for it in record.renditions)
            for record in records
        )

    def spent(self) -> tuple[Counter[str], float]:
        """By the vendor's books: credits by the generation that was submitted here, or upgraded; those for upgrades."""
        books = self.client.books()
        spent: Counter[str] = Counter()
        for task_id, row in books["generations"].items():
            spent[task_id] += row["creditsConsumed"] if row["prompt"] != "made elsewhere" else 0
        for row in books["purchases"]:
            spent[row["taskId"]] += row["creditsConsumed"]
        return spent, sum(row["creditsConsumed"] for row in books["purchases"])


@pytest.fixture
def till(redis_url: str) -> Iterator[Till]:
    with Simulator(Options(speed=240, rate_limit=0)) as simulator:
        yield Till(Shop(redis_url, simulator.url), SimulatorClient(simulator.url), RedisLedger(redis_url))


@pytest.mark.parametrize(("day", "upgrades"), [(1003.0, None), (None, 607.0), (1003.0, 33.0)])
def test_the_days_budgets_are_used_up_and_never_exceeded(till: Till, day: float | None, upgrades: float | None) -> None:
    for _ in range(10):
        track(till.client.generate("made elsewhere"), UPGRADES, {}, till.ledger, QUICK)
    wishes = [Wish(f"number {number}", UPGRADES) for number in range(24)]
    till.spend(replace(QUICK, credits_per_day=day, upgrade_credits_per_day=upgrades), wishes)
    spent, spent_on_upgrades = till.spent()
    left = (day or math.inf) - spent.total()
    left_for_upgrades = (upgrades or math.inf) - spent_on_upgrades
    assert left >= 0
    assert left_for_upgrades >= 0
    # An upgrade to 1080p is the cheapest of what was wanted, and some are still held.
    assert min(left, left_for_upgrades) < HD
    assert left < GENERATION or upgrades
    assert till.ledger.spent_today()["total"] == spent.total()


def test_no_generation_costs_more_than_it_may(till: Till) -> None:
    most = GENERATION + UHD
    wishes = [Wish(f"number {number}", UPGRADES) for number in range(16)]
    till.spend(replace(QUICK, credits_per_generation=most), wishes)
    spent, _ = till.spent()
    assert len(spent) == len(wishes)
    # Whichever upgrade came first left no room for the other.
    assert set(spent.values()) <= {most, GENERATION + HD}


def test_what_costs_more_than_a_generation_may_is_not_begun(till: Till) -> None:
    wishes = [Wish(f"number {number}") for number in range(WORKERS)]
    till.spend(replace(QUICK, credits_per_generation=GENERATION - 1), wishes)
    assert till.client.books()["generations"] == {}
