"""Which of the waiting items a worker takes up: not the one whose message it happens to hold, but the one that is most urgent."""

import random

import pytest
import redis

from app.adapters.celery_outlet import CeleryOutlet
from app.adapters.redis_ledger import LOST_AFTER, STRANGERS_WAIT, RedisLedger
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.ledger import Draft, Tick
from app.domain.policy import Policy
from app.domain.rendition import FRESH, RETENTION
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Lane, Step
from app.pipeline.track import track
from tests.integration.looks import entry, queued

POLICY = Policy()
DAY = 86400.0


def rendition(task_id: str) -> Item:
    return Item(Step.MIRROR, task_id, Kind.RESULT, 0)


def succeed(ledger: RedisLedger, task_id: str, age: float = 0.0) -> None:
    """The vendor says that a generation has succeeded, and that it was made so many seconds ago."""

    def transition(draft: Draft) -> None:
        draft.generation = draft.generation or Generation.track(task_id, draft.now, POLICY)
        urls = Urls(result=(f"https://x.kie.ai/{task_id}.mp4",))
        verdict = Verdict(Progress.SUCCEEDED, 200, urls=urls, made_at=draft.now - age)
        draft.generation.hear(verdict, "poll", draft.now)

    ledger.change(task_id, transition)


def take_up(ledger: RedisLedger, client: redis.Redis, lane: Lane) -> Item | None:
    """Take the next message off a queue, as a worker does. Gives what is to be done."""
    [first, *_] = queued(client, lane) or [None]
    client.rpop(lane.queue)
    return Item.parse(ledger.pick(Item.parse(first))) if first else None


def store(ledger: RedisLedger, item: Item) -> None:
    def claim(draft: Draft) -> int | None:
        found = draft.find(item)
        assert draft.generation is not None
        assert found is not None
        return draft.generation.claim_mirror(found, draft.now, POLICY)

    def finish(draft: Draft) -> None:
        found = draft.find(item)
        assert draft.generation is not None
        assert found is not None
        draft.generation.store(found, "veo/key.mp4", 1, "0" * 64, Media("video/mp4", "mp4", 1280, 720, 8.0), draft.now)

    assert ledger.change(item.task_id, claim, focus=item) is not None, "somebody else was given it too"
    ledger.change(item.task_id, finish, focus=item)


