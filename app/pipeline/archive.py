"""Archiving: what has been settled for long leaves Redis for its manifest in the bucket. See `app.domain.archive`."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

from app.domain.archive import LEAVING, ReadManifest, why_not_archived
from app.domain.errors import StoreUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Ledger
from app.logs import log_event
from app.pipeline.manifest import manifest_key

DAY = 86400.0
#: generations of each state that are looked at in one go, and manifests that are read at the same time
MOST, THREADS = 100, 8
#: seconds between two rounds through all that was tracked long enough ago
ROUND = 3600.0


class Archive(Protocol):
    """What is asked of the bucket here. Every method raises StoreUnavailable."""

    def get_json(self, key: str, *, soon: bool = False) -> str | None:
        """A JSON document; None: there is no such object. :param soon: rather fail than wait for long"""
        ...

    def check(self) -> None:
        """Ask whether the bucket can be reached with our rights."""
        ...


def reader_of(bucket: Archive, prefix: str) -> ReadManifest:
    """How the ledger reads what has left."""
    return lambda task_id: bucket.get_json(manifest_key(prefix, task_id), soon=True)


def archive_settled(ledger: Ledger, bucket: Archive, prefix: str, keep_days: float, every: float) -> None:
    """Have what is settled since so many days leave, some of it in each call: in rounds, an hour apart.

    Whatever its manifest does not tell whole stays, and is told of in the log and by `/readyz`.

    :param keep_days: 0: nothing leaves
    :param every: seconds between calls
    :raises LedgerUnavailable:
    """
    if not keep_days or not ledger.take_turn("archive", every):
        return
    health = ledger.health()
    if health.archived_at is not None and health.now - health.archived_at < ROUND:
        return
    until = health.now - keep_days * DAY
    walks = [ledger.walk(state, until, MOST) for state in LEAVING]
    due = [one for found, _ in walks for one in found if _is_due(one, until)]
    try:
        gone, kept = _archive_all(due, until, ledger, bucket, prefix)
    except StoreUnavailable as failure:
        log_event("archive.unavailable", error=str(failure))
        return
    if gone:
        log_event("archive.taken", generations=gone)
    if kept:
        error = f"{kept[0]}{f', and {len(kept) - 1} others like that' if kept[1:] else ''}"
        ledger.note_health({"archive_error": error, "archive_error_at": ""})
    if not any(more for _, more in walks):
        ledger.note_health({"archived_at": ""})


def _archive_all(
    due: list[Generation], until: float, ledger: Ledger, bucket: Archive, prefix: str
) -> tuple[int, list[str]]:
    """Gives how many have left, and why others stay."""
    gone, kept = 0, []
    with closing(_read_manifests(due, bucket, prefix)) as found:
        for generation, text in found:
            if isinstance(text, StoreUnavailable):
                bucket.check()  # whether it is this object or the whole bucket
                reason = str(text)
            else:
                reason = why_not_archived(generation, text, until)
            if reason:
                kept.append(f"{generation.task_id}: {reason}")
                log_event("archive.refused", task_id=generation.task_id, reason=reason)
            else:
                gone += ledger.archive(generation)
    return gone, kept


def _read_manifests(
    due: list[Generation], bucket: Archive, prefix: str
) -> Generator[tuple[Generation, str | StoreUnavailable | None]]:
    read = reader_of(bucket, prefix)

    def try_to_read(generation: Generation) -> str | StoreUnavailable | None:
        try:
            return read(generation.task_id)
        except StoreUnavailable as failure:
            return failure

    pool = ThreadPoolExecutor(THREADS)
    try:
        yield from zip(due, pool.map(try_to_read, due), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _is_due(generation: Generation, until: float) -> bool:
    settled_at = generation.settled_at
    return settled_at is not None and settled_at <= until
