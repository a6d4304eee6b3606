"""A generation as users see it (design: the JSON of the API and of the manifest)."""

import json

import pytest

from app.domain.asked import Asked
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.view import describe, show_time
from app.domain.work import Kind

#: 2026-08-06T06:57:57Z
START = 1785999477.0


@pytest.fixture
def busy(policy: Policy) -> Generation:
    """One result stored, one that failed once, and a 4K with an id, a token and a signed link of its own."""
    generation = Generation.track("t1", START, policy)
    generation.set_labels({"project": "cats"}, START)
    generation.count_callback("generation succeeded 200", START + 1)
    generation.count_callback("generation succeeded 200", START + 2)
    urls = Urls(result=("https://x/0.mp4?sig=secret", "https://x/1.mp4?sig=secret"))
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "done", urls, credits=60.5), "callback", START + 3)
    first, second = generation.renditions
    generation.claim_mirror(first, START + 4, policy)
    generation.store(
        first, "veo/t1/result-0.mp4", 3009049, "ab" * 32, Media("video/mp4", "mp4", 1280, 720, 8.0), START + 5
    )
    generation.claim_mirror(second, START + 4, policy)
    generation.retry_later(second, "cut short", START + 6, policy, 0.5)
    second.link = "https://x/fresh?sig=secret"
    generation.want_upgrades([Kind.UHD], START + 6)
    claim = generation.claim_upgrade(Kind.UHD, 0, START + 6, policy, "secret-token")
    assert claim is not None
    assert generation.may_send_order(generation.renditions[2], claim.fence, START + 6, policy)
    answer = OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias1")
    generation.hear_order(generation.renditions[2], answer, START + 7, policy)
    return generation


def test_a_generation_is_described_with_every_field(busy: Generation) -> None:
    described = describe(busy)
    renditions = described.pop("renditions")
    assert described == {
        "id": None,
        "taskId": "t1",
        "state": "mirroring",
        "code": 200,
        "msg": "done",
        "error": None,
        "mismatch": None,
        "fallback": False,
        "extends": None,
        "old": False,
        "request": None,
        "fingerprint": None,
        "asked": None,
        "labels": {"project": "cats"},
        "upgrades": ["4k"],
        "trackedAt": "2026-08-06T06:57:57.000Z",
        "verdictAt": "2026-08-06T06:58:00.000Z",
        "completeAt": None,
        "verdictFrom": "callback",
        "callbacks": {"received": 2, "duplicates": 1},
        "heard": ["generation succeeded 200"],
        "creditsReserved": None,
        "creditsConsumed": 60.5,
    }
    assert renditions[0] == {
        "kind": "result",
        "index": 0,
        "state": "stored",
        "key": "veo/t1/result-0.mp4",
        "bytes": 3009049,
        "sha256": "ab" * 32,
        "width": 1280,
        "height": 720,
        "seconds": 8.0,
        "audio": None,
        "mismatch": None,
        "attempts": 1,
        "storedAt": "2026-08-06T06:58:02.000Z",
        "nextAt": None,
        "error": None,
    }


def test_what_was_submitted_here_says_what_was_asked_for_and_what_it_costs(busy: Generation) -> None:
    busy.adopt(_submission(EXTENSION, price=250.0), START + 10)
    described = describe(busy)
    assert (described["id"], described["taskId"], described["extends"]) == (OWN_ID, "t1", "t0")
    assert described["request"] == {"taskId": "t0", "prompt": "it goes on", "model": "quality"}
    assert (described["creditsReserved"], described["creditsConsumed"]) == (250.0, 60.5)


def test_an_upgrade_says_what_it_costs_and_how_often_it_was_ordered(busy: Generation) -> None:
    result, _, upgrade = describe(busy)["renditions"]
    assert (upgrade["creditsReserved"], upgrade["creditsConsumed"], upgrade["orders"]) == (120.0, None, 1)
    assert not {"creditsReserved", "creditsConsumed", "orders"} & result.keys()
    order = busy.renditions[2].order
    assert order is not None
    order.credits = 0.0
    assert describe(busy)["renditions"][2]["creditsConsumed"] == 0.0


