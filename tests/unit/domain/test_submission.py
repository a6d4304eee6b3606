"""Submissions: sent once, freed only by what says for certain that nothing was created, and settled by whatever names the id."""

import json

import pytest

from app.domain.callbacks import Callback, Outcome
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.states import State
from app.domain.submission import Submission, fingerprint
from app.domain.vendor import SubmitAnswer, SubmitProgress
from app.domain.work import Item, Kind, Step

OWN_ID = "sub_0123456789abcdef0123456789abcdef"
DAY = 86400.0
CREATED = SubmitAnswer(SubmitProgress.CREATED, 200, "success", "v1")
BUSY = SubmitAnswer(SubmitProgress.BUSY, 455, "maintenance")
LIMITED = SubmitAnswer(SubmitProgress.BUSY, 429, "too often", pause=12.5)
REFUSED = SubmitAnswer(SubmitProgress.REFUSED, 402, "no credits")
UNCERTAIN = SubmitAnswer(SubmitProgress.UNCERTAIN, msg="ReadTimeout")
NAMED = Callback("v1", Outcome.SUCCEEDED, 200, "made")
NAMELESS_FAILURE = Callback(None, Outcome.FAILED, 501, "it broke")
NAMELESS_QUESTION = Callback(None, Outcome.ASK, 408, "upstream is silent")


def _make(request: Request | None = None) -> Submission:
    made = Submission(
        id=OWN_ID,
        tracked_at=1000.0,
        request=request or GenerateRequest(prompt="a cat"),
        fingerprint="f",
        token="secret",
        price=60.0,
    )
    made.work.at = 1000.0
    return made


@pytest.fixture
def submission() -> Submission:
    """Accepted at 1000, not sent yet."""
    return _make()


def _claim(submission: Submission, now: float, policy: Policy, *, early: bool = False) -> int:
    fence = submission.claim(now, policy, early=early)
    assert fence is not None
    return fence


def _send(submission: Submission, now: float, policy: Policy) -> int:
    """Claim it and send the request. Gives the number of the sending."""
    sending = submission.may_send(_claim(submission, now, policy), now, policy)
    assert sending is not None
    return sending


def _hear(submission: Submission, answer: SubmitAnswer, now: float, policy: Policy, sending: int = 1) -> None:
    submission.hear(answer, sending, now, policy, 0.5)


@pytest.fixture
def sent(submission: Submission, policy: Policy) -> Submission:
    """Sent at 1000, not answered yet."""
    assert _send(submission, 1000.0, policy) == 1
    return submission


@pytest.fixture
def orphaned(sent: Submission, policy: Policy) -> Submission:
    """Sent at 1000 by a worker that was never heard of again; the next one holds it since 1060."""
    assert _claim(sent, 1060.0, policy) == 2
    return sent


@pytest.fixture
def uncertain(sent: Submission, policy: Policy) -> Submission:
    """Sent at 1000 with a time-out at 1010 for an answer."""
    _hear(sent, UNCERTAIN, 1010.0, policy)
    return sent


@pytest.fixture
def lost(uncertain: Submission, policy: Policy) -> Submission:
    """Sent a day ago, and given up."""
    uncertain.wait(_claim(uncertain, 1000.0 + DAY, policy), 1000.0 + DAY, policy)
    assert uncertain.given_up
    return uncertain


@pytest.fixture
def refused(sent: Submission, policy: Policy) -> Submission:
    """Sent at 1000, refused at 1001."""
    _hear(sent, REFUSED, 1001.0, policy)
    return sent


# --- claims ------------------------------------------------------------------------------------------------------------


def test_what_was_accepted_waits_to_be_sent(submission: Submission) -> None:
    assert (submission.state, submission.to_be_sent, submission.item) == (
        State.WAITING,
        True,
        Item(Step.SUBMIT, OWN_ID),
    )
    assert submission.agenda(pending=False) == {submission.item: 1000.0}
    assert submission.find_work(submission.item) is submission.work


def test_one_worker_has_it_at_a_time(submission: Submission, policy: Policy) -> None:
    assert submission.claim(999.9, policy, early=False) is None
    assert submission.claim(1000.0, policy, early=False) == 1
    assert (submission.work.at, submission.work.leased) == (1060.0, True)
    assert submission.claim(1059.9, policy, early=False) is None
    assert submission.claim(1059.9, policy, early=True) is None


