"""Submissions in the ledger, against a real redis-server: lists, callbacks under tokens, messages, and waking up what is due."""

import math
import threading
from typing import Any
from uuid import uuid4

import pytest
import redis

from app.adapters.redis_ledger import BATCH, RedisLedger
from app.domain.generation import Generation
from app.domain.ledger import Draft, Recorded
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import SubmitAnswer, SubmitProgress
from app.domain.work import Item, Kind, Lane, Step, is_submission_id, order_name
from app.pipeline.submit import accept
from app.pipeline.track import track
from tests.integration.looks import entry, messages, queued, together

POLICY = Policy()
TASK = "0819326cc7fddfd620baf6e1f0db7e2b"
OTHER = "2b1b13eca3e8b8bbd5a88610d29dfd51"


def take_on(ledger: RedisLedger, prompt: str = "a cat", key: str = "") -> Submission:
    answer = accept(GenerateRequest(prompt=prompt), [], {}, key or uuid4().hex, ledger, POLICY)
    assert answer.submission is not None
    return answer.submission


def change(ledger: RedisLedger, submission: Submission, do: Any) -> None:
    def transition(draft: Draft) -> None:
        assert draft.submission is not None
        do(draft.submission, draft)

    ledger.change(submission.id, transition)


def hear(ledger: RedisLedger, submission: Submission, answer: SubmitAnswer) -> None:
    """The submission was sent, and this is the answer."""

    def do(it: Submission, draft: Draft) -> None:
        fence = it.claim(draft.now, POLICY, early=False)
        assert fence is not None
        sending = it.may_send(fence, draft.now, POLICY)
        assert sending is not None
        it.hear(answer, sending, draft.now, POLICY, 0.5)

    change(ledger, submission, do)


def link(ledger: RedisLedger, submission: Submission, task_id: str = TASK) -> None:
    """The vendor's id is known, and the generation of that id has taken over."""

    def adopt(draft: Draft) -> None:
        draft.generation = Generation.track(task_id, draft.now, POLICY)
        assert draft.generation.adopt(submission, draft.now)

    def end(it: Submission, draft: Draft) -> None:
        it.learn(task_id, draft.now)
        it.link()
        draft.tokens[it.token] = task_id

    ledger.change(task_id, adopt)
    change(ledger, submission, end)


