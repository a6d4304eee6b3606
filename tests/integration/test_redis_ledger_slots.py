"""Rate limits against a real redis-server: sliding windows by its clock, and turns for those who have to wait."""

import threading
from itertools import pairwise

import pytest
import redis

from app.adapters.redis_ledger import LATE, RedisLedger
from app.domain.ledger import Limit
from app.domain.work import Item, Step
from tests.integration.looks import together
from tests.support.crowd import count_commands
from tests.support.waiting import wait_for

#: a window so long that nothing in it ends by itself while a test runs
LONG = Limit("orders", 2, 1000.0)


def submission(number: int) -> Item:
    return Item(Step.SUBMIT, f"sub_{number:032x}")


def turns(ledger: RedisLedger, limit: Limit, *numbers: int) -> list[float | None]:
    """When each of them may come back; None: it has taken a slot."""
    return [ledger.take_slot(limit, submission(number)).until for number in numbers]


def pass_time(client: redis.Redis, limit: Limit, seconds: float) -> None:
    """Have all that is kept of a limit lie further back."""
    for index in ("slots", "turns"):
        key = f"reelkeep:{index}:{limit.name}"
        for member in client.zrange(key, 0, -1):
            client.zincrby(key, -seconds, member)


def same(times: list[float | None], *wanted: float) -> bool:
    return times == [pytest.approx(time, abs=0.001) for time in wanted]


# --- the window --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [Limit("orders", 5, 0.5), Limit("orders", 1, 0.1)], ids=str)
def test_no_window_ever_holds_more_than_its_slots(redis_url: str, limit: Limit) -> None:
    """Eight threads, each with its own connections, come whether it is their turn or not."""
    taken: list[tuple[float, float]] = []
    numbers, lock = iter(range(10**6)), threading.Lock()

    def work() -> None:
        ledger, item = RedisLedger(redis_url), None
        while len(taken) < 4 * limit.slots + 1:
            with lock:
                item = item or submission(next(numbers))
            before = ledger.now()
            if ledger.take_slot(limit, item).until is None:
                taken.append((before, ledger.now()))
                item = None

    together(work)
    # A slot was taken at some moment between its two times; more than there are, all in less than a window, are too many.
    taken.sort()
    more = limit.slots + 1
    groups = [taken[first : first + more] for first in range(len(taken) - limit.slots)]
    assert all(max(after for _, after in group) - group[0][0] >= limit.window for group in groups)


def test_a_slot_costs_the_same_however_many_there_are(ledger: RedisLedger, client: redis.Redis) -> None:
    many = Limit("polls", 10_000, 1000.0)
    client.zadd("reelkeep:slots:polls", {f"taken-{number}": ledger.now() for number in range(5000)})
    turns(ledger, many, 1)
    asked = count_commands(client, lambda: turns(ledger, many, 2))
    assert max(size for _, size in asked) < 10


def test_a_full_window_tells_which_slot_is_free_when(ledger: RedisLedger, client: redis.Redis) -> None:
    now = ledger.now()
    client.zadd("reelkeep:slots:orders", {"older": now - 300, "newer": now - 200, "beyond": now - 100})
    assert same(turns(ledger, LONG, 1, 2), now + 700, now + 800)


def test_a_slot_is_free_again_a_window_after_it_was_taken(ledger: RedisLedger, client: redis.Redis) -> None:
    assert turns(ledger, LONG, 1, 2) == [None, None]
    pass_time(client, LONG, 999.0)
    [later] = turns(ledger, LONG, 3)
    assert later is not None
    pass_time(client, LONG, 1.0)
    assert turns(ledger, LONG, 3, 4) == [None, None]


def test_an_item_may_come_as_often_as_it_has_something_to_send(ledger: RedisLedger) -> None:
    """A request that was not taken goes again, and counts again."""
    assert turns(ledger, LONG, 1, 1) == [None, None]
    assert turns(ledger, LONG, 1) != [None]


def test_limits_of_different_names_do_not_touch_each_other(ledger: RedisLedger) -> None:
    other = Limit("polls", 2, 1000.0)
    assert turns(ledger, LONG, 1, 2) == [None, None]
    assert turns(ledger, LONG, 3) != [None]
    assert turns(ledger, other, 3, 4) == [None, None]
    ledger.pause(other, 1000.0)
    assert turns(ledger, other, 5) != [None]
    assert turns(ledger, Limit("third", 1, 1.0), 5) == [None]


# --- turns -------------------------------------------------------------------------------------------------------------


