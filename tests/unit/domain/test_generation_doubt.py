"""Doubt: callbacks that contradict a failure or a giving-up; and waiting while the vendor cannot be asked."""

import pytest

from app.domain.callbacks import Outcome
from app.domain.generation import Generation
from app.domain.policy import INVISIBLE, Policy
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict

SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4",)))
FAILURE = Verdict(Progress.FAILED, 500, "broken")
DAY, FORTNIGHT = 86400.0, 1209600.0


@pytest.fixture
def failed(waiting: Generation) -> Generation:
    """Failed at 1100 by a callback."""
    waiting.hear(FAILURE, "callback", 1100.0)
    return waiting


@pytest.fixture
def lost(policy: Policy) -> Generation:
    """Given up at 87 400, a day after it was tracked."""
    generation = Generation.track("t1", 1000.0, policy)
    generation.await_verdict(1000.0 + DAY, policy)
    return generation


@pytest.mark.parametrize(
    ("outcome", "since"), [(Outcome.FAILED, None), (Outcome.SUCCEEDED, 1200.0), (Outcome.ASK, 1200.0)]
)
def test_the_vendor_is_asked_when_a_failure_is_contradicted(
    failed: Generation, outcome: Outcome, since: float | None
) -> None:
    failed.doubt(outcome, 1200.0)
    assert (failed.doubt_since, failed.undecided) == (since, since is not None)
    assert (failed.state, failed.code, failed.msg) == (State.FAILED, 500, "broken")


@pytest.mark.parametrize("outcome", Outcome)
def test_the_vendor_is_asked_when_any_callback_comes_for_what_was_given_up(lost: Generation, outcome: Outcome) -> None:
    assert not lost.undecided
    lost.doubt(outcome, 90_000.0)
    assert (lost.doubt_since, lost.undecided, lost.state) == (90_000.0, True, State.LOST)


def test_a_doubted_failure_is_asked_about_again_and_again(failed: Generation, policy: Policy) -> None:
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.await_verdict(5000.0, policy)
    assert (failed.settle.at, failed.state) == (5030.0, State.FAILED)
    failed.hear(Verdict(Progress.GENERATING), "poll", 5030.0)
    failed.await_verdict(5030.0, policy)
    assert (failed.settle.at, failed.state) == (5060.0, State.FAILED)


def test_a_doubted_loss_is_asked_about_again_and_again(lost: Generation, policy: Policy) -> None:
    lost.doubt(Outcome.ASK, 90_000.0)
    lost.await_verdict(90_000.0, policy)
    assert (lost.settle.at, lost.state) == (90_030.0, State.LOST)
    assert lost.error == "no verdict within 86400 s"


def test_the_question_comes_soon_after_the_callback(failed: Generation, policy: Policy) -> None:
    failed.count_callback("generation succeeded 200", 5000.0)
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.await_verdict(5001.0, policy)
    assert failed.settle.at == 5002.0


@pytest.mark.parametrize(("after", "clear"), [(0.0, False), (INVISIBLE, False), (INVISIBLE + 0.1, True)])
def test_a_failure_said_again_is_believed_once_the_vendors_records_can_lag_no_more(
    failed: Generation, policy: Policy, after: float, clear: bool
) -> None:
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.hear(FAILURE, "poll", 5000.0 + after)
    failed.await_verdict(5000.0 + after, policy)
    assert (failed.doubt_since is None, failed.settle.at is None) == (clear, clear)
    assert (failed.state, failed.verdict_at, failed.verdict_from) == (State.FAILED, 1100.0, "callback")


def test_a_later_contradiction_begins_the_doubt_anew(failed: Generation) -> None:
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.doubt(Outcome.ASK, 5080.0)
    failed.hear(FAILURE, "poll", 5100.0)
    assert failed.undecided
    failed.hear(FAILURE, "poll", 5171.0)
    assert not failed.undecided


@pytest.mark.parametrize("which", ["failed", "lost"])
def test_a_success_ends_the_doubt(which: str, request: pytest.FixtureRequest, policy: Policy) -> None:
    generation: Generation = request.getfixturevalue(which)
    generation.doubt(Outcome.SUCCEEDED, 90_000.0)
    generation.hear(SUCCESS, "poll", 90_001.0)
    generation.await_verdict(90_001.0, policy)
    assert (generation.state, generation.doubt_since, generation.settle.at) == (State.MIRRORING, None, None)
    assert (generation.verdict_at, generation.msg, generation.error) == (90_001.0, "done", "")


