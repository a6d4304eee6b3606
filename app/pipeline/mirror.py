"""The one path for bytes: claim, fetch, check, put, record. Whatever asks for a rendition goes through here."""

import logging
import random
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

from app.domain.container import Media
from app.domain.errors import (
    FetchForbidden,
    Interrupted,
    LinkDead,
    StoreConflict,
    StoreUnavailable,
    Transient,
    VendorBusy,
    VendorUnreachable,
)
from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger
from app.domain.policy import Policy
from app.domain.ports import Bucket, Download, Fetcher, Parts
from app.domain.rendition import Rendition, RenditionState
from app.domain.urls import Urls
from app.domain.vendor import Vendor
from app.domain.work import UPGRADES, Item, Kind, Step
from app.logs import add_to_work, log_event
from app.pipeline import budget
from app.pipeline.lease import insist, keep_alive
from app.pipeline.manifest import ManifestClaim, claim_manifest, put_manifest
from app.traces import span, work_span

#: upgrades, and the picture that comes with one
BOUGHT = (*UPGRADES, Kind.IMAGE)
#: what the files of videos, and of pictures, may be called
VIDEOS, PICTURES = ("mp4", "mov"), ("jpg", "png", "webp")
#: each such attempt takes nothing from the pieces that were kept
ANEW_EVERY = 3
#: bytes of the smallest file that is kept although it was refused: what is smaller is an error page
LEAST_REFUSED = 64 * 1024
#: what the error of a rendition says, before the key, if a refused file of it is kept
KEPT = "; refused bytes are kept at "
#: what a finished attempt does to the rendition
Outcome = Callable[[Generation, Rendition, float], None]


@dataclass(frozen=True)
class _Claim:
    fence: int
    url: str
    link: str
    alias: str
    #: whoever had the claim before never said what became of it: the file may be in the bucket
    lapsed: bool
    #: its number, from 1, and what the one before came to
    attempt: int
    error: str

    @property
    def anew(self) -> bool:
        """Whether every byte is to come from the server. Pieces that are bad and may not be deleted must not come back for ever;
        but those of a worker that was killed are good, as far as anybody knows."""
        return self.attempt % ANEW_EVERY == 0 and not self.lapsed


@dataclass(frozen=True)
class Renewal:
    """A way to a file whose link was dead: another address, or a fresh link that lives for minutes."""

    url: str = ""
    link: str = ""


def mirror(
    item: Item, ledger: Ledger, fetcher: Fetcher, bucket: Bucket, vendor: Vendor | None, policy: Policy, prefix: str
) -> None:
    """Bring one rendition into the bucket, or write down why not and when to try again.

    :param prefix: of all object keys
    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, item, policy), focus=item)
    if claim is None:
        return
    add_to_work(attempt=claim.attempt)
    renew = partial(ledger.change, item.task_id, lambda draft: _renew(draft, item, claim, policy))
    hand_over = partial(ledger.change, item.task_id, lambda draft: _finish(draft, item, claim, _hand_over), focus=item)
    parts = bucket.parts(parts_folder(prefix, item))
    with keep_alive(renew, policy.lease / 3, hand_over):
        outcome = _attempt(item, claim, ledger, fetcher, bucket, parts, vendor, policy, prefix)
    end = partial(ledger.change, item.task_id, lambda draft: _end(draft, item, claim, outcome, policy), focus=item)
    rendition, manifest = insist(end, policy.lease)
    if rendition is not None and rendition.ended:
        with suppress(StoreUnavailable):  # the sweep finds pieces
            if parts.used or rendition.attempts > 1:
                parts.discard()
            if rendition.attempts > ANEW_EVERY and rendition.state is RenditionState.STORED:
                bucket.parts(refused_prefix(prefix, item)).discard()  # rightly refused
    _log(item, rendition)
    if manifest is not None:
        with work_span(Step.MANIFEST, item.task_id):
            put_manifest(item.task_id, manifest, ledger, bucket, policy, prefix)


def parts_folder(prefix: str, item: Item) -> str:
    """Where the pieces of a large file are kept while it is fetched. No task id begins with a dot."""
    return f"{parts_prefix(prefix)}{item.task_id}/{item.kind}-{item.index}/"


def parts_prefix(prefix: str) -> str:
    """What the keys of all pieces begin with."""
    return f"{prefix}.parts/"


def refused_prefix(prefix: str, item: Item) -> str:
    """What the keys of a rendition's refused files begin with; the beginning of their SHA-256 follows."""
    return f"{prefix}.refused/{item.task_id}/{item.kind}-{item.index}-"


def object_key(prefix: str, task_id: str, kind: Kind, index: int, extension: str) -> str:
    """Where a rendition is kept (design 3.5): the picture stands beside its 4K under the same name."""
    name = Kind.UHD if kind is Kind.IMAGE else kind
    return f"{prefix}{task_id}/{name}-{index}.{extension}"


