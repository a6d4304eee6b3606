"""What each transition tells, and how a timeline keeps it."""

from collections.abc import Callable

import pytest

from app.domain.callbacks import Callback, Outcome
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.news import FORMS, LONGEST_REASON, News, Teller, read_line, write_line
from app.domain.policy import DEAD_ROUNDS, Policy
from app.domain.rendition import Rendition
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind

SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4",)))
FAILURE = Verdict(Progress.FAILED, 500, "broken")
MEDIA = Media("video/mp4", "mp4", 1280, 720, 8.0)
ORDERED = OrderAnswer(OrderProgress.ORDERED, 200)
UNCERTAIN = OrderAnswer(OrderProgress.UNCERTAIN, msg="ReadTimeout")
GONE = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old")
POLICY = Policy()
OWN_ID = "sub_0123456789abcdef0123456789abcdef"


def told_by(teller: Teller, act: Callable[[], object]) -> list[tuple[str, dict[str, object]]]:
    """The news of one transition: names, and the facts that say something."""
    before = len(teller.news)
    act()
    return [
        (news.name, {name: value for name, value in news.facts.items() if value is not None and value is not False})
        for news in teller.news[before:]
    ]


def claimed(generation: Generation, now: float) -> Rendition:
    rendition = generation.renditions[0]
    assert generation.claim_mirror(rendition, now, POLICY) is not None
    return rendition


def ordered(generation: Generation, now: float = 1000.0) -> Rendition:
    """A 4K whose order has gone out."""
    generation.want_upgrade(Kind.UHD, 0, now)
    send(generation, now)
    found = generation.find(Kind.UHD, 0)
    assert found is not None
    return found


def send(generation: Generation, now: float) -> None:
    claim = generation.claim_upgrade(Kind.UHD, 0, now, POLICY, "secret-token")
    rendition = generation.find(Kind.UHD, 0)
    assert claim is not None
    assert rendition is not None
    assert generation.may_send_order(rendition, claim.fence, now, POLICY)


# --- verdicts ----------------------------------------------------------------------------------------------------------


def test_tracking_is_told(waiting: Generation) -> None:
    assert waiting.news == (News(1000.0, "generation.tracked"),)


def test_a_callback_is_told_with_what_authenticates_it_and_whether_it_repeats(waiting: Generation) -> None:
    def call_back() -> None:
        waiting.count_callback("generation succeeded 200", 1001.0, route="generation", trust="signed")

    facts = {"route": "generation", "trust": "signed"}
    assert told_by(waiting, call_back) == [("callback.received", facts)]
    assert told_by(waiting, call_back) == [("callback.received", facts | {"duplicate": True})]


@pytest.mark.parametrize("source", ["callback", "poll"])
@pytest.mark.parametrize("verdict", [SUCCESS, FAILURE])
def test_a_verdict_is_told_once_however_often_it_comes(waiting: Generation, verdict: Verdict, source: str) -> None:
    waiting.count_callback("generation succeeded 200", 1001.0)
    facts = {"outcome": str(verdict.progress), "source": source, "code": verdict.code}
    assert told_by(waiting, lambda: waiting.hear(verdict, source, 1002.0)) == [("verdict", facts)]
    assert told_by(waiting, lambda: waiting.hear(verdict, "poll", 1003.0)) == []


def test_a_verdict_says_if_no_callback_had_come_for_it(waiting: Generation) -> None:
    waiting.count_callback("4k/0 succeeded 200", 1001.0)  # about an upgrade
    [(_, facts)] = told_by(waiting, lambda: waiting.hear(SUCCESS, "poll", 1002.0))
    assert facts["missing"] is True


def test_what_was_made_long_ago_calls_back_no_more_and_misses_nothing(waiting: Generation) -> None:
    waiting.old = True
    [(_, facts)] = told_by(waiting, lambda: waiting.hear(SUCCESS, "poll", 1002.0))
    assert "missing" not in facts


def test_a_callback_that_comes_after_all_is_told_as_late_once(waiting: Generation) -> None:
    waiting.hear(SUCCESS, "poll", 1002.0)
    late = [
        "late" in told_by(waiting, lambda said=said: waiting.count_callback(said, 1003.0))[0][1]  # type: ignore[misc]
        for said in ("4k/0 succeeded 200", "generation succeeded 200", "generation succeeded 200", "generation ask 0")
    ]
    assert late == [False, True, False, False]


def test_an_answer_of_the_vendor_is_told(waiting: Generation) -> None:
    assert told_by(waiting, lambda: waiting.note_answer("generating", 1001.0)) == [
        ("poll.answered", {"answer": "generating"})
    ]


