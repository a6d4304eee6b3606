"""What may leave for the bucket, and what stays of it."""

from collections.abc import Callable

import pytest

from app.domain.archive import bring_back, items_of, names_of, tokens_of, why_not_archived
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.manifest_reading import UnreadableManifest
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind
from app.pipeline.manifest import render

POLICY = Policy()
NOW = 1_700_000_000.0
SUBMISSION = f"sub_{'1' * 32}"
SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4",)))
FAILURE = Verdict(Progress.FAILED, 501, "broken")


def settle(verdict: Verdict = SUCCESS) -> Generation:
    """One of which all is done."""
    generation = Generation.track("t1", NOW, POLICY)
    generation.hear(verdict, "poll", NOW)
    for rendition in generation.renditions:
        generation.claim_mirror(rendition, NOW, POLICY)
        generation.store(rendition, "veo/t1/result-0.mp4", 5, "ab" * 32, Media("video/mp4", "mp4", 1280, 720, 8.0), NOW)
    write(generation, NOW)
    return generation


def write(generation: Generation, now: float) -> None:
    fence = generation.claim_manifest(now, POLICY)
    assert fence is not None
    generation.finish_manifest(fence, generation.changes, generation.completion(now), now)


def order_in_vain(generation: Generation, alias: str, token: str, at: float) -> None:
    generation.want_upgrade(Kind.UHD, 0, NOW)
    claim = generation.claim_upgrade(Kind.UHD, 0, at, POLICY, token)
    rendition = generation.find(Kind.UHD, 0)
    assert claim is not None
    assert rendition is not None
    assert generation.may_send_order(rendition, claim.fence, at, POLICY)
    for answer in (OrderProgress.ORDERED, OrderProgress.UNAVAILABLE):
        generation.hear_order(rendition, OrderAnswer(answer, 200, "said", task_id=alias), at, POLICY)


def test_what_is_complete_or_failed_is_settled_since_the_last_thing_that_happened() -> None:
    for verdict, state in ((SUCCESS, State.COMPLETE), (FAILURE, State.FAILED)):
        generation = settle(verdict)
        assert (generation.state, generation.settled_at) == (state, NOW)
        generation.count_callback("generation again", NOW + 50)
        assert generation.settled_at is None, "its manifest is to be written"
        write(generation, NOW + 60)
        assert generation.settled_at == NOW + 50


UNSETTLED: dict[str, Callable[[Generation], object]] = {
    "an upgrade": lambda it: it.want_upgrade(Kind.UHD, 0, NOW),
    "a label": lambda it: it.set_labels({"a": "b"}, NOW),
    "a verdict in doubt": lambda it: it.settle.put_back(NOW + 9e9),
    "an event on its way": lambda it: it.outbox.work.put_back(NOW),
    "a manifest being written": lambda it: it.manifest.claim(NOW, 60, early=True),
}


@pytest.mark.parametrize("what", UNSETTLED)
def test_what_there_is_something_to_do_about_is_not_settled(what: str) -> None:
    generation = settle()
    UNSETTLED[what](generation)
    assert generation.settled_at is None


def test_what_is_lost_or_waits_is_never_settled() -> None:
    waiting = Generation.track("t1", NOW, POLICY)
    assert waiting.settled_at is None
    waiting.given_up = True
    waiting.settle.put_back(None)
    assert (waiting.state, waiting.settled_at) == (State.LOST, None)


def test_a_manifest_that_tells_all_lets_it_leave() -> None:
    for verdict in (SUCCESS, FAILURE):
        generation = settle(verdict)
        assert why_not_archived(generation, render(generation), NOW) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is not there"),
        ("{", "cannot be read: it is not JSON"),
        (render(settle(FAILURE)), "does not tell what the ledger knows"),
        (render(settle()).replace('"t1"', '"t2"', 1), "cannot be read: it is of t2"),
    ],
)
def test_any_other_keeps_it(text: str | None, words: str) -> None:
    assert words in why_not_archived(settle(), text, NOW)


def test_a_submission_that_could_not_be_told_again_keeps_it() -> None:
    generation = settle()
    generation.submission = SUBMISSION
    assert SUBMISSION in why_not_archived(generation, render(generation), NOW)


def test_its_names_are_all_that_callbacks_may_call_it_by() -> None:
    generation = settle()
    generation.submission = SUBMISSION
    order_in_vain(generation, "first", "token-1", NOW + 1000)
    order_in_vain(generation, "second", "token-2", NOW + 9000)
    assert names_of(generation) == {
        "t1": "",
        SUBMISSION: "t1",
        "first": "t1/4k/0#1",
        "second": "t1/4k/0#2",
    }
    assert list(tokens_of(generation)) == ["token-1", "token-2"]


def test_all_that_is_ever_due_is_among_its_items() -> None:
    generation = settle()
    for act in UNSETTLED.values():
        act(generation)
    due = set(generation.agenda(pending=True))
    assert len(due) >= 4
    assert due <= set(items_of(generation))


def test_what_was_deleted_comes_back_as_lost_and_has_nothing_due() -> None:
    gone = bring_back("t1", None, NOW)
    assert (gone.state, gone.agenda(pending=False), gone.upgrades) == (State.LOST, {}, [])
    with pytest.raises(UnreadableManifest):
        bring_back("t1", '{"format": 99}', NOW)
