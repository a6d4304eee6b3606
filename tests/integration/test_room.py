"""What is taken in when Redis's memory has a limit: no more than can be worked off within it."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.errors import LedgerUnavailable
from app.domain.policy import Policy
from app.domain.redis_state import FULL
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Lane, Step
from app.embedded.redis_server import MAXMEMORY
from app.pipeline.settle import settle
from app.pipeline.track import track
from tests.integration.looks import entry

#: much beside what connections and tables of the server take and give back meanwhile
ROOM = 3 * 2**21


class KnowingVendor:
    """Knows every id, and that it has succeeded."""

    def ask_details(self, task_id: str) -> Verdict:
        urls = Urls(result=(f"https://tempfile.aiquickdraw.com/v/{task_id}_1785999567.mp4",))
        return Verdict(Progress.SUCCEEDED, 200, "success", urls, credits=60.0)


@pytest.fixture
def front(redis_url: str) -> RedisLedger:
    """The ledger of those who bring new work."""
    return RedisLedger(redis_url, leaves_room=True)


@pytest.fixture
def limited(client: redis.Redis, front: RedisLedger) -> Iterator[int]:
    """A limit over what is in use now, in bytes."""
    front.record("warm-up", None, entry())
    memory: Any = client.info("memory")
    limit = int((memory["used_memory"] - memory["mem_not_counted_for_evict"] + ROOM) / FULL)
    client.config_set("maxmemory", limit)
    yield limit
    client.config_set("maxmemory", MAXMEMORY)


def fill(front: RedisLedger) -> int:
    """Record callbacks until one is refused. Gives how many were not."""
    for number in range(100_000):
        try:
            front.record(f"0819326cc7fddfd620baf6e1f{number:07}", None, entry("x" * 250))
        except LedgerUnavailable:
            return number
    raise AssertionError("never refused")


def test_what_was_taken_in_can_be_worked_off_within_the_limit(
    ledger: RedisLedger, client: redis.Redis, front: RedisLedger, limited: int
) -> None:
    taken_in = fill(front)
    assert taken_in > 100
    policy: Any = Policy(poll_rate=(1_000_000, 10.0))
    vendor: Any = KnowingVendor()
    while client.rpop(Lane.QUICK.queue):
        settle(Item.parse(ledger.pick(Item(Step.SETTLE, "any"))), ledger, vendor, policy)
    assert ledger.count()[State.MIRRORING] == taken_in + 1
    assert len(client.zrange("reelkeep:sent:mirror", 0, -1)) == taken_in + 1  # type: ignore[arg-type]


def test_what_brings_new_work_is_refused_and_what_does_it_is_not(
    ledger: RedisLedger, front: RedisLedger, client: redis.Redis, limited: int
) -> None:
    fill(front)
    # What Lua and the connections hold comes and goes by some kilobytes.
    client.config_set("maxmemory", limited - 2**17)
    with pytest.raises(LedgerUnavailable, match="memory"):
        track("new", [], {}, front, Policy())
    assert ledger.read("new").generation is None
    track("new", [], {}, ledger, Policy())
    assert ledger.read("new").generation is not None


def test_without_a_limit_nothing_is_refused(front: RedisLedger, client: redis.Redis) -> None:
    client.set("ballast", bytes(2**24))
    track("new", [], {}, front, Policy())
    assert front.read("new").generation is not None


def test_a_redis_that_does_not_show_its_memory_is_written_to(redis_url: str, client: redis.Redis) -> None:
    client.acl_setuser("blind", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    try:
        blind = RedisLedger(redis_url.replace("redis://", "redis://blind:any@"), leaves_room=True)
        track("new", [], {}, blind, Policy())
        assert blind.read("new").generation is not None
    finally:
        client.acl_deluser("blind")