def test_who_waits_gets_a_turn_of_its_own_in_the_order_of_coming(ledger: RedisLedger) -> None:
    began = ledger.now()
    assert turns(ledger, LONG, 1, 2) == [None, None]
    given = turns(ledger, LONG, *range(3, 12))
    times = [time for time in given if time is not None]
    assert len(times) == 9
    assert times == sorted(times)
    assert times[0] - began >= 1000.0
    assert all(later - earlier >= 999.999 for earlier, later in zip(times, times[2:], strict=False)), "two a window"
    assert times[-1] - ledger.now() <= 5000.0, "no later than it has to be"
    assert same(turns(ledger, LONG, *range(3, 12)), *times), "who asks too early keeps its turn"


def test_who_comes_when_it_is_its_turn_gets_a_slot_soon(redis_url: str) -> None:
    """Twenty that wait come back at the times they were given: none is sent away often, nor waits for many that came later."""
    ledger, limit, calls = RedisLedger(redis_url), Limit("orders", 4, 0.4), 0
    waiting = {submission(number): 0.0 for number in range(20)}
    order: list[Item] = []
    while waiting:
        item = min(waiting, key=lambda it: waiting[it])
        wait_for(lambda item=item: ledger.now() >= waiting[item], every=0.002)  # type: ignore[misc]
        calls += 1
        until = ledger.take_slot(limit, item).until
        if until is None:
            order.append(item)
            del waiting[item]
        else:
            waiting[item] = until
    assert all(abs(order.index(submission(number)) - number) <= limit.slots for number in range(20)), order
    assert calls <= 60, "twice each, and now and then once more"


def test_a_newcomer_does_not_overtake(ledger: RedisLedger, client: redis.Redis) -> None:
    assert turns(ledger, LONG, 1, 2) == [None, None]
    first, second, third = turns(ledger, LONG, 3, 4, 5)
    pass_time(client, LONG, 1000.0)
    [newcomer] = turns(ledger, LONG, 6)
    assert newcomer is not None
    assert third is not None
    assert newcomer > third - 1000.0
    assert turns(ledger, LONG, 3, 4) == [None, None], "their slots were kept for them"
    assert None not in (first, second)
    kept = turns(ledger, LONG, 5, 6)
    assert None not in kept


