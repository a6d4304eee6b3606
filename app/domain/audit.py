"""The audit: what credits were spent on, what was delivered for them, and what the vendor should be asked about.

One record is judged at a time, by itself alone. A row is fit to be handed on as it is: the vendor's ids, times, codes, messages
and hashes are in it, but no query of a URL and no token.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from app.domain.callbacks import read_text
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import Progress
from app.domain.view import show_time
from app.domain.work import UPGRADES, Kind


class Suspicion(StrEnum):
    """What may be wrong between the vendor and us."""

    CHARGED_BUT_FAILED = "charged_but_failed"
    BOUGHT_TWICE = "bought_twice"
    CHARGED_MORE = "charged_more"
    DOWNGRADED = "downgraded"
    NEVER_DELIVERED = "never_delivered"


@dataclass(frozen=True)
class Finding:
    """One reason to ask the vendor."""

    name: Suspicion
    #: in words, for people and for the vendor's support
    sentence: str


@dataclass(frozen=True)
class File:
    """A rendition that came, or was to come, with a charge."""

    kind: Kind
    index: int
    state: RenditionState
    key: str
    bytes: int | None
    sha256: str
    stored_at: float | None
    #: in what it is not what was asked for, or why it is not there
    note: str

    @property
    def stored(self) -> bool:
        """Whether it is in the bucket."""
        return self.state is RenditionState.STORED


@dataclass(frozen=True)
class Charge:
    """One thing that is paid for: a generation, an extension, or an order of an upgrade. Amounts are credits."""

    #: `generation`, `extension`, `1080p` or `4k`; of an upgrade also the index of the result
    what: str
    state: str
    index: int | None = None
    #: how many orders it stands for: of those before the present one only number and cost are on record
    orders: int = 1
    #: the id that the vendor runs it under, if it is known and its own
    vendor_id: str = ""
    #: reserved for it; what the vendor says it took; what it should cost, as far as is known
    reserved: float = 0.0
    consumed: float | None = None
    price: float | None = None
    #: all that was paid for is stored
    delivered: bool = False
    #: when an upgrade's order began, when the request was last sent, and how often it was
    ordered_at: float | None = None
    asked_at: float | None = None
    asks: int = 0
    #: what the vendor said
    code: int = 0
    msg: str = ""
    #: how it stands, in our words
    error: str = ""
    files: tuple[File, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def cost(self) -> float:
        """What it is reckoned to have cost."""
        return self.reserved if self.consumed is None else self.consumed

    @property
    def stored(self) -> tuple[File, ...]:
        """What was delivered."""
        return tuple(file for file in self.files if file.stored)


@dataclass(frozen=True)
class Row:
    """A generation, or a submission that none has come of yet. Times are epoch seconds."""

    #: ours, of the submission; empty if it was submitted elsewhere
    id: str
    #: the vendor's; empty if it is not known
    task_id: str
    state: State
    #: the generation that it extends
    parent: str
    #: by this it is found in the vendor's log when its id is not known
    prompt: str
    tracked_at: float
    sent_at: float | None
    verdict_at: float | None
    complete_at: float | None
    charges: tuple[Charge, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is suspicious about it."""
        return tuple(finding for charge in self.charges for finding in charge.findings)


