"""The periodic jobs: the sweep enqueues what is due and what was lost; the checks look whether the bucket is there, and what is
left in the vendor's account."""

from app.domain.errors import StoreUnavailable, VendorUnreachable
from app.domain.ledger import Ledger, Tick
from app.domain.ports import Bucket
from app.domain.vendor import Vendor
from app.logs import log_event

#: seconds between two looks at the account's balance
ACCOUNT_EVERY = 300.0


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


def check_account(ledger: Ledger, vendor: Vendor, warn_below: float | None) -> None:
    """See what is left in the vendor's account, every few minutes. :raises LedgerUnavailable:

    :param warn_below: credits under which a warning is logged
    """
    if not ledger.take_turn("check_account", ACCOUNT_EVERY):
        return
    try:
        credits = vendor.read_credit()
    except VendorUnreachable as failure:
        log_event("account.unavailable", error=str(failure))
        ledger.note_health({"credits_error": str(failure)})
        return
    ledger.note_health({"credits": repr(credits), "credits_at": "", "credits_error": ""})
    if warn_below is not None and credits < warn_below:
        log_event("account.low", credits=credits, warn_below=warn_below)
