"""Settling: what recorded callbacks and the details endpoint say becomes a verdict, by one path for both."""

from dataclasses import dataclass
from functools import partial

from app.domain.callbacks import Callback, Outcome, UnreadableCallback, parse_callback
from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.generation import OWN, Generation
from app.domain.ledger import Draft, Ledger, Pending, Route, Trust
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Vendor, Verdict
from app.domain.work import Item, Kind, order_name
from app.logs import add_to_work, log_event
from app.pipeline import budget

#: so many times the reckoned price is the most that a callback's word on a price may be
MOST_TIMES = 4.0
#: why a 4K that exists at the vendor's is not fetched
NOT_ASKED_FOR = (
    "a 4K callback came, but no 4K was asked for here; asking the vendor about it could buy one. "
    "To have it fetched, ask for the upgrade"
)


@dataclass(frozen=True)
class _Claim:
    fence: int
    #: what brought us here
    source: str
    #: a verdict is missing
    ask: bool


def settle(item: Item, ledger: Ledger, vendor: Vendor | None, policy: Policy) -> None:
    """Look at a generation: count its new callbacks, and learn the verdict if one is still missing.

    The vendor is asked, since a callback's body is unsigned. Without a vendor (no key is set) callbacks are believed.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, item, vendor is not None, policy), focus=item)
    if claim is None:
        return
    add_to_work(attempt=claim.fence)
    verdict, trouble, pause = None, "", None
    if claim.ask and vendor is not None:
        slot = ledger.take_slot(budget.polls(policy), item)
        if slot.until is not None:
            ledger.change(item.task_id, partial(_await_turn, claim, slot.until), focus=item)
            return
        try:
            verdict = vendor.ask_details(item.task_id)
        except VendorUnreachable as error:
            trouble = str(error)
            if isinstance(error, VendorBusy):
                pause = error.pause
    generation = ledger.change(item.task_id, lambda draft: _finish(draft, claim, verdict, trouble, policy), focus=item)
    if pause is not None:
        budget.pause_account(pause, ledger, policy, asked=True)
    if generation is None:
        return
    said = trouble or (verdict.progress if verdict else None)
    log_event("generation.settled", task_id=item.task_id, source=claim.source, vendor=said, state=generation.state)


def _claim(draft: Draft, item: Item, confirm: bool, policy: Policy) -> _Claim | None:
    """Claim the generation and take in its callbacks: from here on they are part of it."""
    if draft.generation is None:
        if not draft.pending:
            return None
        draft.generation = Generation.track(item.task_id, draft.now, policy)
    generation = draft.generation
    fence = generation.settle.claim(draft.now, policy.lease, early=bool(draft.pending))
    if fence is None:
        return None
    about_verdict = [_take_in(generation, pending, draft, confirm, policy) for pending in draft.pending]
    draft.settled = len(draft.pending)
    return _Claim(fence, "callback" if any(about_verdict) else "poll", generation.undecided)


def _await_turn(claim: _Claim, until: float, draft: Draft) -> None:
    if draft.generation is not None and draft.generation.settle.holds(claim.fence):
        draft.generation.await_turn(until)


def _finish(draft: Draft, claim: _Claim, verdict: Verdict | None, trouble: str, policy: Policy) -> Generation | None:
    generation = draft.generation
    if generation is None:
        return None
    if claim.ask and (verdict is not None or trouble):
        generation.note_answer(str(verdict.progress) if verdict else trouble, draft.now)
    if verdict is not None:
        generation.hear(verdict, claim.source, draft.now)
    silent = generation.undecided and generation.settle.at is None
    if generation.settle.holds(claim.fence) or silent:
        generation.await_verdict(draft.now, policy, trouble)
    return generation


def _take_in(generation: Generation, pending: Pending, draft: Draft, confirm: bool, policy: Policy) -> bool:
    """Take in one callback. Gives whether it is about the generation's own verdict, and not about an upgrade."""
    callback = _read(pending)
    fresh = pending.entry.trust is not Trust.STALE
    kind, index = _subject(generation, pending)
    order = f"#{pending.order}" if pending.order > 1 else ""
    subject = f"{kind}/{index}{order}" if kind else OWN
    # Apart from those that prove more: what an old signature tells first must not make the true one a repeat.
    age = "" if fresh else " (old signature)"
    entry = pending.entry
    said = f"{subject} {callback.outcome} {callback.code}{age}"
    new = generation.count_callback(said, draft.now, route=entry.route, trust=entry.trust, came_at=entry.at)
    if new:
        draft.history.append(entry)
    if kind is not None and _is_about_former_order(generation.find(kind, index), pending):
        return False
    if kind is not None:
        revive = new and fresh and callback.outcome is Outcome.SUCCEEDED
        # The token says about which order it is, and the vendor has signed the id, whenever that was: enough to ask by. So it is
        # known before it is judged what the callback is about: what has come to an end is asked about by its own id only.
        if fresh or pending.kind is not None:
            _name_order(draft, generation.find(kind, index), callback, fresh)
        _hear_of_upgrade(generation, kind, index, callback, fresh and not confirm, revive, draft.now, policy)
        return False
    if fresh and _is_plausible(callback.credits, generation.price):
        generation.hear_credits(callback.credits, draft.now)
    if fresh and not confirm:
        generation.hear(_as_verdict(callback, pending.entry.route), "callback", draft.now)
    generation.doubt(callback.outcome, draft.now)
    return True


