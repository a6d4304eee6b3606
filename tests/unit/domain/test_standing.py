"""The lists that a record is on, what puts it at risk, and what is told when it comes to an end."""

import pytest

from app.domain.container import Media
from app.domain.finding import Filter
from app.domain.generation import MANY_ATTEMPTS, NEAR_END, OVERDUE, Generation
from app.domain.manifest_reading import read_manifest, restore
from app.domain.outbox import Event
from app.domain.policy import Policy
from app.domain.rendition import RETENTION, Rendition
from app.domain.requests import GenerateRequest
from app.domain.standing import MOST_LABELS, Standing, tell_changes
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind
from app.pipeline.manifest import render

POLICY = Policy()
MEDIA = Media("video/mp4", "mp4", 1280, 720, 8.0)
UNCERTAIN = OrderAnswer(OrderProgress.UNCERTAIN, msg="ReadTimeout")
OWN_ID = "sub_0123456789abcdef0123456789abcdef"


def lists(record: Generation | Submission) -> set[str]:
    return set(Standing.of(record).lists)


def fail_once(generation: Generation, now: float) -> Rendition:
    rendition = generation.renditions[0]
    assert generation.claim_mirror(rendition, now, POLICY) is not None
    generation.retry_later(rendition, "HTTP 502", now, POLICY, 0.0)
    return rendition


def order(generation: Generation, now: float, answer: OrderAnswer) -> Rendition:
    generation.want_upgrade(Kind.UHD, 0, now)
    claim = generation.claim_upgrade(Kind.UHD, 0, now, POLICY, "secret")
    rendition = generation.find(Kind.UHD, 0)
    assert rendition is not None
    assert claim is not None
    assert generation.may_send_order(rendition, claim.fence, now, POLICY)
    generation.hear_order(rendition, answer, now, POLICY)
    return rendition


# --- lists -------------------------------------------------------------------------------------------------------------


def test_a_generation_is_listed_by_state_upgrades_and_labels(waiting: Generation) -> None:
    waiting.want_upgrades([Kind.UHD], 1001.0)
    waiting.set_labels({"shop": "a=b", "empty": ""}, 1001.0)
    expected = ["tracked", "state:waiting", "kind:4k", "label:shop=a=b", "label:empty="]
    assert Standing.of(waiting) == Standing(State.WAITING, dict.fromkeys(expected, 1000.0))


def test_an_upgrade_that_was_asked_for_by_itself_counts(mirroring: Generation) -> None:
    mirroring.want_upgrade(Kind.HD, 0, 1001.0)
    assert "kind:1080p" in lists(mirroring)


def test_labels_take_bounded_room(waiting: Generation) -> None:
    waiting.set_labels({f"l{number:03}": "x" for number in range(MOST_LABELS + 5)}, 1001.0)
    assert len([name for name in lists(waiting) if name.startswith("label:")]) == MOST_LABELS


def test_nothing_and_what_has_become_a_generation_are_on_no_list() -> None:
    submission = _submission()
    submission.learn("t1", 1001.0)
    submission.link()
    assert Standing.of(None) == Standing.of(submission) == Standing()


def test_what_waits_for_the_receiver_is_listed_by_the_first_event(waiting: Generation) -> None:
    for record in (waiting, _submission()):
        assert "untold" not in lists(record)
        record.outbox.add([Event(id=name, type="t", at=at, body="") for name, at in (("a", 7.0), ("b", 8.0))], 9.0)
        assert Standing.of(record).lists["untold"] == 7.0
        record.outbox.drop_first(9.0)
        record.outbox.drop_first(9.0)
        assert "untold" not in lists(record)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter(), True),
        (Filter(kind=Kind.UHD), True),
        (Filter(kind=Kind.HD), False),
        (Filter(label=("shop", "Größe 1")), True),
        (Filter(label=("shop", "Größe")), False),
        (Filter(text="T1"), True),
        (Filter(text="grÖSSE 1"), True),
        (Filter(text="gross"), False),
        (Filter(text="shop"), False),
        (Filter(text="not quite"), True),
        (Filter(text="0123456789abcdef"), True),
        (Filter(kind=Kind.UHD, text="elsewhere"), False),
    ],
)
def test_a_filter_judges_all_that_it_names(waiting: Generation, wanted: Filter, fits: bool) -> None:
    waiting.want_upgrades([Kind.UHD], 1001.0)
    waiting.set_labels({"shop": "Größe 1"}, 1001.0)
    waiting.submission, waiting.msg = OWN_ID, "Not quite done"
    assert wanted.fits(waiting, None) is wanted.fits(waiting, State.WAITING) is fits
    assert not wanted.fits(waiting, State.FAILED)


