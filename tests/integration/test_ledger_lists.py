"""Lists, the first screen and what is looked for, against a real redis-server."""

import json
from datetime import UTC, datetime

import pytest
import redis

from app.adapters.packing import pack
from app.adapters.redis_ledger import LOOKED_AT, RedisLedger
from app.domain.errors import LedgerUnavailable
from app.domain.finding import ALL, Filter
from app.domain.generation import MANY_ATTEMPTS
from app.domain.ledger import Draft, Page
from app.domain.rendition import RETENTION
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import Progress
from app.domain.work import Kind, Step
from app.embedded.redis_server import MAXMEMORY
from app.pipeline.sweep import refresh_lists
from app.pipeline.track import track
from tests.support import course
from tests.support.course import POLICY

TASK = "0819326cc7fddfd620baf6e1f0db7e2b"


def listed(client: redis.Redis, task_id: str = TASK) -> set[str]:
    """The lists that a record is on."""
    found = set()
    for key in client.scan_iter("reelkeep:*", _type="zset"):
        if not key.startswith(("reelkeep:due:", "reelkeep:sent:", "reelkeep:urgent:")):
            found |= {key.removeprefix("reelkeep:")} if client.zscore(key, task_id) is not None else set()
    return found


def ids(page: Page) -> list[str]:
    return [record.id if isinstance(record, Submission) else record.task_id for record in page.generations]


def look(
    ledger: RedisLedger, wanted: Filter = ALL, state: State | None = None, limit: int = 3
) -> tuple[list[str], list[int]]:
    """All that is found, page by page, and how much each page held."""
    found: list[str] = []
    sizes: list[int] = []
    cursor: str | None = None
    while True:
        page = ledger.page(state, limit, cursor, wanted)
        found += ids(page)
        sizes.append(len(page.generations))
        cursor = page.cursor
        if cursor is None:
            return found, sizes


# --- lists -------------------------------------------------------------------------------------------------------------


