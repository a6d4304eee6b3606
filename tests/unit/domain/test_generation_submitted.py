"""Generations that were submitted here: adopting a submission; and what can be extended and upgraded."""

import pytest

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Item, Kind, Step

OWN_ID, OTHER_ID = f"sub_{'0' * 32}", f"sub_{'f' * 32}"
PICTURES = ["https://x/a.png?sig=s3cret"]
CAT = GenerateRequest(prompt="a cat", imageUrls=PICTURES, resolution="4k", duration=8, aspect_ratio="9:16")
ASKED = Asked(resolution="4k", seconds=8, aspect_ratio="9:16")
FAILURE = Verdict(Progress.FAILED, 500, "broken")


def _submission(request: Request = CAT, own_id: str = OWN_ID) -> Submission:
    return Submission(
        id=own_id,
        tracked_at=900.0,
        request=request,
        fingerprint="f",
        labels={"a": "theirs", "b": "2"},
        upgrades=[Kind.UHD],
        token="secret",
        price=180.0,
        task_id="t1",
    )


# --- adopting ----------------------------------------------------------------------------------------------------------


def test_a_generation_carries_on_what_was_submitted(waiting: Generation) -> None:
    waiting.set_labels({"a": "ours", "c": "3"}, 1000.0)
    assert waiting.adopt(_submission(), 1100.0)
    assert (waiting.submission, waiting.fingerprint, waiting.parent, waiting.price) == (OWN_ID, "f", "", 180.0)
    assert (waiting.tracked_at, waiting.waiting_since, waiting.settle.at) == (900.0, 1000.0, 1300.0)
    assert (waiting.asked, waiting.upgrades) == (ASKED, [Kind.UHD])
    assert waiting.labels == {"a": "theirs", "b": "2", "c": "3"}
    assert waiting.request == CAT.shown()
    assert "s3cret" not in waiting.model_dump_json()


def test_what_was_heard_of_earlier_keeps_its_time(waiting: Generation) -> None:
    waiting.tracked_at = 500.0
    waiting.adopt(_submission(), 1100.0)
    assert waiting.tracked_at == 500.0


def test_an_extension_names_its_parent(waiting: Generation) -> None:
    waiting.adopt(_submission(ExtendRequest(taskId="t0", prompt="it goes on")), 1100.0)
    assert (waiting.parent, waiting.asked) == ("t0", NOTHING_ASKED)
    assert waiting.request == {"taskId": "t0", "prompt": "it goes on", "model": "fast"}


def test_what_was_submitted_outranks_what_the_vendors_record_says_was_asked(waiting: Generation) -> None:
    waiting.hear(Verdict(Progress.GENERATING, 200, asked=Asked(resolution="720p")), "poll", 1050.0)
    waiting.adopt(_submission(), 1100.0)
    waiting.hear(Verdict(Progress.GENERATING, 200, asked=Asked(resolution="1080p")), "poll", 1150.0)
    assert waiting.asked == ASKED


def test_adopting_twice_is_adopting_once(waiting: Generation) -> None:
    waiting.adopt(_submission(), 1100.0)
    before = waiting.model_copy(deep=True)
    assert waiting.adopt(_submission(), 1200.0)
    assert waiting == before


def test_what_has_come_of_another_submission_is_not_adopted(waiting: Generation) -> None:
    waiting.adopt(_submission(own_id=OTHER_ID), 1100.0)
    before = waiting.model_copy(deep=True)
    assert not waiting.adopt(_submission(), 1200.0)
    assert waiting == before


def test_an_adoption_is_shown_by_the_manifest(mirroring: Generation, policy: Policy) -> None:
    mirroring.store(mirroring.renditions[0], "key", 5, "ab" * 32, Media("video/mp4", "mp4", 1280, 720, 8.0), 1000.0)
    fence = mirroring.claim_manifest(1000.0, policy)
    assert fence is not None
    mirroring.finish_manifest(fence, mirroring.changes, 1000.0, 1001.0)
    assert mirroring.manifest.at is None
    submission = _submission()
    submission.labels, submission.upgrades = {}, []
    mirroring.adopt(submission, 1100.0)
    assert (mirroring.manifest.at, mirroring.changes > mirroring.written) == (1100.0, True)


def test_its_upgrades_are_wanted_of_what_has_succeeded_already(mirroring: Generation) -> None:
    mirroring.adopt(_submission(GenerateRequest(prompt="a cat")), 1100.0)
    assert [(rendition.kind, rendition.state) for rendition in mirroring.renditions] == [
        (Kind.RESULT, RenditionState.WANTED),
        (Kind.UHD, RenditionState.WANTED),
    ]


# --- extending ---------------------------------------------------------------------------------------------------------

HAS_1080P = "its 1080p was made or is wanted, and the vendor extends no generation whose 1080p was made"


def test_what_has_no_verdict_cannot_be_extended_yet(waiting: Generation) -> None:
    assert waiting.why_not_extend() == "it has no verdict yet"


def test_what_failed_cannot_be_extended(waiting: Generation) -> None:
    waiting.hear(FAILURE, "poll", 1100.0)
    assert waiting.why_not_extend() == "it is failed"


def test_what_was_given_up_cannot_be_extended(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1000.0 + policy.give_up_after, policy)
    assert waiting.why_not_extend() == "it is lost"


def test_what_succeeded_can_be_extended_whatever_became_of_its_files(mirroring: Generation) -> None:
    assert mirroring.why_not_extend() == ""
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    mirroring.fail(mirroring.renditions[0], "link dead everywhere", 1100.0)
    assert (mirroring.state, mirroring.why_not_extend()) == (State.LOST, "")


