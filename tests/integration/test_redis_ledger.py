"""The ledger against a real redis-server: what is recorded, who may work, and what the sweep brings back."""

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from app.adapters.celery_outlet import CeleryOutlet
from app.adapters.redis_ledger import HISTORY, MOST_PENDING, RedisLedger, _Before, _commit_args, same_server
from app.domain.errors import LedgerUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Draft, Limit, Recorded, Slot, Tick
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Lane, Step, order_name
from app.embedded.redis_server import MAXMEMORY, redis_server
from app.embedded.service import free_port, running
from app.pipeline.track import track
from tests.integration.looks import entry, queued, together
from tests.support.waiting import wait_for

POLICY = Policy()
TASK = "0819326cc7fddfd620baf6e1f0db7e2b"
SETTLE = Item(Step.SETTLE, TASK)


def succeed(ledger: RedisLedger, task_id: str = TASK, urls: tuple[str, ...] = ("https://x.kie.ai/a.mp4",)) -> None:
    def transition(draft: Draft) -> None:
        draft.generation = draft.generation or Generation.track(task_id, draft.now, POLICY)
        draft.generation.hear(Verdict(Progress.SUCCEEDED, 200, urls=Urls(result=urls)), "poll", draft.now)

    ledger.change(task_id, transition)


def test_a_callback_is_recorded_indexed_and_enqueued_in_one_step(ledger: RedisLedger, client: redis.Redis) -> None:
    assert ledger.record(TASK, None, entry('{"a": 1}')) is Recorded.RECORDED
    assert [pending.entry.raw for pending in ledger.read(TASK).pending] == ['{"a": 1}']
    assert queued(client) == [str(SETTLE)]
    assert client.zrange("reelkeep:sent:quick", 0, -1) == [str(SETTLE)]


def test_a_repeat_is_recorded_without_a_second_message(ledger: RedisLedger, client: redis.Redis) -> None:
    for _ in range(3):
        ledger.record(TASK, None, entry())
    assert len(ledger.read(TASK).pending) == 3
    assert queued(client) == [str(SETTLE)]


def test_callbacks_that_nobody_settles_take_bounded_room(ledger: RedisLedger) -> None:
    for _ in range(MOST_PENDING + 5):
        assert ledger.record(TASK, None, entry()) is Recorded.RECORDED
    assert len(ledger.read(TASK).pending) == MOST_PENDING


def test_an_unknown_token_changes_nothing(ledger: RedisLedger, client: redis.Redis) -> None:
    assert ledger.record(TASK, "never-given", entry()) is Recorded.UNKNOWN_TOKEN
    assert client.keys("*") == []


def test_callbacks_that_come_at_once_are_recorded_together_and_each_is_answered_for_itself(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    calls = [(f"task-{number}", None) for number in range(12)] + [("stray", "never-given")] * 4
    client.config_resetstat()
    client.client_pause(500)  # ms: all of them come before the first is answered
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(lambda call: ledger.record(*call, entry(call[0])), calls))
    assert answers == [Recorded.RECORDED] * 12 + [Recorded.UNKNOWN_TOKEN] * 4
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] < len(calls)
    for task_id, _ in calls[:12]:
        assert [pending.entry.raw for pending in ledger.read(task_id).pending] == [task_id]
    assert sorted(queued(client)) == sorted(f"settle/{task_id}" for task_id, _ in calls[:12])
    assert ledger.stats()["callbacks"] == 12
    assert not ledger.read("stray").pending


def test_a_token_and_an_id_lead_to_the_order_they_were_given_for(ledger: RedisLedger) -> None:
    def transition(draft: Draft) -> None:
        draft.generation = Generation.track(TASK, draft.now, POLICY)
        draft.tokens["secret"] = order_name(TASK, Kind.UHD, 0, 1)
        draft.aliases["new-id"] = order_name(TASK, Kind.UHD, 2, 3)

    ledger.change(TASK, transition)
    ledger.record(None, "secret", entry())
    ledger.record("new-id", None, entry())
    named = [(pending.kind, pending.index, pending.order) for pending in ledger.read(TASK).pending]
    assert named == [(Kind.UHD, 0, 1), (Kind.UHD, 2, 3)]