def test_an_upgrade_that_was_not_ordered_costs_nothing_yet(mirroring: Generation) -> None:
    mirroring.want_upgrade(Kind.HD, 0, 1000.0)
    upgrade = describe(mirroring)["renditions"][1]
    assert (upgrade["creditsReserved"], upgrade["creditsConsumed"], upgrade["orders"]) == (None, None, 0)


def test_what_is_not_as_it_was_asked_is_said(policy: Policy) -> None:
    generation = Generation.track("t1", START, policy)
    urls, asked = Urls(result=("https://x/0.mp4", "")), Asked(resolution="1080p")
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "", urls, asked=asked), "poll", START)
    media = Media("video/mp4", "mp4", 1280, 720, 8.0, audio=True)
    generation.store(generation.renditions[0], "key", 5, "ab" * 32, media, START)
    described = describe(generation)
    assert described["mismatch"] == "the vendor's list of results has 2 entries, of which 1 name no file"
    result = described["renditions"][0]
    assert (result["mismatch"], result["audio"]) == (
        "a result with 720 lines (1280×720): 1080p was asked for",
        True,
    )


def test_a_rendition_that_is_under_way_says_when_it_is_next_looked_at_and_why(busy: Generation) -> None:
    second, upgrade = describe(busy)["renditions"][1:]
    assert (second["state"], second["error"], second["nextAt"]) == (
        "mirroring",
        "cut short",
        "2026-08-06T06:58:04.000Z",
    )
    assert (second["key"], second["bytes"], second["sha256"], second["storedAt"]) == (None, None, None, None)
    assert (upgrade["kind"], upgrade["state"], upgrade["nextAt"]) == ("4k", "requested", "2026-08-06T07:08:04.000Z")


def test_neither_urls_nor_tokens_nor_the_vendors_ids_are_shown(busy: Generation) -> None:
    text = json.dumps(describe(busy))
    assert "secret" not in text
    assert "http" not in text


def test_it_is_plain_json(busy: Generation) -> None:
    assert json.loads(json.dumps(describe(busy), allow_nan=False)) == describe(busy)


def test_a_generation_without_a_verdict_is_described_too(waiting: Generation) -> None:
    described = describe(waiting)
    assert (described["state"], described["code"], described["verdictFrom"]) == ("waiting", None, None)
    assert (described["verdictAt"], described["renditions"]) == (None, [])


def test_a_lost_files_reason_is_the_generations(mirroring: Generation) -> None:
    mirroring.fail(mirroring.renditions[0], "link dead everywhere: HTTP 404", 1100.0)
    described = describe(mirroring)
    assert (described["state"], described["error"]) == ("lost", "link dead everywhere: HTTP 404")


def test_why_the_vendor_cannot_be_asked_is_shown(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1300.0, policy, "HTTP 502, not JSON")
    described = describe(waiting)
    assert (described["state"], described["error"]) == ("waiting", "the vendor cannot be asked: HTTP 502, not JSON")


def test_a_generation_that_is_asked_about_anew_shows_nothing_of_its_former_failure(waiting: Generation) -> None:
    waiting.hear(Verdict(Progress.FAILED, 500, "broken"), "poll", 1100.0)
    waiting.retry(1200.0)
    described = describe(waiting)
    assert (described["state"], described["code"], described["msg"]) == ("waiting", None, "")
    assert (described["verdictAt"], described["verdictFrom"]) == (None, None)