def test_a_record_is_on_the_lists_that_are_true_of_it_and_leaves_the_others(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    track(TASK, [Kind.UHD], {"shop": "a"}, ledger, POLICY)
    lasting = {"tracked", "kind:4k", "label:shop=a"}
    assert listed(client) == lasting | {"state:waiting"}
    course.settle_now(ledger, TASK)
    for _ in range(MANY_ATTEMPTS):
        course.fail(ledger, TASK)
    assert listed(client) == lasting | {"state:mirroring", "risk"}
    track(TASK, [], {"shop": "b"}, ledger, POLICY)
    course.store(ledger, TASK)
    assert listed(client) == {"tracked", "kind:4k", "label:shop=b", "state:mirroring"}
    tracked_at = client.zscore("reelkeep:tracked", TASK)
    assert {client.zscore(f"reelkeep:{name}", TASK) for name in listed(client)} == {tracked_at}


def test_what_ended_is_at_risk_no_more(ledger: RedisLedger, client: redis.Redis) -> None:
    track(TASK, [], {}, ledger, POLICY)
    course.settle_now(ledger, TASK)
    for _ in range(MANY_ATTEMPTS):
        course.fail(ledger, TASK)

    def give_up(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.fail(draft.generation.renditions[0], "gone", draft.now)

    ledger.change(TASK, give_up)
    assert listed(client) == {"tracked", "state:lost"}
    assert [news.name for news in ledger.timeline(TASK)].count("generation.at_risk") == 1


def test_an_uncertain_purchase_is_listed_until_it_is_clear(ledger: RedisLedger, client: redis.Redis) -> None:
    track(TASK, [Kind.UHD], {}, ledger, POLICY)
    course.settle_now(ledger, TASK)

    def order(draft: Draft) -> None:
        assert draft.generation is not None
        claim = draft.generation.claim_upgrade(Kind.UHD, 0, draft.now, POLICY, "secret")
        rendition = draft.generation.find(Kind.UHD, 0)
        assert claim is not None
        assert rendition is not None
        draft.generation.may_send_order(rendition, claim.fence, draft.now, POLICY)
        rendition.order.taken = True  # type: ignore[union-attr]

    def confirm(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.renditions[1].order.confirmed = True  # type: ignore[union-attr]

    ledger.change(TASK, order)
    assert "uncertain" in listed(client)
    assert ledger.overview().uncertain == 1
    ledger.change(TASK, confirm)
    assert "uncertain" not in listed(client)


# --- what older versions have written ----------------------------------------------------------------------------------


def forget_lists(client: redis.Redis) -> None:
    """As a version left it that knew states only."""
    for pattern in ("reelkeep:kind:*", "reelkeep:label:*", "reelkeep:risk", "reelkeep:uncertain"):
        for key in client.scan_iter(pattern):
            client.delete(key)


def test_what_an_older_version_wrote_is_put_on_its_lists(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(7):
        track(f"task-{number}", [Kind.UHD], {"shop": "a"}, ledger, POLICY)
    before = {number: listed(client, f"task-{number}") for number in range(7)}
    stats, texts = ledger.stats(), client.mget([f"reelkeep:gen:task-{number}" for number in range(7)])
    forget_lists(client)
    client.zadd("reelkeep:risk", {"task-0": 1.0})  # one that it should have left
    assert [ledger.refresh_lists(3) for _ in range(4)] == [3, 3, 1, 0]
    assert {number: listed(client, f"task-{number}") for number in range(7)} == before
    assert ledger.stats() == stats, "it is no news"
    assert client.mget([f"reelkeep:gen:task-{number}" for number in range(7)]) == texts
    forget_lists(client)
    refresh_lists(ledger)
    assert listed(client, "task-0") == {"tracked", "state:waiting"}, "it is done once"


@pytest.mark.parametrize("damaged", ['{"task_id":', pack('{"task_id":"bad"}')[:-4], "1:é"])
def test_a_text_that_cannot_be_read_holds_up_no_other(ledger: RedisLedger, client: redis.Redis, damaged: str) -> None:
    for name in ("good", "bad", "better"):
        track(name, [Kind.UHD], {}, ledger, POLICY)
    client.set("reelkeep:gen:bad", damaged)
    forget_lists(client)
    assert ledger.refresh_lists() == 3
    assert set(client.zrange("reelkeep:kind:4k", 0, -1)) == {"good", "better"}  # type: ignore[arg-type]
    assert ids(ledger.page(None, 10, None)) == ["better", "good"]


def test_an_empty_ledger_is_soon_up_to_date(ledger: RedisLedger) -> None:
    assert [ledger.refresh_lists() for _ in range(2)] == [0, 0]


# --- the first screen --------------------------------------------------------------------------------------------------


def test_an_empty_ledger_has_a_first_screen(ledger: RedisLedger) -> None:
    overview = ledger.overview()
    assert overview.counts == dict.fromkeys(State, 0)
    assert (overview.uncertain, overview.at_risk, list(overview.risks)) == (0, 0, [])
    assert (overview.callbacks_today, overview.missing_today, dict(overview.spent_today)) == (0, 0, {})
    assert (overview.latency_today(0.5), overview.latency_today(0.95)) == (None, None)
    assert [hour.at % 3600 for hour in overview.hours] == [0.0] * 24
    assert overview.hours[-1].at <= overview.now < overview.hours[-1].at + 3600
    assert overview.health.sweep_at is None


def test_the_first_screen_shows_what_there_is(ledger: RedisLedger) -> None:
    course.complete(ledger, "done")
    track("waits", [], {}, ledger, POLICY)
    for name, attempts in (("fails", MANY_ATTEMPTS), ("fails-longer", MANY_ATTEMPTS + 1), ("fails-once", 1)):
        track(name, [], {}, ledger, POLICY)
        course.settle_now(ledger, name)
        for _ in range(attempts):
            course.fail(ledger, name)
    track("gone", [], {}, ledger, POLICY)
    course.settle_now(ledger, "gone", Progress.FAILED)
    ledger.reserve("upgrade/done/4k/0#1", 120.0, {})
    ledger.note_health({"sweep_at": "", "bucket_error": "no such bucket"})
    ledger.note_fault("settle/waits", "ValueError in settle")

    overview = ledger.overview()
    expected = {State.COMPLETE: 1, State.WAITING: 1, State.MIRRORING: 3, State.FAILED: 1}
    assert overview.counts == dict.fromkeys(State, 0) | expected == ledger.count()
    assert (overview.at_risk, overview.uncertain) == (2, 0)
    assert [risk.record.task_id for risk in overview.risks] == ["fails", "fails-longer"]
    assert [risk.until for risk in overview.risks] == sorted(risk.until for risk in overview.risks)
    assert overview.risks[0].until == pytest.approx(ledger.now() + RETENTION, abs=600)
    assert overview.spent_today == {"total": 120.0, Step.UPGRADE: 120.0} == ledger.spent_today()
    assert overview.callbacks_today == sum(hour.callbacks for hour in overview.hours) == 1
    assert overview.missing_today == 4
    assert sum(hour.stored for hour in overview.hours) == 1
    assert sum(hour.failed for hour in overview.hours) == 0
    assert 0 <= (overview.latency_today(0.5) or 0) <= 60
    health = ledger.health()
    assert (overview.health.faults, overview.health.bucket_error) == (health.faults, health.bucket_error)
    assert (overview.health.sweep_at, overview.health.credits) == (health.sweep_at, None)
    assert overview.health.overdue == pytest.approx(health.overdue, abs=60)


def test_of_those_at_risk_the_most_urgent_are_given(ledger: RedisLedger, client: redis.Redis) -> None:
    for number in range(5):
        track(f"task-{number}", [], {}, ledger, POLICY)
        client.zadd("reelkeep:risk", {f"task-{number}": 5000.0 - number})
    client.zadd("reelkeep:risk", {"unknown": 1.0})
    overview = ledger.overview(most=3)
    assert overview.at_risk == 6
    assert [(risk.record.task_id, risk.until) for risk in overview.risks] == [("task-4", 4996.0), ("task-3", 4997.0)]  # type: ignore[union-attr]


def test_hours_are_those_of_the_last_day_and_today_is_the_utc_day(ledger: RedisLedger, client: redis.Redis) -> None:
    present = int(ledger.now() // 3600)
    for hour in range(present - 30, present + 2):  # it may turn meanwhile
        client.hset(f"reelkeep:hour:{hour}", mapping={"callbacks": hour, "stored:4k": 2, "stored:result": 1})
    overview = ledger.overview()
    present = int(overview.now // 3600)
    assert [point.at for point in overview.hours] == [3600.0 * (present - back) for back in reversed(range(24))]
    assert [point.callbacks for point in overview.hours] == [present - back for back in reversed(range(24))]
    assert {point.stored for point in overview.hours} == {3}
    day = datetime.fromtimestamp(overview.now, UTC).date()
    of_today = [hour for hour in overview.hours if datetime.fromtimestamp(hour.at, UTC).date() == day]
    assert overview.callbacks_today == sum(hour.callbacks for hour in of_today) > 0


def test_the_first_screen_is_shown_when_memory_is_full(
    redis_url: str, ledger: RedisLedger, client: redis.Redis
) -> None:
    course.complete(ledger, TASK)
    front = RedisLedger(redis_url, leaves_room=True)
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerUnavailable, match="memory"):
            course.call_back(front, TASK)
        assert front.overview().counts[State.COMPLETE] == 1
    finally:
        client.config_set("maxmemory", MAXMEMORY)


# --- what is looked for ------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(ledger: RedisLedger) -> RedisLedger:
    """Twelve, the newest has the highest number: every second of shop b, every third with a 4K, every fourth failed."""
    for number in range(12):
        upgrades = [Kind.UHD] if number % 3 == 0 else []
        labels = {"shop": "b" if number % 2 else "a", "order": f"N°{number}"}
        track(f"task-{number:02}", upgrades, labels, ledger, POLICY)
        if number % 4 == 0:
            course.settle_now(ledger, f"task-{number:02}", Progress.FAILED)
    return ledger


def numbered(*numbers: int) -> list[str]:
    return [f"task-{number:02}" for number in numbers]


@pytest.mark.parametrize(
    ("wanted", "state", "found"),
    [
        (Filter(kind=Kind.UHD), None, (9, 6, 3, 0)),
        (Filter(kind=Kind.HD), None, ()),
        (Filter(label=("shop", "b")), None, (11, 9, 7, 5, 3, 1)),
        (Filter(label=("shop", "b"), kind=Kind.UHD), None, (9, 3)),
        (Filter(), State.FAILED, (8, 4, 0)),
        (Filter(kind=Kind.UHD), State.FAILED, (0,)),
        (Filter(label=("shop", "a")), State.WAITING, (10, 6, 2)),
        (Filter(text="TASK-1"), None, (11, 10)),
        (Filter(text="n°7"), None, (7,)),
        (Filter(text="brok"), None, (8, 4, 0)),
        (Filter(text="nowhere"), None, ()),
        (Filter(text="task", kind=Kind.UHD), State.WAITING, (9, 6, 3)),
    ],
)
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_all_that_fits_is_found_page_by_page_newest_first(
    crowd: RedisLedger, wanted: Filter, state: State | None, found: tuple[int, ...], limit: int
) -> None:
    assert look(crowd, wanted, state, limit)[0] == numbered(*found)


def test_what_was_tracked_at_some_time_is_found(crowd: RedisLedger, client: redis.Redis) -> None:
    at = {number: client.zscore("reelkeep:tracked", f"task-{number:02}") or 0.0 for number in range(12)}
    for limit in (1, 2, 50):
        assert look(crowd, Filter(since=at[9]), limit=limit)[0] == numbered(11, 10, 9)
        assert look(crowd, Filter(until=at[2]), limit=limit)[0] == numbered(1, 0)
        between = Filter(since=at[4], until=at[8], label=("shop", "b"))
        assert look(crowd, between, limit=limit)[0] == numbered(7, 5)


def test_a_cursor_of_another_search_leads_to_nothing_newer_than_is_asked_for(
    crowd: RedisLedger, client: redis.Redis
) -> None:
    until = client.zscore("reelkeep:tracked", "task-05")
    cursor = crowd.page(None, 2, None).cursor
    assert ids(crowd.page(None, 2, cursor, Filter(until=until))) == numbered(4, 3)


def test_pages_stay_as_they_were_while_new_ones_come(crowd: RedisLedger) -> None:
    wanted = Filter(text="task")
    page = crowd.page(None, 4, None, wanted)
    track("task-99", [], {}, crowd, POLICY)
    assert (ids(page), ids(crowd.page(None, 4, page.cursor, wanted))) == (numbered(11, 10, 9, 8), numbered(7, 6, 5, 4))


def test_a_page_goes_on_where_it_was_though_its_last_entry_fits_no_more(crowd: RedisLedger) -> None:
    wanted = Filter(label=("shop", "b"))
    page = crowd.page(None, 2, None, wanted)
    track("task-09", [], {"shop": "c"}, crowd, POLICY)
    assert ids(crowd.page(None, 2, page.cursor, wanted)) == numbered(7, 5)


def test_a_search_looks_at_so_many_in_one_call_and_goes_on_in_the_next(
    ledger: RedisLedger, client: redis.Redis
) -> None:
    track("needle", [], {}, ledger, POLICY)
    text = json.loads(client.get("reelkeep:gen:needle"))  # type: ignore[arg-type]
    others = [f"hay-{number:04}" for number in range(2 * LOOKED_AT)]
    pipeline = client.pipeline(transaction=False)
    pipeline.mset({f"reelkeep:gen:{name}": json.dumps({**text, "task_id": name}) for name in others})
    pipeline.zadd("reelkeep:tracked", dict.fromkeys(others, text["tracked_at"] + 1.0))
    pipeline.execute()
    found, sizes = look(ledger, Filter(text="needle"))
    assert found == ["needle"]
    assert sizes == [0, 0, 1], "the needle is the last of all"


@pytest.mark.parametrize("wanted", [Filter(text="x"), Filter(kind=Kind.UHD, label=("a", "b"))])
def test_a_cursor_that_is_none_of_ours_is_refused_by_name(ledger: RedisLedger, wanted: Filter) -> None:
    with pytest.raises(ValueError, match="cursor"):
        ledger.page(None, 10, "nonsense", wanted)
