"""The outside in memory: a ledger, a vendor, a fetcher and a bucket that do what a test has told them and keep what was asked."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

from app.domain.container import Media, NotMedia
from app.domain.errors import LedgerUnavailable, StoreUnavailable
from app.domain.figures import Figures
from app.domain.finding import ALL, Filter
from app.domain.generation import Generation
from app.domain.health import Health
from app.domain.ledger import Draft, Entry, Limit, Page, Pending, Recorded, Route, Slot, Tick, Trust
from app.domain.news import News
from app.domain.overview import Overview
from app.domain.ports import UNKNOWN, Download, Parts, Refused, Stored
from app.domain.requests import Request
from app.domain.standing import Standing, tell_changes
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.tallies import tally
from app.domain.vendor import OrderAnswer, SubmitAnswer, Verdict
from app.domain.view import describe
from app.domain.work import Item, Kind, is_submission_id

T = TypeVar("T")


class Died(BaseException):
    """The process was killed here."""


@dataclass
class Fate:
    """Kills a worker at one of its calls to the outside: before the call has had an effect, or after, when its answer is lost."""

    #: which of the calls, from 1; 0: none
    fatal: int
    after: bool
    calls: int = 0

    def watch(self, watched: T) -> T:
        """The same thing; calling its methods is fateful."""
        return cast(T, _Watched(watched, self))

    def call(self, method: Callable[..., object], *args: object, **named: object) -> object:
        """Make a call, if it is not the fatal one."""
        self.calls += 1
        is_fatal = self.calls == self.fatal
        if is_fatal and not self.after:
            raise Died
        answer = method(*args, **named)
        if is_fatal:
            raise Died
        return answer


@dataclass
class _Watched:
    watched: object
    fate: Fate

    def __getattr__(self, name: str) -> object:
        found = getattr(self.watched, name)
        return partial(self.fate.call, found) if callable(found) else found


@dataclass
class MemoryLedger:
    """One generation and one submission. A transition is run twice, each time on a fresh draft, as it is when others write in
    between."""

    now: float = 1000.0
    generation: Generation | None = None
    submission: Submission | None = None
    pending: list[Pending] = field(default_factory=list)
    #: those of the submission
    pending_there: list[Pending] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    #: what has happened to the records
    told: list[News] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    #: numbers of those calls of `change`, from 1, at which the ledger is away
    outages: set[int] = field(default_factory=set)
    changes: int = 0
    #: what `reserve` and `take_slot` answer, and what they were asked
    over_budget: float | None = None
    no_slot: float | None = None
    reserved: list[tuple[str, float, dict[str, float]]] = field(default_factory=list)
    settled: dict[str, float] = field(default_factory=dict)
    slots: list[tuple[Limit, Item]] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    pauses: list[tuple[str, float]] = field(default_factory=list)
    recorded: list[tuple[str | None, str | None, Entry]] = field(default_factory=list)
    turns: dict[str, bool] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def call_back(
        self,
        raw: str,
        route: Route = Route.GENERATION,
        trust: Trust = Trust.SIGNED,
        upgrade: tuple[Kind, int] | None = None,
    ) -> None:
        """Have a recorded callback wait."""
        entry = Entry(at=self.now, route=route, trust=trust, raw=raw)
        self.pending.append(Pending(entry, *(upgrade or ())))

    def call_back_there(self, raw: str) -> None:
        """Have a callback wait that came in under the submission's token."""
        self.pending_there.append(Pending(Entry(at=self.now, route=Route.GENERATION, trust=Trust.SIGNED, raw=raw)))

    def record(self, task_id: str | None, token: str | None, entry: Entry) -> Recorded:
        if token is not None and token not in self.tokens:
            return Recorded.UNKNOWN_TOKEN
        self.recorded.append((task_id, token, entry))
        names_submission = token is not None and is_submission_id(self.tokens[token])
        (self.pending_there if names_submission else self.pending).append(Pending(entry))
        return Recorded.RECORDED

    def change(self, record_id: str, transition: Callable[[Draft], T], focus: Item | None = None) -> T:
        self.changes += 1
        if self.changes in self.outages:
            raise LedgerUnavailable("Redis is down")
        transition(self.read(record_id))
        draft = self.read(record_id)
        before = draft.record.bills() if draft.record else {}
        standing = Standing.of(draft.record)
        shown, noted = _show(draft.generation)
        outcome = transition(draft)
        assert not shown or shown == _show(draft.generation)[0] or noted < _show(draft.generation)[1], (
            "not in the manifest"
        )
        if draft.generation is not None:
            text = draft.generation.model_dump_json(exclude_defaults=True)
            self.generation = Generation.model_validate_json(text)
        if draft.submission is not None:
            text = draft.submission.model_dump_json(exclude_defaults=True)
            self.submission = Submission.model_validate_json(text)
        del (self.pending_there if is_submission_id(record_id) else self.pending)[: draft.settled]
        self.kept += draft.history
        self.told += tell_changes(standing, draft.record, self.now)
        self.aliases |= draft.aliases
        self.tokens |= draft.tokens
        after = draft.record.bills() if draft.record else {}
        self.settled |= {account: credits for account, credits in after.items() if before.get(account) != credits}
        return outcome

    def read(self, record_id: str) -> Draft:
        if is_submission_id(record_id):
            own = self.submission if self.submission and self.submission.id == record_id else None
            copy = own.model_copy(deep=True) if own else None
            return Draft(self.now, None, list(self.pending_there), submission=copy, record_id=record_id)
        known = self.generation if self.generation and self.generation.task_id == record_id else None
        return Draft(self.now, known.model_copy(deep=True) if known else None, list(self.pending), record_id=record_id)

    def history(self, task_id: str) -> list[Entry]:
        return self.kept

    def page(self, state: State | None, limit: int, cursor: str | None, wanted: Filter = ALL) -> Page:
        return Page([self.generation] if self.generation else [], None)

    def timeline(self, record_id: str) -> list[News]:
        return self.told

    def overview(self, most: int = 10) -> Overview:
        return Overview(self.now, {}, 0, 0, [], {}, [], self.health())

    def figures(self) -> Figures:
        return Figures({}, 0, 0, {}, self.stats(), {}, 0, self.health(), None)

    def stats(self) -> dict[str, float]:
        return tally(self.told)

    def refresh_lists(self, most: int = 500) -> int:
        return 0

    def note_fault(self, item: Item, reason: str) -> None:
        self.facts[str(item)] = reason

    def tick(self) -> Tick:
        return Tick(due=2, rescued=1)

    def take_turn(self, name: str, every: float) -> bool:
        return self.turns.get(name, True)

    def reserve(self, name: str, credits: float, limits: Mapping[str, float]) -> float | None:
        self.reserved.append((name, credits, dict(limits)))
        return self.over_budget

    def spent_today(self) -> dict[str, float]:
        return {}

    def take_slot(self, limit: Limit, item: Item, *, waits: bool = True) -> Slot:
        self.slots.append((limit, item))
        return Slot(self.no_slot, "" if self.no_slot else str(len(self.slots)))

    def confirm_slot(self, limit: Limit, slot: Slot) -> None:
        self.confirmed.append(slot.name)

    def pause(self, limit: Limit, seconds: float) -> None:
        self.pauses.append((limit.name, seconds))

    def wake(self) -> float:
        return 0.5

    def note_health(self, facts: dict[str, str]) -> None:
        self.facts |= facts

    def health(self) -> Health:
        return Health(self.now, None, None, "", 0.0, 0.0, {})


