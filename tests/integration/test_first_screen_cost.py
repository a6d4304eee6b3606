"""The first screen, lists and the front door cost the same however many generations there are: told from the commands that Redis
carries out, and from how much each answers."""

from collections.abc import Callable

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.finding import ALL, Filter
from app.domain.states import State
from app.domain.work import Kind
from tests.support.course import call_back
from tests.support.crowd import count_commands, crowd

FEW, MANY = 2_000, 20_000

Look = Callable[[RedisLedger], object]
LOOKS: dict[str, Look] = {
    "first screen": lambda ledger: ledger.overview(),
    "list": lambda ledger: ledger.page(None, 50, None),
    "list of a state": lambda ledger: ledger.page(State.WAITING, 50, None),
    "list by upgrade": lambda ledger: ledger.page(None, 50, None, Filter(kind=Kind.UHD)),
    "list by label": lambda ledger: ledger.page(State.WAITING, 50, None, Filter(label=("shop", "a"))),
    "list by time": lambda ledger: ledger.page(None, 50, None, Filter(since=1.0, until=9e9)),
    "search without a find": lambda ledger: ledger.page(None, 50, None, Filter(text="nowhere")),
    "counts": lambda ledger: ledger.stats(),
    "metrics": lambda ledger: ledger.figures(),
    "lists that are up to date": lambda ledger: ledger.refresh_lists(),
}


@pytest.mark.parametrize("what", LOOKS)
def test_a_look_costs_the_same_with_many_times_as_many(ledger: RedisLedger, client: redis.Redis, what: str) -> None:
    crowd(client, FEW)
    client.zunionstore("reelkeep:kind:4k", ["reelkeep:tracked"])
    client.zunionstore("reelkeep:label:shop=a", ["reelkeep:tracked"])
    client.zunionstore("reelkeep:risk", ["reelkeep:tracked"])
    client.hset("reelkeep:health", "lists_version", "1")
    LOOKS[what](ledger)  # the scripts are loaded
    with_few = count_commands(client, lambda: LOOKS[what](ledger))
    crowd(client, MANY - FEW, first=FEW)
    for name in ("kind:4k", "label:shop=a", "risk"):
        client.zunionstore(f"reelkeep:{name}", ["reelkeep:tracked"])
    assert client.zcard("reelkeep:risk") == MANY
    assert count_commands(client, lambda: LOOKS[what](ledger)) == with_few


@pytest.mark.parametrize("what", ["first screen", "metrics"])
def test_the_first_screen_and_the_metrics_take_one_round_trip(
    ledger: RedisLedger, client: redis.Redis, what: str
) -> None:
    look = LOOKS[what]
    look(ledger)
    before = client.info("stats")["total_commands_processed"]  # type: ignore[index]
    look(ledger)
    after = client.info("stats")["total_commands_processed"]  # type: ignore[index]
    commands = [name for name, _ in count_commands(client, lambda: look(ledger))]
    assert commands.count("EVALSHA") == 1
    assert commands[0] == "EVALSHA"
    assert after - before <= 1 + len(commands)


def test_the_front_door_carries_out_so_many_commands(ledger: RedisLedger, client: redis.Redis) -> None:
    call_back(ledger, "t1")  # the first of an hour says when the hour is forgotten
    commands = [name for name, _ in count_commands(client, lambda: call_back(ledger, "t2"))]
    counting = [name for name in commands if name == "HINCRBYFLOAT"]
    assert counting == ["HINCRBYFLOAT"] * 2, "in all and by the hour"
    assert "EXPIRE" not in commands


def test_plain_lists_are_read_no_further_than_a_page(ledger: RedisLedger, client: redis.Redis) -> None:
    crowd(client, FEW)
    for wanted in (ALL, Filter(kind=Kind.UHD), Filter(label=("shop", "a"))):
        if wanted != ALL:
            client.zunionstore(f"reelkeep:{wanted.lists(None)[0]}", ["reelkeep:tracked"])
        sizes = [size for name, size in count_commands(client, lambda: ledger.page(None, 50, None, wanted))]  # noqa: B023
        assert max(sizes) <= 51 * 2
