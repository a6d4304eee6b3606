"""News: what has happened to a generation or a submission, told by the transition that made it happen.

Whoever wants to know of it (the timeline, the counters, the events that go out) gets it from here, and nowhere else: it is the
same whether a callback, a poll, a replay or a user has brought it about. The ledger writes news in one step with the change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import BaseModel, PrivateAttr, TypeAdapter, ValidationError

from app.domain.callbacks import read_text

Fact = str | int | float | bool | None
#: characters of a reason that are kept
LONGEST_REASON = 200
_FACTS: TypeAdapter[list[Fact]] = TypeAdapter(list[Fact])


@dataclass(frozen=True)
class News:
    """One thing that happened."""

    #: epoch seconds on the ledger's clock
    at: float
    #: one of `FORMS`
    name: str
    #: a few small ones; no secret, no query string
    facts: Mapping[str, Fact] = field(default_factory=dict)
    #: in a timeline: how many times in a row, and when last
    times: int = 1
    last_at: float | None = None


@dataclass(frozen=True)
class Form:
    """How a timeline keeps a sort of news: there may be millions, so names are not written out."""

    #: empty: it is counted, and on no timeline
    code: str
    #: the facts that are kept, in this order
    facts: tuple[str, ...] = ()
    #: repeats in a row are kept as one
    folds: bool = False


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "generation.requested": Form("Q", ("what", "credits")),
        "generation.tracked": Form("T"),
        "generation.rebuilt": Form("B"),
        "generation.linked": Form("J", ("id",)),
        "callback.received": Form("C", ("trust", "route", "duplicate"), folds=True),
        "poll.answered": Form("A", ("answer", "kind", "index"), folds=True),
        "verdict": Form("V", ("outcome", "source", "code")),
        "attempt.failed": Form("F", ("kind", "index", "reason"), folds=True),
        "link.renewed": Form("L", ("kind", "index", "how"), folds=True),
        "rendition.stored": Form("S", ("kind", "index", "bytes", "attempt", "seconds")),
        "rendition.failed": Form("X", ("kind", "index", "reason")),
        "rendition.unavailable": Form("U", ("kind", "index", "reason")),
        "purchase.intended": Form("PI", ("kind", "index", "credits")),
        "purchase.accepted": Form("PA", ("kind", "index", "credits")),
        "purchase.refused": Form("PR", ("kind", "index", "reason")),
        "purchase.uncertain": Form("PU", ("kind", "index", "reason")),
        "purchase.billed": Form("PB", ("kind", "index", "credits")),
        "manifest.written": Form("M", folds=True),
        "manifest.failed": Form("N", ("reason",), folds=True),
        "generation.at_risk": Form("R", ("until",)),
        "generation.complete": Form("EC"),
        "generation.failed": Form("EF"),
        "generation.lost": Form("EL"),
        "retry.asked": Form("Y"),
        "event.delivered": Form(""),
        "event.postponed": Form(""),
        "event.dropped": Form("D", ("type", "reason")),
    }
)
_NAMES = {form.code: name for name, form in FORMS.items() if form.code}


@dataclass
class _Told:
    """Compares as equal: what was told is no part of what a thing is."""

    news: list[News] = field(default_factory=list, compare=False)


class Teller(BaseModel):
    """Something that tells what happens to it. News live as long as the object and are not part of what is stored."""

    _told: _Told = PrivateAttr(default_factory=_Told)

    @property
    def news(self) -> tuple[News, ...]:
        """What has happened since this was read from the ledger."""
        return tuple(self._told.news)

    def tell(self, now: float, name: str, **facts: Fact) -> None:
        """Something has happened. A `reason` is made short and free of what nobody may see."""
        if isinstance(facts.get("reason"), str):
            facts["reason"] = read_text(facts["reason"])[:LONGEST_REASON]
        self._told.news.append(News(now, name, facts))


def write_line(news: News) -> tuple[str, str]:
    """A timeline's line in two parts: the time, and what may be the same in the line before if that is a repeat."""
    form = FORMS[news.name]
    facts = [news.facts.get(name) for name in form.facts]
    while facts and facts[-1] is None:
        facts.pop()
    return f"{news.at:.2f}", form.code + (_FACTS.dump_json(facts).decode() if facts else "")


def read_line(line: str) -> News | None:
    """Read `<time> <what>` or `<first time> <times> <last time> <what>`; None: a newer version wrote it."""
    at, _, rest = line.partition(" ")
    times, last_at = 1, None
    if rest[:1].isdigit():
        count, last, rest = rest.split(" ", 2)
        times, last_at = int(count), float(last)
    code, bracket, tail = rest.partition("[")
    name = _NAMES.get(code)
    if name is None:
        return None
    try:
        values = _FACTS.validate_json(bracket + tail) if bracket else []
    except ValidationError:
        return None
    facts = {key: value for key, value in zip(FORMS[name].facts, values, strict=False) if value is not None}
    return News(float(at), name, facts, times, last_at)