def test_a_callback_is_a_reason_to_look_early(uncertain: Submission, policy: Policy) -> None:
    assert uncertain.claim(2000.0, policy, early=False) is None
    assert uncertain.claim(2000.0, policy, early=True) == 2


def test_callbacks_that_wait_are_due_at_once_unless_somebody_is_at_it(submission: Submission, policy: Policy) -> None:
    submission.work.at = 5000.0
    assert submission.agenda(pending=True) == {submission.item: 0.0}
    submission.work.at = None
    assert submission.agenda(pending=True) == {submission.item: 0.0}
    assert submission.agenda(pending=False) == {}
    _claim(submission, 1000.0, policy, early=True)
    assert submission.agenda(pending=True) == {submission.item: 1060.0}


def test_a_worker_that_died_before_it_sent_has_left_nothing_to_doubt(submission: Submission, policy: Policy) -> None:
    _claim(submission, 1000.0, policy)
    fence = _claim(submission, 1060.0, policy)
    assert (submission.state, submission.error) == (State.WAITING, "")
    assert submission.may_send(fence, 1061.0, policy) == 1


def test_it_may_be_put_off_by_name(submission: Submission, policy: Policy) -> None:
    fence = _claim(submission, 1000.0, policy)
    submission.postpone(fence, "waiting for its turn", 1007.5)
    assert (submission.error, submission.work.at, submission.work.leased) == ("waiting for its turn", 1007.5, False)
    assert (submission.state, submission.to_be_sent) == (State.WAITING, True)


def test_a_worker_that_lost_its_claim_puts_nothing_off(submission: Submission, policy: Policy) -> None:
    former = _claim(submission, 1000.0, policy)
    _claim(submission, 1060.0, policy)
    before = submission.model_copy(deep=True)
    submission.postpone(former, "waiting for its turn", 2000.0)
    submission.wait(former, 1061.0, policy)
    assert submission == before


# --- sending -----------------------------------------------------------------------------------------------------------


def test_the_sending_is_noted_before_it_happens_and_prolongs_the_claim(submission: Submission, policy: Policy) -> None:
    fence = _claim(submission, 1000.0, policy)
    assert submission.may_send(fence, 1030.0, policy) == 1
    assert (submission.sent_at, submission.sends, submission.work.at) == (1030.0, 1, 1090.0)
    assert submission.work.holds(fence)
    assert submission.state is State.WAITING


def test_it_is_not_sent_twice_under_one_claim(submission: Submission, policy: Policy) -> None:
    fence = _claim(submission, 1000.0, policy)
    submission.may_send(fence, 1000.0, policy)
    before = submission.model_copy(deep=True)
    assert submission.may_send(fence, 1001.0, policy) is None
    assert submission == before


def test_a_worker_that_lost_its_claim_may_not_send(submission: Submission, policy: Policy) -> None:
    former = _claim(submission, 1000.0, policy)
    present = _claim(submission, 1060.0, policy)
    assert submission.may_send(former, 1061.0, policy) is None
    assert (submission.sent_at, submission.sends, submission.work.at) == (None, 0, 1120.0)
    assert submission.may_send(present, 1061.0, policy) == 1


def test_what_nobody_has_claimed_may_not_be_sent(submission: Submission, policy: Policy) -> None:
    assert submission.may_send(0, 1000.0, policy) is None
    assert submission.sent_at is None


@pytest.mark.parametrize("early", [False, True])
def test_a_sending_without_an_answer_is_uncertain_and_never_goes_again(
    sent: Submission, policy: Policy, early: bool
) -> None:
    fence = _claim(sent, 1060.0, policy, early=early)
    assert (sent.progress, sent.state, sent.to_be_sent) == (SubmitProgress.UNCERTAIN, State.UNCERTAIN, False)
    assert "the worker ended before the vendor's answer was recorded" in sent.error
    assert f"`reelkeep track TASK_ID --submission {OWN_ID}`" in sent.error
    assert sent.may_send(fence, 1061.0, policy) is None
    assert (sent.sent_at, sent.sends) == (1000.0, 1)


@pytest.mark.parametrize("early", [False, True])
def test_while_its_sender_lives_nobody_doubts_it(sent: Submission, policy: Policy, early: bool) -> None:
    before = sent.model_copy(deep=True)
    assert sent.claim(1059.9, policy, early=early) is None
    assert sent == before


