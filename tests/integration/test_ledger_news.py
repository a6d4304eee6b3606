"""Timelines and counters against a real redis-server: written in one step with the change that they tell of, and once."""

import itertools
import multiprocessing

import pytest
import redis

from app.adapters.redis_ledger import TIMELINE, RedisLedger, _Before, _commit_args
from app.domain.errors import LedgerUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Draft
from app.domain.requests import GenerateRequest
from app.domain.submission import Submission
from app.domain.vendor import Progress
from app.domain.work import Kind
from app.pipeline.submit import accept
from app.pipeline.track import look_back, track
from tests.integration.looks import together
from tests.support import course
from tests.support.course import BYTES, POLICY

TASK = "0819326cc7fddfd620baf6e1f0db7e2b"


def names(ledger: RedisLedger, task_id: str = TASK) -> list[str]:
    return [news.name for news in ledger.timeline(task_id)]


# --- timelines ---------------------------------------------------------------------------------------------------------


def test_a_timeline_tells_all_that_has_happened(ledger: RedisLedger) -> None:
    course.complete(ledger, TASK)
    told = ledger.timeline(TASK)
    seconds = told[4].facts["seconds"]
    assert [(news.name, dict(news.facts)) for news in told] == [
        ("generation.tracked", {}),
        ("callback.received", {"route": "generation", "trust": "signed"}),
        ("poll.answered", {"answer": "succeeded"}),
        ("verdict", {"outcome": "succeeded", "source": "callback", "code": 200}),
        ("rendition.stored", {"kind": "result", "index": 0, "bytes": BYTES, "attempt": 1, "seconds": seconds}),
        ("manifest.written", {}),
        ("generation.complete", {}),
    ]
    times = [news.at for news in told]
    assert times == sorted(times)
    assert abs(times[0] - ledger.now()) < 60


def test_a_timeline_goes_back_to_the_submission(ledger: RedisLedger) -> None:
    answer = accept(GenerateRequest(prompt="a cat"), [], {}, "key", ledger, POLICY)
    assert answer.submission is not None

    def submit(draft: Draft) -> Submission:
        assert draft.submission is not None
        fence = draft.submission.claim(draft.now, POLICY, early=False)
        assert fence is not None
        draft.submission.may_send(fence, draft.now, POLICY)
        draft.submission.learn(TASK, draft.now)
        return draft.submission

    submission = ledger.change(answer.submission.id, submit)
    assert [news.name for news in look_back(submission, ledger)] == [
        "generation.requested",
        "purchase.intended",
        "purchase.accepted",
    ]
    track(TASK, [], {}, ledger, POLICY)
    ledger.change(TASK, lambda draft: draft.generation and draft.generation.adopt(submission, draft.now))
    generation = ledger.read(TASK).generation
    assert generation is not None
    told = [news.name for news in look_back(generation, ledger)]
    assert told[:3] == ["generation.requested", "purchase.intended", "purchase.accepted"]
    assert told[3:] == ["generation.tracked", "generation.linked"]
    assert ledger.stats()["credits:generation"] == generation.price > 0


def test_repeats_in_a_row_are_one_line(ledger: RedisLedger, client: redis.Redis) -> None:
    track(TASK, [], {}, ledger, POLICY)
    for _ in range(3):
        course.settle_now(ledger, TASK, Progress.GENERATING)
    _, asked = ledger.timeline(TASK)
    assert (asked.name, dict(asked.facts), asked.times) == ("poll.answered", {"answer": "generating"}, 3)
    assert asked.last_at is not None
    assert asked.last_at >= asked.at
    course.settle_now(ledger, TASK)
    for reason in ("HTTP 502", "HTTP 502", "HTTP 503", "HTTP 502"):
        course.fail(ledger, TASK, reason)
    failed = [news for news in ledger.timeline(TASK) if news.name == "attempt.failed"]
    assert [(news.facts["reason"], news.times) for news in failed] == [
        ("HTTP 502", 2),
        ("HTTP 503", 1),
        ("HTTP 502", 1),
    ]


