"""Upgrades: ordered once, then asked about until the vendor gives the file or says that there is none (veo-api §5, §6).

The vendor has one request for ordering and asking. The intention is in the ledger before the first is sent, so that
whatever happens in between, what follows is a question about the same order.
"""

import secrets
from collections.abc import Callable
from functools import partial

from app.domain.errors import VendorUnreachable
from app.domain.generation import OrderClaim
from app.domain.ledger import Draft, Ledger
from app.domain.policy import PRICES, Policy
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Vendor, Verdict
from app.domain.work import UPGRADES, Item, Kind
from app.logs import log_event

#: makes a callback URL from a token; None: the vendor cannot reach us
CallbackUrl = Callable[[str], str | None]

NO_KEY = "no vendor key is set (REELKEEP_KIE_API_KEY): upgrades cannot be asked for"


def upgrade(item: Item, ledger: Ledger, vendor: Vendor | None, policy: Policy, callback_url: CallbackUrl) -> None:
    """Order an upgrade, or ask what became of it.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    if not _is_cleared(item, ledger, policy):
        return
    token = secrets.token_urlsafe(24)
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, item, policy, token), focus=item)
    if claim is None:
        return
    answer = _ask(item, claim, vendor, callback_url)
    ledger.change(item.task_id, lambda draft: _finish(draft, item, claim, answer, policy), focus=item)
    log_event("upgrade.answered", item=item, progress=answer.progress, code=answer.code, msg=answer.msg)


def clear_budget(item: Item, ledger: Ledger, policy: Policy) -> float | None:
    """Reserve an upgrade's price in the day's budget.

    :return: None, or when the next day begins: over budget
    :raises LedgerUnavailable:
    """
    if policy.upgrade_credits_per_day is None or item.kind is None:
        return None
    return ledger.reserve(item, PRICES[item.kind], policy.upgrade_credits_per_day)


def _is_cleared(item: Item, ledger: Ledger, policy: Policy) -> bool:
    """Whether an order may be sent now, as far as budget and rate limit go; if not, it is put off. Questions always may."""
    generation = ledger.read(item.task_id).generation
    rendition = generation.find(item.kind, item.index) if generation and item.kind in UPGRADES else None
    if rendition is None or rendition.ended or rendition.order is not None:
        return True
    reason, until = "over the day's budget (REELKEEP_UPGRADE_CREDITS_PER_DAY)", clear_budget(item, ledger, policy)
    if until is None:
        reason, until = "waiting for the vendor's rate limit", ledger.take_slot("orders", *policy.provider_rate)
    if until is None:
        return True
    ledger.change(item.task_id, partial(_postpone, item, reason, until), focus=item)
    return False


def _postpone(item: Item, reason: str, until: float, draft: Draft) -> None:
    rendition = draft.generation.find(item.kind, item.index) if draft.generation and item.kind else None
    if draft.generation is not None and rendition is not None:
        draft.generation.postpone_upgrade(rendition, reason, until)


def _ask(item: Item, claim: OrderClaim, vendor: Vendor | None, callback_url: CallbackUrl) -> OrderAnswer:
    assert item.kind is not None
    if vendor is None:
        return OrderAnswer(OrderProgress.UNAVAILABLE, msg=NO_KEY)
    if claim.alias:
        answer = _ask_by_own_id(claim.alias, vendor)
        if answer is not None:
            return answer
    if not claim.may_send:
        return OrderAnswer(OrderProgress.UNCERTAIN, msg="asked a moment ago")
    return vendor.ask_upgrade(item.kind, item.task_id, item.index, callback_url(claim.token))


def _ask_by_own_id(alias: str, vendor: Vendor) -> OrderAnswer | None:
    """Ask the details endpoint about an upgrade's own id: costs nothing, starts nothing. None: it knows nothing."""
    try:
        verdict: Verdict = vendor.ask_details(alias)
    except VendorUnreachable:
        return None
    if verdict.progress is Progress.UNKNOWN:
        return None
    progress = {
        Progress.GENERATING: OrderProgress.ORDERED,
        Progress.SUCCEEDED: OrderProgress.READY,
        Progress.FAILED: OrderProgress.UNAVAILABLE,
    }[verdict.progress]
    return OrderAnswer(progress, verdict.code, verdict.msg, verdict.urls)


def _claim(draft: Draft, item: Item, policy: Policy, token: str) -> OrderClaim | None:
    if draft.generation is None or item.kind is None:
        return None
    claim = draft.generation.claim_upgrade(item.kind, item.index, draft.now, policy, token)
    if claim is not None and item.kind is Kind.UHD:
        draft.tokens[claim.token] = (item.kind, item.index)
    return claim


def _finish(draft: Draft, item: Item, claim: OrderClaim, answer: OrderAnswer, policy: Policy) -> None:
    if draft.generation is None or item.kind is None:
        return
    rendition = draft.generation.find(item.kind, item.index)
    if rendition is None or not rendition.work.holds(claim.fence):
        return
    draft.generation.hear_order(rendition, answer, draft.now, policy)
    if rendition.order is not None and rendition.order.alias:
        draft.aliases[rendition.order.alias] = (item.kind, item.index)