def test_what_was_refused_is_not_sent_unless_the_user_says_so(refused: Submission, policy: Policy) -> None:
    fence = _claim(refused, 2000.0, policy, early=True)
    assert refused.may_send(fence, 2000.0, policy) is None
    assert (refused.sent_at, refused.sends) == (None, 1)


@pytest.mark.parametrize("which", ["orphaned", "uncertain", "lost"])
def test_what_may_have_been_created_is_never_sent_again(
    which: str, request: pytest.FixtureRequest, policy: Policy
) -> None:
    submission: Submission = request.getfixturevalue(which)
    for now in (2000.0, 90_000.0, 1e6, 1e9):
        assert not submission.retry(now)
        fence = submission.claim(now, policy, early=True)
        assert fence is not None
        assert submission.may_send(fence, now, policy) is None
        submission.wait(fence, now, policy)
    assert (submission.sends, submission.sent_at, submission.state) == (1, 1000.0, State.LOST)


# --- answers -----------------------------------------------------------------------------------------------------------


def test_the_vendors_id_is_learned_from_its_answer(sent: Submission, policy: Policy) -> None:
    _hear(sent, CREATED, 1002.0, policy)
    assert (sent.task_id, sent.progress, sent.state) == ("v1", SubmitProgress.CREATED, State.WAITING)
    assert (sent.work.holds(1), sent.error) == (True, ""), "whoever holds it hands it over"


@pytest.mark.parametrize("progress", SubmitProgress)
def test_an_answer_with_an_id_is_a_creation_whatever_else_it_says(
    sent: Submission, policy: Policy, progress: SubmitProgress
) -> None:
    _hear(sent, SubmitAnswer(progress, 500, "odd", "v1"), 1002.0, policy)
    assert (sent.task_id, sent.progress) == ("v1", SubmitProgress.CREATED)


@pytest.mark.parametrize(("answer", "at"), [(BUSY, 1006.0), (LIMITED, 1017.5)])
def test_what_was_certainly_not_created_goes_again(
    sent: Submission, policy: Policy, answer: SubmitAnswer, at: float
) -> None:
    _hear(sent, answer, 1005.0, policy)
    assert (sent.sent_at, sent.to_be_sent, sent.state) == (None, True, State.WAITING)
    assert (sent.code, sent.msg, sent.error) == (answer.code, answer.msg, f"not taken yet, goes again: {answer.msg}")
    assert (sent.work.at, sent.work.leased) == (at, False)
    assert _send(sent, at, policy) == 2


def test_a_pause_of_nothing_is_a_pause(sent: Submission, policy: Policy) -> None:
    _hear(sent, SubmitAnswer(SubmitProgress.BUSY, 429, pause=0.0), 1005.0, policy)
    assert (sent.work.at, sent.error) == (1005.0, "not taken yet, goes again: code 429")


def test_the_pauses_grow_with_each_sending(submission: Submission, policy: Policy) -> None:
    now, pauses = 1000.0, []
    for sending in range(1, 6):
        assert _send(submission, now, policy) == sending
        _hear(submission, BUSY, now, policy, sending)
        assert submission.work.at is not None
        pauses.append(submission.work.at - now)
        now = submission.work.at
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_what_is_not_taken_in_time_is_given_up_as_refused(submission: Submission, policy: Policy) -> None:
    submission.work.at = 5000.0
    for now, sending in ((5000.0, 1), (5000.0 + DAY - 1, 2), (5000.0 + DAY, 3)):
        submission.work.put_back(now)
        assert (_send(submission, now, policy), submission.to_be_sent) == (sending, True)
        _hear(submission, BUSY, now, policy, sending)
    assert (submission.state, submission.work.at, submission.sent_at) == (State.FAILED, None, None)
    assert submission.error == "not taken within 86400 s: maintenance"
    assert submission.bills() == {str(submission.item): 0.0}


def test_what_the_vendor_refuses_has_failed_by_name(sent: Submission, policy: Policy) -> None:
    _hear(sent, REFUSED, 1001.0, policy)
    assert (sent.progress, sent.state, sent.to_be_sent) == (SubmitProgress.REFUSED, State.FAILED, False)
    assert (sent.code, sent.msg) == (402, "no credits")
    assert sent.error == "the vendor refused it, nothing was created: no credits"
    assert (sent.work.at, sent.sent_at) == (None, None)
    assert sent.agenda(pending=False) == {}


