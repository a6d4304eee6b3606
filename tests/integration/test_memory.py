"""What a generation leaves behind in Redis once it is complete."""

from typing import Any

import redis

from app.adapters.redis_ledger import RedisLedger
from tests.support import course

MOST = 1536
#: for one that waits, with its places in two indexes
EVENT = 500
#: so many that lists are kept as large ones are
MANY = 200


def test_a_complete_generation_takes_little_room(ledger: RedisLedger, client: redis.Redis) -> None:
    """Everything of it: record, callback, timeline, its places on the lists, and a label."""
    assert _measure(ledger, client) <= MOST


def test_a_receiver_that_is_away_takes_little_room_too(redis_url: str, client: redis.Redis) -> None:
    """Until it has taken the event, or a day has passed."""
    assert _measure(RedisLedger(redis_url, events=True), client) <= MOST + EVENT


def _measure(ledger: RedisLedger, client: redis.Redis) -> float:
    names = [f"{number:032x}" for number in range(MANY)]
    for name in names:
        course.complete(ledger, name, {"project": "spring"})

    def size(key: str) -> int:
        taken: Any = client.memory_usage(key, samples=0)
        return int(taken)

    lists = sum(size(key) for key in client.scan_iter("reelkeep:*", _type="zset")) / MANY
    own = [sum(size(key) for key in client.scan_iter(f"reelkeep:*:{name}")) for name in names[-10:]]
    assert {key.split(":")[1] for key in client.scan_iter(f"reelkeep:*:{names[-1]}")} == {"gen", "history", "timeline"}
    return max(own) + lists
