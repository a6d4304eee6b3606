"""A rendition: one file of a generation, and the purchase behind it if it is an upgrade."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from app.domain.asked import Look
from app.domain.work import UPGRADES, Kind, Work

#: seconds for which the vendor keeps a file (veo-api §1), and for which a fresh link to it is good (veo-api §10)
RETENTION, FRESH = 14 * 86400.0, 1200.0
#: seconds by which each attempt puts a rendition back in a backlog, and how often it does
SETBACK, MOST_SETBACKS = 86400.0, 14


class RenditionState(StrEnum):
    """A rendition's state as users see it (design 3.4)."""

    WANTED = "wanted"
    REQUESTED = "requested"
    MIRRORING = "mirroring"
    STORED = "stored"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


END_STATES = frozenset({RenditionState.STORED, RenditionState.FAILED, RenditionState.UNAVAILABLE})


class Order(BaseModel):
    """The purchase of one upgrade. That it exists is the recorded intention: it is written before the first request."""

    model_config = ConfigDict(extra="allow")

    #: when the intention was recorded, epoch seconds
    intended_at: float
    #: when the ordering request was last sent, and how often it was
    asked_at: float = 0.0
    asks: int = 0
    #: the last request that was sent may have arrived: no refusal of it is known
    arrived: bool = False
    #: secret part of this order's callback URL
    token: str = ""
    #: the id that the vendor runs it under, if it is another than the parent's
    alias: str = ""
    #: what the last callback said of it, if that was a failure; confirmed by asking
    reported: str = ""
    #: answers in a row that confirm it
    denials: int = 0
    #: the vendor has it, or may have it: something was sent and not refused
    taken: bool = False
    #: the vendor has said that it has it: asking again is a question, and no new request to it
    confirmed: bool = False
    #: it was final; a callback says otherwise, and its own record is asked, and nothing else
    reopened: bool = False
    #: a callback came since the vendor was last asked
    news: bool = False
    #: credits reserved for it, and what the vendor says it took
    price: float = 0.0
    credits: float | None = None

    @property
    def cost(self) -> float:
        """What it is reckoned to have cost, in credits."""
        return self.price if self.credits is None else self.credits


class Rendition(BaseModel):
    """One file of a generation."""

    model_config = ConfigDict(extra="allow")

    kind: Kind
    index: int = 0
    state: RenditionState = RenditionState.WANTED
    work: Work = Field(default_factory=Work)
    #: since when it has been tried for: its link's life is counted from here
    since: float
    #: where the vendor serves it; empty: not known yet, or no longer needed
    url: str = ""
    #: where the vendor serves it was known, but was lost with a former ledger
    forgotten: bool = False
    #: a fresh link to the same file, to be tried first, and when it ends
    link: str = ""
    link_until: float = 0.0
    attempts: int = 0
    error: str = ""
    #: while something is wrong with it: when it will be too late
    too_late_at: float | None = None
    #: while it is not stored: since when it is known where the vendor serves it
    known_at: float | None = None
    #: how many times in a row the link was dead and could not be renewed
    dead_rounds: int = 0
    dead_since: float | None = None
    #: the present order of an upgrade, and how many there have been
    order: Order | None = None
    orders: int = 0
    #: we know of it only because the vendor spoke of it
    unasked: bool = False
    #: when the order before the present one was last sent
    last_asked: float = 0.0
    #: orders that the vendor took, the present one not counted, and what they are reckoned to have cost in credits
    former: int = 0
    former_cost: float = 0.0
    #: what callbacks about them are known by: the vendor's ids with the numbers of the orders, and the tokens in the URLs
    former_aliases: list[tuple[str, int]] = Field(default_factory=list)
    former_tokens: list[str] = Field(default_factory=list)
    key: str = ""
    bytes: int | None = None
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    audio: bool | None = None
    #: in what the file is not what was asked for
    mismatch: str = ""
    stored_at: float | None = None

    @property
    def cost(self) -> float:
        """What all orders of it are reckoned to have cost, in credits."""
        return self.former_cost + (self.order.cost if self.order and not self.refused else 0.0)

    @property
    def refused(self) -> bool:
        """The vendor did not take the present order."""
        return self.state is RenditionState.UNAVAILABLE and self.order is not None and not self.order.taken

    @property
    def taken(self) -> int:
        """How many orders of it the vendor took, or may have taken."""
        return self.former + (self.order is not None and self.order.taken)

    @property
    def look(self) -> Look:
        """What the stored file says of itself."""
        return Look(self.width, self.height, self.seconds, self.audio)

    @property
    def ended(self) -> bool:
        """Stored, or a named failure."""
        return self.state in END_STATES

    def place(self, made_at: float | None, now: float) -> float:
        """By when it should be mirrored: when its link ends, as far as is known. Of a backlog, what comes first here goes first.

        :param made_at: when the vendor made the generation, if it has said so
        """
        if self.link and self.link_until > now:
            return self.link_until
        end = self.link_end(made_at)
        # Who comes too late anyway must hold up nobody who does not; nor who keeps failing those who were never tried.
        return (end if end > now else now + RETENTION) + min(self.attempts, MOST_SETBACKS) * SETBACK

    def link_end(self, made_at: float | None) -> float:
        """When the vendor deletes it, as far as is known. :param made_at: see `place`"""
        bought = self.kind in UPGRADES or self.kind is Kind.IMAGE
        return (self.since if bought or made_at is None else min(made_at, self.since)) + RETENTION

    @property
    def denied(self) -> bool:
        """It exists at the vendor's, but nobody has asked for it here."""
        return self.state is RenditionState.UNAVAILABLE and self.unasked

    def drop_order(self) -> None:
        """Make way for a new order: with its own intention, its own callback URL, its own place in the budget."""
        if self.order is None:
            return
        self.last_asked = self.order.asked_at
        self.former += self.order.taken
        self.former_cost += self.order.cost if self.order.taken else 0.0
        if self.order.alias:
            self.former_aliases.append((self.order.alias, self.orders))
        self.former_tokens.append(self.order.token)
        self.order = None

    def end(self, state: RenditionState, error: str = "") -> None:
        """Come to an end. Nothing undoes `stored`."""
        if self.state is RenditionState.STORED:
            return
        self.state, self.error, self.too_late_at, self.known_at = state, error, None, None
        self.work.put_back(None)


@dataclass(frozen=True)
class OrderClaim:
    """The right to ask the vendor about an upgrade."""

    fence: int
    #: the number of the order, from 1
    order: int
    token: str
    #: the vendor's id of the upgrade, if it runs under one of its own
    alias: str
    #: the ordering request has been sent before: what follows is a question about that order
    sent: bool
    #: what its last callback said, if that was a failure
    reported: str = ""
    #: only the details of its own id may be asked
    reopened: bool = False