def test_a_retry_is_told_if_there_was_something_to_try(waiting: Generation) -> None:
    assert told_by(waiting, lambda: waiting.retry(1001.0)) == []
    waiting.hear(FAILURE, "poll", 1002.0)
    assert told_by(waiting, lambda: waiting.retry(1003.0)) == [("retry.asked", {})]


def test_a_retry_of_a_file_is_told(mirroring: Generation) -> None:
    mirroring.fail(mirroring.renditions[0], "gone", 1001.0)
    assert told_by(mirroring, lambda: mirroring.retry(1002.0)) == [("retry.asked", {})]


def test_what_a_submission_has_brought_about_is_told(waiting: Generation) -> None:
    submission = _submission()
    assert told_by(waiting, lambda: waiting.adopt(submission, 1001.0)) == [("generation.linked", {"id": OWN_ID})]
    assert told_by(waiting, lambda: waiting.adopt(submission, 1002.0)) == []


def test_what_the_vendor_took_is_told_with_the_difference_if_it_was_bought_here(waiting: Generation) -> None:
    assert told_by(waiting, lambda: waiting.hear_credits(1.0, 1001.0)) == []
    waiting.adopt(_submission(), 1002.0)
    assert told_by(waiting, lambda: waiting.hear_credits(55.5, 1003.0)) == [
        ("purchase.billed", {"kind": "generation", "credits": 55.5, "more": 54.5})
    ]


# --- files -------------------------------------------------------------------------------------------------------------


def test_a_stored_file_is_told_once_with_the_time_it_took(mirroring: Generation) -> None:
    rendition = claimed(mirroring, 1002.0)
    store = lambda: mirroring.store(rendition, "k", 5, "ab", MEDIA, 1007.5)  # noqa: E731
    facts = {"kind": "result", "index": 0, "bytes": 5, "attempt": 1, "seconds": 7.5}
    assert told_by(mirroring, store) == [("rendition.stored", facts)]
    assert told_by(mirroring, store) == []


def test_the_time_that_it_took_begins_with_the_callback(waiting: Generation) -> None:
    waiting.count_callback("generation succeeded 200", 1004.0, came_at=1001.0)
    waiting.hear(SUCCESS, "callback", 1005.0)
    waiting.store(claimed(waiting, 1006.0), "k", 5, "ab", MEDIA, 1008.0)
    assert waiting.news[-1].facts["seconds"] == 7.0
    assert "called_at" not in waiting.model_dump(exclude_defaults=True)
    assert "known_at" not in waiting.model_dump(exclude_defaults=True)["renditions"][0]


def test_a_clock_that_runs_ahead_makes_no_time_negative(waiting: Generation) -> None:
    waiting.count_callback("generation succeeded 200", 1004.0, came_at=9999.0)
    waiting.hear(SUCCESS, "callback", 1005.0)
    waiting.store(claimed(waiting, 1006.0), "k", 5, "ab", MEDIA, 1008.0)
    assert waiting.news[-1].facts["seconds"] == 4.0


def test_a_retry_begins_the_time_anew(mirroring: Generation) -> None:
    mirroring.fail(mirroring.renditions[0], "gone", 1001.0)
    mirroring.retry(90_000.0)
    mirroring.store(claimed(mirroring, 90_001.0), "k", 5, "ab", MEDIA, 90_003.0)
    assert mirroring.news[-1].facts["seconds"] == 3.0


def test_a_failed_attempt_is_told_without_what_nobody_may_see(mirroring: Generation) -> None:
    rendition = claimed(mirroring, 1002.0)
    error = f"GET https://x/0.mp4?X-Amz-Signature=planted {'x' * 1000}"
    [(name, facts)] = told_by(mirroring, lambda: mirroring.retry_later(rendition, error, 1003.0, POLICY, 0.5))
    assert (name, facts["kind"], facts["index"], facts["attempt"]) == ("attempt.failed", "result", 0, 1)
    reason = str(facts["reason"])
    assert reason.startswith("GET https://x/0.mp4?… x")
    assert len(reason) == LONGEST_REASON


def test_a_file_that_is_given_up_is_told_once(mirroring: Generation) -> None:
    rendition = claimed(mirroring, 1002.0)
    late = 1002.0 + POLICY.link_lifetime
    told = told_by(mirroring, lambda: mirroring.retry_later(rendition, "HTTP 502", late, POLICY, 0.5))
    assert [name for name, _ in told] == ["rendition.failed"]
    assert str(told[0][1]["reason"]).startswith("given up at the end")