def test_two_workers_never_both_win_a_claim(redis_url: str, ledger: RedisLedger) -> None:
    succeed(ledger)
    won: list[int | None] = []

    def claim(draft: Draft) -> int | None:
        assert draft.generation is not None
        return draft.generation.claim_mirror(draft.generation.renditions[0], draft.now, POLICY)

    def work() -> None:
        won.append(RedisLedger(redis_url).change(TASK, claim))

    together(work)
    assert len(won) == 8
    assert [fence for fence in won if fence is not None] == [1]


def test_a_transition_runs_again_when_another_wrote_in_between(redis_url: str, ledger: RedisLedger) -> None:
    track(TASK, [], {}, ledger, POLICY)
    other = RedisLedger(redis_url)
    runs = []

    def transition(draft: Draft) -> None:
        assert draft.generation is not None
        if not runs:
            track(TASK, [], {"by": "other"}, other, POLICY)
        runs.append(dict(draft.generation.labels))
        draft.generation.set_labels({"mine": "too"}, draft.now)

    ledger.change(TASK, transition)
    assert runs == [{}, {"by": "other"}]
    generation = ledger.read(TASK).generation
    assert generation is not None
    assert generation.labels == {"by": "other", "mine": "too"}


def test_a_callback_that_comes_during_a_transition_is_not_passed_over(redis_url: str, ledger: RedisLedger) -> None:
    track(TASK, [], {}, ledger, POLICY)
    seen = []

    def transition(draft: Draft) -> None:
        if not seen:
            RedisLedger(redis_url).record(TASK, None, entry())
        seen.append(len(draft.pending))
        draft.settled = len(draft.pending)

    ledger.change(TASK, transition)
    assert seen == [0, 1]
    assert ledger.read(TASK).pending == []


def test_a_finished_item_leaves_the_index(ledger: RedisLedger, client: redis.Redis) -> None:
    ledger.change(TASK, lambda draft: None, focus=SETTLE)
    ledger.record(TASK, None, entry())

    def settle(draft: Draft) -> None:
        draft.settled = len(draft.pending)

    ledger.change(TASK, settle, focus=SETTLE)
    assert client.zrange("reelkeep:sent:quick", 0, -1) == []
    assert client.zrange("reelkeep:due:quick", 0, -1) == []


def test_settled_callbacks_are_kept_up_to_a_number(ledger: RedisLedger) -> None:
    for number in range(HISTORY + 3):

        def transition(draft: Draft, number: int = number) -> None:
            draft.generation = draft.generation or Generation.track(TASK, draft.now, POLICY)
            draft.history.append(entry(str(number)))

        ledger.change(TASK, transition)
    kept = [one.raw for one in ledger.history(TASK)]
    assert kept == [str(number) for number in range(3, HISTORY + 3)]


def test_generations_are_listed_newest_first_page_by_page(ledger: RedisLedger) -> None:
    ids = [f"task-{number:02}" for number in range(25)]
    for task_id in ids:
        track(task_id, [], {}, ledger, POLICY)
    succeed(ledger, "task-07")
    listed: list[str] = []
    cursor: str | None = None
    while True:
        page = ledger.page(None, 10, cursor)
        listed += [generation.task_id for generation in page.generations]
        cursor = page.cursor
        if cursor is None:
            break
    assert listed == list(reversed(ids))
    assert [found.task_id for found in ledger.page(State.MIRRORING, 10, None).generations] == ["task-07"]
    assert ledger.count() == dict.fromkeys(State, 0) | {State.WAITING: 24, State.MIRRORING: 1}


def test_a_page_goes_on_where_it_was_though_its_last_entry_has_left_the_list(ledger: RedisLedger) -> None:
    for number in range(6):
        track(f"task-{number}", [], {}, ledger, POLICY)
    cursor = ledger.page(State.WAITING, 2, None).cursor
    succeed(ledger, "task-4")  # the last entry of the first page
    rest = [found.task_id for found in ledger.page(State.WAITING, 10, cursor).generations]
    assert rest == ["task-3", "task-2", "task-1", "task-0"]