def test_a_refusal_without_words_names_its_code(sent: Submission, policy: Policy) -> None:
    _hear(sent, SubmitAnswer(SubmitProgress.REFUSED, 401), 1001.0, policy)
    assert sent.error == "the vendor refused it, nothing was created: code 401"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (UNCERTAIN, "ReadTimeout"),
        (SubmitAnswer(SubmitProgress.UNCERTAIN, 500), "code 500"),
        (SubmitAnswer(SubmitProgress.CREATED, 200, "success"), "success"),
    ],
    ids=["time-out", "code 500", "created without an id"],
)
def test_what_may_have_been_created_waits_for_its_callback(
    sent: Submission, policy: Policy, answer: SubmitAnswer, said: str
) -> None:
    _hear(sent, answer, 1010.0, policy)
    assert (sent.progress, sent.state, sent.sent_at) == (SubmitProgress.UNCERTAIN, State.UNCERTAIN, 1000.0)
    assert (sent.code, sent.msg) == (answer.code, answer.msg)
    assert (sent.work.at, sent.work.leased) == (1000.0 + DAY, False)
    assert sent.error == (
        f"it may or may not have been created ({said}), so it is not sent again. If it was, its callback settles this, "
        "provided that the vendor reaches REELKEEP_PUBLIC_URL. If none comes, look for the prompt in the vendor's log: if it "
        f"is there, say `reelkeep track TASK_ID --submission {OWN_ID}`; if not, submit it anew, under another key"
    )


@pytest.mark.parametrize("answer", [CREATED, BUSY, REFUSED, UNCERTAIN])
def test_an_answer_to_what_was_not_sent_is_passed_over(
    submission: Submission, policy: Policy, answer: SubmitAnswer
) -> None:
    before = submission.model_copy(deep=True)
    for sending in (0, 1):
        _hear(submission, answer, 1001.0, policy, sending)
    assert submission == before


@pytest.mark.parametrize("answer", [CREATED, BUSY, REFUSED, UNCERTAIN])
def test_an_answer_to_an_older_sending_is_passed_over(sent: Submission, policy: Policy, answer: SubmitAnswer) -> None:
    _hear(sent, BUSY, 1001.0, policy)
    assert sent.work.at is not None
    assert _send(sent, sent.work.at, policy) == 2
    before = sent.model_copy(deep=True)
    _hear(sent, answer, 1010.0, policy, sending=1)
    assert sent == before


@pytest.mark.parametrize("answer", [SubmitAnswer(SubmitProgress.CREATED, 200, "", "v2"), BUSY, REFUSED, UNCERTAIN])
def test_an_answer_after_the_id_is_known_is_passed_over(sent: Submission, policy: Policy, answer: SubmitAnswer) -> None:
    sent.hear_callback(NAMED, 1001.0)
    before = sent.model_copy(deep=True)
    _hear(sent, answer, 1010.0, policy)
    assert sent == before


# --- answers that come when the claim was lost --------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["orphaned", "uncertain", "lost"])
def test_a_late_answer_with_the_id_settles_it(which: str, request: pytest.FixtureRequest, policy: Policy) -> None:
    submission: Submission = request.getfixturevalue(which)
    _hear(submission, CREATED, 90_000.0, policy)
    assert (submission.task_id, submission.state, submission.given_up) == ("v1", State.WAITING, False)
    due = (1120.0, True) if which == "orphaned" else (90_000.0, False)
    assert (submission.work.at, submission.work.leased, submission.error) == (*due, "")


@pytest.mark.parametrize("which", ["orphaned", "lost"])
def test_a_late_refusal_settles_it_and_it_may_be_tried_again(
    which: str, request: pytest.FixtureRequest, policy: Policy
) -> None:
    submission: Submission = request.getfixturevalue(which)
    _hear(submission, REFUSED, 90_000.0, policy)
    assert (submission.state, submission.given_up, submission.sent_at) == (State.FAILED, False, None)
    assert submission.retry(90_001.0)


def test_a_late_answer_that_it_was_not_created_frees_it(orphaned: Submission, policy: Policy) -> None:
    _hear(orphaned, BUSY, 1070.0, policy)
    assert (orphaned.state, orphaned.to_be_sent, orphaned.sent_at) == (State.WAITING, True, None)
    assert (orphaned.work.at, orphaned.work.leased) == (1071.0, False)
    assert _send(orphaned, 1071.0, policy) == 2