def test_a_dead_link_is_told_at_each_round_and_at_the_end(mirroring: Generation) -> None:
    rendition, names = mirroring.renditions[0], []
    for number in range(DEAD_ROUNDS):
        now = 2000.0 + number * POLICY.dead_after
        told = told_by(mirroring, lambda now=now: mirroring.find_dead(rendition, "404", now, POLICY, 0.5))  # type: ignore[misc]
        names += [name for name, _ in told]
    assert names == ["attempt.failed"] * (DEAD_ROUNDS - 1) + ["rendition.failed"]


@pytest.mark.parametrize(("url", "how"), [("https://x/new.mp4", "address"), ("", "link")])
def test_a_renewed_link_is_told_and_not_shown(mirroring: Generation, url: str, how: str) -> None:
    rendition = claimed(mirroring, 1002.0)
    told = told_by(
        mirroring, lambda: mirroring.follow_link(rendition, url, "https://x/?sig=planted", "404", 1003.0, POLICY, 0.5)
    )
    assert [name for name, _ in told] == ["attempt.failed", "link.renewed"]
    assert told[1][1] == {"kind": "result", "index": 0, "how": how}
    assert "planted" not in str(told)


def test_manifests_are_told(mirroring: Generation) -> None:
    mirroring.fail(mirroring.renditions[0], "gone", 1001.0)
    fence = mirroring.claim_manifest(1002.0, POLICY)
    assert fence is not None
    assert told_by(mirroring, lambda: mirroring.postpone_manifest(fence, "HTTP 503", 1003.0, POLICY, 0.5)) == [
        ("manifest.failed", {"reason": "HTTP 503"})
    ]
    fence = mirroring.claim_manifest(1100.0, POLICY)
    assert fence is not None
    finish = lambda: mirroring.finish_manifest(fence, mirroring.changes, None, 1101.0)  # noqa: E731
    assert told_by(mirroring, finish) == [("manifest.written", {})]
    assert told_by(mirroring, finish) == [], "the claim is over"


# --- upgrades ----------------------------------------------------------------------------------------------------------


def test_an_order_is_told_from_the_intention_to_the_vendors_word(mirroring: Generation) -> None:
    price = POLICY.price(Kind.UHD)
    facts: dict[str, object] = {"kind": "4k", "index": 0}
    assert told_by(mirroring, lambda: ordered(mirroring)) == [("purchase.intended", facts | {"credits": price})]
    rendition = mirroring.find(Kind.UHD, 0)
    assert rendition is not None
    hear = lambda: mirroring.hear_order(rendition, ORDERED, 1001.0, POLICY)  # noqa: E731
    assert told_by(mirroring, hear) == [("purchase.accepted", facts | {"credits": price})]
    assert told_by(mirroring, hear) == [], "the vendor has said so before"
    billed = told_by(mirroring, lambda: mirroring.bill_order(rendition, price + 2.5, 1002.0))
    assert billed == [("purchase.billed", facts | {"credits": price + 2.5, "more": 2.5})]
    assert told_by(mirroring, lambda: mirroring.bill_order(rendition, price + 2.5, 1003.0)) == []


def test_a_refused_order_is_told(mirroring: Generation) -> None:
    rendition = ordered(mirroring)
    told = told_by(mirroring, lambda: mirroring.hear_order(rendition, GONE, 1001.0, POLICY))
    facts = {"kind": "4k", "index": 0, "reason": "too old"}
    assert told == [("rendition.unavailable", facts), ("purchase.refused", facts)]


def test_an_order_of_which_nobody_knows_is_told_once(mirroring: Generation) -> None:
    rendition = ordered(mirroring)
    hear = lambda: mirroring.hear_order(rendition, UNCERTAIN, 1001.0, POLICY)  # noqa: E731
    facts = {"kind": "4k", "index": 0, "reason": "ReadTimeout"}
    assert told_by(mirroring, hear) == [("purchase.uncertain", facts)]
    assert told_by(mirroring, hear) == []


def test_a_worker_that_died_in_the_middle_of_an_order_leaves_it_uncertain(mirroring: Generation) -> None:
    ordered(mirroring)
    [(name, _)] = told_by(mirroring, lambda: send(mirroring, 2000.0))
    assert name == "purchase.uncertain"


def test_an_upgrade_that_was_taken_and_never_came_is_no_refusal(mirroring: Generation) -> None:
    rendition = ordered(mirroring)
    mirroring.hear_order(rendition, ORDERED, 1001.0, POLICY)
    told = told_by(mirroring, lambda: mirroring.hear_order(rendition, GONE, 1002.0, POLICY))
    assert [name for name, _ in told] == ["rendition.unavailable"]


