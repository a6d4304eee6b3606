"""Submissions: sent once, at a pace that the account allows, and followed until the vendor's id is known.

The request goes out only after the ledger says that it does. Whoever finds that note without an answer does not know whether it
was created, and nobody sends it again: the token in its callback URL will tell.
"""

import hashlib
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from app.domain.callbacks import UnreadableCallback, identify, parse_callback
from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger, Limit, Pending, Slot
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, Request
from app.domain.submission import Submission, fingerprint
from app.domain.vendor import CallbackUrl, SubmitAnswer, Vendor
from app.domain.work import Item, Kind
from app.logs import add_to_work, log_event
from app.pipeline import budget
from app.pipeline.lease import insist

NO_KEY = "no vendor key is set (REELKEEP_KIE_API_KEY): nothing can be submitted"


class Acceptance(StrEnum):
    """What became of the wish for a generation or an extension."""

    ACCEPTED = "accepted"
    #: asked for before, under the same idempotency key
    REPEATED = "repeated"
    #: something else was asked for under this idempotency key
    OTHER_BODY = "other_body"
    #: the generation that is to be extended is not known here
    UNKNOWN = "unknown"
    #: it cannot be extended
    IMPOSSIBLE = "impossible"
    OVER_BUDGET = "over_budget"


@dataclass(frozen=True)
class Accepted:
    """The answer to such a wish."""

    outcome: Acceptance
    submission: Submission | None = None
    #: why not
    reason: str = ""


def accept(
    request: Request,
    upgrades: Sequence[Kind],
    labels: Mapping[str, str],
    key: str,
    ledger: Ledger,
    policy: Policy,
) -> Accepted:
    """Take on a generation or an extension, within the budgets. A worker submits it.

    :param key: the same key and wish give the same submission, however often they come
    :raises LedgerUnavailable: it may have been recorded all the same: ask again under the same key
    """
    submission = Submission(
        id=submission_id(key),
        tracked_at=0.0,
        request=request,
        fingerprint=fingerprint(request, list(upgrades), labels),
        labels=dict(labels),
        upgrades=list(dict.fromkeys(upgrades)),
        token=secrets.token_urlsafe(24),
        price=policy.price_of(request),
    )
    known = ledger.read(submission.id).submission
    if known is not None:
        return _recognise(known, submission)
    refusal = _why_not(request, submission.price, ledger, policy)
    if refusal is not None:
        return refusal
    if budget.reserve_submission(submission, ledger, policy) is not None:
        return Accepted(Acceptance.OVER_BUDGET, reason=budget.OVER_BUDGET)
    return ledger.change(submission.id, partial(_record, submission))


