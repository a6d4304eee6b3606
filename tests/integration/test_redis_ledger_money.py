"""Budgets against a real redis-server: reserved once, never over by a credit, settled to what was paid."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.generation import Generation
from app.domain.ledger import Draft
from app.domain.policy import Policy
from app.domain.work import Item, Step
from tests.support.waiting import wait_for

DAY = 86400
POLICY = Policy()
#: our ids of submissions, as names that credits are reserved under
A, B = (str(Item(Step.SUBMIT, f"sub_{letter * 32}")) for letter in "ab")
#: A process of its own that waits for the word and then reserves odd amounts under ever new names until it gets no more.
RIVAL = """
import json, sys, time
import redis
from app.adapters.redis_ledger import RedisLedger
url, me, limits = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
ledger, client = RedisLedger(url), redis.Redis.from_url(url)
ledger.spent_today()
client.incr("test:ready")
while not client.exists("test:go"):
    time.sleep(0.001)
granted, refused, number = {}, set(), 0
while len(refused) < 4:
    number += 1
    step, credits = [("submit", 7), ("upgrade", 11), ("upgrade", 7), ("submit", 11)][number % 4]
    name = f"{step}/{me}-{number}"
    if ledger.reserve(name, credits, limits) is None:
        granted[name] = credits
        refused.clear()
    else:
        refused.add((step, credits))
print(json.dumps(granted))
"""


@pytest.fixture(autouse=True)
def not_at_midnight(ledger: RedisLedger) -> None:
    """Each of these tests is about one day."""
    wait_for(lambda: ledger.now() % DAY < DAY - 30)


@contextmanager
def rival(url: str, name: str, limits: dict[str, float]) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", RIVAL, url, name, json.dumps(limits)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def settle(ledger: RedisLedger, name: str, credits: float) -> None:
    """The vendor says what it took for the generation that has come of a submission."""
    item = Item.parse(name)

    def transition(draft: Draft) -> None:
        draft.generation = draft.generation or Generation.track("task", draft.now, POLICY)
        draft.generation.submission = item.task_id
        draft.generation.hear_credits(credits, draft.now)

    ledger.change("task", transition)


def budget_of(client: redis.Redis) -> dict[str, float]:
    """The only day's budget that there is, as it stands in Redis."""
    [key] = client.keys("reelkeep:budget:*")  # type: ignore[misc]
    assert client.ttl(key) > 0
    return {name: float(value) for name, value in client.hgetall(key).items()}  # type: ignore[union-attr]


def test_eight_processes_together_never_reserve_a_credit_too_many(redis_url: str, client: redis.Redis) -> None:
    limits = {"total": 500.0, "upgrade": 201.0}
    with ExitStack() as stack:
        rivals = [stack.enter_context(rival(redis_url, f"r{number}", limits)) for number in range(8)]
        wait_for(lambda: client.get("test:ready") == "8", every=0.01)
        client.set("test:go", 1)
        granted: dict[str, float] = {}
        for process in rivals:
            output, _ = process.communicate(timeout=60)
            granted |= json.loads(output)
    total = sum(granted.values())
    upgrades = sum(credits for name, credits in granted.items() if name.startswith("upgrade/"))
    booked = budget_of(client)
    assert (booked["total"], booked["upgrade"], booked["submit"]) == (total, upgrades, total - upgrades)
    assert {name.removeprefix("for:"): value for name, value in booked.items() if name.startswith("for:")} == granted
    assert 500 - 7 < total <= 500, "nobody got more, and nobody was refused what there was"
    assert 201 - 7 < upgrades <= 201
    assert RedisLedger(redis_url).spent_today() == {"total": total, "upgrade": upgrades, "submit": total - upgrades}


def test_a_name_is_reserved_for_once_however_often_it_asks(ledger: RedisLedger) -> None:
    for _ in range(3):
        assert ledger.reserve(A, 60.0, {"total": 100.0}) is None
    assert ledger.spent_today() == {"total": 60.0, "submit": 60.0}


def test_the_last_credit_of_a_budget_can_be_had_and_one_more_waits_for_the_next_day(ledger: RedisLedger) -> None:
    limits = {"total": 100.5}
    assert ledger.reserve(A, 60.25, limits) is None
    assert ledger.reserve("upgrade/a/4k/0#1", 40.25, limits) is None
    until = ledger.reserve(B, 0.25, limits)
    assert until is not None
    assert until % DAY == 0
    assert 0 < until - ledger.now() <= DAY
    assert ledger.spent_today() == {"total": 100.5, "submit": 60.25, "upgrade": 40.25}


