"""Python runs this at the start of every process that finds it on its path: those of a run with `--without`."""

import os
import sys
import threading
import traceback
from typing import Any


def _replace(owner: Any, name: str, value: Any) -> Any:
    """Put something in another's place. Gives what was there, which must have been something."""
    former = getattr(owner, name)
    setattr(owner, name, value)
    return former


def _leave_out_lease() -> None:
    """Claims hold for ever."""
    from app.domain.work import Work

    ever = 1e9

    def claim_for_ever(self: Work, now: float, lease: float, *, early: bool = False) -> Any:
        return claim(self, now, ever, early=early)

    def renew_for_ever(self: Work, fence: int, now: float, lease: float) -> Any:
        return renew(self, fence, now, ever)

    claim = _replace(Work, "claim", claim_for_ever)
    renew = _replace(Work, "renew", renew_for_ever)


def _leave_out_sweep() -> None:
    """The sweep runs, and does nothing. Retries and polls still come in time: the workers' alarms see to them."""
    from app.pipeline import sweep

    def do_nothing(ledger: Any, every: float) -> None:
        ledger.note_health({"sweep_at": ""})

    _replace(sweep, "sweep", do_nothing)


def _leave_out_record_first() -> None:
    """Callbacks are answered first and recorded afterwards; what is bought is sent for first and noted with the answer."""
    from app.adapters.redis_ledger import RedisLedger
    from app.domain.generation import Generation
    from app.domain.ledger import Draft, Recorded
    from app.domain.submission import Submission
    from app.pipeline import submit

    def record_later(self: RedisLedger, *args: Any) -> Recorded:
        threading.Thread(target=record, args=(self, *args), daemon=True).start()
        return Recorded.RECORDED

    def note_nothing(fence: int, policy: Any, draft: Draft) -> int | None:
        return draft.submission.sends + 1 if draft.submission else None

    def hear_and_note(self: Submission, answer: Any, sending: int, now: float, *rest: Any) -> Any:
        self.sent_at, self.sends = now, sending
        return hear(self, answer, sending, now, *rest)

    def may_send_unnoted(self: Generation, rendition: Any, *rest: Any, **options: Any) -> Any:
        return may_send_order(self.model_copy(deep=True), rendition.model_copy(deep=True), *rest, **options)

    def hear_and_note_order(self: Generation, rendition: Any, answer: Any, now: float, *rest: Any) -> Any:
        if rendition.order is not None:
            rendition.order.asked_at, rendition.order.arrived = now, True
            rendition.order.asks += 1
        return hear_order(self, rendition, answer, now, *rest)

    # A worker that passes a submission's callbacks on to its generation answers nobody.
    if any("gunicorn" in word for word in sys.orig_argv):
        record = _replace(RedisLedger, "record", record_later)
    _replace(submit, "_note_sending", note_nothing)
    hear = _replace(Submission, "hear", hear_and_note)
    may_send_order = _replace(Generation, "may_send_order", may_send_unnoted)
    hear_order = _replace(Generation, "hear_order", hear_and_note_order)


def _leave_out_confirm() -> None:
    """Bodies of callbacks are believed, and so is a store that says that it has stored."""
    from app.adapters.bucket import S3Bucket
    from app.pipeline import settle

    def claim_and_believe(draft: Any, item: Any, confirm: bool, policy: Any) -> Any:
        return claim(draft, item, False, policy)

    claim = _replace(settle, "_claim", claim_and_believe)
    _replace(S3Bucket, "_confirm", lambda *_: None)


_LEAVE_OUT = {
    "lease": _leave_out_lease,
    "sweep": _leave_out_sweep,
    "record-first": _leave_out_record_first,
    "confirm": _leave_out_confirm,
}

if _without := os.environ.get("CHAOS_WITHOUT"):
    try:
        _LEAVE_OUT[_without]()
    except BaseException:
        # Python itself would say so and go on, and the run would prove nothing.
        traceback.print_exc()
        os._exit(70)
