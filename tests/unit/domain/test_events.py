"""Which news become events, what they say, and how they leave the outbox."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.domain.container import Media
from app.domain.events import (
    AT_RISK,
    FAILED,
    FIELDS,
    LIFETIME,
    STORED,
    claim_event,
    finish_event,
    post,
    postpone_event,
    stop_events,
)
from app.domain.generation import Generation
from app.domain.manifest_reading import read_manifest, restore
from app.domain.outbox import Event, Outbox
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.standing import Standing, tell_changes
from app.domain.submission import Submission
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Item, Kind, Step, Work
from app.pipeline.manifest import render
from app.web.openapi import build_document

POLICY = Policy()
MEDIA = Media("video/mp4", "mp4", 1280, 720, 8.0)
OWN_ID = "sub_0123456789abcdef0123456789abcdef"
LINK = "https://x/0.mp4"
DOCUMENT = build_document()


def change(record: Generation | Submission, act: Callable[[], object], now: float) -> list[Event]:
    """One transition, as the ledger runs it; the events that it has put into the outbox."""
    fresh, waiting = record.model_copy(deep=True), len(record.outbox.events)
    before, told = Standing.of(fresh), len(record.news)
    act()
    news = tell_changes(before, record, now)[told:]
    post(record, news, now)
    return record.outbox.events[waiting:]


def read(event: Event) -> dict[str, Any]:
    """What the receiver reads: as the API's document says."""
    body: dict[str, Any] = json.loads(event.body)
    schema = DOCUMENT["webhooks"][event.type]["post"]["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(body)
    assert body["data"].keys() - {"until"} == set(DOCUMENT["components"]["schemas"]["EventData"]["required"])
    return body


def store(generation: Generation, now: float) -> list[Event]:
    rendition = generation.renditions[0]
    generation.claim_mirror(rendition, now, POLICY)
    return change(generation, lambda: generation.store(rendition, "veo/t1/result-0.mp4", 9, "ab", MEDIA, now), now)


def test_a_stored_file_is_an_event(mirroring: Generation) -> None:
    mirroring.set_labels({"shop": "a"}, 1000.0)
    [event] = store(mirroring, 1010.0)
    assert (event.type, event.at) == (STORED, 1010.0)
    body = read(event)
    assert (body["type"], body["timestamp"]) == (STORED, "1970-01-01T00:16:50.000Z")
    assert body["data"] == {
        "taskId": "t1",
        "id": None,
        "labels": {"shop": "a"},
        "kind": "result",
        "index": 0,
        "state": "stored",
        "key": "veo/t1/result-0.mp4",
        "bytes": 9,
        "sha256": "ab",
        "width": 1280,
        "height": 720,
        "seconds": 8.0,
        "attempts": 1,
        "storedAt": "1970-01-01T00:16:50.000Z",
        "error": None,
    }


def test_a_file_that_is_given_up_is_one_event_and_that_its_generation_is_lost_by_it_no_other(
    mirroring: Generation,
) -> None:
    [event] = change(mirroring, lambda: mirroring.fail(mirroring.renditions[0], "dead", 1010.0), 1010.0)
    data = read(event)["data"]
    assert (event.type, data["kind"], data["state"], data["error"]) == (FAILED, "result", "failed", "dead")
    assert mirroring.state == "lost"


def test_an_upgrade_that_cannot_be_had_has_failed(mirroring: Generation) -> None:
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    claim, rendition = mirroring.claim_upgrade(Kind.UHD, 0, 1000.0, POLICY, "x"), mirroring.find(Kind.UHD, 0)
    assert claim is not None
    assert rendition is not None
    assert mirroring.may_send_order(rendition, claim.fence, 1000.0, POLICY)
    gone = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old")
    [event] = change(mirroring, lambda: mirroring.hear_order(rendition, gone, 1001.0, POLICY), 1001.0)
    data = read(event)["data"]
    assert (event.type, data["kind"], data["state"], data["error"]) == (FAILED, "4k", "unavailable", "too old")


def test_an_upgrade_that_nobody_asked_for_is_no_event(mirroring: Generation) -> None:
    assert change(mirroring, lambda: mirroring.deny_upgrade(Kind.HD, 0, "not asked for", 1001.0), 1001.0) == []


@pytest.mark.parametrize("end", ["failed", "lost"])
def test_a_generation_without_a_video_has_failed(waiting: Generation, end: str) -> None:
    def fail() -> None:
        if end == "failed":
            waiting.hear(Verdict(Progress.FAILED, 422, "not allowed"), "poll", 1010.0)
        else:
            waiting.await_verdict(1000.0 + POLICY.give_up_after, POLICY)

    [event] = change(waiting, fail, 1010.0)
    data = read(event)["data"]
    assert (event.type, data["taskId"], data["state"], data["kind"]) == (FAILED, "t1", end, None)
    assert data["error"] == ("not allowed" if end == "failed" else f"no verdict within {POLICY.give_up_after:g} s")


def test_what_is_at_risk_says_until_when_and_which_file_it_is(mirroring: Generation) -> None:
    rendition, events = mirroring.renditions[0], []
    for now in (1010.0, 1020.0, 1030.0, 1040.0):
        mirroring.claim_mirror(rendition, now, POLICY)
        events += change(mirroring, lambda now=now: mirroring.retry_later(rendition, "HTTP 502", now, POLICY, 0.0), now)
    [event] = events
    data = read(event)["data"]
    assert (event.type, data["kind"], data["error"]) == (AT_RISK, "result", "HTTP 502")
    assert data["until"] == "1970-01-15T00:16:40.000Z"
    assert set(data) == {"taskId", "id", "labels", "until", *FIELDS}
    assert rendition.url == LINK
    assert LINK not in event.body  # it is the vendor's, and may be signed


def test_a_submission_that_is_refused_has_failed(waiting: Generation) -> None:
    submission = _submission()
    fence = submission.claim(1000.0, POLICY, early=False)
    assert fence is not None
    sending = submission.may_send(fence, 1000.0, POLICY)
    assert sending is not None
    answer = SubmitAnswer(SubmitProgress.REFUSED, 402, "no credits")
    [event] = change(submission, lambda: submission.hear(answer, sending, 1001.0, POLICY, 0.0), 1001.0)
    data = read(event)["data"]
    assert (event.type, data["taskId"], data["id"], data["state"]) == (FAILED, None, OWN_ID, "failed")
    assert "no credits" in data["error"]
    assert submission.agenda(pending=False) == {Item(Step.NOTIFY, OWN_ID): 1001.0}
    assert submission.find_work(Item(Step.NOTIFY, OWN_ID)) is submission.outbox.work


def test_what_was_long_ago_is_not_told_anew(mirroring: Generation) -> None:
    store(mirroring, 1010.0)
    again = restore(read_manifest(render(mirroring)), 2000.0, lambda: "token")
    assert not post(again, tell_changes(Standing(), again, 2000.0), 2000.0)


# --- ids -------------------------------------------------------------------------------------------------------------------


def test_ids_say_what_happened_and_not_when(mirroring: Generation) -> None:
    """After Redis has lost the last minutes the same file is stored a second time, and is the same event."""
    twin = mirroring.model_copy(deep=True)
    [one], [other] = store(mirroring, 1010.0), store(twin, 1050.0)
    assert one.id == other.id
    assert one.id.startswith("evt_")
    assert len(one.id) == 36


def test_each_round_of_failures_is_an_event_of_its_own(mirroring: Generation) -> None:
    rendition, ids = mirroring.renditions[0], []
    for now in (1010.0, 1020.0):
        ids += [event.id for event in change(mirroring, lambda now=now: mirroring.fail(rendition, "dead", now), now)]
        mirroring.retry(now + 1)
    ids += [event.id for event in store(mirroring, 1030.0)]
    assert len(set(ids)) == len(ids) == 3


# --- the outbox ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(waiting: Generation) -> Generation:
    """With three events that wait."""
    waiting.outbox.add([Event(id=f"evt_{n}", type=STORED, at=1000.0, body="{}") for n in range(3)], 1000.0)
    return waiting


def take(generation: Generation, now: float) -> tuple[int, Event]:
    claim = claim_event(generation, now, POLICY)
    assert claim is not None
    return claim


def test_events_leave_in_order_and_one_at_a_time(told: Generation) -> None:
    left = []
    while told.outbox.events:
        claim = take(told, 1000.0)
        assert claim_event(told, 1000.0, POLICY) is None  # somebody is at it
        left.append(claim[1].id)
        finish_event(told, *claim, 1000.0)
    assert left == ["evt_0", "evt_1", "evt_2"]
    assert told.outbox == Outbox()
    assert "outbox" not in told.model_dump(exclude_defaults=True)
    assert Item(Step.NOTIFY, "t1") not in told.agenda(pending=False)


def test_one_that_was_not_taken_holds_up_those_behind_it_and_waits_longer_each_time(told: Generation) -> None:
    now, pauses = 1000.0, []
    for _ in range(4):
        fence, event = take(told, now)
        assert event.id == "evt_0"
        postpone_event(told, fence, event, "HTTP 500", now, POLICY, 0.5)
        assert told.outbox.work.at is not None
        pauses.append(told.outbox.work.at - now)
        now = told.outbox.work.at
    assert pauses == [1.0, 2.0, 4.0, 8.0]
    assert (told.outbox.attempts, told.outbox.error) == (4, "HTTP 500")
    finish_event(told, *take(told, now), now)
    assert (told.outbox.attempts, told.outbox.error) == (0, "")


def test_one_that_nobody_takes_for_a_day_is_dropped_visibly_and_the_next_one_goes(told: Generation) -> None:
    late = 1000.0 + LIFETIME - 1
    fence, event = take(told, late)
    postpone_event(told, fence, event, "HTTP 500", late, POLICY, 0.9)
    assert [event.id for event in told.outbox.events] == ["evt_1", "evt_2"]
    assert told.outbox.work == Work(at=late, fence=fence)
    dropped = told.news[-1]
    assert (dropped.name, dict(dropped.facts)) == (
        "event.dropped",
        {"type": STORED, "reason": "given up after 24 h: HTTP 500"},
    )


def test_a_receiver_that_wants_no_more_has_all_that_wait_dropped(told: Generation) -> None:
    stop_events(told, *take(told, 1000.0), "HTTP 410", 1000.0)
    assert told.outbox == Outbox()
    assert [news.name for news in told.news].count("event.dropped") == 3


def test_a_worker_that_comes_too_late_takes_away_nothing(told: Generation) -> None:
    slow = take(told, 1000.0)
    quick = take(told, 1000.0 + POLICY.lease)  # the claim has lapsed
    finish_event(told, *slow, 1061.0)
    postpone_event(told, *slow, "HTTP 500", 1061.0, POLICY, 0.5)
    stop_events(told, *slow, "HTTP 410", 1061.0)
    assert len(told.outbox.events) == 3
    finish_event(told, *quick, 1062.0)
    assert len(told.outbox.events) == 2


def test_numbers_of_claims_that_begin_anew_are_no_danger(waiting: Generation) -> None:
    """A box that was empty forgets its numbers: a worker of before may hold the same one, on another event."""
    old, new = (Event(id=name, type=STORED, at=1000.0, body="{}") for name in ("old", "new"))
    waiting.outbox.add([old], 1000.0)
    slow = take(waiting, 1000.0)
    finish_event(waiting, *take(waiting, 1060.0), 1060.0)
    waiting.outbox.add([new], 1061.0)
    assert take(waiting, 1061.0)[0] == slow[0]
    finish_event(waiting, *slow, 1062.0)
    assert waiting.outbox.events == [new]


def test_the_same_event_does_not_wait_twice(told: Generation) -> None:
    assert not told.outbox.add([Event(id="evt_1", type=STORED, at=1001.0, body="{}")], 1001.0)
    assert len(told.outbox.events) == 3


def _submission() -> Submission:
    submission = Submission(
        id=OWN_ID, tracked_at=1000.0, request=GenerateRequest(prompt="a cat"), fingerprint="f", token="t"
    )
    submission.work.put_back(1000.0)
    return submission