def test_a_lost_generation_says_why(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(90_000.0, policy)
    assert describe(waiting)["error"] == "no verdict within 86400 s"


def test_a_rendition_that_ended_has_no_next_time(mirroring: Generation) -> None:
    mirroring.renditions[0].state = RenditionState.FAILED
    assert describe(mirroring)["renditions"][0]["nextAt"] is None


@pytest.mark.parametrize(
    ("at", "shown"), [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (1.0005, "1970-01-01T00:00:01.000Z")]
)
def test_times_are_utc_with_milliseconds(at: float | None, shown: str | None) -> None:
    assert show_time(at) == shown


# --- submissions that no generation has come of yet ---------------------------------------------------------------------

OWN_ID = "sub_0123456789abcdef0123456789abcdef"
PICTURES = ["https://x/a.png?sig=secret"]
CAT = GenerateRequest(prompt="a cat", imageUrls=PICTURES, model="veo3")
EXTENSION = ExtendRequest(taskId="t0", prompt="it goes on", model="quality")
ANSWERS = {progress: SubmitAnswer(progress, 402, "so it is") for progress in SubmitProgress}


def _submission(request: Request = CAT, price: float = 0.0) -> Submission:
    submission = Submission(
        id=OWN_ID,
        tracked_at=START,
        request=request,
        fingerprint="f",
        labels={"project": "cats"},
        upgrades=[Kind.UHD],
        token="secret-token",
        price=price,
    )
    submission.work.at = START + 5
    return submission


def _sent(policy: Policy, answer: SubmitAnswer) -> Submission:
    submission = _submission()
    fence = submission.claim(START + 5, policy, early=False)
    assert fence is not None
    assert submission.may_send(fence, START + 5, policy) == 1
    submission.hear(answer, 1, START + 6, policy, 0.5)
    return submission


def test_a_submission_is_described_with_every_field() -> None:
    assert describe(_submission(price=250.0)) == {
        "id": OWN_ID,
        "taskId": None,
        "state": "waiting",
        "code": None,
        "msg": "",
        "error": None,
        "mismatch": None,
        "fallback": False,
        "extends": None,
        "old": False,
        "request": {
            "prompt": "a cat",
            "imageUrls": ["https://x/a.png"],
            "model": "veo3",
            "aspect_ratio": "16:9",
            "enableTranslation": True,
            "enableFallback": False,
        },
        "fingerprint": "f",
        "asked": {"resolution": None, "seconds": None, "aspectRatio": "16:9"},
        "labels": {"project": "cats"},
        "upgrades": ["4k"],
        "trackedAt": "2026-08-06T06:57:57.000Z",
        "sentAt": None,
        "nextAt": "2026-08-06T06:58:02.000Z",
        "verdictAt": None,
        "completeAt": None,
        "verdictFrom": None,
        "callbacks": {"received": 0, "duplicates": 0},
        "heard": [],
        "creditsReserved": 250.0,
        "creditsConsumed": None,
        "renditions": [],
    }


def test_a_submission_has_the_names_of_a_generation(waiting: Generation) -> None:
    assert describe(_submission()).keys() - describe(waiting).keys() == {"sentAt", "nextAt"}
    assert describe(waiting).keys() <= describe(_submission()).keys()


def test_an_extension_says_what_it_extends() -> None:
    assert describe(_submission(EXTENSION))["extends"] == "t0"


@pytest.mark.parametrize(
    ("answer", "state", "error", "sent", "due"),
    [
        (
            ANSWERS[SubmitProgress.REFUSED],
            "failed",
            "the vendor refused it, nothing was created: so it is",
            False,
            False,
        ),
        (ANSWERS[SubmitProgress.BUSY], "waiting", "not taken yet, goes again: so it is", False, True),
        (ANSWERS[SubmitProgress.UNCERTAIN], "uncertain", "it may or may not have been created (so it is)", True, True),
    ],
    ids=["refused", "busy", "uncertain"],
)
def test_a_submission_says_what_became_of_it_and_when_it_is_looked_at_next(
    policy: Policy, answer: SubmitAnswer, state: str, error: str, sent: bool, due: bool
) -> None:
    described = describe(_sent(policy, answer))
    assert (described["state"], described["code"], described["msg"]) == (state, 402, "so it is")
    assert described["error"].startswith(error)
    assert described["sentAt"] == ("2026-08-06T06:58:02.000Z" if sent else None)
    assert (described["nextAt"] is not None) is due


@pytest.mark.parametrize("linked", [False, True])
def test_a_submission_that_was_created_waits_under_the_vendors_id(policy: Policy, linked: bool) -> None:
    submission = _sent(policy, SubmitAnswer(SubmitProgress.CREATED, 200, "success", "v1"))
    if linked:
        submission.link()
    described = describe(submission)
    assert (described["id"], described["taskId"], described["state"]) == (OWN_ID, "v1", "waiting")
    assert described["error"] is None


def test_neither_tokens_nor_signed_queries_of_a_submission_are_shown(policy: Policy) -> None:
    for answer in ANSWERS.values():
        assert "secret" not in json.dumps(describe(_sent(policy, answer)), allow_nan=False)