def test_what_each_time_is_another_event_is_a_line_each(ledger: RedisLedger) -> None:
    track(TASK, [], {}, ledger, POLICY)
    for number in range(2):

        def transition(draft: Draft, number: int = number) -> None:
            assert draft.generation is not None
            draft.generation.set_labels({"turn": str(number)}, draft.now)
            draft.generation.tell(draft.now, "retry.asked")

        ledger.change(TASK, transition)
    assert names(ledger) == ["generation.tracked", "retry.asked", "retry.asked"]


def test_a_retry_in_between_keeps_repeats_apart(ledger: RedisLedger) -> None:
    track(TASK, [], {}, ledger, POLICY)
    for _ in range(2):
        course.settle_now(ledger, TASK, Progress.FAILED)
        ledger.change(TASK, lambda draft: draft.generation and draft.generation.retry(draft.now))
    assert names(ledger).count("generation.failed") == names(ledger).count("retry.asked") == 2


def test_a_timeline_takes_bounded_room(ledger: RedisLedger) -> None:
    track(TASK, [], {}, ledger, POLICY)
    course.settle_now(ledger, TASK)
    for number in range(TIMELINE + 5):
        course.fail(ledger, TASK, f"trouble {number}")
    told = ledger.timeline(TASK)
    assert len(told) == TIMELINE
    assert told[-1].facts["reason"] == f"trouble {TIMELINE + 4}"


def test_a_line_of_a_newer_version_hides_no_other(ledger: RedisLedger, client: redis.Redis) -> None:
    track(TASK, [], {}, ledger, POLICY)
    client.rpush(f"reelkeep:timeline:{TASK}", "1754556667.12 ZZ[1]")
    assert names(ledger) == ["generation.tracked"]


