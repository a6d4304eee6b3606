"""Processes that are killed with SIGKILL at every point between intention, request, answer and record: what is wanted is bought
once, and nothing that was bought is forgotten (design 2.3). Real ledger, real vendor client, the simulator's own books."""

import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, Literal

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.policy import Policy
from app.domain.rendition import Rendition
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.work import Item, Kind, Lane, Step
from app.pipeline.settle import settle
from app.pipeline.submit import accept
from app.pipeline.track import track
from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.integration.desk import WEBHOOK_KEY, front_door, served
from tests.support.doomed import Moment, Point, die
from tests.support.waiting import wait_for
from tests.support.workers import CONTEXT, NO_RATES, Shop, workers

#: leases and pauses so short that the next worker is there at once
QUICK = Policy(
    first_poll_after=0.05, poll_interval=0.02, poll_interval_max=0.1, upgrade_poll_after=0.05, lease=0.15, **NO_RATES
)
#: how many processes are killed over each kind, in each form of the vendor's API
KILLS = 50
BEFORE, SENT, ANSWERED, AFTER = Moment


def around(method: str, number: int = 1) -> list[Point]:
    return [Point(method, BEFORE, number), Point(method, AFTER, number)]


def on_the_way(request: str) -> list[Point]:
    return [Point(request, SENT), Point(request, ANSWERED), Point(request, AFTER)]


def chain(count: int, *stages: list[Point]) -> list[list[Point]]:
    """So many chains of deaths: at one point of each stage."""
    return [[stage[number % len(stage)] for stage in stages] for number in range(count)]


# A step changes the ledger when it claims (for an upgrade this is the intention), when it notes that the request goes out, and
# when it records the answer; for a submission also when its generation is adopted, and when it is linked.
CLAIM, NOTE, RECORD, ADOPT, LINK = (around("change", number) for number in range(1, 6))
EARLY = [*CLAIM, *around("reserve"), *around("take_slot"), NOTE[0]]
#: who dies over one order, one after the other
ORDER = chain(
    18,
    EARLY,
    [NOTE[1], Point("ask_upgrade", BEFORE), *on_the_way("ask_upgrade"), *RECORD],
    [*on_the_way("ask_upgrade"), *CLAIM],
    [*NOTE, *RECORD],
)
#: and over one submission; it may be that it was not created: then nobody dies after that
SUBMISSION = chain(2, EARLY, [NOTE[1], Point("submit", BEFORE)]) + chain(
    16, EARLY, [*on_the_way("submit") * 2, *RECORD, *ADOPT, LINK[0]], [*CLAIM, *NOTE], [NOTE[1], RECORD[0]]
)


