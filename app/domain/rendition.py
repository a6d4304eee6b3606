"""A rendition: one file of a generation, and the purchase behind it if it is an upgrade."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from app.domain.work import Kind, Work


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
    #: secret part of this order's callback URL
    token: str = ""
    #: the id that the vendor runs it under, if it is another than the parent's
    alias: str = ""
    #: what the last callback said of it, if that was a failure; confirmed by asking
    reported: str = ""
    #: answers in a row that confirm it
    denials: int = 0
    #: the vendor has it, or may have it: anything but a refusal was answered
    taken: bool = False
    #: a callback came since the vendor was last asked
    news: bool = False


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
    #: a fresh link to the same file, to be tried first
    link: str = ""
    attempts: int = 0
    error: str = ""
    #: how many times in a row the link was dead and could not be renewed
    dead_rounds: int = 0
    dead_since: float | None = None
    #: the present order of an upgrade, and how many there have been
    order: Order | None = None
    orders: int = 0
    #: when the order before the present one was last sent
    last_asked: float = 0.0
    key: str = ""
    bytes: int | None = None
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    stored_at: float | None = None

    @property
    def ended(self) -> bool:
        """Stored, or a named failure."""
        return self.state in END_STATES

    def end(self, state: RenditionState, error: str = "") -> None:
        """Come to an end. Nothing undoes `stored`."""
        if self.state is RenditionState.STORED:
            return
        self.state, self.error = state, error
        self.work.put_back(None)


@dataclass(frozen=True)
class OrderClaim:
    """The right to ask the vendor about an upgrade."""

    fence: int
    token: str
    #: the vendor's id of the upgrade, if it runs under one of its own
    alias: str
    #: the ordering request has been sent before: what follows is a question about that order
    sent: bool