def submission_id(key: str) -> str:
    """The id of the submission under an idempotency key."""
    return f"sub_{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def submit(item: Item, ledger: Ledger, vendor: Vendor | None, policy: Policy, callback_url: CallbackUrl) -> None:
    """Bring a submission one step further: send it, take in its callbacks, or hand it over to its generation.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    claim = ledger.change(item.task_id, partial(_claim, policy=policy), focus=item)
    if claim is None:
        return
    add_to_work(attempt=claim.fence)
    submission = claim.submission
    if submission.to_be_sent and submission.sent_at is None:
        submission = _send(claim, ledger, vendor, policy, callback_url)
    if submission.task_id:
        _hand_over(submission, claim.fence, ledger, policy)
    else:
        ledger.change(item.task_id, partial(_wait, claim.fence, policy), focus=item)


def name_submission(submission_id: str, task_id: str, ledger: Ledger) -> Submission | None:
    """The user has found out which generation has come of a submission whose outcome is not known.

    :return: None: it is not known here. Its `task_id` is another one if it was not named
    :raises LedgerUnavailable:
    """
    known = ledger.read(task_id).generation
    taken = known is not None and known.submission not in ("", submission_id)

    def transition(draft: Draft) -> Submission | None:
        submission = draft.submission
        if submission is not None and submission.open_question and not taken:
            submission.learn(task_id, draft.now)
        return submission

    return ledger.change(submission_id, transition)


def why_not_named(submission: Submission, task_id: str) -> str:
    """Why a generation was not taken for what has come of a submission."""
    if submission.task_id:
        return f"{submission.id} has brought about {submission.task_id}"
    if submission.open_question:
        return f"{task_id} has come of another submission"
    return f"{submission.id} is {submission.state}: what has come of it is no question"


# --- accepting -------------------------------------------------------------------------------------------------------------


def _recognise(known: Submission, wanted: Submission) -> Accepted:
    if known.fingerprint != wanted.fingerprint:
        reason = f"something else was asked for under this Idempotency-Key (see {known.id}): use another key"
        return Accepted(Acceptance.OTHER_BODY, known, reason)
    return Accepted(Acceptance.REPEATED, known)


def _why_not(request: Request, price: float, ledger: Ledger, policy: Policy) -> Accepted | None:
    limit = policy.credits_per_generation
    if limit is not None and price > limit:
        reason = f"it is reckoned to cost {price:.12g} credits, REELKEEP_CREDITS_PER_GENERATION allows {limit:.12g}"
        return Accepted(Acceptance.OVER_BUDGET, reason=reason)
    if not isinstance(request, ExtendRequest):
        return None
    parent = ledger.read(request.task_id).generation
    if parent is None:
        return Accepted(Acceptance.UNKNOWN)
    reason = parent.why_not_extend()
    return Accepted(Acceptance.IMPOSSIBLE, reason=f"generation {parent.task_id}: {reason}") if reason else None


def _record(submission: Submission, draft: Draft) -> Accepted:
    if draft.submission is not None:  # the same request came twice at the same time
        return _recognise(draft.submission, submission)
    draft.submission = submission.model_copy(update={"tracked_at": draft.now}, deep=True)
    draft.submission.work.at = draft.now
    draft.submission.tell(draft.now, "generation.requested", what=submission.what, credits=submission.price)
    draft.tokens[submission.token] = submission.id
    return Accepted(Acceptance.ACCEPTED, draft.submission)


# --- sending ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Claim:
    fence: int
    submission: Submission


def _claim(draft: Draft, policy: Policy) -> _Claim | None:
    submission = draft.submission
    if submission is None:
        return None
    fence = submission.claim(draft.now, policy, early=bool(draft.pending))
    if fence is None:
        return None
    _take_in(submission, draft)
    return _Claim(fence, submission.model_copy(deep=True))


def _take_in(submission: Submission, draft: Draft) -> None:
    """Learn from callbacks. They stay until they have been passed on to the generation that they name."""
    for pending in draft.pending:
        try:
            submission.hear_callback(parse_callback(pending.entry.raw, named=True), draft.now)
        except UnreadableCallback:
            continue  # it could be read when it was recorded: a matter of stack depth or version
    if not submission.task_id:  # none of them names anything
        draft.settled = len(draft.pending)
        draft.history.extend(pending.entry for pending in draft.pending)


def _send(
    claim: _Claim, ledger: Ledger, vendor: Vendor | None, policy: Policy, callback_url: CallbackUrl
) -> Submission:
    """Send the request if it may go out now, and record the answer."""
    submission = claim.submission
    if vendor is None:
        pause = policy.poll_interval_max
        return _change(submission, ledger, lambda it, now: it.postpone(claim.fence, NO_KEY, now + pause))
    limit = budget.orders(policy)
    reason, slot = _clear(submission, limit, ledger, policy)
    if slot.until is not None:
        until = slot.until
        return _change(submission, ledger, lambda it, now: it.postpone(claim.fence, reason, until))
    sending = ledger.change(submission.id, partial(_note_sending, claim.fence, policy))
    if sending is None:
        return submission
    answer = vendor.submit(submission.request, callback_url(submission.token))
    # Before it is recorded: if that fails, this line is what is left of the vendor's id.
    log_event(
        "submission.answered", id=submission.id, progress=answer.progress, code=answer.code, created=answer.task_id
    )
    chance = random.random()
    hear = partial(_hear, answer, sending, policy, chance)
    heard = insist(lambda: _change(submission, ledger, hear), policy.lease)
    if answer.task_id and answer.task_id != heard.task_id:
        # The user or a callback has named another generation meanwhile: this one was paid for too.
        insist(partial(ledger.change, answer.task_id, partial(_track, policy)), policy.lease)
    ledger.confirm_slot(limit, slot)
    if answer.pause is not None:
        budget.pause_account(answer.pause, ledger, policy, asked=False)
    return heard


def _clear(submission: Submission, limit: Limit, ledger: Ledger, policy: Policy) -> tuple[str, Slot]:
    """See whether it may go out now, as far as budgets and the rate limit go; why not, and until when."""
    until = budget.reserve_submission(submission, ledger, policy)
    if until is not None:
        return budget.HELD, Slot(until)
    return budget.WAITING, ledger.take_slot(limit, submission.item)


def _note_sending(fence: int, policy: Policy, draft: Draft) -> int | None:
    return draft.submission.may_send(fence, draft.now, policy) if draft.submission else None


def _hear(answer: SubmitAnswer, sending: int, policy: Policy, chance: float, it: Submission, now: float) -> None:
    it.hear(answer, sending, now, policy, chance)


def _change(submission: Submission, ledger: Ledger, do: Callable[[Submission, float], None]) -> Submission:
    def transition(draft: Draft) -> Submission:
        if draft.submission is None:
            return submission
        do(draft.submission, draft.now)
        return draft.submission

    return ledger.change(submission.id, transition, focus=submission.item)


def _wait(fence: int, policy: Policy, draft: Draft) -> None:
    if draft.submission is not None:
        draft.submission.wait(fence, draft.now, policy)


# --- handing over ----------------------------------------------------------------------------------------------------------


def _hand_over(submission: Submission, fence: int, ledger: Ledger, policy: Policy) -> None:
    """Have the generation carry on, and pass on the callbacks that came before its id was known.

    Whoever is killed here leaves the submission due: each of these steps may be done twice.
    """
    adopted = ledger.change(submission.task_id, partial(_adopt, submission, policy))
    pending = ledger.read(submission.id).pending
    for waiting in pending:
        ledger.record(_named_in(waiting) or submission.task_id, None, waiting.entry)
    end = partial(_link, fence, adopted, len(pending), policy)
    ledger.change(submission.id, end, focus=submission.item)
    log_event("submission.linked" if adopted else "submission.mistaken", id=submission.id, task_id=submission.task_id)


def _named_in(pending: Pending) -> str | None:
    try:
        return identify(pending.entry.raw, named=True)
    except UnreadableCallback:
        return None


def _track(policy: Policy, draft: Draft) -> None:
    draft.generation = draft.generation or Generation.track(draft.record_id, draft.now, policy)


def _adopt(submission: Submission, policy: Policy, draft: Draft) -> bool:
    draft.generation = draft.generation or Generation.track(submission.task_id, draft.now, policy)
    return draft.generation.adopt(submission, draft.now)


def _link(fence: int, adopted: bool, passed_on: int, policy: Policy, draft: Draft) -> None:
    submission = draft.submission
    if submission is None or not submission.task_id:
        return
    if not submission.work.holds(fence) and (submission.work.leased or submission.linked):
        return  # somebody else is at it or was, and has seen callbacks that this worker has not seen
    draft.settled = min(passed_on, len(draft.pending))
    if adopted:
        submission.link()
        draft.tokens[submission.token] = submission.task_id
    else:
        submission.unlearn(policy, draft.now)