@dataclass
class Scene:
    """Where it happens, and what is wanted there."""

    shop: Shop
    client: SimulatorClient
    ledger: RedisLedger
    killed: int = 0
    orders: list[Item] = field(default_factory=list)
    submissions: list[Item] = field(default_factory=list)

    # --- what is wanted ------------------------------------------------------------------------------------------------

    def submit(self) -> Item:
        scenario = ("plain", "no-callback")[len(self.submissions) % 2]
        request = GenerateRequest(prompt=f"scenario={scenario} number {len(self.submissions)}")
        answer = accept(request, [], {}, request.prompt, self.ledger, QUICK)
        assert answer.submission is not None
        self.submissions.append(answer.submission.item)
        return answer.submission.item

    def order(self, kind: Kind, count: int) -> list[Item]:
        """Want upgrades of as many generations, which have succeeded."""
        task_ids = [self.generate() for _ in range(count)]
        for task_id in task_ids:
            track(task_id, [kind], {}, self.ledger, QUICK)
            wait_for(partial(self.is_settled, task_id))
        orders = [Item(Step.UPGRADE, task_id, kind) for task_id in task_ids]
        self.orders += orders
        return orders

    def generate(self) -> str:
        if self.shop.form == "veo":
            return self.client.generate("a base")
        return self.client.create_task("veo-3-1", {"prompt": "a base"})

    def is_settled(self, task_id: str) -> bool:
        settle(Item(Step.SETTLE, task_id), self.ledger, self.shop.open_vendor(), QUICK)
        generation = self.ledger.read(task_id).generation
        return generation is not None and bool(generation.renditions)

    # --- who dies ------------------------------------------------------------------------------------------------------

    def kill(self, items: list[Item], chains: list[list[Point]]) -> None:
        """Have `KILLS` processes die over these items: one after the other over each, over all of them at the same time."""
        left = KILLS
        for points in zip_longest(*chains):
            doomed = [(item, point) for item, point in zip(items, points, strict=True) if point]
            left -= self.let_die(doomed[:left])
        self.killed += KILLS - left

    def let_die(self, doomed: list[tuple[Item, Point]]) -> int:
        processes = [CONTEXT.Process(target=die, args=(self.shop, *each), daemon=True) for each in doomed]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        codes = Counter(process.exitcode for process in processes)
        assert codes.keys() <= {-signal.SIGKILL, 0}, codes
        return codes[-signal.SIGKILL]

    # --- what became of it ---------------------------------------------------------------------------------------------

    def submission(self, item: Item) -> Submission:
        found = self.ledger.read(item.task_id).submission
        assert found is not None
        return found

    def rendition(self, item: Item) -> Rendition:
        found = self.ledger.read(item.task_id).find(item)
        assert found is not None
        return found

    def count_made(self) -> Counter[str]:
        """How often each submission has been created, by its prompt."""
        made = Counter(row["prompt"] for row in self.client.books()["generations"].values())
        assert all(made[it.request.prompt] <= 1 for it in map(self.submission, self.submissions)), "submitted twice"
        return made

    def count_bought(self) -> Counter[tuple[str, str]]:
        bought = Counter((row["taskId"], row["kind"]) for row in self.client.books()["purchases"])
        assert set(bought.values()) == {1}, "bought twice"
        return bought

    def all_is_asked(self) -> bool:
        """Whether nothing can be learned any more without callbacks."""
        self.count_made()
        return all(it.linked or it.state is State.UNCERTAIN for it in map(self.submission, self.submissions))

    def call_back(self) -> None:
        """Have the callbacks come that have been missing: of what is made, once it is."""
        for task_id, row in self.client.books()["generations"].items():
            if row["scenario"] == "no-callback":
                wait_for(lambda: self.client.call("POST", "/_simulator/deliver", json={"taskId": task_id}).ok)  # noqa: B023

    def all_is_told(self) -> bool:
        """Whether all that the vendor has made is known here."""
        made, bought = self.count_made(), self.count_bought()
        submissions = map(self.submission, self.submissions)
        return all(it.linked for it in submissions if made[it.request.prompt]) and all(
            self.rendition(item).url for item in self.orders if bought[item.task_id, str(item.kind)]
        )


@pytest.fixture
def scene(redis_url: str, form: Literal["veo", "jobs"]) -> Iterator[Scene]:
    options = Options(speed=240, rate_limit=0, webhook_key=WEBHOOK_KEY)
    with served(front_door(redis_url)) as door, Simulator(options) as simulator:
        shop = Shop(redis_url, simulator.url, door, form, QUICK)
        yield Scene(shop, SimulatorClient(simulator.url), RedisLedger(redis_url))


@pytest.mark.parametrize("form", ["veo", "jobs"])
def test_who_is_killed_doubles_nothing_and_forgets_nothing(scene: Scene, redis_url: str) -> None:
    for kind in (Kind.UHD, Kind.HD):
        scene.kill(scene.order(kind, len(ORDER)), ORDER)
    scene.kill([scene.submit() for _ in SUBMISSION], SUBMISSION)
    assert scene.killed == 3 * KILLS
    planned = {str(point) for chain in ORDER + SUBMISSION for point in chain}
    assert planned <= count_kills(redis_url).keys()

    client: Any = redis.Redis.from_url(redis_url)
    client.delete(Lane.QUICK.queue)  # what is left to do is found without the messages too
    with workers(4, scene.shop):
        wait_for(scene.all_is_asked)
        scene.call_back()
        wait_for(scene.all_is_told)

    made, bought = scene.count_made(), scene.count_bought()
    for submission in map(scene.submission, scene.submissions):
        created = made[submission.request.prompt]
        assert submission.linked == bool(created)
        assert created or (submission.state is State.UNCERTAIN and submission.work.at is not None)
    for rendition, is_bought in (
        (scene.rendition(item), bought[item.task_id, str(item.kind)]) for item in scene.orders
    ):
        # Who dies between note and request prevents a purchase in the unified form; it is not given up, and not sent again.
        assert is_bought or (scene.shop.form == "jobs" and rendition.work.at is not None)
        assert bool(rendition.url) == bool(is_bought)


def count_kills(redis_url: str) -> dict[str, int]:
    client: Any = redis.Redis.from_url(redis_url, db=1, decode_responses=True)
    return {where: int(count) for where, count in client.hgetall("killed").items()}