def _show(generation: Generation | None) -> tuple[dict[str, object], int]:
    """What a manifest shows of it, and the count that goes up whenever that changes.

    Of renditions under way little: a manifest is written when they end.
    """
    if generation is None:
        return {}, 0
    shown = describe(generation.model_copy(update={"complete_at": None, "manifest_error": ""}))
    ended = [rendition.ended for rendition in generation.renditions]
    shown["renditions"] = [
        row if is_ended else {name: row.get(name) for name in ("kind", "index", "orders", "unasked")}
        for row, is_ended in zip(shown["renditions"], ended, strict=True)
    ]
    return shown, generation.changes


@dataclass
class ScriptedVendor:
    """Gives the answers it was told in turn, the last of each kind again and again; what is an exception is raised."""

    details: dict[str, list[Verdict | BaseException]] = field(default_factory=dict)
    orders: list[OrderAnswer | BaseException] = field(default_factory=list)
    submits: list[SubmitAnswer | BaseException] = field(default_factory=list)
    credits: list[float | BaseException] = field(default_factory=list)
    repeats_are_questions: bool = True
    links: list[str | BaseException | None] = field(default_factory=list)
    #: `submit <prompt> <callback URL>`, `details <id>`, `4k <id> <index> <callback URL>`, `renew <url>`
    asked: list[str] = field(default_factory=list)
    submitted: list[Request] = field(default_factory=list)

    def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
        self.asked.append(f"submit {request.prompt} {callback_url}")
        self.submitted.append(request)
        return _next(self.submits)

    def read_credit(self) -> float:
        return _next(self.credits)

    def ask_details(self, task_id: str) -> Verdict:
        self.asked.append(f"details {task_id}")
        return _next(self.details[task_id])

    def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
        self.asked.append(f"{kind} {task_id} {index} {callback_url}")
        return _next(self.orders)

    def renew_link(self, url: str) -> str | None:
        self.asked.append(f"renew {url}")
        return _next(self.links)