def _attempt(
    item: Item,
    claim: _Claim,
    ledger: Ledger,
    fetcher: Fetcher,
    bucket: Bucket,
    parts: Parts,
    vendor: Vendor | None,
    policy: Policy,
    prefix: str,
) -> Outcome:
    """Try once. One table of what each failure means."""
    chance = random.random()
    try:
        if claim.lapsed and (found := _find_stored(item, bucket, prefix)):
            return found
        fetched = fetcher.fetch(
            claim.link or claim.url,
            picture=item.kind is Kind.IMAGE,
            parts=None if claim.anew else parts,
            refused=partial(_keep_refused, item, claim, bucket, prefix),
        )
        with ExitStack() as until_put:
            with span("fetch"):
                download = until_put.enter_context(fetched)
            with span("put", bytes=download.bytes):
                return _put(item, download, bucket, prefix)
    except LinkDead as error:
        return _bury_link(item, claim, str(error), ledger, bucket, vendor, policy, prefix, chance)
    except StoreConflict as error:
        # It may be this very rendition: its confirmation was lost, and the vendor has made the file anew since.
        if found := _find_or_postpone(item, str(error), bucket, policy, prefix, chance):
            return found
        reason = str(error)
        return lambda generation, rendition, now: generation.fail(rendition, reason, now)
    except FetchForbidden as error:
        reason = str(error)
        if not claim.link:
            return lambda generation, rendition, now: generation.fail(rendition, reason, now)
        return lambda generation, rendition, now: generation.drop_link(rendition, reason, now, policy, chance)
    except Interrupted:
        return _hand_over
    except Transient as error:
        reason = str(error)
    except Exception as error:
        # A fault of ours: seen in the log and on the rendition, and tried again at growing intervals like any other.
        logging.getLogger("reelkeep").exception("mirror.fault item=%s", item)
        reason = f"internal error: {type(error).__name__}"
    return lambda generation, rendition, now: generation.retry_later(rendition, reason, now, policy, chance)


def _hand_over(generation: Generation, rendition: Rendition, now: float) -> None:
    generation.hand_over(rendition, now)


def _put(item: Item, download: Download, bucket: Bucket, prefix: str) -> Outcome:
    assert item.kind is not None
    key = object_key(prefix, item.task_id, item.kind, item.index, download.media.extension)
    facts = {"sha256": download.sha256, "task-id": item.task_id, "source-host": download.host}
    bucket.put_file(key, download, facts)
    return _stored(key, download.bytes, download.sha256, download.media)


def _find_stored(item: Item, bucket: Bucket, prefix: str) -> Outcome | None:
    """Take over what a worker stored that could not say so any more: the vendor is not asked for the same bytes twice."""
    assert item.kind is not None
    is_picture = item.kind is Kind.IMAGE
    for extension in PICTURES if is_picture else VIDEOS:
        key = object_key(prefix, item.task_id, item.kind, item.index, extension)
        found = bucket.find_file(key, item.task_id, picture=is_picture)
        if found is not None and found.media.extension == extension:
            log_event("rendition.found", task_id=item.task_id, kind=item.kind, index=item.index, bytes=found.bytes)
            return _stored(key, found.bytes, found.sha256, found.media)
    return None


def _find_or_postpone(
    item: Item, error: str, bucket: Bucket, policy: Policy, prefix: str, chance: float
) -> Outcome | None:
    """An attempt has failed for good. That loses nothing if the file was stored before; whether it was must be known.

    :return: None: it was not
    """
    try:
        return _find_stored(item, bucket, prefix)
    except StoreUnavailable as unavailable:
        reason = f"{error}; {unavailable}"
        return lambda generation, rendition, now: generation.retry_later(rendition, reason, now, policy, chance)


def _keep_refused(item: Item, claim: _Claim, bucket: Bucket, prefix: str, download: Download, why: str) -> str:
    """Keep what the server gives again and again and the check refuses: it was paid for, and the check may be wrong.

    Once for each rendition, in an attempt that fetched every byte, and only if the one before brought the same bytes. What was
    refused then is told by the rendition's error, so that nothing else has to be remembered.
    """
    shown = f" (SHA-256 {download.sha256[:16]}…)"
    if not claim.anew or shown not in claim.error or KEPT in claim.error or download.bytes < LEAST_REFUSED:
        return shown
    key = f"{refused_prefix(prefix, item)}{download.sha256[:16]}"
    said = why.encode("unicode_escape").decode()[:200]  # metadata is ASCII
    try:
        bucket.put_file(key, download, {"sha256": download.sha256, "task-id": item.task_id, "why": said})
    except (StoreUnavailable, StoreConflict) as error:
        return f"{shown}; {error}"
    log_event(
        "rendition.refused", task_id=item.task_id, kind=item.kind, index=item.index, key=key, bytes=download.bytes
    )
    return f"{shown}{KEPT}{key}: see whether they play"


def _stored(key: str, size: int, sha256: str, media: Media) -> Outcome:
    return lambda generation, rendition, now: generation.store(rendition, key, size, sha256, media, now)


