"""The ledger as seen from outside: how long dropped work lies about, and whether anything is under way.

It reads the keys that app/adapters/redis_ledger.py describes. What a killed process held is not written anywhere; so every claim
that is held at the moment of a kill is watched. A living holder renews its claim or ends it. One that lapses unrenewed and is
then taken by another was dropped.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from app.adapters.packing import unpack
from app.adapters.redis_ledger import PREFIX
from app.domain.states import State
from app.domain.work import LANES, Item, Kind, Lane, Step, is_submission_id

#: seconds between two looks
LOOK_EVERY = 0.2
#: seconds in which Redis must answer, or counts as away
SILENCE = 0.5
#: clocks and floats: a claim that is followed by another so much before it lapses was given back
SLACK = 0.05
#: seconds until a process that was started begins to work
STARTING = 3.0
#: of renditions
ENDED = ("stored", "failed", "unavailable")


@dataclass(frozen=True)
class Held:
    """A claim that somebody held when a process was killed. Times are epoch seconds."""

    item: Item
    fence: int
    lapses_at: float
    killed_at: float


@dataclass(frozen=True)
class Wait:
    """How long something lay about, in epoch seconds."""

    item: Item
    since: float
    until: float


@dataclass
class Emptied:
    """When the broker was emptied, and the items that were in it and that nobody has taken up yet."""

    at: float
    waiting: set[Item]


class Watch:
    """A thread that looks at the ledger. Use as a context manager."""

    def __init__(self, url: str, lease: float, *, unified: bool = False) -> None:
        """:param unified: the form of the vendor's API in which the outcome of an order can stay unknown"""
        self._redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=SILENCE, socket_connect_timeout=SILENCE, retry=None
        )
        self._lease = lease
        self._unified = unified
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._held: list[Held] = []
        #: when there was nobody to take anything up: beginnings and ends of times without Redis, and of deployments
        self.away: list[tuple[float, float]] = []
        self._emptied: list[Emptied] = []
        self._dropped: list[Wait] = []
        self._lost: list[Wait] = []
        self._fault: Exception | None = None

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def recoveries(self) -> list[tuple[float, Item]]:
        """What a killed process had dropped, and the seconds until another took it up, but for those of `away`.

        Where the broker was emptied meanwhile it is not among these: what waits for that is told by `resumptions`.
        """
        calm = [
            one for one in self._dropped if not any(one.since <= emptied.at <= one.until for emptied in self._emptied)
        ]
        return [(count_seconds(wait, self.away), wait.item) for wait in calm]

    def resumptions(self) -> list[tuple[float, Item]]:
        """What an emptied broker had held, and the seconds until somebody took it up, but for those of `away`."""
        return [(count_seconds(wait, self.away), wait.item) for wait in self._lost]

    @property
    def watched(self) -> int:
        """Claims of which it is not known yet whether they were dropped."""
        with self._lock:
            return len(self._held)

    def dropped(self) -> list[Item]:
        """Items whose dropped claim nobody has taken up so far."""
        now = time.time()
        with self._lock:
            return [held.item for held in self._held if held.lapses_at < now]

    def lost(self) -> list[Item]:
        """Items whose message went with the broker's, and that nobody has taken up so far."""
        with self._lock:
            return [item for emptied in self._emptied for item in emptied.waiting]

    def note_kill(self) -> None:
        """A process was killed this moment. Does nothing while Redis is away."""
        try:
            now = time.time()
            held = [
                Held(item, work["fence"], work["at"], now)
                for item, work in self._read_works(self._soon_due(now))
                if work.get("leased")
            ]
        except redis.RedisError:
            return
        with self._lock:
            self._held += held

    def note_emptied(self, items: Iterable[Item]) -> None:
        """The broker was emptied this moment; these were in it."""
        with self._lock:
            self._emptied.append(Emptied(time.time(), set(items)))

    def note_deployment(self, began: float) -> None:
        """All processes were told to stop, so many epoch seconds ago, and others are starting now."""
        self.away.append((began, time.time() + STARTING))

    def find_unfinished(self) -> list[str]:
        """What is not at its end, as far as the indexes tell. What nobody knows the outcome of is not among it.

        :raises redis.RedisError: it is away
        """
        mirroring = set(self._list(f"state:{State.MIRRORING}"))
        uncertain = self._find_uncertain_orders(mirroring) if self._unified else set()
        unfinished = self._list(f"state:{State.WAITING}") + sorted(mirroring - {item.task_id for item in uncertain})
        for lane in Lane:
            due = [text for text in self._list(f"due:{lane}") if not text.startswith(Step.SUBMIT)]
            unfinished += [text for text in self._list(f"sent:{lane}") + due if Item.parse(text) not in uncertain]
        return unfinished

    def rescued(self) -> int:
        """Lost messages that sweeps have put on the queue again."""
        return int(cast(str | None, self._redis.hget(f"{PREFIX}stats", "rescued")) or 0)

    # --- inside --------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            began = time.time()
            try:
                self._redis.ping()
                self._look_at_held()
                self._look_at_emptied()
            except redis.RedisError:
                self._await_redis(began)
            except Exception as error:
                self._fault = error
                return

    def _await_redis(self, since: float) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                self._redis.ping()
            except redis.RedisError:
                continue
            break
        self.away.append((since, time.time()))

    def _look_at_held(self) -> None:
        with self._lock:
            watched = list(self._held)
        if not watched:
            return
        works = dict(self._read_works(held.item for held in watched))
        now = time.time()
        over = [held for held in watched if self._is_over(held, works.get(held.item), now)]
        with self._lock:
            self._held = [held for held in self._held if held not in over]

    def _is_over(self, held: Held, work: Mapping[str, Any] | None, now: float) -> bool:
        """Whether there is no more to learn of a claim. Notes how long its work lay about, if it was dropped."""
        if work is None:
            return True
        leased = work.get("leased", False)
        if work["fence"] == held.fence:
            return not leased or work["at"] > held.lapses_at  # its holder lives: has ended it, or renewed it
        first_hand = leased and work["fence"] == held.fence + 1
        taken_at = work["at"] - self._lease if first_hand else now
        if taken_at >= held.lapses_at - SLACK:
            self._dropped.append(Wait(held.item, held.killed_at, min(taken_at, now)))
        return True

    def _look_at_emptied(self) -> None:
        with self._lock:
            pending = [emptied for emptied in self._emptied if emptied.waiting]
        for emptied in pending:
            items = list(emptied.waiting)
            pipeline = self._redis.pipeline(transaction=False)
            for item in items:
                pipeline.zscore(f"{PREFIX}sent:{LANES[item.step]}", str(item))
            now = time.time()
            for item, queued in zip(items, pipeline.execute(), strict=True):
                if queued is None:
                    emptied.waiting.discard(item)
                    self._lost.append(Wait(item, emptied.at, now))

    def _soon_due(self, now: float) -> list[Item]:
        """What is leased is in the index by time, at the end of its lease."""
        found: list[Item] = []
        for lane in Lane:
            texts = self._redis.zrange(f"{PREFIX}due:{lane}", now, now + self._lease, byscore=True)  # type: ignore[arg-type]
            found += [Item.parse(text) for text in cast(list[str], texts)]
        return found

    def _read_works(self, items: Iterable[Item]) -> list[tuple[Item, Mapping[str, Any]]]:
        wanted = list(items)
        if not wanted:
            return []
        keys = [f"{PREFIX}{'sub' if is_submission_id(item.task_id) else 'gen'}:{item.task_id}" for item in wanted]
        texts = cast(Sequence[str | None], self._redis.mget(keys))
        return [
            (item, work)
            for item, text in zip(wanted, texts, strict=True)
            if text and (work := _find_work(item, json.loads(unpack(text))))
        ]

    def _find_uncertain_orders(self, task_ids: Iterable[str]) -> set[Item]:
        """Orders that were sent, of generations that have no other work left. Their callback alone can tell what came of them."""
        found: set[Item] = set()
        for task_id in task_ids:
            text = cast(str | None, self._redis.get(f"{PREFIX}gen:{task_id}"))
            left = [
                one for one in json.loads(unpack(text or "{}")).get("renditions", ()) if one.get("state") not in ENDED
            ]
            orders = [one for one in left if one.get("order", {}).get("asks") and not one["order"].get("alias")]
            if orders == left and not any(one.get("url") or one["work"].get("leased") for one in left):
                found |= {Item(Step.UPGRADE, task_id, Kind(one["kind"]), one.get("index", 0)) for one in left}
        return found

    def _list(self, name: str) -> list[str]:
        return cast(list[str], self._redis.zrange(f"{PREFIX}{name}", 0, -1))


def count_seconds(wait: Wait, away: Iterable[tuple[float, float]]) -> float:
    """The seconds of a wait that are in none of these times, which may overlap."""
    waited, at = 0.0, wait.since
    for begin, end in [*sorted(away), (wait.until, wait.until)]:
        waited += max(0.0, min(begin, wait.until) - at)
        at = max(at, end)
    return waited


def _find_work(item: Item, record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An item's work in a record's JSON, which leaves out what has its default."""
    work: Mapping[str, Any] | None
    if item.step is Step.SUBMIT:
        work = record.get("work")
    elif item.kind is None:
        work = record.get(str(item.step))
    else:
        named = (rendition for rendition in record.get("renditions", ()) if rendition["kind"] == item.kind)
        work = next((one.get("work") for one in named if one.get("index", 0) == item.index), None)
    return work if work is None else {"fence": 0, "at": None, **work}
