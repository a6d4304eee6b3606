"""What the vendor tells us when asked, in our own words. The adapter makes these out of its answers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.requests import Request
from app.domain.urls import NO_URLS, Urls
from app.domain.work import Kind

#: makes a callback URL from a token; None: the vendor cannot reach us
CallbackUrl = Callable[[str], str | None]


class SubmitProgress(StrEnum):
    """What became of a request to create a generation or an extension (veo-api §1, "submit outcomes")."""

    #: created: the answer has its id
    CREATED = "created"
    #: certainly not created, for now: the same request may go again (429, maintenance, never reached the vendor)
    BUSY = "busy"
    #: certainly not created, and the same request would be refused again
    REFUSED = "refused"
    #: it may or may not have been created: sending it again could pay twice
    UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class SubmitAnswer:
    """An answer to a request to create something."""

    progress: SubmitProgress
    code: int = 0
    msg: str = ""
    task_id: str | None = None
    #: the account's rate limit was hit: nobody may send for so many seconds
    pause: float | None = None


class Progress(StrEnum):
    """How far a generation is, by the details endpoint (veo-api §8)."""

    #: no such record: fresh ones can be invisible for about 90 s
    UNKNOWN = "unknown"
    GENERATING = "generating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """What is known of a generation: from the details endpoint, or from a callback that we may believe."""

    progress: Progress
    code: int = 0
    msg: str = ""
    urls: Urls = NO_URLS
    fallback: bool = False
    credits: float | None = None
    #: what the result URLs are: `4k` for a 4K task that runs under an id of its own
    main: Kind = Kind.RESULT
    #: what the vendor's record says was asked for
    asked: Asked = NOTHING_ASKED
    #: when it ended, by the vendor's clock, epoch seconds
    made_at: float | None = None


class OrderProgress(StrEnum):
    """How far an upgrade is, by the answer to asking for it (veo-api §5, §6)."""

    #: ordered: by this very request or an earlier one
    ORDERED = "ordered"
    #: the file is there: the answer has its URLs
    READY = "ready"
    #: not ordered, certainly: may be asked for again later (base not done, rate limit, credits, maintenance)
    NOT_YET = "not_yet"
    #: will never be
    UNAVAILABLE = "unavailable"
    #: the request may or may not have been taken: ask again, as the same order
    UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class OrderAnswer:
    """An answer about one upgrade."""

    progress: OrderProgress
    code: int = 0
    msg: str = ""
    urls: Urls = NO_URLS
    #: the id that the vendor runs the upgrade under; may be the parent's
    task_id: str | None = None
    #: what the vendor says it took
    credits: float | None = None
    #: the account's rate limit was hit: nobody may send for so many seconds
    pause: float | None = None


class Vendor(Protocol):
    """The vendor's API. Every method has time-outs, and raises VendorUnreachable when there is no usable answer unless it says
    otherwise."""

    @property
    def repeats_are_questions(self) -> bool:
        """Whether ordering an upgrade again only asks about it (veo-api §6). If not, it would buy it again (veo-api §13)."""
        ...

    def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
        """Create a generation or an extension. Costs money. A fault is an UNCERTAIN answer, or a BUSY one if the request
        certainly never reached the vendor."""
        ...

    def ask_details(self, task_id: str) -> Verdict:
        """Ask what became of a generation. Never about a parent to learn of its 4K: it answers with the base's URLs.

        :raises VendorBusy: the rate limit was hit
        """
        ...

    def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
        """Order an upgrade, or ask about it, as `repeats_are_questions` says. A fault is an UNCERTAIN answer, or a NOT_YET one
        if a request that buys certainly never reached the vendor.

        :param callback_url: for what has a callback
        """
        ...

    def read_credit(self) -> float:
        """The account's balance in credits."""
        ...

    def renew_link(self, url: str) -> str | None:
        """A fresh link, good for 20 minutes, to a file that the vendor made; None: it says there is none (veo-api §10)."""
        ...
