"""Workers that kill themselves: with SIGKILL, at a given moment of a given call. What they were about is not told to anybody."""

import http.client
import math
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, NoReturn

import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.work import Item
from tests.support.workers import Shop

#: seconds after which what is not due again is taken for done, or for waiting for what never comes
PATIENCE = 3.0


class Moment(StrEnum):
    """When a process dies at a call; a request is on its way for a while, any other call is not."""

    BEFORE = "before"
    SENT = "sent"
    ANSWERED = "answered, not read"
    AFTER = "after"


@dataclass(frozen=True)
class Point:
    """A moment of the n-th call of a method within a step."""

    method: str
    moment: Moment
    number: int = 1

    def __str__(self) -> str:
        return f"{self.method} {self.number}: {self.moment}"


@dataclass
class Doom:
    """Kills its own process at a point, or at the next call if three steps have not come to that point."""

    point: Point
    #: where the kills are counted by point
    grave: Any
    steps: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    def watch(self, watched: Any) -> Any:
        """The same thing, with calls that can be fatal."""
        return _Watched(watched, self)

    def begin(self) -> None:
        """A step begins."""
        self.steps += 1
        self.calls.clear()

    def call(self, name: str, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.calls[name] += 1
        met = name == self.point.method and self.calls[name] == self.point.number
        if not met and self.steps <= 3:
            return method(*args, **named)
        moment = self.point.moment
        if not met or moment is Moment.BEFORE:
            self.die(met)
        if moment in (Moment.SENT, Moment.ANSWERED):
            self._die_on_the_way(wait=moment is Moment.ANSWERED)
        method(*args, **named)
        return self.die()

    def die(self, met: bool = True) -> NoReturn:
        self.grave.hincrby("killed", str(self.point) if met else "elsewhere", 1)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")

    def _die_on_the_way(self, *, wait: bool) -> None:
        """Have the process die where it would begin to read an answer: at once, or when the answer is there."""

        def die_instead(connection: http.client.HTTPConnection, *_: object) -> NoReturn:
            if wait:
                select.select([connection.sock], [], [])
            self.die()

        http.client.HTTPConnection.getresponse = die_instead  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class _Watched:
    watched: Any
    doom: Doom

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.watched, name)
        return partial(self.doom.call, name, found) if callable(found) else found


def die(shop: Shop, item: Item, point: Point) -> None:
    """What a doomed process does: the steps of an item, as soon as they are due, until it is dead."""
    ledger, vendor = shop.open_ledger(), shop.open_vendor()
    doom = Doom(point, redis.Redis.from_url(shop.redis_url, db=1))
    while True:
        patience = time.monotonic() + PATIENCE
        while (pause := look_when_due(item, ledger)) > 0:
            if time.monotonic() > patience:
                os._exit(0)  # nobody else will die over it
            time.sleep(min(pause, 0.1))  # a callback may bring it forward
        doom.begin()
        shop.do(item, doom.watch(ledger), doom.watch(vendor))


def look_when_due(item: Item, ledger: RedisLedger) -> float:
    """Seconds until somebody has to look at it; infinity: never, as far as is known."""
    draft = ledger.read(item.task_id)
    agenda = draft.record.agenda(pending=bool(draft.pending)) if draft.record else {}
    return agenda.get(item, math.inf) - draft.now