def _next(answers: "list[T | BaseException]") -> T:
    answer = answers[0] if len(answers) == 1 else answers.pop(0)
    if isinstance(answer, BaseException):
        raise answer
    return answer


@dataclass
class ScriptedFetcher:
    """Gives a small video, or fails as it was told."""

    failure: BaseException | None = None
    fetched: list[tuple[str, bool]] = field(default_factory=list)
    media: Media = field(default_factory=lambda: Media("video/mp4", "mp4", 1280, 720, 8.0))
    #: the file is so large that a piece of it is kept
    keeps: bool = False
    #: of each file in turn that is refused, the SHA-256
    refuses: list[str] = field(default_factory=list)
    bytes: int = 100_000
    #: for each fetch, whether it was given pieces
    given_parts: list[bool] = field(default_factory=list)

    @contextmanager
    def fetch(
        self, url: str, *, picture: bool = False, parts: Parts | None = None, refused: Refused | None = None
    ) -> Iterator[Download]:
        self.fetched.append((url, picture))
        self.given_parts.append(parts is not None)
        if parts is not None and self.keeps:
            parts.keep("v", 0, b"piece")
        if self.failure is not None:
            raise self.failure
        if self.refuses:
            assert refused is not None
            download = Download(io.BytesIO(b"odd"), self.bytes, self.refuses.pop(0), UNKNOWN, "x")
            raise NotMedia(f"x: ends inside ‹mdat›{refused(download, 'ends inside ‹mdat›')}")
        yield Download(io.BytesIO(b"video"), 5, "ab" * 32, self.media, "x")


@dataclass
class MemoryParts:
    """Keeps pieces of a rendition in the bucket that it belongs to."""

    bucket: "MemoryBucket"
    folder: str
    used: bool = False

    def find(self, version: str) -> list[str]:
        return []

    def read(self, name: str) -> bytes:
        raise StoreUnavailable("no such piece")

    def keep(self, version: str, number: int, piece: bytes) -> None:
        self.used = True
        self.bucket.pieces.append(self.folder)

    def discard(self) -> None:
        self.bucket.discarded.append(self.folder)
        failure = self.bucket.stuck.get(self.folder) or self.bucket.failure
        if failure is not None:
            raise failure
        self.bucket.pieces = [folder for folder in self.bucket.pieces if folder != self.folder]


@dataclass
class MemoryBucket:
    """Keeps what is put, or refuses."""

    failure: BaseException | None = None
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    #: raised by an attempt to delete pieces of these folders
    stuck: dict[str, StoreUnavailable] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    #: by key, what a former worker has stored, and for which generation; an exception is raised
    found: dict[str, tuple[str, Stored] | BaseException] = field(default_factory=dict)
    looked_for: list[tuple[str, bool]] = field(default_factory=list)
    #: folders of pieces that are kept, and those that were discarded
    pieces: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    listed: int = 0
    before_put: Callable[[], None] = lambda: None
    before_put_json: Callable[[], object] = lambda: None

    def put_file(self, key: str, download: Download, metadata: dict[str, str]) -> None:
        self.before_put()
        if self.failure is not None:
            raise self.failure
        self.files[key] = metadata

    def find_file(self, key: str, task_id: str, *, picture: bool = False) -> Stored | None:
        self.looked_for.append((key, picture))
        found = self.found.get(key)
        if isinstance(found, BaseException):
            raise found
        return found[1] if found and found[0] == task_id else None

    def parts(self, folder: str) -> MemoryParts:
        return MemoryParts(self, folder)

    def list_parts(self, prefix: str) -> list[str]:
        self.listed += 1
        if self.failure is not None:
            raise self.failure
        return sorted({folder.removeprefix(prefix).rstrip("/") for folder in self.pieces})

    def put_json(self, key: str, text: str) -> None:
        self.before_put_json()
        if isinstance(self.failure, StoreUnavailable):  # a manifest is in conflict with nothing
            raise self.failure
        self.texts[key] = text

    def check(self) -> None:
        if isinstance(self.failure, StoreUnavailable):
            raise self.failure
