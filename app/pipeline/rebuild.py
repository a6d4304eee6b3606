"""Rebuilding the ledger from the bucket's manifests, after it was lost whole.

Every rendition that is stored is known again, and nothing is fetched or bought again. What was unfinished goes on.
"""

import re
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Protocol, TypeVar

from app.domain.errors import StoreUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger
from app.domain.manifest_reading import Shown, UnreadableManifest, read_manifest, restore, restore_submission
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.work import UPGRADES, Item, Kind, Step, is_task_id, order_account, order_name
from app.pipeline.importing import track_old
from app.pipeline.manifest import manifest_key

T = TypeVar("T")
S = TypeVar("S")
#: manifests that are read at the same time
THREADS = 16
#: what our objects are called, the manifest apart (design 3.5)
_OBJECT = re.compile(r"(result|origin|full|1080p|4k)-\d+\.[a-z0-9]+")
DAY = 86400


class Archive(Protocol):
    """What is asked of the bucket here. Every method raises StoreUnavailable."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix, in order."""
        ...

    def get_json(self, key: str) -> str | None:
        """A JSON document; None: there is no such object."""
        ...

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        ...


class Outcome(StrEnum):
    """What became of a generation's folder in the bucket."""

    REBUILT = "rebuilt"
    #: the ledger knows the generation: it is left alone
    KNOWN = "known"
    #: there are objects, and no manifest: the generation is tracked, and the vendor asked about it
    WITHOUT_MANIFEST = "without manifest"
    UNREADABLE = "unreadable"
    #: nothing in it is ours
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Rebuilt:
    """One folder of the bucket."""

    task_id: str
    outcome: Outcome
    #: something of it is still to be asked for
    unfinished: bool = False
    #: keys of objects that the manifest lists and the bucket does not have: they are wanted again
    missing: tuple[str, ...] = ()
    #: why it cannot be read, or what could not be restored
    trouble: str = ""


@dataclass(frozen=True)
class Site:
    """Where is rebuilt from and into."""

    bucket: Archive
    ledger: Ledger
    policy: Policy
    #: of all object keys
    prefix: str
    #: see `Vendor.repeats_are_questions`
    repeats_are_questions: bool
    #: change nothing
    dry_run: bool = False


def rebuild(site: Site) -> Iterator[Rebuilt]:
    """Make known what the bucket holds, folder by folder; again and again with the same effect.

    Keeps no more than a few folders' names in memory, however large the bucket is.

    :raises StoreUnavailable: the bucket cannot be listed
    :raises LedgerUnavailable: what was given so far is rebuilt
    """
    folders = groupby(site.bucket.keys(site.prefix), key=lambda key: key.removeprefix(site.prefix).partition("/")[0])
    named = ((task_id, frozenset(keys)) for task_id, keys in folders if is_task_id(task_id))
    found = map_in_threads(lambda folder: _rebuild_folder(site, *folder), named)
    return (one for one in found if one.outcome is not Outcome.FOREIGN)


def map_in_threads(work: Callable[[T], S], items: Iterable[T]) -> Iterator[S]:
    """Do the same with all, a few at a time, and give what comes of it in order."""
    running: deque[Future[S]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) >= 2 * THREADS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _rebuild_folder(site: Site, task_id: str, keys: frozenset[str]) -> Rebuilt:
    key = manifest_key(site.prefix, task_id)
    ours = {key for key in keys if _OBJECT.fullmatch(key.rpartition("/")[2])}
    if not ours and key not in keys:
        return Rebuilt(task_id, Outcome.FOREIGN)
    if site.ledger.read(task_id).generation is not None:
        return Rebuilt(task_id, Outcome.KNOWN)
    try:
        text = site.bucket.get_json(key)
        if text is None:
            return _track(site, task_id, ours)
        shown = read_manifest(text)
        if shown.task_id != task_id:
            raise UnreadableManifest(f"it is of {shown.task_id}")
        return _restore(site, shown, keys)
    except (UnreadableManifest, StoreUnavailable) as error:
        return Rebuilt(task_id, Outcome.UNREADABLE, trouble=str(error))


def _restore(site: Site, shown: Shown, keys: frozenset[str]) -> Rebuilt:
    listed = [it.key for it in shown.renditions if it.state is RenditionState.STORED and it.key]
    # Not every store lists in order, and one must not fetch again what merely came at another place of the list.
    missing = tuple(key for key in listed if key not in keys and not site.bucket.has(key))
    make = partial(
        restore,
        shown,
        make_token=partial(secrets.token_urlsafe, 24),
        missing=missing,
        repeats_are_questions=site.repeats_are_questions,
    )
    generation = make(site.ledger.read(shown.task_id).now)
    if not site.dry_run:
        _book_today(generation, shown, site.ledger)
        _restore_submission(generation, site.ledger)
        if not site.ledger.change(shown.task_id, partial(_write, make)):
            return Rebuilt(shown.task_id, Outcome.KNOWN)
    nameless = bool(generation.submission) and restore_submission(generation) is None
    trouble = f"what was asked for cannot be read: {generation.submission} does not lead to it" if nameless else ""
    unfinished = any(item.step is not Step.MANIFEST for item in generation.agenda(pending=False))
    return Rebuilt(shown.task_id, Outcome.REBUILT, unfinished, missing, trouble)


def _write(make: Callable[[float], Generation], draft: Draft) -> bool:
    if draft.generation is not None:
        return False
    draft.generation = make(draft.now)
    for rendition in draft.generation.renditions:
        if rendition.order is not None and rendition.order.alias:
            draft.aliases[rendition.order.alias] = order_name(
                draft.generation.task_id, rendition.kind, rendition.index, rendition.orders
            )
    return True


def _restore_submission(generation: Generation, ledger: Ledger) -> None:
    """First of all: a generation that is known is not looked at again."""
    submission = restore_submission(generation)
    if submission is None:
        return

    def write(draft: Draft) -> None:
        draft.submission = draft.submission or submission

    ledger.change(submission.id, write)


def _book_today(generation: Generation, shown: Shown, ledger: Ledger) -> None:
    """What may have been spent today counts against today's budgets again. What it has turned out to cost is put right with the
    writing."""
    today = ledger.read(generation.task_id).now // DAY

    def is_today(*times: float | None) -> bool:
        return any(at is not None and at // DAY == today for at in times)

    # What was asked for yesterday may have been sent today: before its verdict came, or when the vendor was last asked.
    if generation.submission and is_today(shown.tracked_at, shown.verdict_at):
        ledger.reserve(str(Item(Step.SUBMIT, generation.submission)), generation.price, {})
    for it in shown.renditions:
        if is_today(it.ordered_at, it.asked_at):
            account = partial(order_account, shown.task_id, it.kind, it.index)
            ledger.reserve(account(it.orders), it.credits_reserved or 0.0, {})
            # When the orders before it were sent is not told.
            ledger.reserve(account(it.orders - 1), it.former_credits, {})


def _track(site: Site, task_id: str, objects: set[str]) -> Rebuilt:
    """Upgrades that the objects or the settings name are asked about, where that is certain to buy nothing twice."""
    bought = [kind for kind in UPGRADES if any(_is_of(key, kind) for key in objects)]
    wanted = list(dict.fromkeys([*site.policy.upgrades, *bought])) if site.repeats_are_questions else []
    if not site.dry_run:
        track_old(task_id, wanted, {}, site.ledger, site.policy)
    return Rebuilt(task_id, Outcome.WITHOUT_MANIFEST, unfinished=True)


def _is_of(key: str, kind: Kind) -> bool:
    return key.rpartition("/")[2].startswith(f"{kind}-0.")
