"""A manifest read back: the generation that it shows, and nothing asked for that is there."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings

from app.domain.asked import Asked
from app.domain.callbacks import Outcome
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.manifest_reading import (
    UNSURE,
    UnreadableManifest,
    read_manifest,
    read_time,
    restore,
    restore_submission,
)
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.view import describe, show_time
from app.domain.work import Item, Kind, Step
from app.pipeline.manifest import render
from tests.unit.domain.test_generation_properties import READY, SUCCESS, World, _play, courses

POLICY = Policy()
#: long after everything else: a week
NOW = 1000.0 + 7 * 86400
VIDEO = Media("video/mp4", "mp4", 1280, 720, 8.0, True)
SUB = f"sub_{'1' * 32}"


def read_back(generation: Generation, now: float = NOW, **options: Any) -> Generation:
    tokens = count()
    return restore(read_manifest(render(generation)), now, lambda: f"new-token-{next(tokens)}", **options)


def shown_for_good(generation: Generation) -> dict[str, Any]:
    """The JSON, without what begins anew for whatever is unfinished."""
    shown = describe(generation)
    for rendition in shown["renditions"]:
        if rendition["state"] in ("wanted", "requested", "mirroring"):
            rendition["nextAt"] = rendition["orderedAt"] = None
    return shown


def stored(generation: Generation) -> dict[tuple[Kind, int], str]:
    return {(r.kind, r.index): r.sha256 for r in generation.renditions if r.state is RenditionState.STORED}


def store(generation: Generation, rendition: Rendition, now: float = 1000.0, sha256: str = "ab" * 32) -> None:
    fence = generation.claim_mirror(rendition, now, POLICY)
    assert fence is not None
    key = f"veo/{generation.task_id}/{rendition.kind}-{rendition.index}.mp4"
    generation.store(rendition, key, 1000, sha256, VIDEO, now)


class Fleet:
    """Does all that is on a generation's agenda, with a vendor that has everything, and notes what it was asked."""

    def __init__(self, generation: Generation, verdict: Verdict = SUCCESS, order: OrderAnswer = READY) -> None:
        self.generation, self.verdict, self.order = generation, verdict, order
        self.asked: list[str] = []
        self.fetched: set[tuple[Kind, int]] = set()

    def work_off(self, now: float = NOW) -> "Fleet":
        for _ in range(20):
            agenda = self.generation.agenda(pending=False)
            if not agenda:
                return self
            now = max(now, *agenda.values())
            for item in agenda:
                self._do(item, now)
        raise AssertionError(f"there is always more to do: {self.generation.agenda(pending=False)}")

    def _do(self, item: Item, now: float) -> None:
        generation = self.generation
        rendition = generation.find(item.kind, item.index) if item.kind else None
        if item.step is Step.SETTLE:
            self.asked.append("details")
            generation.hear(self.verdict, "poll", now)
            generation.await_verdict(now, POLICY)
        elif item.step is Step.MANIFEST:
            fence = generation.claim_manifest(now, POLICY)
            assert fence is not None
            generation.finish_manifest(fence, generation.changes, generation.completion(now), now)
        elif item.step is Step.UPGRADE and rendition is not None:
            self.asked.append(f"{item.kind} {item.index}")
            claim = generation.claim_upgrade(rendition.kind, rendition.index, now, POLICY, "token")
            assert claim is not None, "an item for nothing"
            generation.may_send_order(rendition, claim.fence, now, POLICY)
            generation.hear_order(rendition, self.order, now, POLICY)
        elif rendition is not None:
            self.fetched.add((rendition.kind, rendition.index))
            store(generation, rendition, now, "cd" * 32)


# --- the inverse -----------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(courses)
def test_whatever_has_happened_what_is_read_back_shows_the_same(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, course)
    assert shown_for_good(read_back(world.generation)) == shown_for_good(world.generation)


