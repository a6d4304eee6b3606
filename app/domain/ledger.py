"""The ledger as the pipeline sees it: the record of all generations, and the index of what is due."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from pydantic import BaseModel

from app.domain.figures import Figures
from app.domain.finding import ALL, Filter
from app.domain.generation import Generation
from app.domain.health import Health
from app.domain.news import News
from app.domain.overview import Overview
from app.domain.rendition import Rendition
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.work import Item, Kind

T = TypeVar("T")

#: what a page's cursor looks like
CURSOR = r"^[0-9]{1,12}(\.[0-9]{1,17})?~[A-Za-z0-9_-]{1,128}$"


class Trust(StrEnum):
    """What authenticates a callback. None of these covers the body (veo-api §9)."""

    SIGNED = "signed"
    #: a good signature outside the age window: a reason to ask, nothing more
    STALE = "stale"
    #: the unguessable token in the URL, on a body that cannot be signed because it has no id
    TOKEN = "token"  # noqa: S105  # a word, not a secret
    #: unsigned callbacks are allowed by the settings
    UNSIGNED = "unsigned"


class Route(StrEnum):
    """Where a callback came in."""

    GENERATION = "generation"
    UHD = "4k"


class Entry(BaseModel):
    """One recorded callback, as it came."""

    #: epoch seconds on the recording process's clock: for people, not for rules
    at: float
    route: Route
    trust: Trust
    raw: str


@dataclass(frozen=True)
class Pending:
    """A recorded callback that waits to be settled."""

    entry: Entry
    #: the order of an upgrade that the URL's token or the vendor's own id names, if any
    kind: Kind | None = None
    index: int = 0
    order: int = 0


class Recorded(StrEnum):
    """What became of a callback at the front door."""

    RECORDED = "recorded"
    #: nobody was given this token
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105  # a word, not a secret


@dataclass
class Draft:
    """What one transition reads and writes: a generation, or a submission, by the id that was asked for."""

    #: the ledger's clock, epoch seconds
    now: float
    #: None: never heard of, or nothing to write
    generation: Generation | None
    #: recorded callbacks not settled yet, oldest first
    pending: list[Pending]
    #: how many of `pending` this transition has settled
    settled: int = 0
    #: settled callbacks to keep for people and for replays
    history: list[Entry] = field(default_factory=list)
    #: ids of the vendor's, and the orders of this generation's upgrades that they name from now on (`order_name`)
    aliases: dict[str, str] = field(default_factory=dict)
    #: tokens in callback URLs, and what they name from now on: an order, a submission, a generation
    tokens: dict[str, str] = field(default_factory=dict)
    submission: Submission | None = None
    #: the id that was asked for
    record_id: str = ""
    #: its record is in the bucket alone; it comes back with the first change
    is_archived: bool = False

    @property
    def record(self) -> Generation | Submission | None:
        """Whichever it is."""
        return self.submission or self.generation

    def find(self, item: Item) -> Rendition | None:
        """The rendition that an item is about."""
        return self.generation.find(item.kind, item.index) if self.generation and item.kind else None


@dataclass(frozen=True)
class Page:
    """One page of generations, and of submissions that have no generation yet, newest first."""

    generations: list[Generation | Submission]
    #: where the next page begins; None: this was the last
    cursor: str | None


@dataclass(frozen=True)
class Tick:
    """What one look at the index brought under way."""

    #: items that had become due
    due: int
    #: items whose message was lost: enqueued before, gone from the queue, never begun
    rescued: int


@dataclass(frozen=True)
class Slot:
    """What came of asking for a slot."""

    #: when to come back, epoch seconds on the ledger's clock; None: the slot is taken
    until: float | None = None
    #: names the slot that was taken
    name: str = ""


@dataclass(frozen=True)
class Limit:
    """So many requests in any so many seconds, across the fleet."""

    name: str
    slots: int
    window: float


class Ledger(Protocol):
    """The record. Every method raises LedgerUnavailable when Redis is down, silent or refuses; `read` and `change` also where
    a generation's record is in the bucket alone, and cannot be read."""

    def record(self, task_id: str | None, token: str | None, entry: Entry) -> Recorded:
        """Record a callback, index it and enqueue its settling, in one atomic step."""
        ...

    def change(self, record_id: str, transition: Callable[[Draft], T], focus: Item | None = None) -> T:
        """Run a transition on a generation or a submission and write the outcome, atomically.

        The transition may run several times, each time on a fresh draft, if others write in between: it must do nothing but
        change the draft. What is due at once is enqueued in the same step, and bills that have become known (`Generation.bills`)
        replace what was reserved. What the record tells (`Generation.news`) is counted and put on its timeline, once and in the
        same step.

        :param focus: the item being worked on: it leaves the index if it is no longer on the generation's agenda
        """
        ...

    def pick(self, item: Item) -> str:
        """What to do for a message: the text of the item that should be done first, of those that wait in the same lane.

        Where no more waits than is being worked on, it is the item itself. Nobody else is given what was picked for some seconds.
        """
        ...

    def pick_next(self, done: Item) -> str:
        """What to do next without waiting for a message, for a worker that is done with an item of the same lane.

        A message is taken off the queue for it. Empty: nothing waits, or the queue is on another server.
        """
        ...

    def read(self, record_id: str) -> Draft:
        """A generation or a submission as it is now."""
        ...

    def history(self, task_id: str) -> list[Entry]:
        """The callbacks that are kept, oldest first."""
        ...

    def timeline(self, record_id: str) -> list[News]:
        """What has happened to a generation or a submission, oldest first; repeats in a row as one."""
        ...

    def page(self, state: State | None, limit: int, cursor: str | None, wanted: Filter = ALL) -> Page:
        """Generations, newest first.

        Where no single list tells what is wanted (see `Filter`), only so many records are looked at in one call: the page may
        hold fewer than `limit`, even none, and still have a cursor to go on with.

        :raises ValueError: no cursor of ours
        """
        ...

    def overview(self, most: int = 10) -> Overview:
        """All that the first screen shows, in one round trip. :param most: how many of those at risk are given"""
        ...

    def figures(self) -> Figures:
        """All that is measured of the fleet, in one round trip."""
        ...

    def stats(self) -> dict[str, float]:
        """What was counted since the ledger began: see `app.domain.tallies`."""
        ...

    def add_tallies(self, tallies: Mapping[str, int]) -> None:
        """Add to what was counted since the ledger began, where no record is about it."""
        ...

    def refresh_lists(self, most: int = 500) -> int:
        """Put records that an older version has written on the lists that it did not have, as many in each call.

        Gives how many were looked at: none, once it has come through.
        """
        ...

    def walk(self, state: State, until: float, most: int) -> tuple[list[Generation], bool]:
        """Generations in a state that are tracked since before a time, as many in each call, each call going on where the one
        before has ended. Gives some, and whether there are more: if not, the next call begins anew."""
        ...

    def archive(self, generation: Generation) -> bool:
        """Remove everything of a settled generation, and of the submission that it has come of, but its names: by these `read`
        and `change` know it, and have its record from its manifest, as if it had never left.

        :param generation: as it was judged
        :return: False: something has happened to it since
        """
        ...

    def list_archived(self) -> Iterator[str]:
        """The vendor's ids of all generations that have left, in no order."""
        ...

    def tally(self, name: str, window: float) -> tuple[int, float]:
        """Count something that has happened: how often it has in the present window, and the seconds until that ends."""
        ...

    def revoke(self, name: str, seconds: float) -> None:
        """Note for so many seconds that something is no longer good."""
        ...

    def is_revoked(self, name: str) -> bool:
        """Whether that was noted."""
        ...

    def note_fault(self, item: str, reason: str) -> None:
        """An item's step failed in a way that it could not write down itself: show it, and have it tried later and later."""
        ...

    def tick(self) -> Tick:
        """Enqueue what is due and what was lost."""
        ...

    def take_turn(self, name: str, every: float) -> bool:
        """Whether this caller does a periodic job now: several may come, one every `every` seconds may act."""
        ...

    def reserve(self, name: str, credits: float, limits: Mapping[str, float]) -> float | None:
        """Reserve credits of the UTC day, once for each name. Gives None, or when the next day begins: over budget.

        :param name: what they are for; its first word is the step, for which a total of its own is kept
        :param limits: the budgets of the day by step; of everything under `total`
        """
        ...

    def spent_today(self) -> dict[str, float]:
        """Credits reserved or spent this UTC day, by step and in `total`."""
        ...

    def take_slot(self, limit: Limit, item: Item, *, waits: bool = True) -> Slot:
        """Take a slot for an item, or a turn at one: those who wait have turns in the order of coming.

        :param waits: whether it comes back at its turn; if not, it is given none
        """
        ...

    def confirm_slot(self, limit: Limit, slot: Slot) -> None:
        """The request that a slot was taken for is answered. It arrived, which is what the vendor counts, before now."""
        ...

    def pause(self, limit: Limit, seconds: float) -> None:
        """Let nobody have a slot for so many seconds."""
        ...

    def wake(self) -> float:
        """Enqueue what is due. Gives the seconds until more will be; infinity: nothing is waiting."""
        ...

    def next_event(self) -> tuple[str, float]:
        """The item of the generation whose event should go out next, given to nobody else for some seconds; or an empty text, and
        the seconds until there will be one (infinity: none is waiting)."""
        ...

    def note_health(self, facts: dict[str, str]) -> None:
        """Note what a sweep found; `sweep_at`, `bucket_at`: give an empty text to have the time filled in."""
        ...

    def health(self) -> Health:
        """What is known of the fleet's health."""
        ...