# --- submissions -------------------------------------------------------------------------------------------------------


def _submission(extension: bool = False) -> Submission:
    request = ExtendRequest(taskId="t0", prompt="on") if extension else GenerateRequest(prompt="a cat")
    submission = Submission(id=OWN_ID, tracked_at=1000.0, request=request, fingerprint="f", token="t", price=1.0)
    submission.work.at = 1000.0
    return submission


def _sent(extension: bool = False) -> Submission:
    submission = _submission(extension)
    fence = submission.claim(1000.0, POLICY, early=False)
    assert fence is not None
    assert submission.may_send(fence, 1000.0, POLICY) == 1
    return submission


@pytest.mark.parametrize(("extension", "kind"), [(False, "generation"), (True, "extension")])
def test_a_submission_tells_that_it_goes_out_and_that_it_was_taken(extension: bool, kind: str) -> None:
    submission = _sent(extension)
    created = SubmitAnswer(SubmitProgress.CREATED, 200, task_id="t1")
    assert [(news.name, dict(news.facts)) for news in submission.news] == [
        ("purchase.intended", {"kind": kind, "credits": 1.0})
    ]
    hear = lambda: submission.hear(created, 1, 1001.0, POLICY, 0.5)  # noqa: E731
    assert told_by(submission, hear) == [("purchase.accepted", {"kind": kind, "credits": 1.0})]
    assert told_by(submission, lambda: submission.learn("t1", 1002.0)) == []


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (SubmitAnswer(SubmitProgress.REFUSED, 422, "bad prompt"), "purchase.refused"),
        (SubmitAnswer(SubmitProgress.UNCERTAIN, 500, "oops"), "purchase.uncertain"),
    ],
)
def test_a_submission_tells_what_became_of_it(answer: SubmitAnswer, name: str) -> None:
    submission = _sent()
    told = told_by(submission, lambda: submission.hear(answer, 1, 1001.0, POLICY, 0.5))
    assert told == [(name, {"kind": "generation", "reason": answer.msg})]


def test_a_submission_that_goes_again_tells_nothing_but_the_retry(waiting: Generation) -> None:
    submission = _sent()
    busy = SubmitAnswer(SubmitProgress.BUSY, 429, "later")
    assert told_by(submission, lambda: submission.hear(busy, 1, 1001.0, POLICY, 0.5)) == []
    assert told_by(submission, lambda: submission.retry(1002.0)) == [("retry.asked", {})]


def test_what_was_created_and_failed_is_a_verdict() -> None:
    submission = _sent()
    failed = Callback(None, Outcome.FAILED, 501, "broken")
    assert told_by(submission, lambda: submission.hear_callback(failed, 1001.0)) == [
        ("verdict", {"outcome": "failed", "source": "callback", "code": 501})
    ]


# --- what is kept ------------------------------------------------------------------------------------------------------


def test_news_are_no_part_of_what_is_stored(waiting: Generation) -> None:
    read = Generation.model_validate_json(waiting.model_dump_json(exclude_defaults=True))
    assert read == waiting
    assert (len(waiting.news), read.news) == (1, ())


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.code])
def test_a_timeline_gives_back_what_it_was_told(name: str) -> None:
    facts = {fact: value for fact, value in zip(FORMS[name].facts, ("a b|\n[é", 7, 2.5, 1, 0.25), strict=False)}
    when, what = write_line(News(1754556667.1234, name, facts | {"not_kept": 1}))
    assert "\n" not in what
    assert read_line(f"{when} {what}") == News(1754556667.12, name, facts)
    assert read_line(f"{when} 3 1754556700.5 {what}") == News(1754556667.12, name, facts, 3, 1754556700.5)


def test_what_is_not_known_takes_no_room() -> None:
    assert write_line(News(1.0, "callback.received", {"trust": "signed"})) == ("1.00", 'C["signed"]')
    assert write_line(News(1.0, "generation.tracked", {})) == ("1.00", "T")


def test_codes_are_told_apart() -> None:
    codes = [form.code for form in FORMS.values() if form.code]
    assert len(set(codes)) == len(codes)
    assert all(code.isalpha() for code in codes)


@pytest.mark.parametrize("line", ["1.5 ZZ", '1.5 ZZ["future"]', "1.5 S[broken", "1.5 S{}"])
def test_a_line_of_a_newer_version_is_passed_over(line: str) -> None:
    assert read_line(line) is None
