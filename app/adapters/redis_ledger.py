"""The ledger in Redis (5 or newer, one server, no cluster: the scripts make up key names).

A generation is one JSON text, packed while nothing is to be done about it. A transition runs in Python on a copy and is written
by a script that first compares the text with the one that was read, so that each transition is atomic and the rules stay in the
domain. The same script keeps the indexes: what is due, what is enqueued, generations by state, and so on; it counts what has
happened and puts it on the timeline. If the broker is on the same server, the script also writes Celery's message.

    gen:<id>       the generation         due:<lane>    items by the time somebody has to look
    sub:<id>       the submission         sent:<lane>   items by the time they were enqueued
    inbox:<id>     callbacks to settle    urgent:<lane> the same by the time by which they should be done
    history:<id>   callbacks settled      places        the same of what is to be mirrored, enqueued or not
    timeline:<id>  what has happened      due:events    generations whose events wait for the user's receiver
                                          state:<s>, …  lists of generations: see `app.domain.standing`
    token:<t>, alias:<id>  → upgrade, …
    budget:<day>   credits reserved       slots:<name>  requests in the present window
    paused:<name>  nobody has a slot      line:<name>   items that wait for one, in the order of coming
                                          turns:<name>  the same by the times of their turns
    stats, health  counters and findings  turn:<name>   held by whoever does a periodic job now
     hour:<n>       counters of one hour   tally:<name>   how often something has happened lately
     faults         steps that keep failing revoked:<name> sessions that were ended
                                          archived:<n>  names of generations that have left for the bucket
"""

import hashlib
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import resources
from typing import Any, Protocol, Self, TypeVar, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.adapters.celery_message import ID, ITEM, message_template
from app.adapters.group_commit import GroupCommit
from app.adapters.packing import pack, unpack
from app.domain.archive import ReadManifest, bring_back, items_of, names_of, tokens_of
from app.domain.errors import ArchiveUnavailable, LedgerUnavailable, StoreUnavailable
from app.domain.events import post
from app.domain.figures import Figures, Waiting
from app.domain.finding import ALL, Filter
from app.domain.generation import Generation
from app.domain.health import Health
from app.domain.ledger import CURSOR, Draft, Entry, Limit, Page, Pending, Recorded, Slot, Tick
from app.domain.manifest_reading import UnreadableManifest, restore_submission
from app.domain.news import FORMS, News, read_line, write_line
from app.domain.overview import HOUR, HOURS_OF_DAY, AtRisk, Hour, Overview
from app.domain.redis_state import FULL, RedisState, read_info
from app.domain.standing import LISTS_VERSION, PASSING, Standing, tell_changes
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.tallies import tally
from app.domain.work import LANES, OUTGOING, Item, Kind, Lane, Step, is_submission_id

T = TypeVar("T")

PREFIX = "reelkeep:"
#: callbacks of one generation that may wait to be settled; more are reasons to look again, but are not kept
MOST_PENDING = 64
#: settled callbacks that are kept for each generation
HISTORY = 20
#: lines of a timeline that are kept, the newest
TIMELINE = 100
#: records that are looked at in one call for what no list tells, and how many at a time
LOOKED_AT, CHUNK = 1000, 200
#: and how many until others get a turn: where one process serves many (app/web/gunicorn_conf.py), nobody else runs meanwhile
TURN = 10
#: a settled callback longer than this is not kept (its news is): bytes
LONGEST_KEPT = 16_384
#: seconds after which an enqueued item whose message is gone counts as lost; a worker claims within milliseconds
LOST_AFTER = 15.0
#: seconds for which news of a generation that nobody has asked for here gives way to other work
STRANGERS_WAIT = 3600.0
#: seconds after which a turn at a rate limit that nobody took is given away
LATE = 30.0
BATCH = 500
#: bytes by which what waits for a verdict grows until its renditions are stored; measured: 1,200 with one of them
GROWTH = 2048
SCRIPTS = (
    "record",
    "commit",
    "pick",
    "tick",
    "wake",
    "fault",
    "reserve",
    "slot",
    "confirm",
    "pause",
    "overview",
    "figures",
    "outgoing",
    "archive",
)
REDIS_SCHEMES = frozenset({"redis", "rediss"})
#: how often a transition is tried when others write to the same generation at the same time
MOST_CONFLICTS = 50
#: after a time-out, seconds in which calls fail at once: a silent Redis must not hold up every request of the web process
SILENCE = 0.5


class Outlet(Protocol):
    """Where messages go if the broker is not on the ledger's Redis server."""

    def publish(self, item: Item, message_id: str) -> None:
        """Put an item's message on its queue. :raises LedgerUnavailable: the broker did not take it"""
        ...

    def depth(self, lane: Lane) -> int:
        """How many messages wait in a lane's queue; 0 if the broker does not tell."""
        ...


