"""Seen from outside, dropped work is told from work in living hands, on a real Redis."""

from collections.abc import Iterator

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.generation import Generation
from app.domain.ledger import Draft, Entry, Route, Trust
from app.domain.policy import Policy
from app.domain.work import Item, Step
from tests.chaos.watch import Wait, Watch, count_seconds
from tests.support.waiting import wait_for

TASK = "a" * 32
ITEM = Item(Step.SETTLE, TASK)
LEASE = 1.0


@pytest.fixture
def ledger(redis_url: str) -> RedisLedger:
    ledger = RedisLedger(redis_url)

    def track(draft: Draft) -> None:
        draft.generation = Generation.track(TASK, draft.now, Policy())

    ledger.change(TASK, track)
    return ledger


@pytest.fixture
def watch(redis_url: str) -> Iterator[Watch]:
    with Watch(redis_url, LEASE) as watch:
        yield watch


def claim(ledger: RedisLedger, *, early: bool = True) -> int | None:
    def transition(draft: Draft) -> int | None:
        assert draft.generation is not None
        return draft.generation.settle.claim(draft.now, LEASE, early=early)

    return ledger.change(TASK, transition, focus=ITEM)


def give_back(ledger: RedisLedger, at: float | None) -> None:
    def transition(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.settle.put_back(at)

    ledger.change(TASK, transition, focus=ITEM)


def test_what_lapses_and_is_taken_by_another_was_dropped(ledger: RedisLedger, watch: Watch) -> None:
    claim(ledger)
    watch.note_kill()
    assert wait_for(lambda: claim(ledger, early=False)) == 2
    [(seconds, item)] = wait_for(watch.recoveries)
    assert item == ITEM
    assert seconds > LEASE / 2
    assert watch.dropped() == []


def test_it_is_noticed_too_when_the_other_was_quick(ledger: RedisLedger, watch: Watch) -> None:
    claim(ledger)
    watch.note_kill()
    wait_for(lambda: claim(ledger, early=False))
    give_back(ledger, None)
    assert wait_for(watch.recoveries)[0][1] == ITEM


def test_what_nobody_takes_is_left(ledger: RedisLedger, watch: Watch) -> None:
    claim(ledger)
    watch.note_kill()
    assert watch.dropped() == [], "its holder may be alive"
    assert wait_for(watch.dropped) == [ITEM]
    assert watch.recoveries() == []


def test_what_its_holder_ends_was_not_dropped(ledger: RedisLedger, watch: Watch) -> None:
    claim(ledger)
    watch.note_kill()
    give_back(ledger, 0.0)
    claim(ledger)  # and another begins at once
    wait_for(lambda: watch.watched == 0)
    assert watch.recoveries() == []


def test_what_its_holder_renews_was_not_dropped(ledger: RedisLedger, watch: Watch) -> None:
    claim(ledger)
    watch.note_kill()
    ledger.change(TASK, lambda draft: draft.generation and draft.generation.settle.renew(1, draft.now + 0.1, LEASE))
    wait_for(lambda: watch.watched == 0)
    assert watch.recoveries() == []


def test_what_is_due_soon_and_nobody_holds_is_not_watched(ledger: RedisLedger, watch: Watch) -> None:
    give_back(ledger, ledger.now() + LEASE / 2)
    watch.note_kill()
    assert watch.watched == 0


def test_what_an_emptied_broker_held_is_left_until_somebody_takes_it(
    ledger: RedisLedger, watch: Watch, redis_url: str
) -> None:
    ledger.record(TASK, None, Entry(at=0, route=Route.GENERATION, trust=Trust.SIGNED, raw="{}"))
    redis.Redis.from_url(redis_url).delete("reelkeep.quick")
    watch.note_emptied([ITEM])
    assert watch.lost() == [ITEM]
    claim(ledger)
    wait_for(lambda: not watch.lost())
    assert [item for _, item in watch.resumptions()] == [ITEM]


def test_a_generation_without_a_verdict_is_unfinished_and_one_that_failed_is_not(
    ledger: RedisLedger, watch: Watch
) -> None:
    assert TASK in watch.find_unfinished()

    def forget(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.given_up = True
        draft.generation.settle.put_back(None)

    ledger.change(TASK, forget, focus=ITEM)
    assert watch.find_unfinished() == []


@pytest.mark.parametrize(
    ("away", "seconds"),
    [
        ([], 10),
        ([(0, 5)], 10),
        ([(12, 15)], 7),
        ([(5, 12), (18, 30)], 6),
        ([(12, 16), (11, 13)], 5),
        ([(5, 30)], 0),
        ([(25, 30)], 10),
    ],
)
def test_times_in_which_nobody_could_are_not_counted(away: list[tuple[float, float]], seconds: float) -> None:
    assert count_seconds(Wait(ITEM, 10, 20), away) == seconds
