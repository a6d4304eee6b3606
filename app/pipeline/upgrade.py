"""Upgrades: ordered once, then asked about until the vendor gives the file or says that there is none (veo-api §5, §6).

The vendor has one request for ordering and asking. The intention is in the ledger before the first is sent, so that
whatever happens in between, what follows is a question about the same order.
"""

import secrets
from functools import partial

from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.ledger import Draft, Ledger, Limit, Slot
from app.domain.policy import Policy
from app.domain.rendition import OrderClaim, Rendition
from app.domain.vendor import CallbackUrl, OrderAnswer, OrderProgress, Progress, Vendor, Verdict
from app.domain.work import UPGRADES, Item, order_name
from app.logs import add_to_work, log_event
from app.pipeline import budget
from app.pipeline.lease import insist

NO_KEY = "no vendor key is set (REELKEEP_KIE_API_KEY): upgrades cannot be asked for"


def upgrade(item: Item, ledger: Ledger, vendor: Vendor | None, policy: Policy, callback_url: CallbackUrl) -> None:
    """Order an upgrade, or ask what became of it.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    draft = ledger.read(item.task_id)
    rendition, slot = draft.find(item), None
    # Until the vendor has said that it has an order, asking is a new request to it; what follows are questions.
    is_new = rendition is None or rendition.order is None or not rendition.order.confirmed
    limit = budget.orders(policy) if is_new else budget.polls(policy)
    if vendor is not None and draft.generation is not None and rendition is not None:
        if (
            rendition.kind in UPGRADES
            and rendition.order is None
            and draft.generation.over_budget(rendition.kind, policy)
        ):
            pass  # the claim ends it with the reason, and nothing is reserved
        elif not rendition.ended and not rendition.url and rendition.kind in UPGRADES:
            reason, slot = _clear(item, rendition, limit, ledger, policy)
            if slot.until is not None:
                ledger.change(item.task_id, partial(_postpone, item, reason, slot.until), focus=item)
                return
    token = secrets.token_urlsafe(24)
    cleared = vendor is None or slot is not None
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, item, policy, token, cleared), focus=item)
    if claim is None:
        return
    add_to_work(attempt=claim.fence)
    answer = _ask(item, claim, ledger, vendor, policy, callback_url)
    # Before it is recorded: if that fails, this line is what is left of the vendor's id.
    log_event(
        "upgrade.answered", item=item, progress=answer.progress, code=answer.code, msg=answer.msg, id=answer.task_id
    )
    finish = partial(ledger.change, item.task_id, lambda draft: _finish(draft, item, claim, answer, policy), focus=item)
    insist(finish, policy.lease)
    if slot is not None:
        ledger.confirm_slot(limit, slot)
    if answer.pause is not None:
        budget.pause_account(answer.pause, ledger, policy, asked=not is_new)


def _clear(item: Item, rendition: Rendition, limit: Limit, ledger: Ledger, policy: Policy) -> tuple[str, Slot]:
    """See whether the vendor may be asked now, as far as the day's budget and the rate limits go; why not, and until when."""
    order = rendition.order
    if order is None or not order.confirmed:  # reserved once for each order and day, however often
        until = budget.reserve_upgrade(item, rendition.orders + (order is None), ledger, policy)
        if until is not None:
            return budget.HELD, Slot(until)
    return budget.WAITING, ledger.take_slot(limit, item)


def _postpone(item: Item, reason: str, until: float, draft: Draft) -> None:
    rendition = draft.find(item)
    if draft.generation is not None and rendition is not None:
        draft.generation.postpone_upgrade(rendition, reason, until, draft.now)