def test_a_turn_that_nobody_takes_is_kept_for_a_while_and_then_given_away(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    assert turns(ledger, LONG, 1, 2) == [None, None]
    assert None not in turns(ledger, LONG, 3, 4)
    pass_time(client, LONG, 1000.0 + LATE - 5.0)
    assert turns(ledger, LONG, 5) != [None], "three and four may still come"
    assert client.zcard("reelkeep:line:orders") == 3
    pass_time(client, LONG, 10.0)
    assert turns(ledger, LONG, 5) == [None]
    assert client.zcard("reelkeep:line:orders") == 0


def test_a_line_that_nobody_asks_about_any_more_leaves_nothing_behind(client: redis.Redis, ledger: RedisLedger) -> None:
    limit = Limit("orders", 1, 5.0)
    turns(ledger, limit, 1, 2)
    assert 0 < client.ttl("reelkeep:slots:orders") <= 6
    assert 5 < client.ttl("reelkeep:line:orders") <= 6 + LATE


def test_who_asks_too_early_does_not_cost_the_others_their_turns(ledger: RedisLedger, client: redis.Redis) -> None:
    limit = Limit("orders", 1, 1000.0)
    turns(ledger, limit, 1)
    last = turns(ledger, limit, 2, 3, 4)[-1]
    assert last is not None
    turns(ledger, limit, 2)
    assert client.ttl("reelkeep:line:orders") >= last - ledger.now()


def test_who_does_not_wait_is_given_no_turn(ledger: RedisLedger, client: redis.Redis) -> None:
    assert turns(ledger, LONG, 1, 2) == [None, None]
    told = [ledger.take_slot(LONG, submission(number), waits=False).until for number in range(3, 9)]
    assert None not in told
    assert client.keys("reelkeep:line:*") == client.keys("reelkeep:turns:*") == []
    [first] = turns(ledger, LONG, 9)
    assert first is not None
    assert first - ledger.now() <= LONG.window, "nobody is before it"
    pass_time(client, LONG, 1000.0)
    assert turns(ledger, LONG, 9) == [None]
    assert ledger.take_slot(LONG, submission(3), waits=False).until is None


def test_who_does_not_wait_does_not_overtake_either(ledger: RedisLedger, client: redis.Redis) -> None:
    turns(ledger, LONG, 1, 2, 3, 4)
    pass_time(client, LONG, 1000.0)
    assert ledger.take_slot(LONG, submission(5), waits=False).until is not None
    assert turns(ledger, LONG, 3, 4) == [None, None]


# --- answers -----------------------------------------------------------------------------------------------------------


def test_a_window_is_counted_from_the_answer_on(ledger: RedisLedger, client: redis.Redis) -> None:
    """The vendor counts a request when it arrives, which may be long after its slot was taken."""
    one = Limit("orders", 1, 1000.0)
    slot = ledger.take_slot(one, submission(1))
    assert (slot.until, bool(slot.name)) == (None, True)
    pass_time(client, one, 600.0)
    ledger.confirm_slot(one, slot)
    pass_time(client, one, 600.0)
    assert turns(ledger, one, 2) != [None], "1200 s after the slot was taken, 600 after the answer"
    pass_time(client, one, 400.0)
    assert turns(ledger, one, 2) == [None]


def test_an_answer_that_comes_after_its_window_takes_no_slot(ledger: RedisLedger, client: redis.Redis) -> None:
    one = Limit("orders", 1, 1000.0)
    slot = ledger.take_slot(one, submission(1))
    pass_time(client, one, 1000.0)
    other = ledger.take_slot(one, submission(2))
    assert other.until is None
    ledger.confirm_slot(one, slot)
    assert client.zrange("reelkeep:slots:orders", 0, -1) == [other.name]
    assert slot.name != other.name


def test_who_was_told_to_wait_confirms_nothing(ledger: RedisLedger, client: redis.Redis) -> None:
    one = Limit("orders", 1, 1000.0)
    turns(ledger, one, 1)
    waiting = ledger.take_slot(one, submission(2))
    assert (waiting.until is None, waiting.name) == (False, "")
    before = client.zrange("reelkeep:slots:orders", 0, -1, withscores=True)
    ledger.confirm_slot(one, waiting)
    assert client.zrange("reelkeep:slots:orders", 0, -1, withscores=True) == before


# --- pauses ------------------------------------------------------------------------------------------------------------


def test_a_pause_lets_nobody_through_and_ends_by_itself(redis_url: str) -> None:
    limit = Limit("orders", 100, 0.001)
    ledger = RedisLedger(redis_url)
    began = ledger.now()
    ledger.pause(limit, 0.6)
    passed: list[float] = []

    def work() -> None:
        own = RedisLedger(redis_url)
        for number in range(100, 103):
            wait_for(lambda number=number: own.take_slot(limit, submission(number)).until is None, every=0.005)  # type: ignore[misc]
            passed.append(own.now())

    together(work, 4)
    assert len(passed) == 12
    assert min(passed) >= began + 0.6


def test_a_pause_is_what_the_turn_says(ledger: RedisLedger) -> None:
    ledger.pause(LONG, 500.0)
    now = ledger.now()
    [until] = turns(ledger, LONG, 1)
    assert until == pytest.approx(now + 500.0, abs=5.0)


def test_a_shorter_pause_cuts_no_longer_one(ledger: RedisLedger) -> None:
    ledger.pause(LONG, 500.0)
    ledger.pause(LONG, 1.0)
    [until] = turns(ledger, LONG, 1)
    assert until is not None
    assert until - ledger.now() > 400.0
    ledger.pause(LONG, 800.0)
    [until] = turns(ledger, LONG, 1)
    assert until is not None
    assert until - ledger.now() > 700.0


def test_after_a_pause_those_who_waited_still_go_in_the_order_of_coming(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    one = Limit("orders", 1, 1000.0)
    turns(ledger, one, 9)
    came = [8, 3, 7, 1, 5]
    turns(ledger, one, *came)
    ledger.pause(one, 100_000.0)
    turns(ledger, one, *came)  # each comes once meanwhile, and is told when the pause ends
    turns(ledger, one, 2)
    client.delete("reelkeep:paused:orders")
    pass_time(client, one, 100_000.0)
    went = []
    for _ in range(6):
        [passed] = [number for number in sorted([*came, 2]) if turns(ledger, one, number) == [None]]
        went.append(passed)
        pass_time(client, one, 1000.0)
    assert went == [*came, 2]


def test_turns_are_apart_after_a_pause_too(ledger: RedisLedger) -> None:
    assert turns(ledger, LONG, 1, 2) == [None, None]
    ledger.pause(LONG, 5000.0)
    times = [time or 0.0 for time in turns(ledger, LONG, *range(3, 12))]
    assert all(later - earlier >= 999.999 for earlier, later in zip(times, times[2:], strict=False)), times
    assert all(earlier <= later for earlier, later in pairwise(times))