@dataclass(frozen=True)
class Totals:
    """Sums over rows. Amounts are credits."""

    #: how many there are in each state
    generations: Mapping[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    reserved: float = 0.0
    #: as far as the vendor has said
    consumed: float = 0.0
    #: cost of what was delivered whole, and of what a finding is about
    delivered: float = 0.0
    suspicious: float = 0.0
    #: how many rows have a finding, and how many findings there are of each sort
    suspects: int = 0
    findings: Mapping[Suspicion, int] = field(default_factory=lambda: dict.fromkeys(Suspicion, 0))
    files: int = 0
    bytes: int = 0

    def plus(self, row: Row) -> "Totals":
        """With one more row."""
        stored = [file for charge in row.charges for file in charge.stored]
        found = {
            name: count + sum(finding.name is name for finding in row.findings) for name, count in self.findings.items()
        }
        return Totals(
            generations={**self.generations, row.state: self.generations[row.state] + 1},
            reserved=self.reserved + sum(charge.reserved for charge in row.charges),
            consumed=self.consumed + sum(charge.consumed or 0.0 for charge in row.charges),
            delivered=self.delivered + sum(charge.cost for charge in row.charges if charge.delivered),
            suspicious=self.suspicious + sum(charge.cost for charge in row.charges if charge.findings),
            suspects=self.suspects + bool(row.findings),
            findings=found,
            files=self.files + len(stored),
            bytes=self.bytes + sum(file.bytes or 0 for file in stored),
        )


def examine(record: Generation | Submission, policy: Policy) -> Row:
    """Judge one record.

    A generation does not know when it was sent, its submission does: `sent_at` is None then.

    :param policy: prices of upgrades whose order names none
    """
    if isinstance(record, Submission):
        return _examine_submission(record)
    upgrades = [charge for rendition in record.renditions for charge in _charge_upgrade(record, rendition, policy)]
    return Row(
        id=record.submission,
        task_id=record.task_id,
        state=record.state,
        parent=record.parent,
        prompt=plain(record.request.get("prompt")),
        tracked_at=record.tracked_at,
        sent_at=None,
        verdict_at=record.verdict_at,
        complete_at=record.complete_at,
        charges=(_charge_generation(record), *upgrades),
    )


# --- submissions -----------------------------------------------------------------------------------------------------------


def _examine_submission(submission: Submission) -> Row:
    state = submission.state or State.WAITING
    # What was refused and not sent has its reservation back; what "was created and failed" keeps the time of its sending.
    refused = state is State.FAILED and submission.sent_at is None
    charge = Charge(
        what="extension" if submission.parent else "generation",
        state=state,
        vendor_id=submission.task_id,
        reserved=0.0 if refused else submission.price,
        price=submission.price,
        code=submission.code,
        msg=plain(submission.msg),
        error=plain(submission.error),
    )
    return Row(
        id=submission.id,
        task_id=submission.task_id,
        state=state,
        parent=submission.parent,
        prompt=plain(submission.request.prompt),
        tracked_at=submission.tracked_at,
        sent_at=submission.sent_at,
        verdict_at=None,
        complete_at=None,
        charges=(replace(charge, findings=tuple(_judge_submission(charge, state))),),
    )


def _judge_submission(charge: Charge, state: State) -> Iterator[Finding]:
    if state is State.FAILED:
        yield from _judge_failure("it was created and failed, under an id that is not known", charge)
    elif state in (State.UNCERTAIN, State.LOST):
        waits = "its callback may still tell" if state is State.UNCERTAIN else "no callback came to tell"
        perhaps = f"perhaps {show_credits(charge.reserved)} credits were charged"
        yield Finding(
            Suspicion.NEVER_DELIVERED,
            f"it was sent, and whether the vendor created it is not known: {perhaps}; {waits}",
        )


# --- generations -----------------------------------------------------------------------------------------------------------


def _charge_generation(generation: Generation) -> Charge:
    own = [rendition for rendition in generation.renditions if _came_with_generation(generation, rendition)]
    videos = [rendition for rendition in own if rendition.kind is not Kind.IMAGE]
    whole = bool(videos) and all(rendition.state is RenditionState.STORED for rendition in videos)
    charge = Charge(
        what="extension" if generation.parent else "generation",
        state=generation.state,
        vendor_id=generation.task_id,
        reserved=generation.price,
        consumed=generation.credits,
        # Of what was submitted elsewhere the model is not known, and so no price.
        price=generation.price if generation.submission else None,
        delivered=whole and generation.verdict is Progress.SUCCEEDED and not generation.missing,
        code=generation.code,
        msg=plain(generation.msg),
        error=plain(generation.error),
        files=tuple(_describe_file(rendition) for rendition in own),
    )
    return replace(charge, findings=tuple(_judge_generation(generation, charge, videos)))


def _judge_generation(generation: Generation, charge: Charge, videos: list[Rendition]) -> Iterator[Finding]:
    lost = generation.given_up and generation.verdict not in (Progress.SUCCEEDED, Progress.FAILED)
    if generation.verdict is Progress.FAILED:
        yield from _judge_failure(f"it failed with code {generation.code}", charge)
    if lost:
        yield from _judge_failure("no verdict came in time", charge)
        yield Finding(Suspicion.NEVER_DELIVERED, f"it was given up: {charge.error}")
    yield from _judge_amount(charge)
    if generation.fallback:
        yield Finding(
            Suspicion.DOWNGRADED, "the fallback model made it: it is not what was asked for and cannot be upgraded"
        )
    if generation.missing and not lost:
        still = "given up" if generation.given_up else "the vendor is still being asked"
        yield Finding(Suspicion.NEVER_DELIVERED, f"{plain(generation.missing)} ({still})")
    for rendition in videos:
        yield from _judge_file(rendition)


# --- upgrades --------------------------------------------------------------------------------------------------------------


def _charge_upgrade(generation: Generation, rendition: Rendition, policy: Policy) -> Iterator[Charge]:
    """The present order of an upgrade, and those before it that the vendor took."""
    if rendition.order is not None:
        yield _charge_order(generation, rendition, rendition.order, policy)
    if rendition.former:
        charge = Charge(
            what=rendition.kind,
            state=RenditionState.UNAVAILABLE,
            index=rendition.index,
            orders=rendition.former,
            reserved=rendition.former_cost,
        )
        yield replace(charge, findings=tuple(_judge_former(rendition, charge)))


def _charge_order(generation: Generation, rendition: Rendition, order: Order, policy: Policy) -> Charge:
    # Orders of before prices were recorded name none.
    price = order.price or policy.price(rendition.kind)
    came = [other for other in generation.renditions if _buyer(generation, other) is rendition]
    charge = Charge(
        what=rendition.kind,
        state=rendition.state,
        index=rendition.index,
        vendor_id=order.alias,
        reserved=0.0 if rendition.refused else price,
        consumed=order.credits,
        price=price,
        delivered=rendition.state is RenditionState.STORED,
        ordered_at=order.intended_at,
        # Before the first sending, this is when the order before it was sent.
        asked_at=order.asked_at if order.asks else None,
        asks=order.asks,
        msg=plain(order.reported),
        error=plain(rendition.error),
        files=tuple(_describe_file(other) for other in came),
    )
    return replace(charge, findings=tuple(_judge_order(rendition, charge)))


def _judge_order(rendition: Rendition, charge: Charge) -> Iterator[Finding]:
    if rendition.state is RenditionState.UNAVAILABLE:  # nothing is reserved any more for what was merely refused
        yield from _judge_failure("the vendor took the order, and then had no file", charge)
    yield from _judge_amount(charge)
    yield from _judge_file(rendition)


def _judge_former(rendition: Rendition, charge: Charge) -> Iterator[Finding]:
    yield from _judge_failure("the vendor took the order before the present one, and had no file", charge)
    if rendition.taken > 1:
        yield Finding(Suspicion.BOUGHT_TWICE, f"the vendor took {rendition.taken} orders of the same {rendition.kind}")


def _buyer(generation: Generation, rendition: Rendition) -> Rendition | None:
    """The upgrade whose order brought a file; None: none did. A picture comes with its 4K (veo-api §7)."""
    video = generation.find(Kind.UHD, rendition.index) if rendition.kind is Kind.IMAGE else rendition
    return video if video is not None and video.order is not None else None


def _came_with_generation(generation: Generation, rendition: Rendition) -> bool:
    if _buyer(generation, rendition) is not None:
        return False
    # A 4K task that is tracked by an id of its own has a 4K without an order; one that is wanted, but not ordered, has no URL.
    return rendition.kind not in UPGRADES or bool(rendition.url) or rendition.state is RenditionState.STORED


# --- both ------------------------------------------------------------------------------------------------------------------


def _judge_failure(what: str, charge: Charge) -> Iterator[Finding]:
    """Nothing came of it: was it paid for?"""
    if charge.consumed:
        sentence = f"{what}, and {show_credits(charge.consumed)} credits were taken"
    elif charge.consumed is None and charge.reserved:
        perhaps = f"perhaps {show_credits(charge.reserved)} credits were charged"
        sentence = f"{what}; what it took the vendor never said: {perhaps}"
    else:
        return
    yield Finding(Suspicion.CHARGED_BUT_FAILED, sentence)


def _judge_amount(charge: Charge) -> Iterator[Finding]:
    if charge.consumed is None or charge.price is None or charge.consumed <= charge.price:
        return
    how = (
        f"{show_credits(charge.consumed)} credits were taken, the price is reckoned to be {show_credits(charge.price)}"
    )
    if charge.price and charge.consumed >= 2 * charge.price:
        yield Finding(Suspicion.BOUGHT_TWICE, f"{how}: as much as for two")
    else:
        yield Finding(Suspicion.CHARGED_MORE, how)


def _judge_file(rendition: Rendition) -> Iterator[Finding]:
    name = f"{rendition.kind} {rendition.index}"
    if rendition.mismatch:
        yield Finding(Suspicion.DOWNGRADED, f"{name}: {plain(rendition.mismatch)}")
    if rendition.state is RenditionState.FAILED:
        yield Finding(Suspicion.NEVER_DELIVERED, f"{name} is lost: {plain(rendition.error)}")


def _describe_file(rendition: Rendition) -> File:
    return File(
        kind=rendition.kind,
        index=rendition.index,
        state=rendition.state,
        key=rendition.key,
        bytes=rendition.bytes,
        sha256=rendition.sha256,
        stored_at=rendition.stored_at,
        note=plain(rendition.mismatch or rendition.error),
    )


# --- as it is shown ---------------------------------------------------------------------------------------------------------


def plain(text: object) -> str:
    """A text as it may be handed on: one line, no secret in a URL, nothing that steers a terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in read_text(text)).split())


def show_credits(credits: float) -> str:
    """Credits as text: `60`, `60.5`."""
    return f"{credits:.2f}".rstrip("0").rstrip(".")


def describe_row(row: Row) -> dict[str, Any]:
    """A row as JSON-ready values, by the names of the API (design 3.4). Times are UTC, ISO 8601."""
    return {
        "id": row.id or None,
        "taskId": row.task_id or None,
        "state": str(row.state),
        "extends": row.parent or None,
        "prompt": row.prompt or None,
        "trackedAt": show_time(row.tracked_at),
        "sentAt": show_time(row.sent_at),
        "verdictAt": show_time(row.verdict_at),
        "completeAt": show_time(row.complete_at),
        "suspicious": bool(row.findings),
        "charges": [_describe_charge(charge) for charge in row.charges],
    }


def describe_totals(totals: Totals) -> dict[str, Any]:
    """The totals as JSON-ready values."""
    return {
        "generations": {str(state): count for state, count in totals.generations.items()},
        "creditsReserved": round(totals.reserved, 6),
        "creditsConsumed": round(totals.consumed, 6),
        "creditsDelivered": round(totals.delivered, 6),
        "creditsSuspicious": round(totals.suspicious, 6),
        "suspicious": totals.suspects,
        "findings": {str(name): count for name, count in totals.findings.items()},
        "files": totals.files,
        "bytes": totals.bytes,
    }


def _describe_charge(charge: Charge) -> dict[str, Any]:
    return {
        "what": charge.what,
        "index": charge.index,
        "orders": charge.orders,
        "vendorId": charge.vendor_id or None,
        "state": str(charge.state),
        "creditsReserved": charge.reserved,
        "creditsConsumed": charge.consumed,
        "creditsReckoned": charge.price,
        "delivered": charge.delivered,
        "orderedAt": show_time(charge.ordered_at),
        "askedAt": show_time(charge.asked_at),
        "asks": charge.asks,
        "code": charge.code or None,
        "msg": charge.msg or None,
        "error": charge.error or None,
        "files": [_describe(file) for file in charge.files],
        "findings": [asdict(finding) for finding in charge.findings],
    }


def _describe(file: File) -> dict[str, Any]:
    return {
        "kind": str(file.kind),
        "index": file.index,
        "state": str(file.state),
        "key": file.key or None,
        "bytes": file.bytes,
        "sha256": file.sha256 or None,
        "storedAt": show_time(file.stored_at),
        "note": file.note or None,
    }