def test_of_a_backlog_of_downloads_those_nearest_their_links_end_come_first(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    ages = {f"task-{number:03}": number * DAY / 20 for number in range(200)}
    shuffled = random.Random(7).sample(sorted(ages), len(ages))
    for task_id in shuffled:
        succeed(ledger, task_id, ages[task_id])
    done = []
    while (item := take_up(ledger, client, Lane.MIRROR)) is not None:
        store(ledger, item)
        done.append(item.task_id)
        if len(done) == 50:
            succeed(ledger, "late", 13.9 * DAY)
    assert done.pop(50) == "late", "what comes late overtakes all if its end is nearer"
    assert done == sorted(ages, reverse=True)
    assert client.keys("reelkeep:sent:mirror") == client.keys("reelkeep:urgent:mirror") == []
    assert client.hlen("reelkeep:places") == 0


def test_a_retry_keeps_its_place_and_a_fresh_link_comes_first(ledger: RedisLedger, client: redis.Redis) -> None:
    for number, age in enumerate((10 * DAY, 12 * DAY, 11 * DAY)):
        succeed(ledger, f"task-{number}", age)
    fresh = rendition("task-0")

    def renew(draft: Draft) -> None:
        found = draft.find(fresh)
        assert draft.generation is not None
        assert found is not None
        draft.generation.claim_mirror(found, draft.now, POLICY)
        draft.generation.follow_link(found, "", "https://x.kie.ai/fresh", "dead", draft.now, POLICY, 0.0)

    ledger.change("task-0", renew, focus=fresh)
    assert client.hget("reelkeep:places", str(fresh)) is not None
    assert float(client.hget("reelkeep:places", str(fresh)) or 0) == pytest.approx(ledger.now() + FRESH, abs=60)
    second = rendition("task-1")
    client.zrem("reelkeep:sent:mirror", str(second))  # it failed, and its time has come again
    client.zrem("reelkeep:urgent:mirror", str(second))
    client.zadd("reelkeep:due:mirror", {str(second): 1.0})
    ledger.tick()
    order = [take_up(ledger, client, Lane.MIRROR) for _ in range(3)]
    assert order == [fresh, second, rendition("task-2")]


def test_what_keeps_failing_lets_those_go_first_that_were_never_tried(ledger: RedisLedger) -> None:
    for name, age in (("old", 12 * DAY), ("young", 0.0)):
        succeed(ledger, name, age)
    overtaken = []
    for attempts in range(20):
        place = place_of(ledger, "old", attempts=attempts)
        overtaken.append(place > place_of(ledger, "young"))
    assert overtaken == sorted(overtaken)
    assert (overtaken[0], overtaken[12], overtaken[13]) == (False, False, True)


def test_a_link_that_has_ended_goes_before_nobody(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(3):
        succeed(ledger, f"dead-{number}", age=60 * DAY)
    succeed(ledger, "living", age=DAY)
    assert take_up(ledger, client, Lane.MIRROR) == rendition("living")
    generation = ledger.read("living").generation
    assert generation is not None
    [ended] = generation.renditions
    ended.link, ended.link_until = "https://x.kie.ai/fresh", ledger.now() - 1.0
    assert ended.place(None, ledger.now()) == ended.since + RETENTION


def place_of(ledger: RedisLedger, task_id: str, attempts: int = 0) -> float:
    generation = ledger.read(task_id).generation
    assert generation is not None
    generation.renditions[0].attempts = attempts
    [place] = generation.places(ledger.now()).values()
    return place


def test_what_was_enqueued_by_a_version_without_an_order_stands_in_line(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    track("known", [], {}, ledger, POLICY)
    ledger.record("before", None, entry())
    client.delete("reelkeep:urgent:quick")
    taken = []
    for _ in range(3):
        ledger.record("known", None, entry())
        taken.append(take_up(ledger, client, Lane.QUICK))
    assert Item(Step.SETTLE, "before") in taken


def test_what_was_never_said_to_be_made_earlier_counts_from_its_verdict(ledger: RedisLedger) -> None:
    succeed(ledger, "task-1", age=-5 * DAY)  # a vendor's clock that is ahead
    generation = ledger.read("task-1").generation
    assert generation is not None
    [place] = generation.places(ledger.now()).values()
    assert place == generation.renditions[0].since + RETENTION


# --- nothing is lost by it -------------------------------------------------------------------------------------------


def test_no_two_workers_are_given_the_same(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(3):
        succeed(ledger, f"task-{number}")
    given = [take_up(ledger, client, Lane.MIRROR) for _ in range(3)]
    assert sorted(str(item) for item in given) == [str(rendition(f"task-{number}")) for number in range(3)]


def test_what_a_dead_worker_was_given_is_due_again_in_a_moment(ledger: RedisLedger, client: redis.Redis) -> None:
    succeed(ledger, "task-0")
    item = take_up(ledger, client, Lane.MIRROR)
    assert ledger.tick() == Tick(due=0, rescued=0)
    [(waiting, at)] = client.zrange("reelkeep:due:mirror", 0, -1, withscores=True)  # type: ignore[union-attr]
    assert waiting == str(item)
    assert at == pytest.approx(ledger.now() + LOST_AFTER, abs=10)
    client.zadd("reelkeep:due:mirror", {waiting: 1.0})
    assert ledger.tick() == Tick(due=1, rescued=0)
    assert take_up(ledger, client, Lane.MIRROR) == item


def test_lost_messages_are_made_up_for_whichever_they_were(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(10):
        succeed(ledger, f"task-{number}", number * DAY)
    client.lpop(Lane.MIRROR.queue, 4)
    for item in client.zrange("reelkeep:sent:mirror", 0, -1):  # type: ignore[union-attr]
        client.zincrby("reelkeep:sent:mirror", -1000, item)
    assert ledger.tick() == Tick(due=0, rescued=4)
    done = [take_up(ledger, client, Lane.MIRROR) for _ in range(10)]
    assert done == [rendition(f"task-{number}") for number in reversed(range(10))]


def test_a_message_too_many_does_no_more_than_its_own_item(ledger: RedisLedger, client: redis.Redis) -> None:
    assert ledger.pick(rendition("unknown")) == str(rendition("unknown"))
    assert client.keys("*") == []


def test_a_backlog_counts_as_stuck_only_if_nobody_takes_anything_up(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(3):
        succeed(ledger, f"task-{number}")
        client.zadd("reelkeep:sent:mirror", {str(rendition(f"task-{number}")): ledger.now() - 1000.0})
    assert 900 < ledger.health().unclaimed < 1100
    take_up(ledger, client, Lane.MIRROR)
    assert ledger.health().unclaimed < 100, "it is being worked off"
    succeed(ledger, "task-3")
    client.hset("reelkeep:health", "picked:mirror", str(ledger.now() - 500.0))
    assert 400 < ledger.health().unclaimed < 600


# --- news ------------------------------------------------------------------------------------------------------------


def test_news_of_what_somebody_asked_for_overtakes_a_flood_of_strangers(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    track("known", [], {}, ledger, POLICY)
    for number in range(50):
        ledger.record(f"stranger-{number:02}", None, entry())
    ledger.record("known", None, entry())
    track("stranger-40", [], {}, ledger, POLICY)  # now somebody asks for this one too
    first = [take_up(ledger, client, Lane.QUICK) for _ in range(4)]
    names = ["known", "stranger-40", "stranger-00", "stranger-01"]
    assert first == [Item(Step.SETTLE, name) for name in names]


def test_what_is_made_up_for_keeps_its_place(ledger: RedisLedger, client: redis.Redis) -> None:
    ledger.record("stranger", None, entry())
    client.delete(Lane.QUICK.queue)
    client.zincrby("reelkeep:sent:quick", -1000, "settle/stranger")
    assert ledger.tick() == Tick(due=0, rescued=1)
    track("known", [], {}, ledger, POLICY)
    ledger.record("known", None, entry())
    assert take_up(ledger, client, Lane.QUICK) == Item(Step.SETTLE, "known")


def test_strangers_give_way_for_a_while_and_not_for_ever(ledger: RedisLedger, client: redis.Redis) -> None:
    track("known", [], {}, ledger, POLICY)
    ledger.record("stranger", None, entry())
    client.zincrby("reelkeep:urgent:quick", -STRANGERS_WAIT, "settle/stranger")  # an hour goes by
    ledger.record("known", None, entry())
    assert take_up(ledger, client, Lane.QUICK) == Item(Step.SETTLE, "stranger")


def test_whoever_is_done_takes_the_next_with_a_message_of_its_own(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(3):
        succeed(ledger, f"task-{number}", number * DAY)
    done = [take_up(ledger, client, Lane.MIRROR)]
    while done[-1] is not None and (text := ledger.pick_next(done[-1])):
        done.append(Item.parse(text))
    assert done == [rendition(f"task-{number}") for number in (2, 1, 0)]
    assert (client.llen(Lane.MIRROR.queue), client.zcard("reelkeep:sent:mirror")) == (0, 0)
    assert client.zcard("reelkeep:due:mirror") == 3  # in case that it dies


def test_without_a_message_nothing_more_is_taken_up(ledger: RedisLedger, client: redis.Redis) -> None:
    succeed(ledger, "task-1")
    client.delete(Lane.MIRROR.queue)
    assert ledger.pick_next(rendition("done")) == ""
    assert client.zcard("reelkeep:sent:mirror") == 1


def test_a_message_too_many_brings_nothing_more(ledger: RedisLedger, client: redis.Redis) -> None:
    client.lpush(Lane.MIRROR.queue, "a message")
    assert ledger.pick_next(rendition("done")) == ""
    assert client.keys("*") == []


def test_a_queue_on_another_server_is_left_to_its_messages(
    ledger: RedisLedger, redis_url: str, client: redis.Redis
) -> None:
    succeed(ledger, "task-1")
    elsewhere = RedisLedger(redis_url, broker_url="amqp://there", outlet=lambda: CeleryOutlet("amqp://there"))
    assert elsewhere.pick_next(rendition("done")) == ""
    assert (client.llen(Lane.MIRROR.queue), client.zcard("reelkeep:sent:mirror")) == (1, 1)