# --- uncertain ---------------------------------------------------------------------------------------------------------


def test_a_purchase_is_uncertain_until_the_vendor_says_what_came_of_it(mirroring: Generation) -> None:
    rendition = order(mirroring, 1001.0, UNCERTAIN)
    assert "uncertain" in lists(mirroring)
    mirroring.hear_order(rendition, OrderAnswer(OrderProgress.ORDERED, 200), 1100.0, POLICY)
    assert "uncertain" not in lists(mirroring)


@pytest.mark.parametrize("progress", [OrderProgress.NOT_YET, OrderProgress.UNAVAILABLE, OrderProgress.ORDERED])
def test_a_purchase_with_an_answer_is_not_uncertain(mirroring: Generation, progress: OrderProgress) -> None:
    order(mirroring, 1001.0, OrderAnswer(progress, 422, "no"))
    assert "uncertain" not in lists(mirroring)


def _submission() -> Submission:
    made = Submission(
        id=OWN_ID, tracked_at=1000.0, request=GenerateRequest(prompt="a cat"), fingerprint="f", token="t", price=1.0
    )
    made.work.at = 1000.0
    return made


def test_a_submission_is_uncertain_until_it_is_given_up() -> None:
    submission = _submission()
    fence = submission.claim(1000.0, POLICY, early=False)
    assert fence is not None
    submission.may_send(fence, 1000.0, POLICY)
    submission.hear(SubmitAnswer(SubmitProgress.UNCERTAIN, 500), 1, 1001.0, POLICY, 0.5)
    assert lists(submission) == {"tracked", "state:uncertain", "uncertain"}
    before, late = Standing.of(submission), 1001.0 + POLICY.give_up_after
    fence = submission.claim(late, POLICY, early=True)
    assert fence is not None
    submission.wait(fence, late, POLICY)
    assert lists(submission) == {"tracked", "state:lost"}
    assert tell_changes(before, submission, late)[-1].name == "generation.lost"


# --- risk --------------------------------------------------------------------------------------------------------------


def test_a_file_that_keeps_failing_is_at_risk_until_it_is_stored(mirroring: Generation) -> None:
    for attempt in range(1, MANY_ATTEMPTS):
        fail_once(mirroring, 1000.0 + attempt)
    assert mirroring.risk_until is None
    rendition = fail_once(mirroring, 2000.0)
    assert Standing.of(mirroring).lists["risk"] == 1000.0 + RETENTION
    mirroring.store(rendition, "k", 5, "ab", MEDIA, 2001.0)
    assert mirroring.risk_until is None


def test_a_file_that_is_given_up_is_no_longer_at_risk(mirroring: Generation) -> None:
    for _ in range(MANY_ATTEMPTS):
        rendition = fail_once(mirroring, 2000.0)
    mirroring.fail(rendition, "gone", 2001.0)
    assert mirroring.risk_until is None


@pytest.mark.parametrize(("left", "at_risk"), [(NEAR_END + 60, False), (NEAR_END - 60, True)])
def test_a_file_whose_link_ends_soon_is_at_risk_from_the_beginning(
    waiting: Generation, left: float, at_risk: bool
) -> None:
    made_at = 1000.0 - RETENTION + left
    verdict = Verdict(Progress.SUCCEEDED, 200, urls=Urls(result=("https://x/0.mp4",)), made_at=made_at)
    waiting.hear(verdict, "poll", 1000.0)
    assert waiting.risk_until == (1000.0 + left if at_risk else None)


def test_the_file_with_the_least_time_left_counts(mirroring: Generation) -> None:
    mirroring.renditions[0].too_late_at, mirroring.too_late_at = 5000.0, 4000.0
    assert mirroring.risk_until == 4000.0


