"""What the page of one generation shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.adapters.presign import Presigner
from app.domain.asked import lines
from app.domain.callbacks import show_raw
from app.domain.generation import Generation
from app.domain.ledger import Entry
from app.domain.news import News
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.submission import Submission
from app.domain.work import UPGRADES, Kind
from app.web.dashboard.words import TONES, details_of, headline_of, name_file, span

#: kinds that are films, in the order in which they stand beside each other
FILMS = (Kind.RESULT, Kind.UHD, Kind.HD, Kind.FULL, Kind.ORIGIN)


@dataclass(frozen=True)
class Film:
    """A stored video that can be played."""

    name: str
    rendition: Rendition
    link: str
    #: a link to the picture that stands there before it plays
    poster: str = ""


@dataclass(frozen=True)
class Offer:
    """An upgrade that could be bought, or why not."""

    kind: Kind
    index: int
    price: float
    refusal: str = ""


@dataclass(frozen=True)
class Event:
    """One line of the timeline."""

    news: News
    #: seconds since the line before; None: it is the first
    after: float | None

    @property
    def headline(self) -> str:
        """What has happened."""
        return headline_of(self.news)

    @property
    def details(self) -> str:
        """The rest."""
        return details_of(self.news)

    @property
    def tone(self) -> str:
        """`good`, `bad`, `warn`, or empty."""
        return TONES.get(self.news.name, "")

    @property
    def wait(self) -> str:
        """How long after the line before it came."""
        return "" if self.after is None else f"+{span(self.after)}"


@dataclass(frozen=True)
class RawCallback:
    """A recorded callback as it may be shown."""

    entry: Entry
    text: str


def link_objects(record: Generation | Submission, presigner: Presigner | None) -> dict[str, str]:
    """Links to what is stored, by key; none where no links can be made."""
    if presigner is None or isinstance(record, Submission):
        return {}
    at = datetime.now(UTC)
    stored = [it for it in record.renditions if it.state is RenditionState.STORED and it.key]
    return {rendition.key: presigner.link(rendition.key, at) for rendition in stored}


def list_films(record: Generation | Submission, links: Mapping[str, str]) -> list[Film]:
    """What can be played, the base first and beside it what was bought of it."""
    if isinstance(record, Submission):
        return []
    pictures = {it.index: links.get(it.key, "") for it in record.renditions if it.kind is Kind.IMAGE}
    films = [it for it in record.renditions if it.kind in FILMS and it.key in links]
    films.sort(key=lambda it: (it.index, FILMS.index(it.kind)))
    return [Film(name_file(it.kind, it.index), it, links[it.key], pictures.get(it.index, "")) for it in films]


def list_offers(record: Generation | Submission, policy: Policy, *, can_submit: bool) -> list[Offer]:
    """The upgrades that were not asked for yet."""
    if isinstance(record, Submission) or not can_submit:
        return []
    indexes = sorted(it.index for it in record.renditions if it.kind is Kind.RESULT)
    return [
        Offer(kind, index, policy.price(kind), record.why_not_upgrade(kind, index))
        for index in indexes
        for kind in UPGRADES
        if not record.asked_for(kind, index)
    ]


def can_retry(record: Generation | Submission) -> bool:
    """Whether there is anything that has failed and may be tried again."""
    if isinstance(record, Submission):
        return record.state == "failed" and record.sent_at is None
    failed = any(it.state is RenditionState.FAILED for it in record.renditions)
    return failed or record.state in ("failed", "lost")


def lay_out(told: Sequence[News]) -> list[Event]:
    """The timeline, with the time between its lines."""
    ends = [None, *(news.last_at or news.at for news in told)]
    return [
        Event(news, None if end is None else max(0.0, news.at - end)) for news, end in zip(told, ends, strict=False)
    ]


def show_callbacks(record: Generation | Submission, entries: Sequence[Entry]) -> list[RawCallback]:
    """The recorded callbacks without secrets, the newest first."""
    secrets = [record.token] if isinstance(record, Submission) else []
    if isinstance(record, Generation):
        secrets += [it.order.token for it in record.renditions if it.order is not None]
    return [RawCallback(entry, show_raw(entry.raw, secrets)) for entry in reversed(entries)]


def compare_asked(record: Generation | Submission) -> list[tuple[str, str, str]]:
    """What was asked for, and what came: name, the one, the other."""
    asked = record.request.asked if isinstance(record, Submission) else record.asked
    base = None if isinstance(record, Submission) else record.find(Kind.RESULT, 0)
    came = base if base is not None and base.state is RenditionState.STORED else None
    has = lines(came.look) if came else None
    return [
        ("resolution", asked.resolution or "–", f"{came.width} × {came.height}" if came and has else "–"),
        ("length", span(asked.seconds), span(came.seconds) if came else "–"),
        ("shape", asked.aspect_ratio or "–", _shape(came)),
        ("sound", "–", {True: "yes", False: "no", None: "–"}[came.audio if came else None]),
    ]


def _shape(came: Rendition | None) -> str:
    if came is None or not came.width or not came.height:
        return "–"
    return "16:9" if came.width * 9 == came.height * 16 else "9:16" if came.width * 16 == came.height * 9 else "other"