@pytest.mark.parametrize("cursor", ["nonsense", "~", "1~2~3", "nan~task-1", "1e999~x", "ünï~ x"])
def test_a_cursor_that_is_none_of_ours_is_refused_by_name(ledger: RedisLedger, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        ledger.page(None, 10, cursor)


# --- the sweep's tick ------------------------------------------------------------------------------------------------


def test_what_is_due_is_enqueued_and_what_is_not_is_left(
    redis_url: str, ledger: RedisLedger, client: redis.Redis
) -> None:
    track("soon", [], {}, ledger, Policy(first_poll_after=500))
    track("later", [], {}, ledger, Policy(first_poll_after=500))
    client.zadd("reelkeep:due:quick", {"settle/soon": 1.0})
    assert ledger.tick() == Tick(due=1, rescued=0)
    assert queued(client) == ["settle/soon"]
    assert client.zrange("reelkeep:due:quick", 0, -1) == ["settle/later"]


def age_messages(client: redis.Redis) -> None:
    """Make all messages look as if they had been enqueued long ago."""
    for lane in Lane:
        for item, _ in client.zrange(f"reelkeep:sent:{lane}", 0, -1, withscores=True):  # type: ignore[union-attr]
            client.zincrby(f"reelkeep:sent:{lane}", -1000, item)


def test_an_emptied_queue_is_filled_again(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(1200):
        ledger.record(f"task-{number}", None, entry())
    client.delete(Lane.QUICK.queue)
    assert ledger.tick() == Tick(due=0, rescued=0), "they may just be on their way"
    age_messages(client)
    assert ledger.tick() == Tick(due=0, rescued=1200)
    assert sorted(queued(client)) == sorted(f"settle/task-{number}" for number in range(1200))


def test_a_long_backlog_is_not_enqueued_twice(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(100):
        ledger.record(f"task-{number:03}", None, entry())
    age_messages(client)
    assert ledger.tick() == Tick(due=0, rescued=0)
    client.rpop(Lane.QUICK.queue, 3)  # three were taken by workers that died at once: the oldest
    assert ledger.tick() == Tick(due=0, rescued=3)
    assert queued(client)[-3:] == ["settle/task-000", "settle/task-001", "settle/task-002"]
    assert len(queued(client)) == 100


def test_a_claim_that_lapsed_is_taken_up_again(ledger: RedisLedger, client: redis.Redis) -> None:
    succeed(ledger)

    def claim(draft: Draft) -> int | None:
        assert draft.generation is not None
        return draft.generation.claim_mirror(draft.generation.renditions[0], draft.now, Policy(lease=1.0))

    assert ledger.change(TASK, claim) == 1
    client.delete(Lane.MIRROR.queue)
    assert client.zrange("reelkeep:due:mirror", 0, -1) == [f"mirror/{TASK}/result/0"]
    client.zadd("reelkeep:due:mirror", {f"mirror/{TASK}/result/0": 1.0})
    assert ledger.tick().due == 1
    assert queued(client, Lane.MIRROR) == [f"mirror/{TASK}/result/0"]
    wait_for(lambda: ledger.change(TASK, claim) == 2)


def test_of_several_beats_one_may_sweep(redis_url: str) -> None:
    turns = [RedisLedger(redis_url).take_turn("sweep", 60.0) for _ in range(5)]
    assert turns == [True, False, False, False, False]


# --- the broker ------------------------------------------------------------------------------------------------------


def test_the_message_goes_to_the_brokers_database_and_nothing_else_does(redis_url: str) -> None:
    ledger = RedisLedger(redis_url, broker_url=redis_url[:-1] + "3")
    ledger.record(TASK, None, entry())
    own = redis.Redis.from_url(redis_url, decode_responses=True)
    broker = redis.Redis.from_url(redis_url[:-1] + "3", decode_responses=True)
    assert broker.keys("*") == [Lane.QUICK.queue]
    assert Lane.QUICK.queue not in own.keys("*")
    assert own.lrange(f"reelkeep:inbox:{TASK}", 0, -1)


def test_a_broker_elsewhere_gets_its_messages_from_celery(redis_url: str, tmp_path: Any) -> None:
    port = free_port()
    elsewhere = f"redis://127.0.0.1:{port}/0"
    ledger = RedisLedger(redis_url, broker_url=elsewhere, outlet=lambda: CeleryOutlet(elsewhere))
    with running(redis_server(tmp_path, port), tmp_path / "log"):
        broker = redis.Redis.from_url(elsewhere, decode_responses=True)
        assert ledger.record(TASK, None, entry()) is Recorded.RECORDED
        message = json.loads(broker.lindex(Lane.QUICK.queue, 0))  # type: ignore[arg-type]
        assert message["headers"]["task"] == "reelkeep.settle"
        broker.flushall()
        age_messages(redis.Redis.from_url(redis_url, decode_responses=True))
        assert ledger.tick() == Tick(due=0, rescued=1)
        assert broker.llen(Lane.QUICK.queue) == 1
        assert ledger.tick() == Tick(due=0, rescued=0)


def test_a_broker_elsewhere_that_is_down_loses_nothing(redis_url: str) -> None:
    elsewhere = f"redis://127.0.0.1:{free_port()}/0"
    ledger = RedisLedger(redis_url, broker_url=elsewhere, outlet=lambda: CeleryOutlet(elsewhere))
    assert ledger.record(TASK, None, entry()) is Recorded.RECORDED
    assert len(ledger.read(TASK).pending) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://h/0", "redis://h:6379/5", True),
        ("redis://h:1/0", "redis://h:2/0", False),
        ("redis://h/0", "amqp://h/", False),
        ("rediss://h/0", "redis://h/0", False),
    ],
)
def test_urls_of_one_server_are_known(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same


# --- trouble ---------------------------------------------------------------------------------------------------------


def every_call(ledger: RedisLedger) -> list[Callable[[], object]]:
    return [
        lambda: ledger.record(TASK, None, entry()),
        lambda: ledger.change(TASK, lambda draft: None),
        lambda: ledger.read(TASK),
        lambda: ledger.history(TASK),
        lambda: ledger.page(None, 10, None),
        ledger.tick,
        ledger.health,
        lambda: ledger.take_turn("sweep", 1.0),
        lambda: ledger.note_health({"sweep_at": ""}),
        ledger.count,
        ledger.wake,
        lambda: ledger.reserve(str(SETTLE), 1.0, {}),
        ledger.spent_today,
        lambda: ledger.take_slot(Limit("polls", 1, 1.0), SETTLE),
        lambda: ledger.confirm_slot(Limit("polls", 1, 1.0), Slot(None, "1")),
        lambda: ledger.pause(Limit("polls", 1, 1.0), 1.0),
        lambda: ledger.note_fault(str(SETTLE), "broken"),
        ledger.stats,
    ]


def test_every_call_says_so_when_redis_is_down() -> None:
    ledger = RedisLedger(f"redis://127.0.0.1:{free_port()}/0")
    for call in every_call(ledger):
        with pytest.raises(LedgerUnavailable):
            call()


def test_a_redis_that_refuses_to_write_is_unavailable(redis_url: str, ledger: RedisLedger, client: redis.Redis) -> None:
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerUnavailable, match="memory"):
            ledger.record(TASK, None, entry())
    finally:
        client.config_set("maxmemory", MAXMEMORY)


def test_the_ledger_goes_on_after_a_restart_of_redis(tmp_path: Any) -> None:
    port = free_port()
    ledger = RedisLedger(f"redis://127.0.0.1:{port}/0")
    with running(redis_server(tmp_path, port, appendfsync="always"), tmp_path / "log") as process:
        ledger.record(TASK, None, entry())
        process.kill()
        process.wait()
    with running(redis_server(tmp_path, port), tmp_path / "log"):
        assert len(ledger.read(TASK).pending) == 1, "the pooled connection is dead: a new one is made by itself"


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_step_that_keeps_failing_is_shown_and_tried_later_and_later(ledger: RedisLedger, client: redis.Redis) -> None:
    pauses = []
    for _ in range(4):
        ledger.record(TASK, None, entry())
        ledger.note_fault(str(SETTLE), "ValueError in settle")
        [(item, at)] = client.zrange("reelkeep:due:quick", 0, -1, withscores=True)  # type: ignore[misc]
        assert item == str(SETTLE)
        pauses.append(round(at - ledger.now()))
        client.zrem("reelkeep:due:quick", item)
    assert pauses == [2, 4, 8, 16]
    assert ledger.health().faults == {str(SETTLE): "4 times: ValueError in settle"}


def test_a_fault_is_forgotten_when_its_item_is_done(ledger: RedisLedger, client: redis.Redis) -> None:
    ledger.record(TASK, None, entry())
    ledger.note_fault(str(SETTLE), "ValueError in settle")

    def settle(draft: Draft) -> None:
        draft.settled = len(draft.pending)

    ledger.change(TASK, settle, focus=SETTLE)
    assert ledger.health().faults == {}
    assert not client.exists("reelkeep:fault_counts")


def test_a_text_that_cannot_be_read_hides_no_other_in_a_list(ledger: RedisLedger, client: redis.Redis) -> None:
    for name in ("good", "bad"):
        track(name, [], {}, ledger, POLICY)
    client.set("reelkeep:gen:bad", '{"task_id":')
    assert [found.task_id for found in ledger.page(None, 10, None).generations] == ["good"]


def test_fields_of_a_newer_version_are_kept(ledger: RedisLedger, client: redis.Redis) -> None:
    track(TASK, [], {}, ledger, POLICY)
    text = json.loads(client.get(f"reelkeep:gen:{TASK}"))  # type: ignore[arg-type]
    client.set(f"reelkeep:gen:{TASK}", json.dumps({**text, "from_the_future": [1, 2]}))
    track(TASK, [], {"a": "b"}, ledger, POLICY)
    written = json.loads(client.get(f"reelkeep:gen:{TASK}"))  # type: ignore[arg-type]
    assert written["from_the_future"] == [1, 2]
    assert written["labels"] == {"a": "b"}


def test_a_connection_that_died_unseen_costs_no_answer(tmp_path: Path) -> None:
    """As behind a NAT that forgot it: the pooled connection takes commands and answers nothing."""
    port = free_port()
    with running(redis_server(tmp_path, port), tmp_path / "log"), DeafeningProxy(port) as proxy:
        ledger = RedisLedger(f"redis://127.0.0.1:{proxy.port}/0", timeout=0.5)
        ledger.record(TASK, None, entry())
        proxy.deafen()
        assert ledger.record(TASK, None, entry()) is Recorded.RECORDED


class DeafeningProxy:
    """Passes connections on to Redis, and can make those that are open now go silent."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._deaf: list[threading.Event] = []

    def __enter__(self) -> "DeafeningProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def deafen(self) -> None:
        for deaf in self._deaf:
            deaf.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server, deaf = socket.create_connection(("127.0.0.1", self._target)), threading.Event()
            self._deaf.append(deaf)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink, deaf), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, deaf: threading.Event) -> None:
        with source, sink:
            while data := source.recv(65536):
                if not deaf.is_set():
                    sink.sendall(data)


def test_a_fault_is_forgotten_when_its_step_comes_through_though_the_item_stays(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    track(TASK, [], {}, ledger, POLICY)
    ledger.note_fault(str(SETTLE), "ValueError in settle")

    def claim(draft: Draft) -> int | None:
        assert draft.generation is not None
        return draft.generation.settle.claim(draft.now, 60, early=True)

    def finish(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.await_verdict(draft.now, POLICY)

    client.zrem("reelkeep:due:quick", str(SETTLE))
    ledger.change(TASK, lambda draft: draft.generation and draft.generation.settle.put_back(draft.now))
    ledger.change(TASK, claim, focus=SETTLE)
    assert ledger.health().faults, "a claim proves nothing yet"
    ledger.change(TASK, finish, focus=SETTLE)
    assert ledger.health().faults == {}
    assert client.zrange("reelkeep:due:quick", 0, -1) == [str(SETTLE)]


def test_a_write_that_arrives_twice_is_done_once(ledger: RedisLedger, client: redis.Redis) -> None:
    """As when the answer to the first was lost on a connection that died."""
    raw, draft = ledger._load(TASK)
    before = _Before.of(raw, draft)
    draft.generation = Generation.track(TASK, draft.now, Policy(first_poll_after=0.000001))
    args = _commit_args(TASK, before, draft, None)
    answers = [ledger._commit(args=args)[0] for _ in range(2)]
    assert answers == ["written", "written"]
    assert queued(client).count(str(SETTLE)) <= 1