def test_a_refusal_books_nothing(ledger: RedisLedger, client: redis.Redis) -> None:
    assert ledger.reserve(A, 60.0, {"total": 59.0}) is not None
    assert client.keys("*") == []


def test_without_budgets_everything_is_granted_and_counted(ledger: RedisLedger) -> None:
    for number in range(3):
        assert ledger.reserve(f"submit/{number}", 1e6, {}) is None
    assert ledger.spent_today() == {"total": 3e6, "submit": 3e6}


@pytest.mark.parametrize(
    ("limits", "granted"),
    [
        ({"upgrade": 120.0}, [True, True, False]),
        ({"total": 180.0}, [True, True, False]),
        ({"total": 179.0, "upgrade": 500.0}, [True, False, False]),
        ({"upgrade": 119.0, "total": 500.0}, [True, False, False]),
        ({"submit": 59.0}, [False, True, True]),
    ],
)
def test_each_step_has_its_budget_beside_that_of_all(
    ledger: RedisLedger, limits: dict[str, float], granted: list[bool]
) -> None:
    wanted = [(A, 60.0), ("upgrade/a/4k/0#1", 120.0), ("upgrade/b/4k/0#1", 120.0)]
    assert [ledger.reserve(name, credits, limits) is None for name, credits in wanted] == granted


def test_what_was_not_taken_is_there_for_others_and_topped_up_when_it_is_wanted_again(ledger: RedisLedger) -> None:
    limits = {"total": 100.0}
    assert ledger.reserve(A, 60.0, limits) is None
    settle(ledger, A, 0.0)
    assert ledger.spent_today() == {"total": 0.0, "submit": 0.0}
    assert ledger.reserve(B, 50.0, limits) is None
    assert ledger.reserve(A, 60.0, limits) is not None, "its reservation is gone: others have the room"
    assert ledger.reserve(A, 50.0, limits) is None
    assert ledger.spent_today() == {"total": 100.0, "submit": 100.0}


def test_what_was_reserved_for_something_that_had_come_to_nothing_is_given_back_by_the_next_writing(
    ledger: RedisLedger,
) -> None:
    settle(ledger, A, 0.0)
    assert ledger.reserve(A, 60.0, {}) is None, "by somebody who did not know it yet"
    settle(ledger, A, 0.0)
    assert ledger.spent_today() == {"total": 0.0, "submit": 0.0}


def test_a_part_that_was_settled_is_topped_up_by_the_difference(ledger: RedisLedger) -> None:
    limits = {"total": 100.0}
    ledger.reserve(A, 60.0, limits)
    settle(ledger, A, 45.5)
    assert ledger.reserve(B, 54.0, limits) is None
    assert ledger.reserve(A, 46.0, limits) is None, "half a credit more"
    assert ledger.spent_today()["total"] == 100.0


def test_what_cost_more_than_was_reserved_is_counted_and_asks_for_no_more(ledger: RedisLedger) -> None:
    limits = {"total": 100.0}
    ledger.reserve(A, 60.0, limits)
    settle(ledger, A, 130.0)
    assert ledger.reserve(A, 60.0, limits) is None, "it was paid already"
    assert ledger.reserve(B, 1.0, limits) is not None
    assert ledger.spent_today() == {"total": 130.0, "submit": 130.0}


def test_a_settlement_is_booked_on_the_day_of_its_reservation_as_far_as_days_are_kept(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    ledger.reserve(A, 60.0, {})
    today = int(ledger.now() // DAY)
    client.rename(f"reelkeep:budget:{today}", f"reelkeep:budget:{today - 1}")
    settle(ledger, A, 10.0)
    assert ledger.spent_today() == {}
    assert budget_of(client)["total"] == 10.0
    client.rename(f"reelkeep:budget:{today - 1}", f"reelkeep:budget:{today - 3}")
    settle(ledger, A, 20.0)
    assert budget_of(client)["total"] == 10.0


def test_settling_what_nobody_reserved_books_nothing(ledger: RedisLedger, client: redis.Redis) -> None:
    settle(ledger, A, 10.0)
    assert client.keys("reelkeep:budget:*") == []
    assert ledger.spent_today() == {}