@settings(max_examples=300, deadline=None)
@given(courses)
def test_whatever_has_happened_nothing_is_asked_for_that_is_there(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, [*course, (World.succeed, 0.0)])
    before = world.generation
    unfinished = {(r.kind, r.index) for r in before.renditions if not r.ended}
    after = read_back(before)
    had = stored(before)
    # What had been ordered stays that order; what is wanted and has none is ordered once.
    orders = {r.kind: r.orders + (r.order is None and not r.ended) for r in before.renditions}
    fleet = Fleet(after).work_off()
    assert fleet.fetched <= unfinished | {(Kind.IMAGE, 0)}
    assert had.items() <= stored(after).items()
    assert all(rendition.ended for rendition in after.renditions)
    assert after.state is (State.LOST if before.state is State.LOST else State.COMPLETE)
    assert not unfinished or fleet.asked
    for rendition in after.renditions:
        assert rendition.orders <= orders.get(rendition.kind, 1)
    if before.state is State.COMPLETE:
        assert fleet.asked == []


@settings(max_examples=100, deadline=None)
@given(courses)
def test_without_a_verdict_the_vendor_is_asked_for_it_and_for_nothing_else(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, [(event, pause) for event, pause in course if event is not World.succeed])
    after = read_back(world.generation)
    asks = {Item(Step.SETTLE, "t1")} if after.state is State.WAITING else set()
    assert {item for item in after.agenda(pending=False) if item.step is not Step.MANIFEST} == asks
    assert (after.state, after.given_up) == (world.generation.state, world.generation.given_up)


# --- what is in it ---------------------------------------------------------------------------------------------------------


def succeeded(*kinds: Kind, urls: Urls = SUCCESS.urls, task_id: str = "t1") -> Generation:
    """All of it is stored, upgrades left out."""
    generation = Generation.track(task_id, 1000.0, Policy(upgrades=kinds))
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "done", urls, credits=60.5), "poll", 1000.0)
    for rendition in [it for it in generation.renditions if it.url]:
        store(generation, rendition)
    return generation


def order(generation: Generation, kind: Kind, answer: OrderAnswer | None, now: float = 1000.0) -> Rendition:
    """Order an upgrade; None: the worker died before it heard the answer."""
    rendition = generation.find(kind, 0)
    claim = generation.claim_upgrade(kind, 0, now, POLICY, "old-token")
    assert rendition is not None
    assert claim is not None
    assert generation.may_send_order(rendition, claim.fence, now, POLICY)
    if answer is not None:
        generation.hear_order(rendition, answer, now, POLICY)
    return rendition


ORDERED = OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias-1", credits=110.0)


def find(generation: Generation, kind: Kind, index: int = 0) -> Rendition:
    found = generation.find(kind, index)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "request_",
    [
        GenerateRequest(prompt="a cat", image_urls=["https://x/1.png?sig=secret"], resolution="1080p", duration=8),
        ExtendRequest(task_id="t0", prompt="and on", model="quality"),
    ],
    ids=["generation", "extension"],
)
def test_what_was_submitted_here_is_known_by_both_ids(request_: Request) -> None:
    submission = Submission(
        id=SUB, tracked_at=990.0, request=request_, fingerprint="f" * 64, token="secret", price=60.0
    )
    before = succeeded()
    before.adopt(submission, 1001.0)
    after = read_back(before)
    assert describe(after) == describe(before)
    assert (after.asked, after.parent, after.price) == (request_.asked, before.parent, 60.0)
    again = restore_submission(after)
    assert again is not None
    assert (again.id, again.task_id, again.linked, again.state) == (SUB, "t1", True, None)
    assert (again.fingerprint, again.tracked_at, again.agenda(pending=False)) == ("f" * 64, 990.0, {})
    assert type(again.request) is type(request_)
    assert "secret" not in render(before)


def test_what_was_submitted_elsewhere_has_no_submission() -> None:
    assert restore_submission(read_back(succeeded())) is None


def test_a_request_that_cannot_be_read_costs_only_the_submission() -> None:
    before = succeeded()
    before.submission, before.request = SUB, {"prompt": "a cat", "model": "veo9"}
    after = read_back(before)
    assert describe(after) == describe(before)
    assert restore_submission(after) is None


