"""Upgrades: ordered once, then asked about until the vendor gives the file or says that there is none (veo-api §5, §6).

The vendor has one request for ordering and asking. The intention is in the ledger before the first is sent, so that
whatever happens in between, what follows is a question about the same order.
"""

import secrets
from collections.abc import Callable

from app.domain.errors import VendorUnreachable
from app.domain.generation import OrderClaim
from app.domain.ledger import Draft, Ledger
from app.domain.policy import Policy
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Vendor, Verdict
from app.domain.work import Item, Kind
from app.logs import log_event

#: makes a callback URL from a token; None: the vendor cannot reach us
CallbackUrl = Callable[[str], str | None]

NO_KEY = "no vendor key is set (REELKEEP_KIE_API_KEY): upgrades cannot be asked for"


def upgrade(item: Item, ledger: Ledger, vendor: Vendor | None, policy: Policy, callback_url: CallbackUrl) -> None:
    """Order an upgrade, or ask what became of it.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    token = secrets.token_urlsafe(24)
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, item, policy, token), focus=item)
    if claim is None:
        return
    answer = _ask(item, claim, vendor, callback_url)
    ledger.change(item.task_id, lambda draft: _finish(draft, item, claim, answer, policy), focus=item)
    facts = {"kind": item.kind, "index": item.index, "progress": answer.progress, "code": answer.code, "msg": answer.msg}
    log_event("upgrade.answered", task_id=item.task_id, **facts)


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
