"""Old generations: what the vendor does not know of them now, it will not know later."""

import pytest

from app.domain.callbacks import Outcome
from app.domain.generation import UNKNOWN_ID, Generation
from app.domain.policy import DEAD_ROUNDS, Policy
from app.domain.rendition import RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.view import describe

POLICY = Policy()
UNKNOWN = Verdict(Progress.UNKNOWN, 422, "Record not found")
SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4",)))


@pytest.fixture(params=[True, False], ids=["old", "fresh"])
def generation(request: pytest.FixtureRequest) -> Generation:
    generation = Generation.track("t1", 1000.0, POLICY)
    generation.old = request.param
    return generation


def ask(generation: Generation, verdict: Verdict, now: float) -> None:
    assert generation.settle.claim(now, POLICY.lease, early=True) is not None
    generation.hear(verdict, "poll", now)
    generation.await_verdict(now, POLICY)


def test_an_id_that_the_vendor_does_not_know_is_final_only_if_it_is_old(generation: Generation) -> None:
    ask(generation, UNKNOWN, 1001.0)
    if not generation.old:
        assert (generation.state, generation.settle.at) == (State.WAITING, 1031.0)
        return
    shown = describe(generation)
    assert (shown["state"], shown["error"], shown["verdictAt"]) == ("lost", UNKNOWN_ID, "1970-01-01T00:16:41.000Z")
    assert (generation.settle.at, generation.undecided) == (None, False)
    assert generation.manifest.at == 1001.0, "it is told in the manifest too"


@pytest.mark.parametrize("progress", [Progress.GENERATING, Progress.UNKNOWN])
def test_one_that_has_called_back_or_is_generating_is_asked_about_as_ever(
    generation: Generation, progress: Progress
) -> None:
    if progress is Progress.UNKNOWN:
        generation.count_callback("generation succeeded 200", 1000.0)
    ask(generation, Verdict(progress, 422), 1001.0)
    assert generation.state is State.WAITING
    assert generation.settle.at is not None


def test_a_callback_that_comes_all_the_same_has_it_asked_about_again(generation: Generation) -> None:
    ask(generation, UNKNOWN, 1001.0)
    generation.count_callback("generation succeeded 200", 1100.0)
    generation.doubt(Outcome.SUCCEEDED, 1100.0)
    assert generation.undecided
    ask(generation, UNKNOWN, 1101.0)
    assert generation.undecided, "it may be invisible for a moment"
    ask(generation, SUCCESS, 1200.0)
    assert (generation.state, describe(generation)["error"]) == (State.MIRRORING, None)


def test_trying_again_asks_once_more(generation: Generation) -> None:
    ask(generation, UNKNOWN, 1001.0)
    if generation.old:
        assert generation.retry(1100.0) == 1
        assert (generation.state, generation.settle.at) == (State.WAITING, 1100.0)
        ask(generation, UNKNOWN, 1101.0)
        assert (generation.state, generation.settle.at) == (State.LOST, None)


def test_a_success_is_never_taken_back(generation: Generation) -> None:
    generation.hear(SUCCESS, "poll", 1001.0)
    before = generation.model_copy(deep=True)
    generation.hear(UNKNOWN, "poll", 1002.0)
    assert generation == before


def test_a_dead_link_is_believed_after_some_rounds_without_an_hour_s_wait(generation: Generation) -> None:
    generation.hear(SUCCESS, "poll", 1000.0)
    rendition, now = generation.renditions[0], 1000.0
    for round_ in range(DEAD_ROUNDS):
        assert not rendition.ended, round_
        now = rendition.work.at or now
        assert generation.claim_mirror(rendition, now, POLICY) is not None
        generation.find_dead(rendition, "HTTP 404", now, POLICY, 0.5)
    assert (rendition.state is RenditionState.FAILED) == generation.old
    assert now - 1000.0 < POLICY.dead_after
