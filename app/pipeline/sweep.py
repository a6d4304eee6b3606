"""The sweep: enqueues what is due and what was lost, and looks whether the outside is there."""

from app.domain.errors import StoreUnavailable
from app.domain.ledger import Ledger, Tick
from app.domain.ports import Bucket
from app.logs import log_event


def sweep(ledger: Ledger, bucket: Bucket, every: float) -> Tick | None:
    """Sweep once, unless another has just done so: several beats may run.

    It costs what is due, not what is tracked, and does none of the work itself.

    :param every: seconds between sweeps
    :return: None: it was not this caller's turn
    :raises LedgerUnavailable:
    """
    if not ledger.take_turn("sweep", every):
        return None
    tick = ledger.tick()
    if tick.due or tick.rescued:
        log_event("sweep.enqueued", due=tick.due, rescued=tick.rescued)
    ledger.note_health({"sweep_at": ""})
    try:
        bucket.check()
        error = ""
    except StoreUnavailable as failure:
        error = str(failure)
        log_event("bucket.unavailable", error=error)
    ledger.note_health({"bucket_at": "", "bucket_error": error})
    return tick
