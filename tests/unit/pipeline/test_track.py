"""What users ask for: tracking, upgrades, trying again, and looking up what has one of two ids."""

import pytest

from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind
from app.pipeline import budget
from app.pipeline.track import UpgradeRequest, look_up, request_upgrade, retry, track
from tests.unit.pipeline.fakes import MemoryLedger

OWN_ID = "sub_0123456789abcdef0123456789abcdef"


def _known(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


@pytest.fixture
def submission(policy: Policy) -> Submission:
    """Sent at 1000, not answered yet."""
    made = Submission(
        id=OWN_ID,
        tracked_at=1000.0,
        request=GenerateRequest(prompt="a cat"),
        fingerprint="f",
        token="secret",
    )
    made.work.at = 1000.0
    fence = made.claim(1000.0, policy, early=False)
    assert fence is not None
    assert made.may_send(fence, 1000.0, policy) == 1
    return made


def _hear(submission: Submission, progress: SubmitProgress, policy: Policy, task_id: str | None = None) -> None:
    submission.hear(SubmitAnswer(progress, 402, "so it is", task_id), 1, 1001.0, policy, 0.5)


# --- tracking ----------------------------------------------------------------------------------------------------------


def test_what_is_new_is_tracked(policy: Policy) -> None:
    ledger = MemoryLedger()
    tracked = track("t1", [Kind.UHD], {"a": "b"}, ledger, policy)
    assert (tracked.created, tracked.generation) == (True, _known(ledger))
    assert (_known(ledger).upgrades, _known(ledger).labels, _known(ledger).settle.at) == (
        [Kind.UHD],
        {"a": "b"},
        1300.0,
    )


def test_what_is_known_is_added_to(ledger: MemoryLedger, policy: Policy) -> None:
    track("t1", [Kind.HD], {"a": "b"}, ledger, policy)
    tracked = track("t1", [Kind.UHD, Kind.HD], {"c": "d"}, ledger, policy)
    assert (tracked.created, _known(ledger).upgrades, _known(ledger).labels) == (
        False,
        [Kind.HD, Kind.UHD],
        {"a": "b", "c": "d"},
    )


def test_an_upgrade_of_what_has_failed_is_shown_as_wanted(ledger: MemoryLedger, policy: Policy) -> None:
    _known(ledger).hear(Verdict(Progress.FAILED, 501, "no"), "poll", 1000.0)
    noted = _known(ledger).changes
    track("t1", [Kind.UHD], {}, ledger, policy)
    assert (_known(ledger).upgrades, _known(ledger).changes) == ([Kind.UHD], noted + 1)


def test_what_a_callback_has_spoken_of_is_not_new(policy: Policy) -> None:
    ledger = MemoryLedger()
    ledger.call_back("{}")
    assert not track("t1", [], {}, ledger, policy).created


# --- upgrades ----------------------------------------------------------------------------------------------------------


def test_an_upgrade_is_reserved_for_and_wanted(succeeded: MemoryLedger) -> None:
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, Policy(credits_per_day=500.0))
    assert (answer.outcome, answer.reason) == (UpgradeRequest.ACCEPTED, "")
    assert answer.generation == _known(succeeded)
    assert _known(succeeded).asked_for(Kind.UHD, 0)
    assert succeeded.reserved == [("upgrade/t1/4k/0#1", 120.0, {"total": 500.0})]


def test_an_upgrade_of_what_is_not_known_is_not_reserved_for(policy: Policy) -> None:
    ledger = MemoryLedger()
    answer = request_upgrade("t1", Kind.UHD, 0, ledger, policy)
    assert (answer.outcome, answer.generation, ledger.reserved) == (UpgradeRequest.UNKNOWN, None, [])


def test_an_upgrade_that_is_held_is_looked_at_at_once_when_it_is_asked_for_again(
    succeeded: MemoryLedger, policy: Policy
) -> None:
    request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    _known(succeeded).renditions[1].work.at = 86_400.0
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    assert (answer.outcome, answer.generation) == (UpgradeRequest.ALREADY, _known(succeeded))
    assert _known(succeeded).renditions[1].work.at == 1000.0
    assert {name for name, _, _ in succeeded.reserved} == {"upgrade/t1/4k/0#1"}


