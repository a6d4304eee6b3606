"""Replaying recorded callbacks: they go through the same door again, and nothing may come of it.

A generation that had come to rest must be as it was; only how many callbacks it has received is another number.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from app.domain.callbacks import UnreadableCallback, identify
from app.domain.generation import Generation
from app.domain.ledger import Entry, Ledger, Recorded, Route
from app.domain.rendition import Rendition, RenditionState
from app.domain.view import describe
from app.domain.work import Item, Kind, Step

PAGE = 500
#: seconds between two looks at what is being worked on, and for how many of them nothing need come to an end
LOOK_EVERY, PATIENCE = 0.2, 120.0
#: what every callback changes
COUNTED = frozenset({"callbacks", "heard"})


@dataclass(frozen=True)
class Replayed:
    """A generation, and what came of running its callbacks again."""

    task_id: str
    #: how many were run again, and how many were not: which order they were about is not known any more
    callbacks: int = 0
    skipped: int = 0
    #: what was stored or ordered because of it, in words
    new: tuple[str, ...] = ()
    #: by how much it is reckoned to have cost more than before
    credits: float = 0.0
    #: the fields of its JSON that are different
    changed: tuple[str, ...] = ()
    #: the work that it caused has come to an end
    settled: bool = True


@dataclass(frozen=True)
class _Started:
    before: Generation
    callbacks: int
    skipped: int


def list_generations(ledger: Ledger) -> Iterator[Generation]:
    """All generations, newest first, page by page. :raises LedgerUnavailable:"""
    cursor: str | None = None
    while True:
        page = ledger.page(None, PAGE, cursor)
        yield from (record for record in page.generations if isinstance(record, Generation))
        cursor = page.cursor
        if cursor is None:
            return


def replay(
    generations: Iterable[Generation],
    since: float | None,
    ledger: Ledger,
    pause: Callable[[float], bool],
    *,
    dry_run: bool = False,
    patience: float = PATIENCE,
) -> Iterator[Replayed]:
    """Run the callbacks of generations again, page by page, and wait for the work that this causes.

    :param since: epoch seconds; only what was recorded since then
    :param pause: waits for some seconds, and says whether to stop
    :param dry_run: only count
    :param patience: seconds without any end of that work that are waited for
    :raises LedgerUnavailable:
    """
    rest, stopped = iter(generations), False
    while not stopped and (page := list(islice(rest, PAGE))):
        started = deque[_Started]()
        for generation in page:
            entries = [entry for entry in ledger.history(generation.task_id) if since is None or entry.at >= since]
            if entries and not dry_run:
                started.append(_start(generation.task_id, entries, ledger))
            else:
                yield Replayed(generation.task_id, len(entries))
        looks = left = max(1, int(patience / LOOK_EVERY))
        while started:
            ended = [_judge(one, ledger) for one in started]
            yield from (one for one in ended if one.settled)
            left = looks if any(one.settled for one in ended) else left - 1
            started = deque(one for one, end in zip(started, ended, strict=True) if not end.settled)
            stopped = bool(started) and pause(LOOK_EVERY)
            if stopped or not left:
                yield from (end for end in ended if not end.settled)
                break


def _start(task_id: str, entries: list[Entry], ledger: Ledger) -> _Started:
    before = ledger.read(task_id).generation
    assert before is not None  # nothing ever forgets a generation
    done = 0
    for entry in entries:
        address = _find_address(before, entry)
        if address is not None:
            known = ledger.record(*address, entry) is Recorded.RECORDED
            done += known
    return _Started(before, done, len(entries) - done)


def _find_address(generation: Generation, entry: Entry) -> tuple[str | None, str | None] | None:
    """The id and the token that a callback is recorded under again; None: which order it was about is not known."""
    if entry.route is Route.GENERATION:
        return generation.task_id, None
    try:
        named = identify(entry.raw, named=True)
    except UnreadableCallback:
        named = None
    bought = [(rendition, rendition.order) for rendition in generation.renditions if rendition.order is not None]
    if named and any(order.alias == named for _, order in bought):
        return named, None
    # A 1080p without an id of its own has no callback (veo-api §5).
    called_back = [(rendition, order) for rendition, order in bought if rendition.kind is Kind.UHD or order.alias]
    if len(called_back) == 1 and called_back[0][0].orders == 1:
        return named, called_back[0][1].token
    return None if called_back else (generation.task_id, None)


# --- what came of it -------------------------------------------------------------------------------------------------------


def _list_work(generation: Generation) -> dict[Item, float]:
    """What is to be done about it. That the user's receiver is to be told of it is nothing to wait for."""
    return {item: at for item, at in generation.agenda(pending=False).items() if item.step is not Step.NOTIFY}


def _judge(started: _Started, ledger: Ledger) -> Replayed:
    draft = ledger.read(started.before.task_id)
    before, after = started.before, draft.generation
    assert after is not None
    at_rest = not _list_work(before)
    # What the vendor never confirmed is asked about for a day: that is waited for no longer than others wait for it.
    left = [item for item, at in _list_work(after).items() if item.step is not Step.SETTLE or at <= draft.now]
    settled = not draft.pending and not after.settle.leased and not (left and at_rest)
    return Replayed(
        after.task_id,
        started.callbacks,
        started.skipped,
        tuple(_list_new(before, after)),
        round(after.cost - before.cost, 6) if at_rest else 0.0,
        tuple(_list_changes(before, after)) if at_rest else (),
        settled,
    )


def _list_new(before: Generation, after: Generation) -> Iterator[str]:
    """What nobody was at before. What was under way may have come to its end meanwhile."""
    for rendition in after.renditions:
        was = before.find(rendition.kind, rendition.index)
        if before.undecided or (was is not None and not was.ended):
            continue
        name = f"{rendition.kind} {rendition.index}"
        if not rendition.ended:
            yield f"{name} {rendition.state}"
        if rendition.orders > (was.orders if was else 0):
            yield f"{name} ordered"
        if _stored_at(rendition) not in (None, _stored_at(was)):
            yield f"{name} stored"


def _stored_at(rendition: Rendition | None) -> float | None:
    return rendition.stored_at if rendition and rendition.state is RenditionState.STORED else None


def _list_changes(before: Generation, after: Generation) -> Iterator[str]:
    old, new = dict(describe(before)), dict(describe(after))
    return (name for name in new if name not in COUNTED and new[name] != old.get(name))