class RedisLedger:
    """Implements `app.domain.ledger.Ledger`. Thread-safe; connects on first use."""

    def __init__(
        self,
        url: str,
        *,
        broker_url: str | None = None,
        outlet: Callable[[], Outlet] | None = None,
        timeout: float = 5.0,
        fail_fast: bool = False,
        leaves_room: bool = False,
        events: bool = False,
        read_manifest: ReadManifest | None = None,
        prefix: str = PREFIX,
    ) -> None:
        """Describe the connection; nothing is opened yet.

        :param broker_url: Celery's broker; None: the ledger's own database
        :param outlet: makes the way to a broker on another server; needed only then
        :param timeout: seconds for connecting and for each answer; a call takes up to two of these
        :param fail_fast: after a time-out, let calls fail at once for a moment: for a process whose requests must not all wait
        :param leaves_room: write nothing when Redis's memory is nearly full: for those who bring new work
        :param events: somebody is to be told what happens: put it into the outboxes
        :param read_manifest: how to read the records of generations that have left for the bucket; None: it is not known here
        """
        self._redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            # One more try, on a fresh connection: the pooled one may have died with a restarted Redis, or unseen behind a NAT.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError, redis.TimeoutError)),
        )
        self._prefix = prefix
        self._outlet = None if same_server(url, broker_url or url) else outlet
        self._made_outlet: Outlet | None = None
        databases = _database(url), _database(broker_url or url)
        scripts = _read_scripts(prefix, *databases, here=self._outlet is None, leaves_room=leaves_room)
        made = [self._redis.register_script(text) for text in scripts]
        self._record, self._commit, self._pick, self._tick, self._wake, self._fault, *rest = made
        self._reserve, self._slot, self._confirm, self._pause, self._overview, self._figures, *rest = rest
        self._outgoing, self._archive = rest
        self._recording = GroupCommit(self._record_all)
        self._events = events
        self._read_manifest = read_manifest
        self._silence = SILENCE if fail_fast else 0.0
        self._silent_until = 0.0

    def record(self, task_id: str | None, token: str | None, entry: Entry) -> Recorded:
        """See `Ledger.record`."""
        return self._recording.write((task_id or "", token or "", entry.model_dump_json()))

    def change(self, record_id: str, transition: Callable[[Draft], T], focus: Item | None = None) -> T:
        """See `Ledger.change`."""
        for _ in range(MOST_CONFLICTS):
            raw, draft = self._load(record_id)
            before, was = _Before.of(raw, draft), draft.is_archived and _dump(draft)
            result = transition(draft)
            if was and focus is None and was == _dump(draft):
                return result  # it stays where it is
            if self._write(_commit_args(record_id, before, draft, focus, events=self._events)):
                return result
        raise LedgerUnavailable(f"the record of {record_id} is being written to by too many at once")

    def pick(self, item: Item) -> str:
        """See `Ledger.pick`."""
        return str(self._call(lambda: self._pick(args=[str(item), LOST_AFTER])))

    def pick_next(self, done: Item) -> str:
        """See `Ledger.pick_next`."""
        if self._outlet is not None:
            return ""
        return str(self._call(lambda: self._pick(args=[str(done), LOST_AFTER, 1])))

    def read(self, record_id: str) -> Draft:
        """See `Ledger.read`."""
        return self._load(record_id)[1]

    def history(self, task_id: str) -> list[Entry]:
        """See `Ledger.history`."""
        texts = self._call(lambda: self._redis.lrange(self._key("history", task_id), 0, -1))
        return [Entry.model_validate_json(unpack(text)) for text in cast(list[str], texts)]

    def timeline(self, record_id: str) -> list[News]:
        """See `Ledger.timeline`."""
        lines = self._call(lambda: self._redis.lrange(self._key("timeline", record_id), 0, -1))
        return [news for line in cast(list[str], lines) if (news := read_line(line))]

    def page(self, state: State | None, limit: int, cursor: str | None, wanted: Filter = ALL) -> Page:
        """See `Ledger.page`."""
        index = self._shortest(wanted.lists(state))
        found: list[Generation | Submission] = []
        # A list that tells all that is asked for is read no further than the page goes.
        size = CHUNK if wanted.text or len(wanted.lists(state)) > 1 else limit + 1
        for _ in range(max(1, LOOKED_AT // size)):
            ids = self._call(partial(self._ids_after, index, size, cursor, wanted.until))
            for place, (record_id, text) in enumerate(self._read_texts(ids), 1):
                if place % TURN == 0:
                    time.sleep(0)
                record = _read_leniently(record_id, text) if text else None
                at = ids[place - 1][1]
                if wanted.since is not None and at < wanted.since:
                    return Page(found, None)
                if record is not None and wanted.fits(record, state):
                    found.append(record)
                cursor = f"{at!r}~{record_id}"
                if len(found) == limit:
                    return Page(found, cursor if place < len(ids) or len(ids) == size else None)
            if len(ids) < size:
                return Page(found, None)
        return Page(found, cursor)

    def overview(self, most: int = 10) -> Overview:
        """See `Ledger.overview`."""
        names = ["total", *Step]
        args: list[str | int] = [most, HOURS_OF_DAY, " ".join(State), " ".join(Lane), " ".join(names)]
        seconds, counts, risks, texts, totals, hours, health, faults, *firsts, untold = self._call(
            lambda: self._overview(args=args)
        )
        now = float(seconds)
        at_risk = [
            AtRisk(record, float(until))
            for (record_id, until), text in zip(_pairs(risks), texts, strict=True)
            if text and (record := _read_leniently(record_id, text))
        ]
        begin = (now // HOUR - HOURS_OF_DAY + 1) * HOUR
        return Overview(
            now=now,
            counts=dict(zip(State, counts, strict=False)),
            uncertain=counts[-2],
            at_risk=counts[-1],
            risks=at_risk,
            spent_today={name: float(total) for name, total in zip(names, totals, strict=True) if total is not None},
            hours=[Hour(begin + HOUR * place, _read_tallies(dict(_pairs(row)))) for place, row in enumerate(hours)],
            health=_read_health(
                now,
                dict(_pairs(health)),
                dict(_pairs(faults)),
                *([float(first) if first else None for first in row] for row in firsts),
                untold=(untold[0], float(untold[1] or 0)),
            ),
        )

    def figures(self) -> Figures:
        """See `Ledger.figures`."""
        names = list(Step)
        args = [" ".join(State), " ".join(Lane), " ".join(names)]
        seconds, counts, totals, tallies, facts, failing, faults, rows, info, (untold, since) = self._call(
            lambda: self._figures(args=args)
        )
        now = float(seconds)
        firsts = [[float(row[place]) if row[place] else None for row in rows] for place in (4, 1)]
        waiting = {
            lane: Waiting(enqueued, _age(now, sent), scheduled, due, _age(now, first_due))
            for lane, (enqueued, _, scheduled, due, _), first_due, sent in zip(Lane, rows, *firsts, strict=True)
        }
        quick = waiting[Lane.QUICK]
        return Figures(
            counts=dict(zip(State, counts, strict=False)),
            uncertain=counts[-2],
            at_risk=counts[-1],
            spent_today={name: float(total) for name, total in zip(names, totals, strict=True)},
            tallies=_read_tallies(dict(_pairs(tallies))),
            waiting=waiting,
            failing=failing,
            health=_read_health(
                now, dict(_pairs(facts)), dict(_pairs(faults)), *firsts, untold=(untold, float(since or 0))
            ),
            server=read_info(_read_fields(info), spoken_for=GROWTH * (quick.enqueued + quick.scheduled))
            if info
            else None,
        )

    def refresh_lists(self, most: int = 500) -> int:
        """See `Ledger.refresh_lists`."""
        notes = f"{self._prefix}health"
        version, cursor = cast(
            list[str | None], self._call(lambda: self._redis.hmget(notes, ["lists_version", "lists_cursor"]))
        )
        if version == str(LISTS_VERSION):
            return 0
        ids = self._call(lambda: self._ids_after(f"{self._prefix}tracked", most, cursor or None))
        for record_id, _ in ids:
            self._refresh(record_id)
        done = len(ids) < most
        cursor = "" if done else f"{ids[-1][1]!r}~{ids[-1][0]}"
        noted = {"lists_version": str(LISTS_VERSION) if done else "", "lists_cursor": cursor}
        self._call(lambda: self._redis.hset(notes, mapping=cast(dict[Any, Any], noted)))
        return len(ids)

    def walk(self, state: State, until: float, most: int) -> tuple[list[Generation], bool]:
        """See `Ledger.walk`."""
        notes, place = f"{self._prefix}health", f"walk:{state}"
        cursor = cast(str | None, self._call(lambda: self._redis.hget(notes, place)))
        page = self.page(state, most, cursor or None, Filter(until=until))
        self._call(lambda: self._redis.hset(notes, place, page.cursor or ""))
        return [record for record in page.generations if isinstance(record, Generation)], page.cursor is not None

    def archive(self, generation: Generation) -> bool:
        """See `Ledger.archive`."""
        task_id = generation.task_id
        raw, draft = self._load(task_id)
        if not raw or draft.generation != generation or draft.pending:
            return False
        ids, raws, tokens = [task_id], [raw], list(tokens_of(generation))
        if generation.submission:
            sub_raw, of = self._load(generation.submission)
            if of.pending or (of.submission and (not of.submission.linked or of.submission.agenda(pending=False))):
                return False
            ids, raws = [*ids, generation.submission], [*raws, sub_raw]
            tokens += [of.submission.token] if of.submission else []
        names = names_of(generation)
        keys = [f"alias:{name}" for name in names] + [f"token:{token}" for token in tokens if token]
        args = [
            *_counted(list(zip(ids, raws, strict=True))),
            *_counted(list(names.items())),
            *_counted([(name,) for name in Standing.of(generation).lists]),
            *_counted([(str(item),) for item in items_of(generation)]),
            *_counted([(key,) for key in keys]),
        ]
        return bool(self._call(lambda: self._archive(args=args)))

    def list_archived(self) -> Iterator[str]:
        """See `Ledger.list_archived`."""
        place, seen = 0, set[str]()  # SCAN gives some keys twice
        while True:
            place, found = self._call(partial(self._redis.scan, place, f"{self._prefix}archived:*", 1000))
            pipeline = self._redis.pipeline(transaction=False)
            for key in set(found) - seen:
                pipeline.hgetall(key)
            seen |= set(found)
            for names in self._call(pipeline.execute):
                yield from (name for name, leads_to in names.items() if not leads_to)
            if not place:
                return

    def count(self) -> dict[State, int]:
        """How many generations are in each state."""
        pipeline = self._redis.pipeline(transaction=False)
        for state in State:
            pipeline.zcard(self._key("state", state))
        return dict(zip(State, cast(list[int], self._call(pipeline.execute)), strict=True))

    def tick(self) -> Tick:
        """See `Ledger.tick`."""
        due = rescued = 0
        for lane in Lane:
            depth: int | str = "" if self._outlet is None else self._open_outlet().depth(lane)
            while True:
                args = [lane, BATCH, LOST_AFTER, depth]
                ready, lost, *sent = self._call(lambda args=args: self._tick(args=args))  # type: ignore[misc]
                self._publish(sent)
                due, rescued = due + int(ready), rescued + int(lost)
                if depth != "":  # asked for once; since then it has grown by what was sent
                    depth = int(depth) + len(sent)
                if int(ready) < BATCH and int(lost) < BATCH:
                    break
        self._call(lambda: self._redis.hincrby(f"{self._prefix}stats", "sweeps", 1))
        return Tick(due, rescued)

    def stats(self) -> dict[str, float]:
        """See `Ledger.stats`."""
        return _read_tallies(cast(dict[str, str], self._call(lambda: self._redis.hgetall(f"{self._prefix}stats"))))

    def add_tallies(self, tallies: Mapping[str, int]) -> None:
        """See `Ledger.add_tallies`."""
        pipeline = self._redis.pipeline(transaction=True)
        for name, amount in tallies.items():
            pipeline.hincrby(f"{self._prefix}stats", name, amount)
        self._call(pipeline.execute)

    def take_turn(self, name: str, every: float) -> bool:
        """See `Ledger.take_turn`."""
        # Shorter than the period, so that one caller that comes regularly is never refused.
        held = max(1, int(every * 800))
        return bool(self._call(lambda: self._redis.set(f"{self._prefix}turn:{name}", 1, nx=True, px=held)))

    def tally(self, name: str, window: float) -> tuple[int, float]:
        """See `Ledger.tally`."""
        key = self._key("tally", name)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(key, 0, nx=True, px=int(window * 1000))
        pipeline.incr(key)
        pipeline.pttl(key)
        _, count, left = self._call(pipeline.execute)
        return count, left / 1000

    def revoke(self, name: str, seconds: float) -> None:
        """See `Ledger.revoke`."""
        self._call(lambda: self._redis.set(self._key("revoked", name), 1, px=int(seconds * 1000)))

    def is_revoked(self, name: str) -> bool:
        """See `Ledger.is_revoked`."""
        return bool(self._call(lambda: self._redis.exists(self._key("revoked", name))))

    def note_fault(self, item: str, reason: str) -> None:
        """See `Ledger.note_fault`."""
        self._call(lambda: self._fault(args=[item, reason]))

    def wake(self) -> float:
        """See `Ledger.wake`."""
        soonest, *sent = self._call(lambda: self._wake(args=[BATCH]))
        self._publish(sent)
        return float(soonest) if soonest else math.inf

    def next_event(self) -> tuple[str, float]:
        """See `Ledger.next_event`."""
        item, pause = self._call(lambda: self._outgoing(args=[LOST_AFTER]))
        return item, float(pause) if pause else (0.0 if item else math.inf)

    def reserve(self, name: str, credits: float, limits: Mapping[str, float]) -> float | None:
        """See `Ledger.reserve`."""
        budgets = [limits.get("total", ""), limits.get(name.partition("/")[0], "")]
        granted, until = self._call(lambda: self._reserve(args=[name, credits, *budgets]))
        return None if granted == "1" else float(until)

    def spent_today(self) -> dict[str, float]:
        """See `Ledger.spent_today`."""
        names = ["total", *Step]
        key = self._key("budget", str(int(self.now() // 86400)))
        totals = cast(list[str | None], self._call(lambda: self._redis.hmget(key, names)))
        return {name: float(total) for name, total in zip(names, totals, strict=True) if total is not None}

    def take_slot(self, limit: Limit, item: Item, *, waits: bool = True) -> Slot:
        """See `Ledger.take_slot`."""
        args: list[str | float] = [limit.name, limit.slots, limit.window, str(item), LATE, int(waits)]
        name, until = self._call(lambda: self._slot(args=args))
        return Slot(float(until) if until else None, name)

    def confirm_slot(self, limit: Limit, slot: Slot) -> None:
        """See `Ledger.confirm_slot`."""
        self._call(lambda: self._confirm(args=[limit.name, slot.name]))

    def pause(self, limit: Limit, seconds: float) -> None:
        """See `Ledger.pause`."""
        self._call(lambda: self._pause(args=[limit.name, seconds]))

    def now(self) -> float:
        """The ledger's clock, epoch seconds."""
        seconds, micros = cast(tuple[int, int], self._call(self._redis.time))
        return seconds + micros / 1e6

    def note_health(self, facts: dict[str, str]) -> None:
        """See `Ledger.note_health`."""
        now = repr(self.now())
        noted = {name: value or (now if name.endswith("_at") else "") for name, value in facts.items()}
        self._call(lambda: self._redis.hset(f"{self._prefix}health", mapping=cast(dict[Any, Any], noted)))

    def health(self) -> Health:
        """See `Ledger.health`."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(f"{self._prefix}health")
        pipeline.hgetall(f"{self._prefix}faults")
        for index in ("due", "sent"):
            for lane in Lane:
                pipeline.zrange(self._key(index, lane), 0, 0, withscores=True)
        pipeline.zrange(f"{self._prefix}untold", 0, 0, withscores=True)
        pipeline.zcard(f"{self._prefix}untold")
        (seconds, micros), facts, faults, *firsts, untold = self._call(pipeline.execute)
        *waiting, since = [first[0][1] if first else None for first in firsts]
        lanes = waiting[: len(Lane)], waiting[len(Lane) :]
        return _read_health(seconds + micros / 1e6, facts, faults, *lanes, untold=(untold, since or 0.0))

    def server_state(self) -> RedisState | None:
        """See `app.domain.redis_state.KeptInRedis.server_state`."""

        def ask() -> tuple[dict[str, Any], int] | None:
            try:
                waiting = sum(self._redis.zcard(self._key(index, Lane.QUICK)) for index in ("sent", "due"))
                return self._redis.info(), waiting
            except redis.ResponseError:  # an access list, or a proxy that knows no INFO
                return None

        answer = self._call(ask)
        return None if answer is None else read_info(answer[0], spoken_for=GROWTH * answer[1])

    def sync_policy(self) -> str | None:
        """How often the append-only file is synced (`appendfsync`); None: the server does not tell. :raises LedgerUnavailable:"""

        def ask() -> dict[str | None, str | None]:
            try:
                return self._redis.config_get("appendfsync")
            except redis.ResponseError:  # managed services often deny CONFIG
                return {}

        told: str | None = self._call(ask).get("appendfsync")
        return told

    # --- inside --------------------------------------------------------------------------------------------------------

    def _record_all(self, callbacks: Sequence[tuple[str, str, str]]) -> list[Recorded]:
        args: list[str | float] = [MOST_PENDING, STRANGERS_WAIT]
        for callback in callbacks:
            args += callback
        *outcomes, sent = self._call(lambda: self._record(args=args))
        self._publish(sent)
        return [Recorded(outcome) for outcome in outcomes]

    def _key(self, name: str, rest: str) -> str:
        return f"{self._prefix}{name}:{rest}"

    def _record_key(self, record_id: str) -> str:
        return self._key("sub" if is_submission_id(record_id) else "gen", record_id)

    def _load(self, record_id: str) -> tuple[str, Draft]:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.time()
        pipeline.get(self._record_key(record_id))
        pipeline.lrange(self._key("inbox", record_id), 0, -1)
        (seconds, micros), raw, inbox = self._call(pipeline.execute)
        draft = Draft(seconds + micros / 1e6, None, [_read_pending(text) for text in inbox], record_id=record_id)
        if raw and is_submission_id(record_id):
            draft.submission = Submission.model_validate_json(unpack(raw))
        elif raw:
            draft.generation = Generation.model_validate_json(unpack(raw))
        else:
            self._look_in_archive(draft)
        return raw or "", draft

    def _look_in_archive(self, draft: Draft) -> None:
        """Have what is not in Redis from the bucket, if it has left for there."""
        name = draft.record_id
        shelf = self._key("archived", hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:4])
        leads_to = cast(str | None, self._call(lambda: self._redis.hget(shelf, name)))
        if leads_to is None:
            return
        if is_submission_id(name):
            # Whether its generation has been brought back meanwhile or not.
            generation = self._load(leads_to)[1].generation
            draft.submission = restore_submission(generation) if generation else None
            if draft.submission is None:
                raise ArchiveUnavailable(f"submission {name} has brought about {leads_to}, which is not known any more")
        elif not leads_to:
            draft.generation = self._fetch(name, draft.now)
        draft.is_archived = draft.record is not None

    def _fetch(self, task_id: str, now: float) -> Generation:
        if self._read_manifest is None:
            raise ArchiveUnavailable(
                f"generation {task_id} is in the bucket alone, and the way there is not known here"
            )
        try:
            return bring_back(task_id, self._read_manifest(task_id), now)
        except (StoreUnavailable, UnreadableManifest) as error:
            raise ArchiveUnavailable(
                f"generation {task_id} is in the bucket alone, and cannot be read: {error}"
            ) from None

    def _write(self, args: list[str | int]) -> bool:
        """Commit; False: somebody else has written in between."""
        outcome, *sent = self._call(lambda: self._commit(args=args))
        if outcome == "written":
            self._publish(sent)
        return bool(outcome == "written")

    def _refresh(self, record_id: str) -> None:
        """Write a record as it is, put it on its lists as if it were on none, and take it off those that it should have left."""
        for _ in range(MOST_CONFLICTS):
            try:
                raw, draft = self._load(record_id)
            except ValueError:
                return  # as in lists
            before = _Before.of(raw, draft)
            standing = replace(before.standing, lists=dict.fromkeys(PASSING, math.nan))
            if self._write(_commit_args(record_id, replace(before, standing=standing), draft, None)):
                return

    def _shortest(self, lists: list[str]) -> str:
        if len(lists) == 1:
            return f"{self._prefix}{lists[0]}"
        pipeline = self._redis.pipeline(transaction=False)
        for name in lists:
            pipeline.zcard(f"{self._prefix}{name}")
        sizes = cast(list[int], self._call(pipeline.execute))
        return f"{self._prefix}{min(zip(sizes, lists, strict=True))[1]}"

    def _read_texts(self, ids: Sequence[tuple[str, float]]) -> list[tuple[str, str | None]]:
        keys = [self._record_key(record_id) for record_id, _ in ids]
        texts = cast(list[str | None], self._call(lambda: self._redis.mget(keys))) if keys else []
        return [(record_id, text) for (record_id, _), text in zip(ids, texts, strict=True)]

    def _ids_after(
        self, index: str, count: int, cursor: str | None, until: float | None = None
    ) -> list[tuple[str, float]]:
        first = 0 if until is None else self._redis.zcount(index, until, "+inf")
        if cursor is not None:
            score, task_id = _read_cursor(cursor)
            rank = cast(int | None, self._redis.zrevrank(index, task_id))
            # A generation that has left this index since is stood in for by its time.
            beyond = rank + 1 if rank is not None else self._redis.zcount(index, score, "+inf")
            first = max(first, beyond)
        return cast(
            list[tuple[str, float]], self._redis.zrange(index, first, first + count - 1, desc=True, withscores=True)
        )

    def _call(self, command: Callable[[], Any]) -> Any:
        if time.monotonic() < self._silent_until:
            raise LedgerUnavailable("Redis did not answer a moment ago")
        try:
            return command()
        except redis.TimeoutError as error:
            self._silent_until = time.monotonic() + self._silence
            raise LedgerUnavailable("Redis does not answer") from error
        except redis.RedisError as error:
            raise LedgerUnavailable(f"Redis: {str(error).rstrip('.')}") from error

    def _open_outlet(self) -> Outlet:
        assert self._outlet is not None
        if self._made_outlet is None:
            self._made_outlet = self._outlet()
        return self._made_outlet

    def _publish(self, sent: Iterable[str]) -> None:
        """Put on a queue elsewhere what the script could not. What fails is found again by `tick`."""
        if self._outlet is None:
            return
        for text in sent:
            item, _, message_id = text.partition(" ")
            try:
                self._open_outlet().publish(Item.parse(item), message_id)
            except LedgerUnavailable:
                return


def same_server(url: str, other: str) -> bool:
    """Whether two URLs name the same Redis server, whatever the database."""
    one, two = urlsplit(url), urlsplit(other)
    if one.scheme not in REDIS_SCHEMES or one.scheme != two.scheme:
        return False
    return (one.hostname, one.port or 6379) == (two.hostname, two.port or 6379)


def _database(url: str) -> int:
    if urlsplit(url).scheme not in REDIS_SCHEMES:
        return 0
    options = redis.connection.parse_url(url)  # type: ignore[no-untyped-call]  # of redis-py
    return int(options.get("db", 0))


def _read_cursor(cursor: str) -> tuple[float, str]:
    if re.fullmatch(CURSOR, cursor) is None:
        raise ValueError("cursor: take it from the page before, as it is")
    score, _, record_id = cursor.partition("~")
    return float(score), record_id


def _read_leniently(record_id: str, text: str) -> Generation | Submission | None:
    """For lists: one text that cannot be read must not hide the others. Its step's fault shows it in the health check."""
    model = Submission if is_submission_id(record_id) else Generation
    try:
        return model.model_validate_json(unpack(text))
    except ValueError:
        logging.getLogger("reelkeep").error("record.unreadable %s", record_id)
        return None


def _read_pending(text: str) -> Pending:
    upgrade, _, entry = text.partition(" ")
    kind, _, rest = upgrade.partition("/")
    index, _, order = rest.partition("#")
    return Pending(Entry.model_validate_json(entry), Kind(kind) if kind else None, int(index or 0), int(order or 0))


@dataclass(frozen=True)
class _Before:
    """What the script compares with, and what the transition may take off the agenda."""

    raw: str
    seen: int
    standing: Standing
    agenda: frozenset[Item]
    bills: dict[str, float]

    @classmethod
    def of(cls, raw: str, draft: Draft) -> Self:
        record, seen = draft.record, len(draft.pending)
        if record is None or not raw:
            return cls(raw, seen, Standing(), frozenset(), {})
        return cls(raw, seen, Standing.of(record), frozenset(record.agenda(pending=seen > 0)), record.bills())


def _commit_args(
    record_id: str, before: _Before, draft: Draft, focus: Item | None, *, events: bool = False
) -> list[str | int]:
    after = draft.record
    news = tell_changes(before.standing, after, draft.now)
    if events and after is not None:
        post(after, news, draft.now)
    new = after.agenda(pending=before.seen > draft.settled) if after else {}
    gone = (before.agenda | ({focus} if focus else set())) - new.keys()
    places = after.places(draft.now) if isinstance(after, Generation) else {}
    items = [(str(item), repr(at), repr(places[item]) if item in places else "") for item, at in new.items()]
    items += [(str(item), "", "") for item in gone]
    kept = [pack(entry.model_dump_json()) for entry in draft.history if len(entry.raw) <= LONGEST_KEPT]
    names = [(f"alias:{alias}", name) for alias, name in draft.aliases.items()]
    names += [(f"token:{token}", name) for token, name in draft.tokens.items()]
    # What costs nothing is settled each time: somebody may have reserved for it, not knowing that it had come to its end.
    known = after.bills() if after else {}
    bills = [
        (name, repr(credits)) for name, credits in known.items() if not credits or before.bills.get(name) != credits
    ]
    text = after.model_dump_json(exclude_defaults=True) if after else ""
    # It is at rest, as most are; that the user's receiver is away is no reason to take more room.
    if text and all(item.step is Step.NOTIFY for item in new):
        text = pack(text)
    old, new_lists = before.standing.lists, Standing.of(after).lists
    lists = [(name, repr(score)) for name, score in new_lists.items() if old.get(name) != score]
    lists += [(name, "") for name in old.keys() - new_lists.keys()]
    if text == before.raw:
        news = []  # by its record, a commit that is sent twice is known: what changes nothing there is no news either
    lines = [(*write_line(one), str(int(FORMS[one.name].folds))) for one in news if FORMS[one.name].code]
    return [
        record_id,
        before.raw,
        text,
        before.seen,
        draft.settled,
        int(draft.is_archived),
        *_counted(lists),
        *_counted(items),
        len(kept),
        *kept,
        *_counted(names),
        *_counted(bills),
        *_counted(lines),
        *_counted([(name, f"{amount:.12g}") for name, amount in tally(news).items()]),
        str(focus) if focus and not _is_claimed(after, focus) else "",
    ]


def _dump(draft: Draft) -> str:
    record = draft.record
    return f"{draft.settled} {record.model_dump_json() if record else ''}"


def _is_claimed(record: Generation | Submission | None, item: Item) -> bool:
    work = record.find_work(item) if record else None
    return work is not None and work.leased


def _pairs(flat: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _read_tallies(counted: Mapping[str, str]) -> dict[str, float]:
    """Whole numbers stay such."""
    return {name: float(value) if "." in value else int(value) for name, value in counted.items()}


def _read_health(
    now: float,
    facts: Mapping[str, str],
    faults: dict[str, str],
    due: Sequence[float | None],
    sent: Sequence[float | None],
    *,
    untold: tuple[int, float],
) -> Health:
    """Put it together.

    :param due: by lane, since when something has been due; `sent`: since when something has waited for a worker
    :param untold: generations whose events wait, and since when one does
    """
    ages = [[_age(now, at) for at in row] for row in (due, sent)]
    # A long backlog that is being worked off is nothing that nobody begins to work on.
    since_pick = [max(0.0, now - float(facts.get(f"picked:{lane}", 0.0))) for lane in Lane]
    return Health(
        now=now,
        sweep_at=float(facts["sweep_at"]) if "sweep_at" in facts else None,
        bucket_at=float(facts["bucket_at"]) if "bucket_at" in facts else None,
        bucket_error=facts.get("bucket_error", ""),
        overdue=max(ages[0]),
        unclaimed=max(map(min, ages[1], since_pick)),
        faults=faults,
        credits=float(facts["credits"]) if facts.get("credits") else None,
        credits_at=float(facts["credits_at"]) if "credits_at" in facts else None,
        credits_error=facts.get("credits_error", ""),
        untold=untold[0],
        untold_for=_age(now, untold[1]),
        archived_at=float(facts["archived_at"]) if "archived_at" in facts else None,
        archive_error=facts.get("archive_error", ""),
        archive_error_at=float(facts["archive_error_at"]) if "archive_error_at" in facts else None,
    )


def _age(now: float, at: float | None) -> float:
    return max(0.0, now - at) if at else 0.0


def _read_fields(info: str) -> dict[str, str | int]:
    """The lines of INFO, whole numbers as such."""
    fields = (line.split(":", 1) for line in info.splitlines() if ":" in line)
    return {name: int(value) if re.fullmatch(r"-?\d+", value) else value for name, value in fields}


def _counted(rows: Sequence[tuple[str, ...]]) -> list[str | int]:
    return [len(rows), *(text for row in rows for text in row)]


def _message_function(step: Step) -> str:
    """The message that has a worker do a step, as a function in Lua: looking for the placeholders each time would cost more."""
    text = message_template(step).replace(ITEM, "]==] .. item .. [==[").replace(ID, "]==] .. id .. [==[")
    return f"function(item, id) return [==[{text}]==] end"


@cache
def _read_scripts(prefix: str, own: int, broker: int, *, here: bool, leaves_room: bool) -> list[str]:
    folder = resources.files("app.adapters") / "ledger_scripts"
    values = {
        "PREFIX": prefix,
        "LANES": ", ".join(f"{step} = '{lane}'" for step, lane in {**LANES, Step.NOTIFY: OUTGOING}.items()),
        "MESSAGES": ", ".join(f"{step} = {_message_function(step)}" for step in LANES),
        "QUEUES": ", ".join(f"{lane} = '{lane.queue}'" for lane in Lane),
        "BROKER_IS_HERE": "true" if here else "false",
        "SHARE": str(FULL),
        "GROWTH": str(GROWTH),
        "OUTGOING": OUTGOING,
        "OWN_DB": str(own),
        "BROKER_DB": str(broker),
        "HISTORY": str(HISTORY),
        "TIMELINE": str(TIMELINE),
    }

    def fill(name: str) -> str:
        # These change nothing, and are looked at above all when memory is short.
        leaves = leaves_room and name not in ("overview.lua", "figures.lua")
        text = (folder / "prelude.lua").read_text() + (folder / name).read_text()
        for placeholder, value in (values | {"LEAVES_ROOM": "true" if leaves else "false"}).items():
            text = text.replace(f"@{placeholder}@", value)
        return text

    return [fill(f"{name}.lua") for name in SCRIPTS]
