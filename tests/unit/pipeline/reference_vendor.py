"""The vendor's rules about money, as short as they can be told, and an account of all that was bought (veo-api §1-§8, §13)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.ledger import Route
from app.domain.requests import Request
from app.domain.urls import NO_URLS, Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind
from tests.unit.pipeline.crew import Away, Crew

T = TypeVar("T")
PRICES = {None: 60.0, Kind.HD: 5.0, Kind.UHD: 120.0}
#: seconds until there is a verdict
TAKES = {None: 100.0, Kind.HD: 90.0, Kind.UHD: 400.0}
Key = tuple[str, Kind, int]


class End(StrEnum):
    """How something ends."""

    GOOD = "good"
    BAD = "bad"
    #: it is said to have failed, and succeeds all the same
    BAD_THEN_GOOD = "bad-then-good"
    #: of a generation: it succeeds, and cannot be upgraded
    FALLBACK = "fallback"
    #: it fails, and the callback says so without an id
    BAD_NAMELESS = "bad-nameless"
    #: of an upgrade: so does this, and it succeeds all the same
    BAD_NAMELESS_THEN_GOOD = "bad-nameless-then-good"


class Mood(StrEnum):
    """How the vendor treats a request. Questions know only whether it is fine or busy; all others are faults."""

    FINE = "fine"
    BUSY = "busy"
    MAINTENANCE = "maintenance"
    REFUSES = "refuses"
    TAKES_IN_DOUBT = "takes, and answers code 500"
    LEAVES_IN_DOUBT = "does not take, and answers code 500"


DOUBTS = (Mood.TAKES_IN_DOUBT, Mood.LEAVES_IN_DOUBT)


@dataclass
class Made:
    """Something that was created, and paid for."""

    #: empty: it has none of its own
    task_id: str
    at: float
    end: End
    #: of the URL that its callbacks go to; None: it has no callback, or one without a token
    token: str | None = None
    #: what it is an upgrade of
    key: Key | None = None
    #: how its upgrades end
    upgrades: dict[Kind, End] = field(default_factory=dict)
    invisible: float = 0.0

    @property
    def price(self) -> float:
        return PRICES[self.key[1] if self.key else None]

    @property
    def ready_at(self) -> float:
        return self.at + TAKES[self.key[1] if self.key else None]

    @property
    def good_at(self) -> float:
        """When a failure turns out to have been none."""
        return self.ready_at + 100.0

    @property
    def succeeds(self) -> bool:
        return self.end not in (End.BAD, End.BAD_NAMELESS)

    @property
    def recovers(self) -> bool:
        return self.end in (End.BAD_THEN_GOOD, End.BAD_NAMELESS_THEN_GOOD)

    def progress(self, now: float) -> Progress:
        if now < self.ready_at:
            return Progress.GENERATING
        good = self.succeeds and (not self.recovers or now >= self.good_at)
        return Progress.SUCCEEDED if good else Progress.FAILED

    def credits(self, now: float) -> float:
        """What was taken for it: nothing before it ends."""
        return 0.0 if self.progress(now) is Progress.GENERATING else self.price

    def urls(self, now: float) -> Urls:
        name = "-".join(map(str, self.key or (self.task_id,)))
        return Urls(result=(f"https://x/{name}.mp4",)) if self.progress(now) is Progress.SUCCEEDED else NO_URLS

    def callbacks(self, now: float) -> list[str]:
        """The bodies that have been due by now."""
        done = {"taskId": self.task_id, "info": {"resultUrls": [f"https://x/{self.task_id}.mp4"]}}
        good = {"code": 200, "msg": "done", "data": done}
        bad = {"code": 500, "msg": "broken", "data": {"taskId": self.task_id}}
        nameless = {"code": 500, "msg": "broken", "data": None} if self.token else bad
        said = {
            End.BAD: [(self.ready_at, bad)],
            End.BAD_THEN_GOOD: [(self.ready_at, bad), (self.good_at, good)],
            End.BAD_NAMELESS: [(self.ready_at, nameless)],
            End.BAD_NAMELESS_THEN_GOOD: [(self.ready_at, nameless), (self.good_at, good)],
        }
        return [json.dumps(body) for at, body in said.get(self.end, [(self.ready_at, good)]) if at <= now]

    @property
    def route(self) -> Route:
        return Route.UHD if self.key else Route.GENERATION


class ReferenceVendor:
    """Implements `Vendor`. Callback URLs are bare tokens here."""

    def __init__(
        self,
        crew: Crew,
        clock: Callable[[], float],
        *,
        repeats_are_questions: bool,
        own_ids: bool,
        tells_credits: bool = False,
    ) -> None:
        self.repeats_are_questions = repeats_are_questions
        #: whether its records say what it took
        self.tells_credits = tells_credits
        #: whether a 4K runs under an id of its own; in the unified form everything does
        self.own_ids = own_ids
        self.mood = Mood.FINE
        self.generations: list[Made] = []
        self.upgrades: list[Made] = []
        #: tokens of submissions that were sent and not refused for certain
        self.open: set[str | None] = set()
        #: called before anything is bought
        self.on_purchase: Callable[[str | None, Key | None], None] = lambda token, key: None
        self._crew, self._clock = crew, clock

    def create(self, prompt: str, token: str | None = None) -> Made:
        """Make a generation: the prompt says how it and its upgrades end, and for how long it is invisible."""
        end, hd, uhd, invisible = prompt.split()
        made = Made(f"gen{len(self.generations)}", self._clock(), End(end), token, invisible=float(invisible))
        made.upgrades = {Kind.HD: End(hd), Kind.UHD: End(uhd)}
        self.generations.append(made)
        return made

    @property
    def everything(self) -> list[Made]:
        return self.generations + self.upgrades

    def bought(self, key: Key) -> list[Made]:
        return [made for made in self.upgrades if made.key == key]

    # --- the port ------------------------------------------------------------------------------------------------------

    def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
        def effect() -> SubmitAnswer:
            self.on_purchase(callback_url, None)
            assert callback_url not in self.open, "sent again although the first may have been taken"
            refusal = {
                Mood.BUSY: SubmitAnswer(SubmitProgress.BUSY, 429, pause=10.0),
                Mood.MAINTENANCE: SubmitAnswer(SubmitProgress.BUSY, 455),
                Mood.REFUSES: SubmitAnswer(SubmitProgress.REFUSED, 422, "no"),
            }.get(self.mood)
            if refusal is not None:
                return refusal
            self.open.add(callback_url)
            made = self.create(request.prompt, callback_url) if self.mood is not Mood.LEAVES_IN_DOUBT else None
            if made is None or self.mood in DOUBTS:
                return SubmitAnswer(SubmitProgress.UNCERTAIN, 500, "fault")
            return SubmitAnswer(SubmitProgress.CREATED, 200, task_id=made.task_id)

        return self._call(effect, SubmitAnswer(SubmitProgress.UNCERTAIN, msg="timed out"))

    def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
        key = task_id, kind, index
        return self._call(
            lambda: self._answer_order(key, callback_url), OrderAnswer(OrderProgress.UNCERTAIN, msg="timed out")
        )

    def ask_details(self, task_id: str) -> Verdict:
        def effect() -> Verdict:
            if self.mood is Mood.BUSY:
                raise VendorBusy("busy", 10.0)
            if self.mood is not Mood.FINE:
                raise VendorUnreachable("HTTP 500")
            made = next((made for made in self.everything if made.task_id == task_id), None)
            if made is None or self._clock() < made.at + made.invisible:
                return Verdict(Progress.UNKNOWN, 422)
            progress = made.progress(self._clock())
            code = 500 if progress is Progress.FAILED else 200
            fallback, credits = made.end is End.FALLBACK, made.credits(self._clock()) if self.tells_credits else None
            return Verdict(progress, code, urls=made.urls(self._clock()), fallback=fallback, credits=credits)

        return self._call(effect, None)

    def renew_link(self, url: str) -> str | None:
        return None

    def read_credit(self) -> float:
        return 0.0

    # --- inside --------------------------------------------------------------------------------------------------------

    def _call(self, effect: Callable[[], T], timed_out: T | None) -> T:
        try:
            return self._crew.call(effect, to_vendor=True)
        except Away:
            if timed_out is None:
                raise VendorUnreachable("timed out") from None
            return timed_out

    def _answer_order(self, key: Key, token: str | None) -> OrderAnswer:
        self.on_purchase(token, key)
        base = next(made for made in self.generations if made.task_id == key[0])
        if self.mood in (Mood.BUSY, Mood.MAINTENANCE, Mood.REFUSES):
            pause = 10.0 if self.mood is Mood.BUSY else None
            return OrderAnswer(OrderProgress.NOT_YET, 429 if pause else 455, "not now", pause=pause)
        if base.progress(self._clock()) is not Progress.SUCCEEDED:
            return OrderAnswer(OrderProgress.NOT_YET, 422, "record status is not success.")
        if base.end is End.FALLBACK:
            return OrderAnswer(OrderProgress.UNAVAILABLE, 422, "fallback")
        before = self.bought(key)
        if self.mood is Mood.LEAVES_IN_DOUBT:
            return OrderAnswer(OrderProgress.UNCERTAIN, 500, "fault")
        if not (before and self.repeats_are_questions):
            self._sell(key, token, base.upgrades[key[1]])
        if self.mood is Mood.TAKES_IN_DOUBT:
            return OrderAnswer(OrderProgress.UNCERTAIN, 500, "fault")
        return self._tell(self.bought(key)[-1])

    def _sell(self, key: Key, token: str | None, end: End) -> None:
        own_id = not self.repeats_are_questions or (self.own_ids and key[1] is Kind.UHD)
        has_callback = not self.repeats_are_questions or key[1] is Kind.UHD
        task_id = f"upgrade{len(self.upgrades)}" if own_id else key[0] if has_callback else ""
        self.upgrades.append(Made(task_id, self._clock(), end, token if has_callback else None, key))

    def _tell(self, upgrade: Made) -> OrderAnswer:
        progress = upgrade.progress(self._clock())
        task_id = upgrade.task_id or None
        if progress is Progress.GENERATING:
            return OrderAnswer(OrderProgress.ORDERED, 200, task_id=task_id)
        if progress is Progress.FAILED:
            return OrderAnswer(OrderProgress.UNAVAILABLE, 500, "This video is unavailable.", task_id=task_id)
        return OrderAnswer(OrderProgress.READY, 422, urls=upgrade.urls(self._clock()), task_id=task_id)
