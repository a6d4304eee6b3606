"""Notify: bring the first event of a generation's outbox to the user's receiver."""

import random
from functools import partial

from app.domain.errors import NotDelivered, ReceiverGone
from app.domain.events import claim_event, finish_event, postpone_event, stop_events
from app.domain.ledger import Draft, Ledger
from app.domain.outbox import Event
from app.domain.policy import Policy
from app.domain.ports import Notifier
from app.domain.work import Item
from app.logs import log_event
from app.pipeline.lease import insist, keep_alive

Claim = tuple[int, Event]


def notify(item: Item, ledger: Ledger, notifier: Notifier, policy: Policy) -> None:
    """Send one event. Those behind it wait for it, so that they arrive in order; other generations' do not.

    :raises LedgerUnavailable: nothing is lost; the event goes out again, under the same id, when the claim lapses
    """
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, policy), focus=item)
    if claim is None:
        return
    (fence, event), chance = claim, random.random()
    renew = partial(ledger.change, item.task_id, lambda draft: _renew(draft, fence, policy))
    try:
        with keep_alive(renew, policy.lease / 3):
            notifier.deliver(event)
    except ReceiverGone as error:
        told, outcome = str(error), "event.dropped"
    except NotDelivered as error:
        told, outcome = str(error), "event.postponed"
    else:
        told, outcome = "", "event.delivered"

    def write(draft: Draft) -> None:
        if draft.record is None:
            return
        if outcome == "event.delivered":
            finish_event(draft.record, fence, event, draft.now)
        elif outcome == "event.dropped":
            stop_events(draft.record, fence, event, told, draft.now)
        else:
            postpone_event(draft.record, fence, event, told, draft.now, policy, chance)

    insist(partial(ledger.change, item.task_id, write, focus=item), policy.lease)
    log_event(outcome, task_id=item.task_id, id=event.id, type=event.type, **{"error": told} if told else {})


def _claim(draft: Draft, policy: Policy) -> Claim | None:
    return None if draft.record is None else claim_event(draft.record, draft.now, policy)


def _renew(draft: Draft, fence: int, policy: Policy) -> bool:
    return draft.record is not None and draft.record.outbox.work.renew(fence, draft.now, policy.lease)