@pytest.mark.parametrize("state", RenditionState)
@pytest.mark.parametrize("index", [0, 1])
def test_what_has_a_1080p_or_wants_one_cannot_be_extended(
    mirroring: Generation, state: RenditionState, index: int
) -> None:
    mirroring.want_upgrade(Kind.HD, index, 1000.0)
    mirroring.renditions[1].state = state
    expected = "" if state is RenditionState.UNAVAILABLE else HAS_1080P
    assert mirroring.why_not_extend() == expected


# --- upgrading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD])
def test_what_succeeded_can_be_upgraded(mirroring: Generation, kind: Kind) -> None:
    assert mirroring.why_not_upgrade(kind, 0) == ""


def test_what_has_no_verdict_cannot_be_upgraded_yet(waiting: Generation) -> None:
    assert waiting.why_not_upgrade(Kind.UHD, 0) == (
        'the generation has no verdict yet; PUT it with "upgrades" to have it upgraded when it succeeds'
    )


def test_what_failed_cannot_be_upgraded(waiting: Generation) -> None:
    waiting.hear(FAILURE, "poll", 1100.0)
    assert waiting.why_not_upgrade(Kind.UHD, 0) == "the generation is failed and has no result 0 that could be upgraded"


def test_what_was_given_up_cannot_be_upgraded(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1000.0 + policy.give_up_after, policy)
    assert waiting.why_not_upgrade(Kind.UHD, 0) == "the generation is lost and has no result 0 that could be upgraded"


def test_only_a_result_that_is_there_can_be_upgraded(mirroring: Generation) -> None:
    assert mirroring.why_not_upgrade(Kind.UHD, 1) == (
        "the generation is mirroring and has no result 1 that could be upgraded"
    )


def test_a_video_of_the_fallback_model_cannot_be_upgraded(mirroring: Generation) -> None:
    mirroring.fallback = True
    assert mirroring.why_not_upgrade(Kind.HD, 0) == "the fallback model made this video: it cannot be upgraded"


@pytest.mark.parametrize(
    ("width", "height", "hd", "uhd"),
    [(1280, 720, True, True), (1920, 1080, False, True), (1080, 1920, False, True), (3840, 2160, False, False)],
)
def test_a_result_that_is_as_large_already_is_not_upgraded(
    mirroring: Generation, width: int, height: int, hd: bool, uhd: bool
) -> None:
    media = Media("video/mp4", "mp4", width, height, 8.0)
    mirroring.store(mirroring.renditions[0], "key", 5, "ab" * 32, media, 1000.0)
    lines = min(width, height)
    assert [mirroring.why_not_upgrade(kind, 0) for kind in (Kind.HD, Kind.UHD)] == [
        "" if possible else f"result 0 has {lines} lines already: a {kind} would bring nothing"
        for possible, kind in ((hd, Kind.HD), (uhd, Kind.UHD))
    ]


# --- what is held --------------------------------------------------------------------------------------------------------


def test_an_upgrade_that_is_held_is_looked_at_at_once_when_the_user_says_so(mirroring: Generation) -> None:
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    for rendition in mirroring.renditions:
        rendition.work.put_back(86_400.0)
        mirroring.hurry(rendition, 2000.0)
    assert [rendition.work.at for rendition in mirroring.renditions] == [86_400.0, 2000.0]


@pytest.mark.parametrize("why", ["ended", "ordered", "claimed"])
def test_nothing_else_is_hurried(mirroring: Generation, policy: Policy, why: str) -> None:
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    upgrade = mirroring.renditions[1]
    if why == "ended":
        upgrade.end(RenditionState.UNAVAILABLE, "gone")
    elif why == "ordered":
        mirroring.claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret")
        upgrade.work.put_back(5000.0)
    else:
        upgrade.work.claim(1000.0, policy.lease)
    before = mirroring.model_copy(deep=True)
    mirroring.hurry(upgrade, 2000.0)
    assert mirroring == before


# --- work --------------------------------------------------------------------------------------------------------------


def test_each_item_stands_for_its_work(mirroring: Generation, policy: Policy) -> None:
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    result, upgrade = mirroring.renditions
    assert mirroring.find_work(Item(Step.SETTLE, "t1")) is mirroring.settle
    assert mirroring.find_work(Item(Step.MANIFEST, "t1")) is mirroring.manifest
    assert mirroring.find_work(Item(Step.MIRROR, "t1", Kind.RESULT, 0)) is result.work
    assert mirroring.find_work(Item(Step.UPGRADE, "t1", Kind.UHD, 0)) is upgrade.work
    assert mirroring.find_work(Item(Step.MIRROR, "t1", Kind.RESULT, 1)) is None


def test_the_vendor_may_be_asked_at_its_turn(waiting: Generation, policy: Policy) -> None:
    assert waiting.settle.claim(1300.0, policy.lease) == 1
    waiting.await_turn(1303.5)
    assert (waiting.settle.at, waiting.settle.leased) == (1303.5, False)


def test_an_order_answers_the_same_after_writing_and_reading(mirroring: Generation, policy: Policy) -> None:
    mirroring.adopt(_submission(GenerateRequest(prompt="a cat")), 1000.0)
    claim = mirroring.claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret")
    upgrade = mirroring.find(Kind.UHD, 0)
    assert claim is not None
    assert upgrade is not None
    mirroring.may_send_order(upgrade, claim.fence, 1000.0, policy)
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.ORDERED, 200, credits=120.0), 1001.0, policy)
    mirroring.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4", ""))), "poll", 1002.0)
    assert Generation.model_validate_json(mirroring.model_dump_json(exclude_defaults=True)) == mirroring
