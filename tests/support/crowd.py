"""Many generations that wait for their verdict, put into the ledger at once; and what a step costs Redis, by count."""

from collections.abc import Callable
from typing import Any

import redis

from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.work import Item, Lane, Step

BATCH = 1000


def crowd(client: redis.Redis, count: int, first: int = 0) -> None:
    """Have so many generations wait, as `track` would leave them. None is due soon. :param first: the number of the first"""
    now = float(client.time()[0])  # type: ignore[index]
    policy = Policy(first_poll_after=86400.0)
    for begin in range(first, first + count, BATCH):
        names = [f"crowd-{number:07}" for number in range(begin, min(begin + BATCH, first + count))]
        made = [Generation.track(name, now, policy) for name in names]
        due = {str(Item(Step.SETTLE, one.task_id)): one.settle.at or 0.0 for one in made}
        tracked = dict.fromkeys(names, now)
        pipeline = client.pipeline(transaction=False)
        pipeline.mset({f"reelkeep:gen:{one.task_id}": one.model_dump_json(exclude_defaults=True) for one in made})
        pipeline.zadd(f"reelkeep:due:{Lane.QUICK}", due)
        pipeline.zadd(f"reelkeep:state:{State.WAITING}", tracked)
        pipeline.zadd("reelkeep:tracked", tracked)
        pipeline.execute()


def count_commands(client: redis.Redis, act: Callable[[], object]) -> list[tuple[str, int]]:
    """The commands that Redis carries out during an action, those inside of scripts too, each with how much it answers when it is
    asked again: a single command that goes through everything would not be seen by its number."""
    commands = []
    with client.monitor() as monitor:
        act()
        client.echo("that was all")
        for heard in monitor.listen():
            if heard["command"].startswith("ECHO"):
                break
            commands.append(heard["command"].split(" "))
    return [(words[0].upper(), _size(client, words)) for words in commands if words[0].upper() not in GREETINGS]


#: what a new connection begins with
GREETINGS = frozenset({"AUTH", "CLIENT", "HELLO", "SELECT"})
#: what changes nothing, and so may be asked again
READS = frozenset(
    {"GET", "HGET", "HGETALL", "LLEN", "LRANGE", "MGET", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZSCORE"}
)


def _size(client: redis.Redis, words: list[str]) -> int:
    if words[0].upper() not in READS:
        return 0
    answer: Any = client.execute_command(*words)
    return len(answer) if isinstance(answer, list | tuple | dict | str) else 1
