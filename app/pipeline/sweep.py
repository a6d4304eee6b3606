"""The periodic jobs: the sweep enqueues what is due and what was lost; the checks look whether the bucket is there, what is left
in it of transfers that are over, and what is left in the vendor's account."""

import random
from itertools import islice

from app.domain.errors import StoreUnavailable, VendorUnreachable
from app.domain.ledger import Ledger, Tick
from app.domain.ports import Bucket
from app.domain.vendor import Vendor
from app.domain.work import Item, Step
from app.logs import log_event
from app.pipeline.mirror import parts_prefix

#: seconds between two looks at the account's balance
ACCOUNT_EVERY = 300.0
#: seconds between two looks for pieces that were left over
PARTS_EVERY = 3600.0
#: folders of pieces that are deleted in one go: quick steps wait behind it
MOST_FOLDERS = 100


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


def sweep_parts(ledger: Ledger, bucket: Bucket, prefix: str) -> None:
    """Delete the pieces of large files that nobody will go on with, every hour. :raises LedgerUnavailable:

    They are left where a worker was killed just after its file was stored, or could not reach the bucket then. Those of a
    rendition that is still wanted stay, however long its link has been failing.
    """
    if not ledger.take_turn("sweep_parts", PARTS_EVERY):
        return
    try:
        bucket.check()  # which is soon over if nothing answers: quick steps wait behind this one
        folders = list(bucket.list_parts(parts_prefix(prefix)))
        random.shuffle(folders)  # those that cannot be deleted must not be tried first each time
        for folder in islice((folder for folder in folders if _is_over(ledger, folder)), MOST_FOLDERS):
            if not _discard(bucket, prefix, folder):
                bucket.check()  # whether it is the folder or the whole bucket
    except StoreUnavailable as failure:
        log_event("parts.unswept", error=str(failure))


def _discard(bucket: Bucket, prefix: str, folder: str) -> bool:
    try:
        bucket.parts(f"{parts_prefix(prefix)}{folder}/").discard()
    except StoreUnavailable as failure:
        log_event("parts.unswept", folder=folder, error=str(failure))
        return False
    log_event("parts.swept", folder=folder)
    return True


def _is_over(ledger: Ledger, folder: str) -> bool:
    """Whether a folder is of a rendition that has ended, or that nobody knows. What is not a folder of ours is left alone."""
    task_id, _, name = folder.partition("/")
    kind, _, index = name.rpartition("-")
    try:
        item = Item.parse(f"{Step.MIRROR}/{task_id}/{kind}/{index}")
    except ValueError:
        return False
    rendition = ledger.read(task_id).find(item)
    return rendition is None or rendition.ended


def refresh_lists(ledger: Ledger) -> None:
    """After an update: put what an older version has written on the lists that it did not have, some of it in each call.

    Costs one look once it has come through. :raises LedgerUnavailable:
    """
    if refreshed := ledger.refresh_lists():
        log_event("lists.refreshed", records=refreshed)


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