def test_what_was_asked_for_is_still_held_against_what_comes() -> None:
    generation = Generation.track("t1", 1000.0, POLICY)
    asked = Asked(resolution="1080p", seconds=8.0, aspect_ratio="16:9")
    generation.hear(Verdict(Progress.SUCCEEDED, 200, urls=SUCCESS.urls, asked=asked), "poll", 1000.0)
    store(generation, generation.renditions[0])
    after = read_back(generation)
    assert after.asked == asked
    Fleet(after).work_off()
    assert "1080p was asked for" in find(after, Kind.RESULT).mismatch


def test_accounts_are_as_before() -> None:
    before = succeeded(Kind.UHD)
    order(before, Kind.UHD, ORDERED)
    before.hear_order(find(before, Kind.UHD), OrderAnswer(OrderProgress.UNAVAILABLE, 500, "none"), 1100.0, POLICY)
    before.want_upgrade(Kind.UHD, 0, 1200.0)
    order(before, Kind.UHD, OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old"), 2000.0)
    assert (find(before, Kind.UHD).former, find(before, Kind.UHD).refused) == (1, True)
    after = read_back(before)
    assert (after.cost, after.bills()) == (before.cost, before.bills())
    assert (find(after, Kind.UHD).taken, find(after, Kind.UHD).refused) == (1, True)
    assert describe(after) == describe(before)


def test_a_repeated_callback_is_still_a_repeat() -> None:
    before = succeeded()
    before.count_callback("generation succeeded 200", 1001.0)
    assert not read_back(before).count_callback("generation succeeded 200", NOW)


def test_a_4k_that_nobody_asked_for_here_is_still_not_asked_for() -> None:
    before = succeeded()
    before.deny_upgrade(Kind.UHD, 0, "nobody asked", 1001.0)
    after = read_back(before)
    assert describe(after) == describe(before)
    assert find(after, Kind.UHD).denied


def test_what_could_not_be_written_last_time_is_written_again_and_then_forgotten() -> None:
    before = succeeded()
    before.complete_at, before.manifest_error = 1002.0, "bucket reels: cannot store: SlowDown"
    after = read_back(before)
    assert describe(after)["error"] == "bucket reels: cannot store: SlowDown"
    assert Fleet(after).work_off().asked == []
    assert describe(after)["error"] is None


# --- what goes on ----------------------------------------------------------------------------------------------------------


def test_only_what_is_not_stored_is_fetched_and_all_of_it_with_one_question() -> None:
    generation = Generation.track("t1", 1000.0, POLICY)
    generation.hear(SUCCESS, "poll", 1000.0)
    store(generation, generation.renditions[0])
    after = read_back(generation)
    assert list(after.agenda(pending=False)) == [Item(Step.SETTLE, "t1")]
    fleet = Fleet(after).work_off()
    assert fleet.asked == ["details"]
    assert fleet.fetched == {(Kind.RESULT, 1), (Kind.ORIGIN, 0)}
    assert after.state is State.COMPLETE


def test_an_object_that_is_gone_is_wanted_again_and_nothing_else() -> None:
    before = succeeded()
    before.complete_at = 1002.0
    gone = find(before, Kind.RESULT, 1).key
    after = read_back(before, missing={gone})
    assert after.state is State.MIRRORING
    lacking = describe(after)["renditions"][1]
    assert (lacking["state"], lacking["key"], lacking["sha256"], lacking["storedAt"]) == ("wanted", None, None, None)
    fleet = Fleet(after).work_off()
    assert (fleet.asked, fleet.fetched) == (["details"], {(Kind.RESULT, 1)})
    assert stored(after)[Kind.RESULT, 0] == "ab" * 32
    assert after.state is State.COMPLETE


def test_what_the_vendor_does_not_name_any_more_is_lost_by_name_after_a_day() -> None:
    after = read_back(succeeded(), missing={"veo/t1/origin-0.mp4"})
    fleet = Fleet(after, Verdict(Progress.SUCCEEDED, 200, urls=Urls(result=SUCCESS.urls.result)))
    fleet.verdict = Verdict(Progress.UNKNOWN, 422)
    now = NOW
    while after.undecided:
        after.hear(fleet.verdict, "poll", now)
        after.await_verdict(now, POLICY)
        assert after.settle.at is None or after.settle.at > now
        now = after.settle.at or now
    assert now >= NOW + POLICY.give_up_after
    assert (after.state, find(after, Kind.ORIGIN).error) == (
        State.LOST,
        "where the vendor has it was forgotten with the ledger: the vendor has not said within 86400 s",
    )
    assert not after.agenda(pending=False).keys() - {Item(Step.MANIFEST, "t1")}


def test_a_file_that_was_lost_stays_lost_and_is_asked_about_when_it_is_tried_again() -> None:
    before = Generation.track("t1", 1000.0, POLICY)
    before.hear(SUCCESS, "poll", 1000.0)
    store(before, before.renditions[1])
    store(before, before.renditions[2])
    before.fail(before.renditions[0], "link dead everywhere", 1001.0)
    after = read_back(before)
    assert describe(after) == describe(before)
    assert after.agenda(pending=False) == {}
    assert after.retry(NOW) == 1
    fleet = Fleet(after).work_off()
    assert (fleet.asked, fleet.fetched, after.state) == (["details"], {(Kind.RESULT, 0)}, State.COMPLETE)


def test_a_file_that_was_lost_stays_lost_when_another_is_asked_about() -> None:
    before = Generation.track("t1", 1000.0, POLICY)
    before.hear(SUCCESS, "poll", 1000.0)
    store(before, before.renditions[1])
    before.fail(before.renditions[0], "link dead everywhere", 1001.0)
    fleet = Fleet(read_back(before)).work_off()
    assert fleet.fetched == {(Kind.ORIGIN, 0)}
    assert find(fleet.generation, Kind.RESULT).error == "link dead everywhere"


@pytest.mark.parametrize("answer", [ORDERED, None], ids=["answered", "worker-died"])
def test_an_upgrade_that_was_ordered_is_asked_about_as_the_same_order(answer: OrderAnswer | None) -> None:
    before = succeeded(Kind.UHD)
    order(before, Kind.UHD, answer)
    after = read_back(before)
    rendition = find(after, Kind.UHD)
    claim = after.claim_upgrade(Kind.UHD, 0, NOW, POLICY, "another-token")
    assert claim is not None
    assert (claim.token, claim.alias, claim.sent) == ("new-token-0", "alias-1" if answer else "", True)
    assert (rendition.orders, rendition.order.credits if rendition.order else None) == (1, 110.0 if answer else None)
    # In the form of the API in which every request buys, none goes out.
    assert not after.may_send_order(rendition, claim.fence, NOW, POLICY, repeats=False)
    after.hear_order(rendition, OrderAnswer(OrderProgress.ORDERED, 200), NOW, POLICY)
    assert rendition.state is RenditionState.REQUESTED, "patience with it begins anew"
    assert rendition.work.at is not None
    assert rendition.work.at <= NOW + POLICY.poll_interval_max, "its callback may have come meanwhile"


def test_of_an_order_that_a_callback_has_reopened_only_its_own_record_is_asked() -> None:
    before = succeeded(Kind.UHD)
    rendition = order(before, Kind.UHD, ORDERED)
    before.hear_order(rendition, OrderAnswer(OrderProgress.UNAVAILABLE, 500, "none"), 1100.0, POLICY)
    before.expect_upgrade(rendition, "", 1200.0, POLICY)
    assert not rendition.ended
    claim = read_back(before).claim_upgrade(Kind.UHD, 0, NOW, POLICY, "another-token")
    assert claim is not None
    assert (claim.reopened, claim.alias) == (True, "alias-1")


def test_a_manifest_is_written_for_an_order_and_for_all_that_is_heard_of_it() -> None:
    generation = succeeded(Kind.UHD)

    def write() -> dict[str, Any]:
        fence = generation.claim_manifest(1001.0, POLICY)
        assert fence is not None
        assert generation.finish_manifest(fence, generation.changes, None, 1001.0)
        return dict(describe(generation)["renditions"][3])

    write()
    claim = generation.claim_upgrade(Kind.UHD, 0, 1000.0, POLICY, "token")
    assert claim is not None
    assert generation.manifest.at == 1000.0, "before the request is sent"
    assert write()["orders"] == 1
    rendition = find(generation, Kind.UHD)
    assert generation.may_send_order(rendition, claim.fence, 1000.0, POLICY)
    generation.hear_order(rendition, ORDERED, 1001.0, POLICY)
    assert generation.manifest.at == 1001.0
    told = write()
    assert (told["orderId"], told["taken"], told["confirmed"], told["creditsConsumed"]) == (
        "alias-1",
        True,
        True,
        110.0,
    )


@pytest.mark.parametrize("kinds", [(Kind.UHD,), (Kind.UHD, Kind.IMAGE)], ids=["4k", "4k-and-picture"])
def test_an_upgrade_that_is_gone_from_the_bucket_is_asked_for_as_the_order_that_it_was(kinds: tuple[Kind, ...]) -> None:
    before = succeeded(Kind.UHD)
    order(before, Kind.UHD, READY)
    store(before, find(before, Kind.UHD))
    store(before, find(before, Kind.IMAGE))
    gone = [find(before, kind).key for kind in kinds]
    after = read_back(before, missing=gone, repeats_are_questions=False)
    fleet = Fleet(after).work_off()
    assert (fleet.asked, fleet.fetched) == (["4k 0"], {(kind, 0) for kind in kinds})
    assert (find(after, Kind.UHD).orders, after.state) == (1, State.COMPLETE)


@pytest.fixture
def pictureless() -> Generation:
    """A 4K is stored, its picture is not."""
    generation = succeeded(Kind.UHD)
    order(generation, Kind.UHD, READY)
    store(generation, find(generation, Kind.UHD))
    return generation


def test_the_picture_of_a_stored_4k_is_asked_for_and_the_4k_is_not_fetched_again(pictureless: Generation) -> None:
    after = read_back(pictureless)
    assert shown_for_good(after) == shown_for_good(pictureless)
    fleet = Fleet(after).work_off()
    assert (fleet.asked, fleet.fetched) == (["4k 0"], {(Kind.IMAGE, 0)})
    assert (find(after, Kind.UHD).sha256, find(after, Kind.UHD).orders) == ("ab" * 32, 1)
    assert after.state is State.COMPLETE


GONE = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old")
WITHOUT_PICTURE = OrderAnswer(OrderProgress.READY, 200, "", Urls(("https://x/4k.mp4",)))
NO_ANSWER = OrderAnswer(OrderProgress.UNCERTAIN, 0, "timed out")


@pytest.mark.parametrize("missing", [False, True], ids=["4k-stored", "4k-gone"])
@pytest.mark.parametrize(
    ("answer", "waits"),
    [(GONE, 0.0), (WITHOUT_PICTURE, 0.0), (NO_ANSWER, POLICY.give_up_after)],
    ids=["unavailable", "no-picture", "no-answer"],
)
def test_a_picture_that_there_is_not_any_more_ends_by_name(
    pictureless: Generation, answer: OrderAnswer, waits: float, *, missing: bool
) -> None:
    after = read_back(pictureless, missing={find(pictureless, Kind.UHD).key} if missing else ())
    video, picture, now = find(after, Kind.UHD), find(after, Kind.IMAGE), NOW
    while video.work.at is not None and not video.url:
        assert not picture.ended
        assert now < NOW + 2 * POLICY.link_lifetime, "it is asked about for ever"
        now = max(now, video.work.at)
        claim = after.claim_upgrade(Kind.UHD, 0, now, POLICY, "token")
        assert claim is not None
        after.hear_order(video, answer, now, POLICY)
        assert missing or video.state is RenditionState.STORED
    assert (picture.state, picture.work.at) == (RenditionState.FAILED, None)
    assert picture.error.startswith("where the vendor has it was forgotten with the ledger: ")
    # Where no code comes, the vendor cannot be reached, and a paid 4K is not given up for as long as its link may live.
    limit = max(waits, POLICY.link_lifetime) if missing and waits else waits
    assert waits <= now - NOW <= limit + POLICY.poll_interval_max
    if video.url:
        store(after, video, now)
    assert after.completion(now) is not None, "a preview picture is no loss"


def test_a_picture_that_cannot_be_asked_for_just_now_ends_by_name(pictureless: Generation) -> None:
    after = read_back(pictureless, missing={find(pictureless, Kind.UHD).key})
    video, picture = find(after, Kind.UHD), find(after, Kind.IMAGE)
    after.fail(picture, "gone", NOW)
    order(after, Kind.UHD, OrderAnswer(OrderProgress.READY, 200, "", Urls(("https://x/4k.mp4",))), NOW)
    assert video.url
    after.retry(NOW)
    assert (picture.state, video.url, video.work.at) == (RenditionState.FAILED, "https://x/4k.mp4", NOW)
    assert "to be tried again once its 4k is stored" in picture.error
    store(after, video, NOW)
    assert after.retry(NOW) == 1
    assert Fleet(after).work_off().fetched == {(Kind.IMAGE, 0)}


@pytest.mark.parametrize("repeats", [True, False])
def test_a_4k_task_that_is_tracked_by_its_own_id_is_asked_about_and_never_ordered(*, repeats: bool) -> None:
    own = Verdict(Progress.SUCCEEDED, 200, "", Urls(("https://x/4k.mp4",), image=("https://x/4k.jpg",)), main=Kind.UHD)
    before = Generation.track("t1", 1000.0, POLICY)
    before.hear(own, "poll", 1000.0)
    after = read_back(before, repeats_are_questions=repeats)
    fleet = Fleet(after, own).work_off()
    assert (fleet.asked, after.state) == (["details"], State.COMPLETE)
    assert find(after, Kind.UHD).orders == 0


def test_what_was_given_up_without_a_verdict_stays_so_until_it_is_tried_again() -> None:
    before = Generation.track("t1", 1000.0, POLICY)
    before.deny_upgrade(Kind.UHD, 0, "nobody asked", 1001.0)
    before.await_verdict(1000.0 + POLICY.give_up_after, POLICY)
    assert (before.state, before.verdict) == (State.LOST, Progress.GENERATING)
    after = read_back(before)
    assert (after.given_up, after.undecided, after.agenda(pending=False)) == (True, False, {})
    assert describe(after) == describe(before)
    after.retry(NOW)
    assert Fleet(after).work_off().asked[0] == "details"
    assert after.state is State.COMPLETE


@pytest.mark.parametrize("source", ["poll", "callback"])
def test_what_lost_a_video_succeeded_all_the_same_and_was_not_given_up(source: str) -> None:
    before = Generation.track("t1", 1000.0, POLICY)
    before.hear(SUCCESS, source, 1000.0)
    for rendition in before.renditions:
        before.fail(rendition, "link dead everywhere", 1001.0)
    assert before.state is State.LOST
    after = read_back(before)
    assert (after.state, after.verdict, after.given_up) == (State.LOST, Progress.SUCCEEDED, False)
    after.doubt(Outcome.SUCCEEDED, NOW)
    assert after.doubt_since is None, "there is nothing to be asked: the verdict is in"


def test_what_is_missing_from_a_success_is_asked_about_again() -> None:
    before = Generation.track("t1", 1000.0, POLICY)
    before.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4", ""))), "poll", 1000.0)
    store(before, before.renditions[0])
    after = read_back(before)
    assert describe(after) == describe(before)
    assert Item(Step.SETTLE, "t1") in after.agenda(pending=False)


# --- where every request buys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [False, True], ids=["wanted", "ordered-without-an-id"])
def test_an_upgrade_is_not_bought_when_it_may_have_been(*, ordered: bool) -> None:
    before = succeeded(Kind.UHD)
    if ordered:
        order(before, Kind.UHD, None)
    after = read_back(before, repeats_are_questions=False)
    assert (find(after, Kind.UHD).state, find(after, Kind.UHD).error) == (RenditionState.UNAVAILABLE, UNSURE)
    assert Fleet(after).work_off().asked == []
    assert after.state is State.COMPLETE
    after.want_upgrade(Kind.UHD, 0, NOW)
    assert find(after, Kind.UHD).orders == int(ordered)
    assert Item(Step.UPGRADE, "t1", Kind.UHD) in after.agenda(pending=False), "asked for by name, it is bought"


def test_an_upgrade_of_which_the_manifest_does_not_know_yet_is_not_bought_either() -> None:
    asked = Asked(resolution="1080p")
    before = Generation.track("t1", 1000.0, Policy(upgrades=(Kind.UHD,)))
    before.hear(Verdict(Progress.SUCCEEDED, 200, urls=SUCCESS.urls, asked=asked), "poll", 1000.0)
    store(before, before.renditions[1])
    assert before.find(Kind.UHD, 0) is None
    fleet = Fleet(read_back(before, repeats_are_questions=False)).work_off()
    assert fleet.asked == ["details"]
    assert find(fleet.generation, Kind.UHD).error == UNSURE


def test_an_upgrade_with_an_id_of_its_own_is_asked_about() -> None:
    before = succeeded(Kind.UHD)
    order(before, Kind.UHD, ORDERED)
    after = read_back(before, repeats_are_questions=False)
    assert Fleet(after).work_off().asked == ["4k 0"]
    assert after.state is State.COMPLETE


def test_nothing_is_added_to_what_has_ended() -> None:
    before = Generation.track("t1", 1000.0, Policy(upgrades=(Kind.UHD,)))
    before.hear(Verdict(Progress.FAILED, 501, "failed"), "poll", 1001.0)
    assert describe(read_back(before, repeats_are_questions=False)) == describe(before)


# --- other versions --------------------------------------------------------------------------------------------------------


def written(generation: Generation) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(render(generation))
    return fields


def test_a_manifest_of_before_orders_were_told_of_counts_as_paid() -> None:
    before = succeeded(Kind.UHD)
    order(before, Kind.UHD, ORDERED)
    fields = written(before)
    for name in ("asked", "heard", "old", "fingerprint"):
        del fields[name]
    for name in ("orderId", "orderedAt", "askedAt", "asks", "taken", "formerOrders", "formerCredits", "unasked"):
        del fields["renditions"][3][name]
    after = restore(read_manifest(json.dumps(fields)), NOW, lambda: "token")
    rendition = find(after, Kind.UHD)
    assert rendition.order is not None
    assert (rendition.order.taken, rendition.order.asks, rendition.orders) == (True, 1, 1)
    unsure = restore(read_manifest(json.dumps(fields)), NOW, lambda: "token", repeats_are_questions=False)
    assert find(unsure, Kind.UHD).error == UNSURE


def test_what_a_newer_version_adds_is_passed_over() -> None:
    before = succeeded()
    fields = written(before) | {"mood": "fine"}
    fields["renditions"][0]["codec"] = "av1"
    assert describe(restore(read_manifest(json.dumps(fields)), NOW, lambda: "token")) == describe(before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "its format is '2', and only 1 is known here"),
        ({"format": None}, "its format is 'None'"),
        ({"format": [1]}, "its format is"),
        ({"taskId": "../up"}, "taskId: "),
        ({"state": "glorious"}, "state: "),
        ({"trackedAt": "yesterday"}, "trackedAt: "),
        ({"trackedAt": None}, "trackedAt: "),
        ({"renditions": [{"kind": "8k", "index": 0, "state": "stored"}]}, "renditions.0.kind: "),
        ({"renditions": None}, "renditions: "),
    ],
)
def test_what_is_not_understood_is_named_and_not_guessed(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadableManifest) as raised:
        read_manifest(json.dumps(written(succeeded()) | change))
    assert words in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"text"', "[" * 100_000, '{"format": 1}'])
def test_what_is_no_manifest_is_named(text: str) -> None:
    with pytest.raises(UnreadableManifest):
        read_manifest(text)


@pytest.mark.parametrize("at", [0.0, 1785999477.0, 1785999477.123, 4102444800.999])
def test_a_time_is_read_as_it_is_shown(at: float) -> None:
    text = show_time(at)
    assert text is not None
    assert abs(read_time(text) - at) < 1e-6
    assert show_time(read_time(text)) == text


def test_a_date_is_the_beginning_of_a_day_in_utc() -> None:
    assert read_time("2026-08-06") == read_time("2026-08-06T00:00:00Z") == read_time("2026-08-06T02:00:00+02:00")


@pytest.mark.parametrize("text", ["", "yesterday", "1785999477", "2026-02-30"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_time(text)