def test_an_upgrade_that_the_day_does_not_allow_stays_held(succeeded: MemoryLedger, policy: Policy) -> None:
    request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    _known(succeeded).renditions[1].work.at = 86_400.0
    before, succeeded.over_budget = _known(succeeded).model_copy(deep=True), 86_400.0
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    assert (answer.outcome, answer.reason) == (UpgradeRequest.OVER_BUDGET, budget.OVER_BUDGET)
    assert _known(succeeded) == before


@pytest.mark.parametrize("ended", [False, True])
def test_an_upgrade_that_is_ordered_is_not_reserved_for_again(
    succeeded: MemoryLedger, policy: Policy, ended: bool
) -> None:
    request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    upgrade = _known(succeeded).renditions[1]
    assert _known(succeeded).claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret") is not None
    if ended:
        upgrade.end(RenditionState.STORED)
    before, succeeded.reserved = _known(succeeded).model_copy(deep=True), []
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    assert (answer.outcome, _known(succeeded), succeeded.reserved) == (UpgradeRequest.ALREADY, before, [])


def test_a_4k_that_is_there_without_an_order_is_not_reserved_for(succeeded: MemoryLedger, policy: Policy) -> None:
    _known(succeeded).want_upgrade(Kind.UHD, 0, 1000.0)
    _known(succeeded).renditions[1].end(RenditionState.STORED)
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    assert (answer.outcome, succeeded.reserved) == (UpgradeRequest.ALREADY, [])


def test_what_cannot_be_upgraded_is_refused_by_name(ledger: MemoryLedger, policy: Policy) -> None:
    answer = request_upgrade("t1", Kind.UHD, 0, ledger, policy)
    assert answer.outcome is UpgradeRequest.IMPOSSIBLE
    assert answer.reason == _known(ledger).why_not_upgrade(Kind.UHD, 0)
    assert (answer.reason != "", ledger.reserved, _known(ledger).renditions) == (True, [], [])


def test_the_days_budget_is_kept(succeeded: MemoryLedger, policy: Policy) -> None:
    before = _known(succeeded).model_copy(deep=True)
    succeeded.over_budget = 86_400.0
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    assert (answer.outcome, answer.reason) == (UpgradeRequest.OVER_BUDGET, budget.OVER_BUDGET)
    assert _known(succeeded) == before


def test_the_budget_of_one_generation_is_kept(succeeded: MemoryLedger) -> None:
    before = _known(succeeded).model_copy(deep=True)
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, Policy(credits_per_generation=119.5))
    assert answer.outcome is UpgradeRequest.OVER_BUDGET
    assert answer.reason == "over REELKEEP_CREDITS_PER_GENERATION: 0 spent or planned, 120 more exceed 119.5"
    assert (_known(succeeded), succeeded.reserved) == (before, [])
    for kind, outcome in ((Kind.UHD, UpgradeRequest.ACCEPTED), (Kind.HD, UpgradeRequest.OVER_BUDGET)):
        answer = request_upgrade("t1", kind, 0, succeeded, Policy(credits_per_generation=120.0))
        assert answer.outcome is outcome


def test_an_upgrade_that_came_to_be_impossible_while_it_was_reserved_for_is_not_wanted(
    succeeded: MemoryLedger, policy: Policy
) -> None:
    reserve = succeeded.reserve

    def reserving(*args: object) -> None:
        _known(succeeded).fallback = True
        reserve(*args)  # type: ignore[arg-type]

    succeeded.reserve = reserving  # type: ignore[assignment, method-assign]
    answer = request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    assert answer.outcome is UpgradeRequest.IMPOSSIBLE
    assert _known(succeeded).find(Kind.UHD, 0) is None


# --- trying again ------------------------------------------------------------------------------------------------------


