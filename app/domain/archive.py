"""The archive: generations that have been settled for long, whose record is in the bucket alone, as their manifest.

The ledger keeps no more of them than their names: by these it knows them, so that nothing that comes late (a callback, a retry,
a wish) begins anew what is there already. What is to be done about one brings its record back first.
"""

import secrets
from collections.abc import Callable, Iterator
from functools import partial

from app.domain.generation import Generation
from app.domain.manifest_reading import UnreadableManifest, read_manifest, restore, restore_submission
from app.domain.states import State
from app.domain.view import describe
from app.domain.work import UPGRADES, Item, Step, order_name

#: gives a generation's manifest by the vendor's id, None if there is no such object; raises StoreUnavailable
ReadManifest = Callable[[str], str | None]
#: Those in these states leave. One that is lost waits for somebody to look at it.
LEAVING = (State.COMPLETE, State.FAILED)
GONE = "its record had left Redis for its manifest in the bucket (REELKEEP_KEEP_DAYS), which is not there any more"


def bring_back(task_id: str, text: str | None, now: float) -> Generation:
    """The record of an archived generation. Nothing is asked for or bought by bringing it back.

    :param text: its manifest; None: there is none any more, and all that is known of it is that it was here
    :param now: epoch seconds on the ledger's clock
    :raises UnreadableManifest:
    """
    if text is None:
        gone = Generation(task_id=task_id, tracked_at=now, waiting_since=now, old=True, given_up=True, error=GONE)
        gone.tell(now, "generation.rebuilt")
        return gone
    shown = read_manifest(text)
    if shown.task_id != task_id:
        raise UnreadableManifest(f"it is of {shown.task_id}")
    return restore(shown, now, partial(secrets.token_urlsafe, 24))


def why_not_archived(generation: Generation, text: str | None, now: float) -> str:
    """What would be lost with a settled generation's record, since its manifest does not tell it; empty: nothing."""
    if text is None:
        return "its manifest is not there"
    try:
        told = bring_back(generation.task_id, text, now)
    except UnreadableManifest as error:
        return f"its manifest cannot be read: {error}"
    if describe(told) != describe(generation) or told.settled_at is None:
        return "its manifest does not tell what the ledger knows"
    if generation.submission and restore_submission(told) is None:
        return f"its manifest does not tell what {generation.submission} has asked for"
    return ""


def names_of(generation: Generation) -> dict[str, str]:
    """What is known of an archived generation: its names, and where each leads. Its own id leads nowhere else."""
    names = {generation.task_id: ""}
    if generation.submission:
        names[generation.submission] = generation.task_id
    for rendition in generation.renditions:
        aliases = [*rendition.former_aliases, (rendition.order.alias if rendition.order else "", rendition.orders)]
        names |= {
            alias: order_name(generation.task_id, rendition.kind, rendition.index, order)
            for alias, order in aliases
            if alias
        }
    return names


def tokens_of(generation: Generation) -> Iterator[str]:
    """The secret parts of its upgrades' callback URLs."""
    for rendition in generation.renditions:
        yield from rendition.former_tokens
        if rendition.order is not None and rendition.order.token:
            yield rendition.order.token


def items_of(generation: Generation) -> Iterator[Item]:
    """All that there could ever be to do about it."""
    for step in (Step.SETTLE, Step.MANIFEST, Step.NOTIFY):
        yield Item(step, generation.task_id)
    for rendition in generation.renditions:
        yield Item(Step.MIRROR, generation.task_id, rendition.kind, rendition.index)
        if rendition.kind in UPGRADES:
            yield Item(Step.UPGRADE, generation.task_id, rendition.kind, rendition.index)
    if generation.submission:
        yield Item(Step.SUBMIT, generation.submission)
        yield Item(Step.NOTIFY, generation.submission)