def test_a_late_answer_that_says_nothing_for_sure_leaves_it_uncertain(orphaned: Submission, policy: Policy) -> None:
    _hear(orphaned, UNCERTAIN, 1070.0, policy)
    assert (orphaned.state, orphaned.sent_at, orphaned.work.at) == (State.UNCERTAIN, 1000.0, 1000.0 + DAY)
    assert "ReadTimeout" in orphaned.error


# --- callbacks under its token -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["sent", "orphaned", "uncertain", "lost"])
@pytest.mark.parametrize("outcome", Outcome)
def test_a_callback_settles_what_was_sent_by_the_id_that_it_names(
    which: str, request: pytest.FixtureRequest, outcome: Outcome
) -> None:
    submission: Submission = request.getfixturevalue(which)
    submission.hear_callback(Callback("v1", outcome, 500), 90_000.0)
    assert (submission.task_id, submission.progress) == ("v1", SubmitProgress.CREATED)
    assert (submission.given_up, submission.error, submission.state) == (False, "", State.WAITING)
    held = {"sent": 1060.0, "orphaned": 1120.0}
    assert (submission.work.at, submission.work.leased) == (held.get(which, 90_000.0), which in held)


@pytest.mark.parametrize("which", ["sent", "orphaned", "uncertain", "lost"])
def test_a_failure_that_names_no_id_ends_it_and_it_is_not_sent_again(
    which: str, request: pytest.FixtureRequest, policy: Policy
) -> None:
    submission: Submission = request.getfixturevalue(which)
    submission.hear_callback(NAMELESS_FAILURE, 90_000.0)
    assert (submission.state, submission.given_up, submission.work.at) == (State.FAILED, False, None)
    assert (submission.code, submission.msg) == (501, "it broke")
    assert submission.error == "it was created and failed: it broke"
    assert submission.sent_at == 1000.0, "it was created, and perhaps paid for"
    assert not submission.retry(90_001.0)
    fence = _claim(submission, 90_002.0, policy, early=True)
    assert submission.may_send(fence, 90_002.0, policy) is None


@pytest.mark.parametrize("callback", [NAMELESS_QUESTION, Callback(None, Outcome.SUCCEEDED, 200)])
def test_a_callback_that_says_neither_the_id_nor_a_failure_changes_nothing(
    uncertain: Submission, callback: Callback
) -> None:
    before = uncertain.model_copy(deep=True)
    uncertain.hear_callback(callback, 2000.0)
    assert uncertain == before


@pytest.mark.parametrize("answer", [BUSY, REFUSED])
def test_a_callback_that_names_an_id_outranks_the_answer_that_nothing_was_created(
    sent: Submission, policy: Policy, answer: SubmitAnswer
) -> None:
    _hear(sent, answer, 1001.0, policy)
    before = sent.model_copy(deep=True)
    sent.hear_callback(NAMELESS_FAILURE, 1002.0)
    assert sent == before
    sent.hear_callback(NAMED, 1003.0)
    assert (sent.task_id, sent.state, sent.to_be_sent, sent.work.at) == ("v1", State.WAITING, False, 1003.0)


@pytest.mark.parametrize("callback", [NAMED, NAMELESS_FAILURE, NAMELESS_QUESTION])
def test_a_callback_about_what_was_not_sent_changes_nothing(submission: Submission, callback: Callback) -> None:
    before = submission.model_copy(deep=True)
    submission.hear_callback(callback, 2000.0)
    assert submission == before


@pytest.mark.parametrize("callback", [Callback("v2", Outcome.SUCCEEDED, 200), NAMELESS_FAILURE])
def test_a_callback_after_the_id_is_known_changes_nothing(sent: Submission, policy: Policy, callback: Callback) -> None:
    _hear(sent, CREATED, 1002.0, policy)
    before = sent.model_copy(deep=True)
    sent.hear_callback(callback, 2000.0)
    assert sent == before


@pytest.mark.parametrize("answer", [BUSY, REFUSED, UNCERTAIN])
def test_a_late_answer_without_an_id_takes_no_failure_back_that_a_callback_has_reported(
    orphaned: Submission, policy: Policy, answer: SubmitAnswer
) -> None:
    orphaned.hear_callback(NAMELESS_FAILURE, 1065.0)
    before = orphaned.model_copy(deep=True)
    _hear(orphaned, answer, 1070.0, policy)
    assert orphaned == before