def test_a_verdict_that_is_overdue_is_at_risk_until_it_comes(waiting: Generation) -> None:
    late = 1000.0 + OVERDUE * POLICY.first_poll_after
    waiting.await_verdict(late - 1.0, POLICY)
    assert waiting.risk_until is None
    waiting.await_verdict(late, POLICY)
    assert waiting.risk_until == 1000.0 + POLICY.give_up_after
    waiting.hear(Verdict(Progress.SUCCEEDED, 200, urls=Urls(result=("https://x/0.mp4",))), "poll", late + 1.0)
    assert waiting.risk_until is None


def test_a_verdict_that_is_given_up_is_no_longer_at_risk(waiting: Generation) -> None:
    waiting.await_verdict(50_000.0, POLICY)
    waiting.await_verdict(1000.0 + POLICY.give_up_after, POLICY)
    assert (waiting.state, waiting.risk_until) == (State.LOST, None)


def test_an_old_verdict_that_nobody_knows_is_no_longer_at_risk(waiting: Generation) -> None:
    waiting.old = True
    waiting.await_verdict(50_000.0, POLICY)
    assert waiting.risk_until is not None
    waiting.hear(Verdict(Progress.UNKNOWN, 422), "poll", 50_001.0)
    assert (waiting.state, waiting.risk_until) == (State.LOST, None)


def test_an_upgrade_that_is_overdue_is_at_risk_until_it_comes(mirroring: Generation) -> None:
    rendition = order(mirroring, 1000.0, OrderAnswer(OrderProgress.ORDERED, 200))
    assert mirroring.risk_until is None
    late = 1000.0 + OVERDUE * POLICY.upgrade_pause(Kind.UHD)
    mirroring.hear_order(rendition, UNCERTAIN, late, POLICY)
    assert mirroring.risk_until == 1000.0 + POLICY.give_up_after
    ready = OrderAnswer(OrderProgress.READY, 200, urls=Urls(result=("https://x/4k.mp4",)))
    mirroring.hear_order(rendition, ready, late + 1.0, POLICY)
    assert mirroring.risk_until is None


# --- what is told ------------------------------------------------------------------------------------------------------


def names(before: Standing, generation: Generation, now: float = 3000.0) -> list[str]:
    return [news.name for news in tell_changes(before, generation, now)]


@pytest.mark.parametrize(
    ("verdict", "name"),
    [(Verdict(Progress.FAILED, 500), "generation.failed"), (Verdict(Progress.GENERATING), "generation.lost")],
)
def test_an_end_without_a_file_is_told_once(waiting: Generation, verdict: Verdict, name: str) -> None:
    before = Standing.of(waiting)
    waiting.hear(verdict, "poll", 1001.0)
    waiting.await_verdict(1000.0 + POLICY.give_up_after, POLICY)
    assert names(before, waiting)[-1] == name
    assert name not in names(Standing.of(waiting), waiting)


def test_completion_is_told_when_the_manifest_is_written(mirroring: Generation) -> None:
    mirroring.store(mirroring.renditions[0], "k", 5, "ab", MEDIA, 2000.0)
    fence = mirroring.claim_manifest(2001.0, POLICY)
    assert fence is not None
    before = Standing.of(mirroring)
    assert "generation.complete" not in names(before, mirroring)
    mirroring.finish_manifest(fence, mirroring.changes, 2001.0, 2002.0)
    assert names(before, mirroring)[-2:] == ["manifest.written", "generation.complete"]


def test_that_something_is_at_risk_is_told_once(mirroring: Generation) -> None:
    before = Standing.of(mirroring)
    for _ in range(MANY_ATTEMPTS):
        fail_once(mirroring, 2000.0)
    assert names(before, mirroring)[-1] == "generation.at_risk"
    assert "generation.at_risk" not in names(Standing.of(mirroring), mirroring)


def test_what_is_rebuilt_ended_long_ago(mirroring: Generation) -> None:
    mirroring.store(mirroring.renditions[0], "k", 5, "ab", MEDIA, 2000.0)
    shown = mirroring.model_copy(update={"complete_at": 2001.0})
    rebuilt = restore(read_manifest(render(shown)), 9000.0, lambda: "token")
    assert rebuilt.state is State.COMPLETE
    assert names(Standing(), rebuilt) == ["generation.rebuilt"]