def test_a_failure_decides_what_was_given_up_at_once(lost: Generation) -> None:
    lost.doubt(Outcome.FAILED, 90_000.0)
    lost.hear(FAILURE, "poll", 90_001.0)
    assert (lost.state, lost.undecided, lost.error) == (State.FAILED, False, "")


@pytest.mark.parametrize("which", ["failed", "lost"])
def test_a_doubt_that_stays_open_leaves_everything_as_it_was(
    which: str, request: pytest.FixtureRequest, policy: Policy
) -> None:
    generation: Generation = request.getfixturevalue(which)
    generation.await_verdict(90_000.0, policy)
    before = generation.model_copy(deep=True)
    generation.doubt(Outcome.SUCCEEDED, 90_000.0)
    generation.await_verdict(90_000.0 + DAY - 1, policy)
    assert (generation.undecided, generation.settle.at) == (True, 90_000.0 + DAY)
    generation.await_verdict(90_000.0 + DAY, policy)
    assert generation == before


def test_trying_again_ends_the_doubt(failed: Generation) -> None:
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.retry(5001.0)
    assert (failed.state, failed.doubt_since, failed.waiting_since) == (State.WAITING, None, 5001.0)


def test_why_the_vendor_cannot_be_asked_is_shown_until_it_can(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1300.0, policy, "HTTP 502, not JSON")
    assert waiting.error == "the vendor cannot be asked: HTTP 502, not JSON"
    assert (waiting.state, waiting.settle.at) == (State.WAITING, 1330.0)
    waiting.await_verdict(1330.0, policy)
    assert waiting.error == ""


def test_trouble_does_not_hide_why_a_generation_was_lost(lost: Generation, policy: Policy) -> None:
    lost.doubt(Outcome.ASK, 90_000.0)
    lost.await_verdict(90_000.0, policy, "HTTP 502")
    assert lost.error == "no verdict within 86400 s"


@pytest.mark.parametrize(("give_up_after", "end"), [(DAY, FORTNIGHT), (2 * FORTNIGHT, 2 * FORTNIGHT)])
def test_nothing_is_given_up_that_the_vendor_may_still_hold_while_it_cannot_be_asked(
    give_up_after: float, end: float
) -> None:
    policy = Policy(give_up_after=give_up_after)
    generation = Generation.track("t1", 1000.0, policy)
    generation.await_verdict(1000.0 + end - 1, policy, "HTTP 502")
    assert (generation.state, generation.settle.at) == (State.WAITING, 1000.0 + end)
    generation.await_verdict(1000.0 + end, policy, "HTTP 502")
    assert (generation.state, generation.settle.at) == (State.LOST, None)


def test_a_good_answer_after_the_time_is_over_gives_up(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1000.0 + 3 * DAY, policy, "HTTP 502")
    assert waiting.state is State.WAITING
    waiting.await_verdict(1000.0 + 3 * DAY + 300, policy)
    assert waiting.state is State.LOST


def test_a_doubt_is_not_given_up_while_the_vendor_cannot_be_asked(failed: Generation, policy: Policy) -> None:
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.await_verdict(5000.0 + FORTNIGHT - 1, policy, "HTTP 502")
    assert failed.undecided
    failed.await_verdict(5000.0 + FORTNIGHT, policy, "HTTP 502")
    assert (failed.undecided, failed.state, failed.settle.at) == (False, State.FAILED, None)


@pytest.mark.parametrize("end", ["said again", "given up"])
def test_trouble_is_not_shown_once_a_doubt_is_over(failed: Generation, policy: Policy, end: str) -> None:
    failed.doubt(Outcome.SUCCEEDED, 5000.0)
    failed.await_verdict(5100.0, policy, "HTTP 502")
    if end == "said again":
        failed.hear(FAILURE, "poll", 5200.0)
        failed.await_verdict(5200.0, policy)
    else:
        failed.await_verdict(5000.0 + FORTNIGHT, policy, "HTTP 502")
    assert (failed.undecided, failed.error) == (False, "")
