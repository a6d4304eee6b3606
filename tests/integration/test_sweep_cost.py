"""What waits and is not due costs a sweep nothing: told from the commands that Redis carries out, not from the time it takes."""

import redis

from app.adapters.redis_ledger import RedisLedger
from app.pipeline.sweep import sweep
from tests.support.crowd import count_commands, crowd

FEW, MANY = 1_000, 100_000


def test_a_sweep_costs_the_same_with_a_hundred_times_as_many_waiting(ledger: RedisLedger, client: redis.Redis) -> None:
    def look() -> None:
        client.delete("reelkeep:turn:sweep")
        assert sweep(ledger, 15.0) is not None
        ledger.wake()
        ledger.health()

    look()  # the scripts are loaded
    crowd(client, FEW)
    with_few = count_commands(client, look)
    crowd(client, MANY - FEW, first=FEW)
    with_many = count_commands(client, look)
    assert client.zcard("reelkeep:due:quick") == client.zcard("reelkeep:state:waiting") == MANY
    assert with_few == with_many
    # One more is due: it alone is seen to, though a hundred thousand stand behind it.
    client.zadd("reelkeep:due:quick", {"settle/crowd-0000007": 1.0})
    with_one_due = count_commands(client, look)
    assert 0 < len(with_one_due) - len(with_many) < 20