def _bury_link(
    item: Item,
    claim: _Claim,
    error: str,
    ledger: Ledger,
    bucket: Bucket,
    vendor: Vendor | None,
    policy: Policy,
    prefix: str,
    chance: float,
) -> Outcome:
    """A link is dead. If the file was not stored before, there may be another link."""
    found = _find_or_postpone(item, error, bucket, policy, prefix, chance)
    return found or _seek_other_link(item, claim, error, ledger, vendor, policy, chance)


def _seek_other_link(
    item: Item, claim: _Claim, error: str, ledger: Ledger, vendor: Vendor | None, policy: Policy, chance: float
) -> Outcome:
    try:
        # It comes back by its own backoff, so it takes no turn.
        if vendor is not None and ledger.take_slot(budget.polls(policy), item, waits=False).until is not None:
            raise VendorUnreachable("enough others are asked about just now")
        renewal = renew_link(item, claim.url, claim.alias, vendor) if vendor else None
    except VendorUnreachable as unreachable:
        if isinstance(unreachable, VendorBusy):
            budget.pause_account(unreachable.pause, ledger, policy, asked=True)
        reason = f"{error}; no fresh link yet: {unreachable}"
        return lambda generation, rendition, now: generation.drop_link(rendition, reason, now, policy, chance)
    if renewal is None:
        return lambda generation, rendition, now: generation.find_dead(rendition, error, now, policy, chance)

    url, link = renewal.url, renewal.link
    return lambda generation, rendition, now: generation.follow_link(rendition, url, link, error, now, policy, chance)


def renew_link(item: Item, url: str, alias: str, vendor: Vendor) -> Renewal | None:
    """Ask the vendor where a file is now: the details endpoint first, download-url next (veo-api §10).

    :param alias: the vendor's id of an upgrade, if it has one of its own
    :return: None if the vendor has nothing else
    :raises VendorUnreachable:
    """
    # Of an upgrade only its own record tells: the parent's names the result's files (veo-api §6).
    task_id = alias if item.kind in BOUGHT else item.task_id
    if task_id:
        current = _pick(vendor.ask_details(task_id).urls, item)
        if current and current != url:
            return Renewal(url=current)
    link = vendor.renew_link(url)
    return Renewal(link=link) if link else None


def _pick(urls: Urls, item: Item) -> str | None:
    by_kind = {Kind.ORIGIN: urls.origin, Kind.FULL: urls.full, Kind.IMAGE: urls.image}
    found = by_kind.get(item.kind or Kind.RESULT, urls.result)
    index = 0 if item.kind in BOUGHT else item.index
    return (found[index] or None) if index < len(found) else None


def _claim(draft: Draft, item: Item, policy: Policy) -> _Claim | None:
    generation = draft.generation
    rendition = draft.find(item)
    if generation is None or rendition is None:
        return None
    lapsed = rendition.work.leased
    fence = generation.claim_mirror(rendition, draft.now, policy)
    if fence is None:
        return None
    alias = _alias(generation, item)
    return _Claim(fence, rendition.url, rendition.link, alias, lapsed, rendition.attempts, rendition.error)


def _alias(generation: Generation, item: Item) -> str:
    video = generation.find(Kind.HD if item.kind is Kind.HD else Kind.UHD, item.index)
    return video.order.alias if video and video.order else ""


def _renew(draft: Draft, item: Item, claim: _Claim, policy: Policy) -> bool:
    rendition = draft.find(item)
    return rendition is not None and rendition.work.renew(claim.fence, draft.now, policy.lease)


def _finish(draft: Draft, item: Item, claim: _Claim, outcome: Outcome) -> Rendition | None:
    """Write the outcome, unless the claim was lost: then somebody else is at it or has done it."""
    rendition = draft.find(item)
    if draft.generation is None or rendition is None or not rendition.work.holds(claim.fence):
        return None
    outcome(draft.generation, rendition, draft.now)
    if rendition.error and KEPT not in rendition.error:  # where the refused bytes are is said to the end
        rendition.error += "".join(claim.error.partition(KEPT)[1:])
    return rendition


def _end(
    draft: Draft, item: Item, claim: _Claim, outcome: Outcome, policy: Policy
) -> tuple[Rendition | None, ManifestClaim | None]:
    """Write the outcome. After the last rendition claim the manifest as well: another message, and another claim, are saved."""
    rendition = _finish(draft, item, claim, outcome)
    is_last = rendition is not None and draft.generation is not None and draft.generation.all_ended
    return rendition, claim_manifest(draft, policy) if is_last else None


def _log(item: Item, rendition: Rendition | None) -> None:
    if rendition is None:
        log_event("rendition.overtaken", task_id=item.task_id, kind=item.kind, index=item.index)
        return
    event = f"rendition.{rendition.state if rendition.ended else 'postponed'}"
    facts = {"attempt": rendition.attempts, "bytes": rendition.bytes, "error": rendition.error}
    shown = {name: value for name, value in facts.items() if value}
    log_event(event, task_id=item.task_id, kind=item.kind, index=item.index, **shown)