def names(ledger: RedisLedger, state: State | None = None) -> list[str]:
    """All that is listed, page by page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = ledger.page(state, 2, cursor)
        found += [record.id if isinstance(record, Submission) else record.task_id for record in page.generations]
        cursor = page.cursor
        if cursor is None:
            return found


# --- the record --------------------------------------------------------------------------------------------------------


def test_a_submission_is_written_and_enqueued_in_one_step(ledger: RedisLedger, client: redis.Redis) -> None:
    submission = take_on(ledger)
    assert is_submission_id(submission.id)
    read = ledger.read(submission.id)
    assert (read.submission, read.generation, read.record) == (submission, None, submission)
    [message] = messages(client)
    assert message["headers"]["task"] == "reelkeep.submit"
    assert message["properties"]["delivery_info"]["routing_key"] == "reelkeep.quick"
    assert queued(client) == [f"submit/{submission.id}"]
    assert client.zrange("reelkeep:sent:quick", 0, -1) == [f"submit/{submission.id}"]
    assert client.exists(f"reelkeep:sub:{submission.id}")
    assert not client.exists(f"reelkeep:gen:{submission.id}")


def test_an_extension_is_kept_as_one(ledger: RedisLedger) -> None:
    def succeed(draft: Draft) -> None:
        draft.submission = Submission(
            id="sub_" + "0" * 32,
            tracked_at=draft.now,
            request=ExtendRequest(taskId=TASK, prompt="more"),
            fingerprint="",
            token="secret",
        )

    ledger.change("sub_" + "0" * 32, succeed)
    kept = ledger.read("sub_" + "0" * 32).submission
    assert kept is not None
    assert kept.request == ExtendRequest(taskId=TASK, prompt="more")
    assert kept.parent == TASK


def test_the_same_key_from_eight_threads_makes_one_submission(redis_url: str, client: redis.Redis) -> None:
    made: list[Submission] = []
    together(lambda: made.append(take_on(RedisLedger(redis_url), key="shot-12")))
    assert len(made) == 8
    assert len({submission.id for submission in made}) == 1
    assert len({submission.token for submission in made}) == 1
    assert queued(client) == [f"submit/{made[0].id}"]
    assert RedisLedger(redis_url).spent_today() == {"total": 60.0, "submit": 60.0}


def test_of_eight_workers_one_may_send(redis_url: str, ledger: RedisLedger) -> None:
    submission = take_on(ledger)
    sendings: list[int | None] = []

    def send(draft: Draft) -> int | None:
        assert draft.submission is not None
        fence = draft.submission.claim(draft.now, POLICY, early=True)
        return None if fence is None else draft.submission.may_send(fence, draft.now, POLICY)

    together(lambda: sendings.append(RedisLedger(redis_url).change(submission.id, send)))
    assert len(sendings) == 8
    assert [sending for sending in sendings if sending is not None] == [1]


def test_fields_of_a_newer_version_are_kept(ledger: RedisLedger, client: redis.Redis) -> None:
    submission = take_on(ledger)
    key = f"reelkeep:sub:{submission.id}"
    text = str(client.get(key))
    client.set(key, text[:-1] + ',"from_the_future":[1,2]}')
    change(ledger, submission, lambda it, draft: it.postpone(0, "", 1.0) or it.labels.update(a="b"))
    assert '"from_the_future":[1,2]' in str(client.get(key))
    assert '"labels":{"a":"b"}' in str(client.get(key))


# --- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (None, State.WAITING),
        (SubmitAnswer(SubmitProgress.BUSY, 429), State.WAITING),
        (SubmitAnswer(SubmitProgress.CREATED, 200, task_id=TASK), State.WAITING),
        (SubmitAnswer(SubmitProgress.UNCERTAIN, 500), State.UNCERTAIN),
        (SubmitAnswer(SubmitProgress.REFUSED, 422), State.FAILED),
    ],
    ids=["new", "busy", "created", "uncertain", "refused"],
)
def test_a_submission_is_listed_by_its_state(ledger: RedisLedger, answer: SubmitAnswer | None, state: State) -> None:
    submission = take_on(ledger)
    if answer is not None:
        hear(ledger, submission, answer)
    assert [names(ledger, other) for other in State if other is not state] == [[]] * 5
    assert names(ledger, state) == names(ledger) == [submission.id]
    assert ledger.count() == dict.fromkeys(State, 0) | {state: 1}


def test_a_submission_leaves_the_lists_to_its_generation(ledger: RedisLedger) -> None:
    submission = take_on(ledger)
    link(ledger, submission)
    assert names(ledger) == names(ledger, State.WAITING) == [TASK]
    assert ledger.count() == dict.fromkeys(State, 0) | {State.WAITING: 1}
    kept = ledger.read(submission.id).submission
    assert kept is not None
    assert (kept.linked, kept.task_id) == (True, TASK)


def test_a_generation_has_the_place_in_the_list_that_its_submission_had(ledger: RedisLedger) -> None:
    submission = take_on(ledger)
    track("newer", [], {}, ledger, POLICY)
    link(ledger, submission)
    assert names(ledger) == ["newer", TASK]


def test_lists_mix_generations_and_submissions_newest_first_page_by_page(ledger: RedisLedger) -> None:
    made: list[str] = []
    for number in range(7):
        made.append(take_on(ledger, f"a cat {number}").id)
        track(f"task-{number}", [], {}, ledger, POLICY)
        made.append(f"task-{number}")
    assert names(ledger) == names(ledger, State.WAITING) == list(reversed(made))


def test_a_page_goes_on_where_it_was_though_its_last_submission_was_linked(ledger: RedisLedger) -> None:
    submissions = [take_on(ledger, f"a cat {number}") for number in range(5)]
    page = ledger.page(None, 2, None)
    link(ledger, submissions[3])  # the last entry of the first page
    rest = [record.id for record in ledger.page(None, 10, page.cursor).generations if isinstance(record, Submission)]
    assert rest == [submissions[2].id, submissions[1].id, submissions[0].id]


def test_a_text_that_cannot_be_read_hides_no_other_in_a_list(ledger: RedisLedger, client: redis.Redis) -> None:
    good, bad = take_on(ledger, "good"), take_on(ledger, "bad")
    client.set(f"reelkeep:sub:{bad.id}", '{"id":')
    assert names(ledger) == [good.id]


# --- callbacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", [None, TASK])
def test_a_callback_under_a_submissions_token_waits_for_the_submission(
    ledger: RedisLedger, client: redis.Redis, task_id: str | None
) -> None:
    submission = take_on(ledger)
    hear(ledger, submission, SubmitAnswer(SubmitProgress.UNCERTAIN, 500))
    client.delete(Lane.QUICK.queue)
    assert ledger.record(task_id, submission.token, entry("{}")) is Recorded.RECORDED
    assert queued(client) == [f"submit/{submission.id}"]
    draft = ledger.read(submission.id)
    assert [(pending.entry.raw, pending.kind) for pending in draft.pending] == [("{}", None)]
    assert ledger.read(TASK).pending == []


@pytest.mark.parametrize("task_id", [None, TASK])
def test_a_callback_under_the_token_of_a_linked_submission_is_its_generations(
    ledger: RedisLedger, client: redis.Redis, task_id: str | None
) -> None:
    submission = take_on(ledger)
    link(ledger, submission)
    client.delete(Lane.QUICK.queue)
    assert ledger.record(task_id, submission.token, entry("{}")) is Recorded.RECORDED
    assert queued(client) == [f"settle/{TASK}"]
    assert len(ledger.read(TASK).pending) == 1
    assert ledger.read(submission.id).pending == []


def test_under_a_generations_token_the_signed_id_says_whose_a_callback_is(ledger: RedisLedger) -> None:
    """The signature covers the id: of the generation itself, of another, or of an upgrade that runs under an id of its own."""
    submission = take_on(ledger)
    link(ledger, submission)

    def order(draft: Draft) -> None:
        draft.aliases["id-of-the-4k"] = order_name(TASK, Kind.UHD, 1, 1)

    ledger.change(TASK, order)
    ledger.record("id-of-the-4k", submission.token, entry())
    ledger.record(OTHER, submission.token, entry())
    assert [(pending.kind, pending.index) for pending in ledger.read(TASK).pending] == [(Kind.UHD, 1)]
    assert len(ledger.read(OTHER).pending) == 1


@pytest.mark.parametrize("task_id", [None, TASK, OTHER])
def test_a_callback_under_an_upgrades_token_is_that_upgrades(ledger: RedisLedger, task_id: str | None) -> None:
    def order(draft: Draft) -> None:
        draft.generation = Generation.track(TASK, draft.now, POLICY)
        draft.tokens["secret"] = order_name(TASK, Kind.HD, 3, 2)

    ledger.change(TASK, order)
    ledger.record(task_id, "secret", entry())
    named = [(pending.kind, pending.index, pending.order) for pending in ledger.read(TASK).pending]
    assert named == [(Kind.HD, 3, 2)]
    assert ledger.read(OTHER).pending == []


@pytest.mark.parametrize("task_id", [None, TASK])
def test_a_token_that_nobody_was_given_changes_nothing(
    ledger: RedisLedger, client: redis.Redis, task_id: str | None
) -> None:
    submission = take_on(ledger)
    before = {key: client.type(key) for key in client.keys("*")}
    for token in ("guess", submission.id, submission.token[:-1], TASK):
        assert ledger.record(task_id, token, entry()) is Recorded.UNKNOWN_TOKEN
    assert {key: client.type(key) for key in client.keys("*")} == before
    assert ledger.read(submission.id).pending == []


def test_a_callback_that_comes_while_a_submission_is_handed_over_is_not_passed_over(
    redis_url: str, ledger: RedisLedger
) -> None:
    seen: list[int] = []
    submission = take_on(ledger)

    def end(it: Submission, draft: Draft) -> None:
        if not seen:
            RedisLedger(redis_url).record(None, submission.token, entry())
        seen.append(len(draft.pending))
        it.learn(TASK, draft.now)
        it.link()

    change(ledger, submission, end)
    assert seen == [0, 1]
    draft = ledger.read(submission.id)
    assert draft.submission is not None
    assert len(draft.pending) == 1
    assert draft.submission.agenda(pending=True) == {draft.submission.item: 0.0}


# --- waking up ---------------------------------------------------------------------------------------------------------


def test_nothing_that_waits_wakes_nobody(ledger: RedisLedger, client: redis.Redis) -> None:
    assert ledger.wake() == math.inf
    assert client.keys("*") == []


def test_what_is_due_is_enqueued_in_every_lane(ledger: RedisLedger, client: redis.Redis) -> None:
    due = {
        Lane.QUICK: [str(take_on(ledger).item), f"settle/{TASK}", f"upgrade/{TASK}/4k/0"],
        Lane.MIRROR: [f"mirror/{TASK}/result/0"],
        Lane.MANIFEST: [f"manifest/{TASK}"],
    }
    client.delete("reelkeep:sent:quick", Lane.QUICK.queue)
    for lane, items in due.items():
        client.zadd(f"reelkeep:due:{lane}", {item: 1.0 + place for place, item in enumerate(items)})
    assert ledger.wake() == math.inf
    assert {lane: queued(client, lane) for lane in Lane} == due
    assert client.keys("reelkeep:due:*") == []


def test_the_next_time_is_told_and_what_is_not_due_stays(ledger: RedisLedger, client: redis.Redis) -> None:
    now = ledger.now()
    client.zadd("reelkeep:due:mirror", {f"mirror/{TASK}/result/0": now + 700.0})
    client.zadd("reelkeep:due:quick", {f"settle/{TASK}": now + 500.0, f"settle/{OTHER}": 1.0})
    seconds = ledger.wake()
    assert 0.0 < seconds <= 500.0
    assert ledger.now() + seconds >= now + 500.0
    assert queued(client) == [f"settle/{OTHER}"]
    assert client.zrange("reelkeep:due:quick", 0, -1) == [f"settle/{TASK}"]
    assert queued(client, Lane.MIRROR) == []


def test_more_than_a_batch_is_told_as_due_now(ledger: RedisLedger, client: redis.Redis) -> None:
    client.zadd("reelkeep:due:quick", {f"settle/task-{number}": 1.0 for number in range(BATCH + 1)})
    assert ledger.wake() == 0.0
    assert client.llen(Lane.QUICK.queue) == BATCH
    assert ledger.wake() == math.inf
    assert client.llen(Lane.QUICK.queue) == BATCH + 1


def test_what_is_on_the_queue_already_is_not_enqueued_again(redis_url: str, client: redis.Redis) -> None:
    submission = take_on(RedisLedger(redis_url))
    together(lambda: RedisLedger(redis_url).wake())
    assert queued(client) == [str(submission.item)]


def test_what_becomes_due_is_enqueued_once_by_whoever_wakes(redis_url: str, client: redis.Redis) -> None:
    items = {f"settle/task-{number}": 1.0 for number in range(50)}
    client.zadd("reelkeep:due:quick", items)
    together(lambda: RedisLedger(redis_url).wake())
    assert sorted(queued(client)) == sorted(items)


def test_a_submission_that_waits_for_its_time_is_woken_then(ledger: RedisLedger, client: redis.Redis) -> None:
    submission = take_on(ledger)
    hear(ledger, submission, SubmitAnswer(SubmitProgress.BUSY, 429, pause=1.0))
    client.delete(Lane.QUICK.queue)
    assert 0.0 < ledger.wake() <= 1.0
    assert queued(client) == []
    while (seconds := ledger.wake()) != math.inf:
        threading.Event().wait(seconds)
    assert queued(client) == [str(Item(Step.SUBMIT, submission.id))]


def test_messages_for_a_broker_elsewhere_are_handed_to_it(redis_url: str) -> None:
    sent: list[tuple[Item, str]] = []

    class Elsewhere:
        def publish(self, item: Item, message_id: str) -> None:
            sent.append((item, message_id))

        def depth(self, lane: Lane) -> int:
            return 0

    ledger = RedisLedger(redis_url, broker_url="amqp://elsewhere/", outlet=Elsewhere)
    submission = take_on(ledger)
    ledger.record(None, submission.token, entry())
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    client.delete("reelkeep:sent:quick")
    client.zadd("reelkeep:due:quick", {f"settle/{TASK}": 1.0})
    ledger.wake()
    assert [item for item, _ in sent] == [submission.item, Item(Step.SETTLE, TASK)]
    assert len({message_id for _, message_id in sent}) == 2
    assert not client.exists(Lane.QUICK.queue)