def _ask(
    item: Item,
    claim: OrderClaim,
    ledger: Ledger,
    vendor: Vendor | None,
    policy: Policy,
    callback_url: CallbackUrl,
) -> OrderAnswer:
    """Ask by the upgrade's own id if there is one, else by the ordering request."""
    if vendor is None:
        # An order that was sent may have been paid for: it is not given up because a key is missing now.
        return OrderAnswer(OrderProgress.UNCERTAIN if claim.sent else OrderProgress.UNAVAILABLE, msg=NO_KEY)
    answer = _ask_by_own_id(claim.alias, vendor) if claim.alias else None
    told = (OrderProgress.ORDERED, OrderProgress.UNAVAILABLE)
    if answer is not None and (answer.urls or answer.progress in told or answer.pause):
        return answer
    if claim.reopened:
        return answer or OrderAnswer(OrderProgress.UNCERTAIN, msg="the vendor does not tell of its record")
    repeats = vendor.repeats_are_questions
    if claim.reported and not repeats and not claim.alias:
        # A failure without any id (veo-api §7) under the token that only this order's URL has: nobody is left to be asked.
        return OrderAnswer(OrderProgress.UNAVAILABLE, msg=claim.reported)
    if not ledger.change(item.task_id, lambda draft: _note_sending(draft, item, claim, policy, repeats)):
        waiting = "asked a moment ago" if repeats else "ordered; without an id of it only its callback can tell"
        return answer or OrderAnswer(OrderProgress.UNCERTAIN, msg=waiting)
    assert item.kind is not None
    return vendor.ask_upgrade(item.kind, item.task_id, item.index, callback_url(claim.token))


def _ask_by_own_id(alias: str, vendor: Vendor) -> OrderAnswer | None:
    """Ask the details endpoint about an upgrade's own id: costs nothing, starts nothing. None: it knows nothing."""
    try:
        verdict: Verdict = vendor.ask_details(alias)
    except VendorBusy as error:
        return OrderAnswer(OrderProgress.UNCERTAIN, msg=str(error), pause=error.pause)
    except VendorUnreachable:
        return None
    progress = {
        Progress.UNKNOWN: OrderProgress.UNCERTAIN,
        Progress.GENERATING: OrderProgress.ORDERED,
        Progress.SUCCEEDED: OrderProgress.READY,
        Progress.FAILED: OrderProgress.UNAVAILABLE,
    }[verdict.progress]
    return OrderAnswer(progress, verdict.code, verdict.msg, verdict.urls, credits=verdict.credits)


def _claim(draft: Draft, item: Item, policy: Policy, token: str, cleared: bool) -> OrderClaim | None:
    rendition = draft.find(item)
    if draft.generation is None or item.kind not in UPGRADES or rendition is None:
        return None
    if rendition.order is None and not cleared and not draft.generation.over_budget(item.kind, policy):
        return None  # since it was looked at, it has come to be one that may be ordered: it stays due, and is reserved for first
    claim = draft.generation.claim_upgrade(item.kind, item.index, draft.now, policy, token)
    if claim is not None:
        draft.tokens[claim.token] = order_name(item.task_id, item.kind, item.index, claim.order)
    return claim


def _note_sending(draft: Draft, item: Item, claim: OrderClaim, policy: Policy, repeats: bool) -> bool:
    rendition = draft.find(item)
    if draft.generation is None or rendition is None:
        return False
    return draft.generation.may_send_order(rendition, claim.fence, draft.now, policy, repeats=repeats)


def _finish(draft: Draft, item: Item, claim: OrderClaim, answer: OrderAnswer, policy: Policy) -> None:
    """Write the answer down. If the claim was lost meanwhile, only what the vendor calls the order: nobody else may learn it."""
    rendition = draft.find(item)
    if draft.generation is None or rendition is None or rendition.orders != claim.order:
        return
    if rendition.work.holds(claim.fence):
        draft.generation.note_answer(str(answer.progress), draft.now, rendition.kind, rendition.index)
        draft.generation.hear_order(rendition, answer, draft.now, policy)
    else:
        draft.generation.name_order(rendition, answer.task_id)
    if rendition.order is not None and rendition.order.alias:
        draft.aliases[rendition.order.alias] = order_name(item.task_id, rendition.kind, rendition.index, claim.order)