def test_a_late_answer_with_an_id_is_learned_though_a_callback_has_reported_a_failure(
    orphaned: Submission, policy: Policy
) -> None:
    """Else its generation would be tracked as somebody else's: without its price, its labels and its upgrades."""
    orphaned.hear_callback(NAMELESS_FAILURE, 1065.0)
    _hear(orphaned, CREATED, 1070.0, policy)
    assert (orphaned.task_id, orphaned.state, orphaned.error) == ("v1", State.WAITING, "")
    assert orphaned.work.leased or orphaned.work.at == 1070.0, "it is handed over"


def test_an_id_after_a_failure_that_named_none_is_learned(uncertain: Submission) -> None:
    uncertain.hear_callback(NAMELESS_FAILURE, 2000.0)
    uncertain.hear_callback(NAMED, 2001.0)
    assert (uncertain.task_id, uncertain.state, uncertain.error) == ("v1", State.WAITING, "")


# --- waiting -----------------------------------------------------------------------------------------------------------


def test_it_is_looked_at_again_when_it_is_time_to_give_up(orphaned: Submission, policy: Policy) -> None:
    orphaned.wait(2, 1061.0, policy)
    assert (orphaned.work.at, orphaned.work.leased, orphaned.state) == (1000.0 + DAY, False, State.UNCERTAIN)


def test_it_is_given_up_as_lost_when_no_callback_has_come_in_time(uncertain: Submission, policy: Policy) -> None:
    fence = _claim(uncertain, 1000.0 + DAY - 0.5, policy, early=True)
    uncertain.wait(fence, 1000.0 + DAY - 0.5, policy)
    assert (uncertain.state, uncertain.work.at) == (State.UNCERTAIN, 1000.0 + DAY)
    uncertain.wait(_claim(uncertain, 1000.0 + DAY, policy), 1000.0 + DAY, policy)
    assert (uncertain.state, uncertain.given_up, uncertain.work.at) == (State.LOST, True, None)
    assert "submit it anew" in uncertain.error


def test_the_time_to_give_up_is_counted_from_the_sending(submission: Submission, policy: Policy) -> None:
    submission.work.at = 5000.0
    sending = _send(submission, 5000.0, policy)
    _hear(submission, UNCERTAIN, 5010.0, policy, sending)
    assert submission.work.at == 5000.0 + DAY


def test_what_is_still_to_be_sent_is_left_to_the_end_of_the_claim(submission: Submission, policy: Policy) -> None:
    fence = _claim(submission, 1000.0, policy)
    submission.wait(fence, 1001.0, policy)
    assert (submission.work.at, submission.work.leased) == (1060.0, True)


def test_an_id_that_was_learned_while_somebody_held_it_has_it_due_at_once(orphaned: Submission, policy: Policy) -> None:
    orphaned.learn("v1", 1061.0)
    orphaned.wait(2, 1062.0, policy)
    assert (orphaned.task_id, orphaned.work.at, orphaned.work.leased) == ("v1", 1062.0, False)


def test_what_was_handed_over_while_somebody_held_it_is_done(sent: Submission, policy: Policy) -> None:
    _hear(sent, CREATED, 1002.0, policy)
    sent.link()
    fence = _claim(sent, 2000.0, policy, early=True)
    sent.wait(fence, 2000.0, policy)
    assert (sent.work.at, sent.work.leased) == (None, False)


@pytest.mark.parametrize(("which", "now"), [("refused", 2000.0), ("refused", 2e6), ("lost", 2e6)])
def test_what_has_ended_is_left_alone(which: str, now: float, request: pytest.FixtureRequest, policy: Policy) -> None:
    submission: Submission = request.getfixturevalue(which)
    state, fence = submission.state, _claim(submission, now, policy, early=True)
    submission.wait(fence, now, policy)
    assert (submission.state, submission.work.at, submission.work.leased) == (state, None, False)


# --- handing over ------------------------------------------------------------------------------------------------------


def test_what_its_generation_has_taken_over_is_in_no_list(sent: Submission, policy: Policy) -> None:
    _hear(sent, CREATED, 1002.0, policy)
    sent.link()
    assert (sent.linked, sent.state, sent.work.at, sent.agenda(pending=False)) == (True, None, None, {})
    assert sent.claim(5000.0, policy, early=False) is None


