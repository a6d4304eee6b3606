"""Processes that are killed with SIGKILL at every point between intention, request, answer and record: what is wanted is bought
once, and nothing that was bought is forgotten (design 2.3). Real ledger, real vendor client, the simulator's own books."""

import http.client
import os
import select
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import cycle
from typing import Any, NoReturn

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.work import Item, Kind, Lane, Step
from app.pipeline.settle import settle
from app.pipeline.submit import accept
from app.pipeline.track import track
from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.integration.desk import WEBHOOK_KEY, front_door, served
from tests.support.waiting import wait_for
from tests.support.workers import CONTEXT, NO_RATES, Shop, workers

#: leases and pauses so short that the next worker is there at once
QUICK = Policy(
    first_poll_after=0.05, poll_interval=0.02, poll_interval_max=0.1, upgrade_poll_after=0.05, lease=0.15, **NO_RATES
)
#: how many processes are killed over each kind, in each form of the vendor's API
KILLS = 50
#: how many are there at once
AT_ONCE = 10


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
    number: int
    moment: Moment


def _points(request: str, changes: int, *others: str) -> list[Point]:
    calls = [*(("change", number + 1) for number in range(changes)), *((other, 1) for other in others)]
    around = [Point(*call, moment) for call in calls for moment in (Moment.BEFORE, Moment.AFTER)]
    return [*around, *(Point(request, 1, moment) for moment in Moment for _ in range(2))]


#: the changes: intention, request goes out, answer (of a submission then: generation adopted, submission linked)
POINTS = {
    Step.UPGRADE: _points("ask_upgrade", 3, "reserve", "confirm_slot"),
    Step.SUBMIT: _points("submit", 5, "reserve", "confirm_slot"),
}


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
        moment = self.point.moment if met else Moment.BEFORE
        if moment is Moment.BEFORE:
            self.die(f"{name} {moment}")
        if moment in (Moment.SENT, Moment.ANSWERED):
            self._die_on_the_way(f"{name} {moment}", wait=moment is Moment.ANSWERED)
        method(*args, **named)
        self.die(f"{name} {moment}")

    def die(self, where: str) -> NoReturn:
        self.grave.hincrby("killed", where, 1)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")

    def _die_on_the_way(self, where: str, *, wait: bool) -> None:
        """Have the process die where it would begin to read an answer: at once, or when the answer is there."""

        def die_instead(connection: http.client.HTTPConnection, *_: object) -> NoReturn:
            if wait:
                select.select([connection.sock], [], [])
            self.die(where)

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
        wait_for(partial(is_due, item, ledger), every=0.005)
        doom.begin()
        shop.do(item, doom.watch(ledger), doom.watch(vendor))


def is_due(item: Item, ledger: RedisLedger) -> bool:
    draft = ledger.read(item.task_id)
    agenda = draft.record.agenda(pending=bool(draft.pending)) if draft.record else {}
    if item not in agenda:
        os._exit(0)  # it is done with: nobody else can be killed over it
    return agenda[item] <= draft.now


@dataclass
class Scene:
    """Where it happens: the parts, and how many died."""

    shop: Shop
    client: SimulatorClient
    ledger: RedisLedger
    killed: int = 0

    # --- what is wanted ------------------------------------------------------------------------------------------------

    def submissions(self, shop: Shop) -> Iterator[Item]:
        """Ever new ones; each has a prompt of its own."""
        for number in range(1000):
            request = GenerateRequest(prompt=f"{shop.form} {number}")
            answer = accept(request, [], {}, request.prompt, self.ledger, shop.policy)
            assert answer.submission is not None
            yield answer.submission.item

    def orders(self, shop: Shop, kind: Kind, count: int) -> list[Item]:
        """Upgrades that are wanted of generations that have succeeded."""
        task_ids = [self.generate(shop) for _ in range(count)]
        for task_id in task_ids:
            track(task_id, [kind], {}, self.ledger, shop.policy)
            wait_for(partial(self.is_settled, shop, task_id))
        return [Item(Step.UPGRADE, task_id, kind) for task_id in task_ids]

    def generate(self, shop: Shop) -> str:
        if shop.form == "veo":
            return self.client.generate("a base")
        return self.client.create_task("veo-3-1", {"prompt": "a base"})

    def is_settled(self, shop: Shop, task_id: str) -> bool:
        settle(Item(Step.SETTLE, task_id), self.ledger, shop.open_vendor(), shop.policy)
        generation = self.ledger.read(task_id).generation
        return generation is not None and bool(generation.renditions)

    # --- who dies ------------------------------------------------------------------------------------------------------

    def kill(self, shop: Shop, items: Iterator[Item], count: int) -> None:
        """Have so many processes die over these items: several over each, one after the other, and several at once."""
        points = cycle(POINTS[Step.UPGRADE])
        done = 0
        while done < count:
            targets = [item for item, _ in zip(items, range(AT_ONCE), strict=False)]
            assert targets, "too few items"
            points = cycle(POINTS[targets[0].step]) if not done else points
            for _ in range(4):
                doomed = [(shop, item, next(points)) for item in targets[: count - done]]
                done += self.let_die(doomed)
        self.killed += done

    def let_die(self, doomed: list[tuple[Shop, Item, Point]]) -> int:
        processes = [CONTEXT.Process(target=die, args=args, daemon=True) for args in doomed]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        codes = Counter(process.exitcode for process in processes)
        assert codes.keys() <= {-signal.SIGKILL, 0}, codes
        return codes[-signal.SIGKILL]


@pytest.fixture
def scene(redis_url: str) -> Iterator[Scene]:
    options = Options(speed=120, rate_limit=0, webhook_key=WEBHOOK_KEY)
    with served(front_door(redis_url)) as door, Simulator(options) as simulator:
        shop = Shop(redis_url, simulator.url, door, policy=QUICK)
        yield Scene(shop, SimulatorClient(simulator.url), RedisLedger(redis_url))


def test_three_hundred_kills_double_nothing_and_lose_nothing(scene: Scene, redis_url: str) -> None:
    shops = [scene.shop, replace(scene.shop, form="jobs")]
    orders: list[Item] = []
    submissions: list[Item] = []
    for shop in shops:
        for kind in (Kind.UHD, Kind.HD):
            wanted = scene.orders(shop, kind, 30)
            orders += wanted
            scene.kill(shop, iter(wanted), KILLS)
        scene.kill(shop, _noting(scene.submissions(shop), submissions), KILLS)
    assert scene.killed == 6 * KILLS
    print(redis.Redis.from_url(redis_url, db=1, decode_responses=True).hgetall("killed"))


def _noting(items: Iterator[Item], noted: list[Item]) -> Iterator[Item]:
    for item in items:
        noted.append(item)
        yield item