def test_what_changes_nothing_is_no_news(ledger: RedisLedger, client: redis.Redis) -> None:
    track(TASK, [], {}, ledger, POLICY)

    def transition(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.tell(draft.now, "retry.asked")

    ledger.change(TASK, transition)
    assert names(ledger) == ["generation.tracked"]
    assert "retries" not in ledger.stats()


# --- counters ----------------------------------------------------------------------------------------------------------


def test_everything_is_counted_in_all_and_by_the_hour(ledger: RedisLedger, client: redis.Redis) -> None:
    course.complete(ledger, TASK)
    stats = ledger.stats()
    assert stats.pop("latency_sum", 0) >= 0
    bucket = next(name for name in stats if name.startswith("latency:"))
    assert stats == {
        "callbacks": 1,
        "settled:new": 1,
        "tracked": 1,
        "polls": 1,
        "verdicts:succeeded:callback": 1,
        "stored:result": 1,
        "stored_bytes:result": BYTES,
        bucket: 1,
        "latency_count": 1,
        "ended:complete": 1,
    }
    # The hour may have turned meanwhile.
    hours = client.keys("reelkeep:hour:*")
    counted = [client.hgetall(hour) for hour in hours]  # type: ignore[union-attr]
    for name, amount in stats.items():
        assert sum(float(hour.get(name, 0)) for hour in counted) == amount  # type: ignore[union-attr]
    lives = [client.ttl(hour) for hour in hours]  # type: ignore[union-attr]
    assert all(7 * 86400 < life <= 8 * 86400 for life in lives)  # type: ignore[operator]


def test_a_write_that_arrives_twice_counts_once(ledger: RedisLedger) -> None:
    """As when the answer to the first was lost on a connection that died."""
    raw, draft = ledger._load(TASK)
    before = _Before.of(raw, draft)
    draft.generation = Generation.track(TASK, draft.now, POLICY)
    args = _commit_args(TASK, before, draft, None)
    for _ in range(2):
        assert ledger._commit(args=args)[0] == "written"
    assert (ledger.stats(), names(ledger)) == ({"tracked": 1}, ["generation.tracked"])


def test_a_write_that_comes_too_late_counts_nothing(ledger: RedisLedger, redis_url: str) -> None:
    track(TASK, [], {}, ledger, POLICY)
    course.settle_now(ledger, TASK)
    course.claim(ledger, TASK)
    runs = []

    def transition(draft: Draft) -> None:
        if not runs:
            course.store(RedisLedger(redis_url), TASK)
        runs.append(draft.now)
        course.put(draft)

    ledger.change(TASK, transition)
    assert len(runs) == 2
    assert ledger.stats()["stored:result"] == 1
    assert names(ledger).count("rendition.stored") == 1


def test_a_write_that_never_comes_through_counts_nothing(ledger: RedisLedger, redis_url: str) -> None:
    track(TASK, [], {}, ledger, POLICY)
    other, turns = RedisLedger(redis_url), itertools.count()

    def transition(draft: Draft) -> None:
        track(TASK, [], {"turn": str(next(turns))}, other, POLICY)
        assert draft.generation is not None
        draft.generation.count_callback("generation succeeded 200", draft.now)

    with pytest.raises(LedgerUnavailable, match="too many"):
        ledger.change(TASK, transition)
    assert ledger.stats() == {"tracked": 1}


def test_verdicts_that_no_callback_came_for_are_counted_until_it_comes(ledger: RedisLedger) -> None:
    for number in range(3):
        course.complete(ledger, f"uncalled-{number}", called=False)
    assert ledger.overview().missing_today == 3
    course.call_back(ledger, "uncalled-1")
    course.settle_now(ledger, "uncalled-1")
    assert ledger.overview().missing_today == 2
    assert ledger.stats()["callbacks_missing"] == 3, "what was counted stays"


def test_whatever_brings_the_news_it_is_counted_alike(ledger: RedisLedger) -> None:
    course.complete(ledger, "called")
    course.complete(ledger, "polled", called=False)
    ends = [[name for name in names(ledger, one) if name != "callback.received"] for one in ("called", "polled")]
    assert ends[0] == ends[1]
    assert ledger.stats()["ended:complete"] == ledger.stats()["stored:result"] == 2


def test_credits_are_counted_when_accepted_and_put_right_later(ledger: RedisLedger) -> None:
    course.complete(ledger, TASK)

    def order(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.want_upgrade(Kind.UHD, 0, draft.now)
        claim = draft.generation.claim_upgrade(Kind.UHD, 0, draft.now, POLICY, "secret-token")
        rendition = draft.generation.find(Kind.UHD, 0)
        assert claim is not None
        assert rendition is not None
        assert draft.generation.may_send_order(rendition, claim.fence, draft.now, POLICY)
        rendition.order.confirmed = True  # type: ignore[union-attr]
        draft.generation.bill_order(rendition, 118.25, draft.now)

    ledger.change(TASK, order)
    assert ledger.stats()["credits:4k"] == 118.25 - POLICY.price(Kind.UHD)
    assert ledger.stats()["purchases:4k:intended"] == 1
    assert "secret-token" not in str(ledger.timeline(TASK))


# --- many at once ------------------------------------------------------------------------------------------------------

PROCESSES, EACH = 4, 25


def _work(url: str, number: int) -> None:
    """Each has generations of its own, and all of them one together."""
    ledger = RedisLedger(url)
    for turn in range(EACH):
        course.complete(ledger, f"own-{number}-{turn}")
        track("shared", [], {}, ledger, POLICY)
        ledger.change("shared", _count)


def _count(draft: Draft) -> None:
    assert draft.generation is not None
    draft.generation.count_callback(f"generation ask {draft.generation.received}", draft.now)


def test_counts_are_true_across_processes(ledger: RedisLedger, redis_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_work, args=(redis_url, number)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    stats, number = ledger.stats(), PROCESSES * EACH
    assert stats["tracked"] == number + 1
    assert stats["ended:complete"] == stats["stored:result"] == stats["latency_count"] == stats["callbacks"] == number
    shared = ledger.read("shared").generation
    assert shared is not None
    assert stats["settled:new"] + stats.get("settled:duplicate", 0) == number + shared.received == 2 * number
    assert len(ledger.timeline("shared")) > 1


def test_of_many_that_bring_the_same_one_is_counted(ledger: RedisLedger, redis_url: str) -> None:
    track(TASK, [], {}, ledger, POLICY)
    course.settle_now(ledger, TASK)
    course.claim(ledger, TASK)
    together(lambda: RedisLedger(redis_url).change(TASK, course.put))
    assert ledger.stats()["stored:result"] == 1
    assert names(ledger).count("rendition.stored") == 1