def test_what_named_another_submissions_generation_is_as_uncertain_as_before(
    uncertain: Submission, policy: Policy
) -> None:
    uncertain.hear_callback(NAMED, 2000.0)
    uncertain.unlearn(policy, 2000.0)
    assert (uncertain.task_id, uncertain.state, uncertain.sent_at) == ("", State.UNCERTAIN, 1000.0)
    assert (uncertain.work.at, uncertain.work.leased) == (1000.0 + DAY, False)
    assert "a callback named a generation that another submission has brought about" in uncertain.error
    uncertain.hear_callback(Callback("v2", Outcome.SUCCEEDED, 200), 3000.0)
    assert uncertain.task_id == "v2"


# --- trying again ------------------------------------------------------------------------------------------------------


def test_what_was_refused_is_sent_again_when_the_user_says_so(refused: Submission, policy: Policy) -> None:
    assert refused.claim(2000.0, policy, early=False) is None
    assert refused.retry(2000.0)
    assert (refused.state, refused.to_be_sent, refused.began, refused.work.at) == (State.WAITING, True, None, 2000.0)
    assert (refused.code, refused.msg, refused.error, refused.bills()) == (0, "", "", {})
    assert _send(refused, 2000.0, policy) == 2


@pytest.mark.parametrize("answer", [None, BUSY])
def test_what_is_held_is_sent_at_once_when_the_user_says_so(
    submission: Submission, policy: Policy, answer: SubmitAnswer | None
) -> None:
    if answer:
        _hear(submission, answer, 1001.0, policy, _send(submission, 1000.0, policy))
    submission.work.at, error, began = 86_400.0, submission.error, submission.began
    assert submission.retry(2000.0)
    assert (submission.work.at, submission.error, submission.began) == (2000.0, error, began)
    assert _send(submission, 2000.0, policy) == (2 if answer else 1)


def test_what_somebody_is_about_to_send_is_left_to_him(submission: Submission, policy: Policy) -> None:
    fence = _claim(submission, 1000.0, policy)
    assert not submission.retry(1001.0)
    assert submission.work.holds(fence)


def test_an_answer_to_the_refused_sending_is_none_to_the_new_one(refused: Submission, policy: Policy) -> None:
    refused.retry(2000.0)
    assert _send(refused, 2000.0, policy) == 2
    _hear(refused, CREATED, 2001.0, policy, sending=1)
    assert (refused.task_id, refused.sent_at) == ("", 2000.0)


def test_trying_again_gives_it_the_whole_time_anew(refused: Submission, policy: Policy) -> None:
    refused.retry(90_000.0)
    sending = _send(refused, 90_000.0, policy)
    _hear(refused, BUSY, 90_001.0, policy, sending)
    assert refused.to_be_sent


@pytest.mark.parametrize("which", ["sent", "orphaned", "uncertain", "lost"])
def test_nothing_else_is_tried_again(which: str, request: pytest.FixtureRequest) -> None:
    submission: Submission = request.getfixturevalue(which)
    before = submission.model_copy(deep=True)
    assert not submission.retry(2000.0)
    assert submission == before


@pytest.mark.parametrize("linked", [False, True])
def test_what_was_created_is_not_tried_again(sent: Submission, policy: Policy, linked: bool) -> None:
    _hear(sent, CREATED, 1002.0, policy)
    if linked:
        sent.link()
    before = sent.model_copy(deep=True)
    assert not sent.retry(2000.0)
    assert sent == before


# --- the record --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        GenerateRequest(prompt="a cat"),
        GenerateRequest(
            prompt="a cat",
            imageUrls=["https://x/a?sig=1"],
            model="veo3",
            aspect_ratio="9:16",
            enableTranslation=False,
            resolution="4k",
            duration=8,
            seeds=12_345,
        ),
        ExtendRequest(taskId="t1", prompt="it goes on"),
        ExtendRequest(taskId="t1", prompt="it goes on", model="quality", seeds=12_345, watermark="w"),
    ],
)
def test_a_submission_survives_being_written_and_read(wanted: Request, policy: Policy) -> None:
    submission = _make(wanted)
    _hear(submission, UNCERTAIN, 1010.0, policy, _send(submission, 1000.0, policy))
    read = Submission.model_validate_json(submission.model_dump_json(exclude_defaults=True))
    assert read == submission
    assert (type(read.request), read.request.fields()) == (type(wanted), wanted.fields())