def test_a_failed_generation_is_asked_about_again(ledger: MemoryLedger) -> None:
    _known(ledger).hear(Verdict(Progress.FAILED, 500, "broken"), "poll", 1000.0)
    ledger.now = 2000.0
    again, record = retry("t1", ledger)
    assert (again, record, _known(ledger).settle.at) == (1, _known(ledger), 2000.0)


def test_all_lost_files_are_counted(succeeded: MemoryLedger) -> None:
    generation = _known(succeeded)
    generation.fail(generation.renditions[0], "link dead everywhere", 1000.0)
    assert retry("t1", succeeded)[0] == 1
    assert _known(succeeded).renditions[0].state is RenditionState.WANTED
    assert retry("t1", succeeded)[0] == 0


def test_what_is_held_is_looked_at_at_once_and_counts_for_nothing(succeeded: MemoryLedger, policy: Policy) -> None:
    request_upgrade("t1", Kind.UHD, 0, succeeded, policy)
    _known(succeeded).renditions[1].work.at = 86_400.0
    assert retry("t1", succeeded)[0] == 0
    assert _known(succeeded).renditions[1].work.at == 1000.0


def test_a_refused_submission_is_sent_again(submission: Submission, policy: Policy) -> None:
    _hear(submission, SubmitProgress.REFUSED, policy)
    ledger = MemoryLedger(submission=submission, now=2000.0)
    again, record = retry(OWN_ID, ledger)
    assert (again, record, ledger.submission) == (1, ledger.submission, record)
    assert isinstance(record, Submission)
    assert (record.to_be_sent, record.work.at) == (True, 2000.0)


def test_an_uncertain_submission_is_not(submission: Submission, policy: Policy) -> None:
    _hear(submission, SubmitProgress.UNCERTAIN, policy)
    ledger = MemoryLedger(submission=submission.model_copy(deep=True), now=2000.0)
    assert retry(OWN_ID, ledger) == (0, submission)
    assert ledger.submission == submission


@pytest.mark.parametrize("record_id", ["t2", OWN_ID])
def test_what_is_not_known_is_not_tried_again(ledger: MemoryLedger, record_id: str) -> None:
    assert retry(record_id, ledger) == (0, None)


# --- looking up --------------------------------------------------------------------------------------------------------


def test_a_generation_is_found_by_the_vendors_id(ledger: MemoryLedger, policy: Policy) -> None:
    assert look_up("t1", ledger, policy) == _known(ledger)
    _known(ledger).set_labels({"a": "b"}, 1000.0)
    ledger.call_back("{}")
    assert look_up("t1", ledger, policy) == _known(ledger)


@pytest.mark.parametrize("record_id", ["t2", OWN_ID])
def test_what_is_not_known_is_not_found(ledger: MemoryLedger, policy: Policy, record_id: str) -> None:
    assert look_up(record_id, ledger, policy) is None


def test_a_submission_is_found_as_long_as_there_is_no_generation(submission: Submission, policy: Policy) -> None:
    ledger = MemoryLedger(submission=submission)
    assert look_up(OWN_ID, ledger, policy) == submission
    _hear(submission, SubmitProgress.CREATED, policy, "t1")
    assert look_up(OWN_ID, ledger, policy) == submission


def test_after_that_its_generation_is_found_by_either_id(
    ledger: MemoryLedger, submission: Submission, policy: Policy
) -> None:
    _hear(submission, SubmitProgress.CREATED, policy, "t1")
    submission.link()
    ledger.submission = submission
    assert look_up(OWN_ID, ledger, policy) == look_up("t1", ledger, policy) == _known(ledger)


def test_a_generation_that_only_a_callback_has_spoken_of_is_found(policy: Policy) -> None:
    ledger = MemoryLedger()
    ledger.call_back("{}")
    found = look_up("t1", ledger, policy)
    assert isinstance(found, Generation)
    assert (found.task_id, found.state, ledger.generation) == ("t1", State.WAITING, None)


def test_a_callback_makes_no_submission_of_what_is_none(policy: Policy) -> None:
    ledger = MemoryLedger()
    ledger.call_back_there("{}")
    assert look_up(OWN_ID, ledger, policy) is None
