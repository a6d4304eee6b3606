"""The periodic jobs: the sweep enqueues what is due and what was lost; the check looks whether the bucket is there."""

from app.domain.errors import StoreUnavailable
from app.domain.ledger import Ledger, Tick
from app.domain.ports import Bucket
from app.logs import log_event


def sweep(ledger: Ledger, every: float) -> Tick | None:
    """Sweep once, unless another has just done so: several beats may run.

    It costs what is due, not what is tracked, and does none of the work itself.

    :param every: seconds between sweeps
    :return: None: it was not this caller's turn
    :raises LedgerUnavailable:
    """
    if not ledger.take_turn("sweep", every):
        return None
    tick = ledger.tick()
    ledger.note_health({"sweep_at": ""})
    if tick.due or tick.rescued:
        log_event("sweep.enqueued", due=tick.due, rescued=tick.rescued)
    return tick


def check_bucket(ledger: Ledger, bucket: Bucket, every: float) -> None:
    """See whether the bucket can be reached, for `/readyz`; the web process does not speak S3. :raises LedgerUnavailable:"""
    if not ledger.take_turn("check_bucket", every):
        return
    try:
        bucket.check()
        error = ""
    except StoreUnavailable as failure:
        error = str(failure)
        log_event("bucket.unavailable", error=error)
    ledger.note_health({"bucket_at": "", "bucket_error": error})