def test_fields_of_a_newer_version_are_kept(submission: Submission) -> None:
    record = json.loads(submission.model_dump_json(exclude_defaults=True)) | {"newer": [1]}
    read = Submission.model_validate_json(json.dumps(record))
    assert json.loads(read.model_dump_json(exclude_defaults=True))["newer"] == [1]


@pytest.mark.parametrize(
    ("which", "free", "question"),
    [
        ("submission", False, False),
        ("sent", False, False),
        ("orphaned", False, True),
        ("uncertain", False, True),
        ("lost", False, True),
        ("refused", True, False),
    ],
)
def test_only_what_was_refused_is_known_to_cost_nothing_and_only_what_is_uncertain_is_a_question(
    which: str, request: pytest.FixtureRequest, free: bool, question: bool
) -> None:
    submission: Submission = request.getfixturevalue(which)
    assert submission.bills() == ({str(submission.item): 0.0} if free else {})
    assert submission.open_question is question


def test_what_was_created_and_failed_may_have_been_paid_for_and_may_be_named(uncertain: Submission) -> None:
    uncertain.hear_callback(NAMELESS_FAILURE, 2000.0)
    assert (uncertain.bills(), uncertain.open_question) == ({}, True)


def test_what_was_created_is_no_question(sent: Submission, policy: Policy) -> None:
    _hear(sent, CREATED, 1002.0, policy)
    assert (sent.bills(), sent.open_question) == ({}, False)


def test_why_nothing_can_be_done_is_said(submission: Submission, refused: Submission) -> None:
    assert submission is refused, "the fixtures are of one submission"
    assert submission.why_not_yet == f"{OWN_ID} is failed: the vendor has not confirmed it yet"
    assert submission.why_no_retry == (f"{OWN_ID} is failed: the vendor refused it, nothing was created: no credits")
    assert _make().why_no_retry == f"{OWN_ID} is waiting: nothing has failed"


def test_only_an_extension_has_a_parent() -> None:
    assert _make().parent == ""
    assert _make(ExtendRequest(taskId="t1", prompt="it goes on")).parent == "t1"


# --- telling requests apart ---------------------------------------------------------------------------------------------

WISH = (GenerateRequest(prompt="a cat"), [Kind.HD, Kind.UHD], {"a": "1", "b": "2"})


@pytest.mark.parametrize(
    "same",
    [
        (GenerateRequest(prompt="a cat", model="veo3_fast", aspectRatio="16:9"), *WISH[1:]),
        (WISH[0], [Kind.UHD, Kind.HD], WISH[2]),
        (WISH[0], WISH[1], {"b": "2", "a": "1"}),
    ],
    ids=["defaults", "order of upgrades", "order of labels"],
)
def test_the_same_wish_has_the_same_fingerprint(same: tuple[Request, list[Kind], dict[str, str]]) -> None:
    assert fingerprint(*same) == fingerprint(*WISH)


@pytest.mark.parametrize(
    "other",
    [
        (GenerateRequest(prompt="a dog"), *WISH[1:]),
        (GenerateRequest(prompt="a cat", seeds=12_345), *WISH[1:]),
        (GenerateRequest(prompt="a cat", imageUrls=["https://x/a?sig=1"]), *WISH[1:]),
        (WISH[0], [Kind.HD], WISH[2]),
        (WISH[0], WISH[1], {"a": "1", "b": "3"}),
        (ExtendRequest(taskId="t1", prompt="a cat"), *WISH[1:]),
    ],
    ids=["prompt", "seeds", "images", "upgrades", "labels", "extension"],
)
def test_another_wish_has_another_fingerprint(other: tuple[Request, list[Kind], dict[str, str]]) -> None:
    assert fingerprint(*other) != fingerprint(*WISH)


def test_only_the_query_of_a_picture_differs_and_still_it_is_another_wish() -> None:
    one, two = (GenerateRequest(prompt="a cat", imageUrls=[f"https://x/a?sig={sig}"]) for sig in "12")
    assert fingerprint(one, [], {}) != fingerprint(two, [], {})


def test_extensions_of_two_generations_are_two_wishes() -> None:
    one, two = (ExtendRequest(taskId=task_id, prompt="it goes on") for task_id in ("t1", "t2"))
    assert fingerprint(one, [], {}) != fingerprint(two, [], {})