def _is_about_former_order(rendition: Rendition | None, pending: Pending) -> bool:
    return rendition is not None and pending.order > 0 and pending.order != rendition.orders


def _is_plausible(credits: float | None, price: float) -> bool:
    """Whether a callback's word on what something cost may count: its body is unsigned (veo-api §9), so it frees no budget, and
    fills none. What the vendor says when asked counts in any case."""
    return credits is not None and (not price or price <= credits <= MOST_TIMES * price)


def _read(pending: Pending) -> Callback:
    try:
        return parse_callback(pending.entry.raw, named=True)
    except UnreadableCallback:
        # It could be read when it was recorded, so this is a matter of stack depth or version: a reason to ask, as any callback.
        return Callback(None, Outcome.ASK)


def _subject(generation: Generation, pending: Pending) -> tuple[Kind | None, int]:
    """Which upgrade a callback is about; (None, 0): the generation itself.

    A 4K callback with neither a token nor an id that we were given for a 4K is about this generation's 4K if its verdict is
    known. If not, its id may be that of a 4K task of its own, which is a generation to us; the details endpoint tells (veo-api
    §6, §8).
    """
    if pending.kind is not None:
        return pending.kind, pending.index
    if pending.entry.route is Route.UHD and generation.verdict is Progress.SUCCEEDED:
        return Kind.UHD, 0
    return None, 0


def _hear_of_upgrade(
    generation: Generation,
    kind: Kind,
    index: int,
    callback: Callback,
    believed: bool,
    revive: bool,
    now: float,
    policy: Policy,
) -> None:
    rendition = generation.find(kind, index)
    said_otherwise = rendition is not None and rendition.state is RenditionState.UNAVAILABLE and believed
    if rendition is None or rendition.order is None or said_otherwise:
        if believed and callback.outcome is Outcome.SUCCEEDED:
            generation.hear(_as_verdict(callback, Route.UHD), "callback", now)
        elif rendition is None or rendition.order is None:
            generation.deny_upgrade(kind, index, NOT_ASKED_FOR, now)
        return
    failed = callback.outcome is Outcome.FAILED
    failure = (callback.msg or f"code {callback.code}") if failed else ""
    generation.expect_upgrade(rendition, failure, now, policy, revive=revive)
    if believed:
        generation.hear_order(rendition, _as_order_answer(callback), now, policy)


def _name_order(draft: Draft, rendition: Rendition | None, callback: Callback, fresh: bool) -> None:
    """Learn from a callback under an order's token what id the vendor runs it under, and what it cost if it is fresh."""
    if draft.generation is None or rendition is None or rendition.order is None:
        return
    if fresh and _is_plausible(callback.credits, rendition.order.price):
        draft.generation.bill_order(rendition, callback.credits, draft.now)
    if not rendition.order.alias:
        draft.generation.name_order(rendition, callback.task_id)
    if rendition.order.alias:
        name = order_name(draft.generation.task_id, rendition.kind, rendition.index, rendition.orders)
        draft.aliases[rendition.order.alias] = name


_PROGRESS = {Outcome.SUCCEEDED: Progress.SUCCEEDED, Outcome.FAILED: Progress.FAILED, Outcome.ASK: Progress.GENERATING}
_ORDER_PROGRESS = {
    Outcome.SUCCEEDED: OrderProgress.READY,
    Outcome.FAILED: OrderProgress.UNAVAILABLE,
    Outcome.ASK: OrderProgress.UNCERTAIN,
}


def _as_verdict(callback: Callback, route: Route) -> Verdict:
    return Verdict(
        _PROGRESS[callback.outcome],
        code=callback.code,
        msg=callback.msg,
        urls=callback.urls,
        fallback=callback.fallback,
        credits=callback.credits,
        main=Kind.UHD if route is Route.UHD else Kind.RESULT,
    )


def _as_order_answer(callback: Callback) -> OrderAnswer:
    return OrderAnswer(_ORDER_PROGRESS[callback.outcome], callback.code, callback.msg, callback.urls)
