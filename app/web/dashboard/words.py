"""How the pages say things: times, spans, sizes, states, and what has happened."""

from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup, escape

from app.domain.checkup import tell_duration, tell_size
from app.domain.news import Fact, News
from app.domain.rendition import RenditionState
from app.domain.states import State
from app.domain.vendor import OrderProgress
from app.domain.view import show_time

#: A sign beside each word: colours alone say nothing to many.
SIGNS: Mapping[str, str] = {
    State.WAITING: "○",
    State.MIRRORING: "◐",
    State.COMPLETE: "✓",
    State.FAILED: "✕",
    State.LOST: "⊘",
    State.UNCERTAIN: "?",
    RenditionState.WANTED: "○",
    RenditionState.REQUESTED: "○",
    RenditionState.STORED: "✓",
    RenditionState.UNAVAILABLE: "–",
}
#: what a state means, for whoever meets it for the first time
MEANINGS: Mapping[str, str] = {
    State.WAITING: "no verdict yet",
    State.MIRRORING: "made, and not all of it is stored",
    State.COMPLETE: "all that is wanted and can be had is stored",
    State.FAILED: "the vendor could not make it",
    State.LOST: "given up: no verdict in time, or a file that could not be had",
    State.UNCERTAIN: "sent, and nobody knows yet whether it was bought",
}
_TIME = Markup('<time datetime="{}"><span class="ago">{}</span> <span class="clock">{}</span></time>')


def sign(state: str) -> str:
    """The sign of a state."""
    return SIGNS.get(state, "·")


def size(amount: int | None) -> str:
    """Bytes."""
    return "–" if amount is None else tell_size(amount)


def credits(amount: float | None) -> str:
    """Credits."""
    return "–" if amount is None else f"{amount:,.10g}"


def span(seconds: float | None) -> str:
    """A length of time, to about two digits: `40 ms`, `1.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    for (unit, length), (part, least) in (
        (("min", 60), ("s", 1)),
        (("h", 3600), ("min", 60)),
        (("d", 86400), ("h", 3600)),
    ):
        if seconds < 100 * length or unit == "d":
            whole, rest = divmod(round(seconds / least), length // least)
            return f"{whole} {unit} {rest} {part}" if rest else f"{whole} {unit}"
    raise AssertionError("days take all")


def ago(at: float, now: float) -> str:
    """Where a time lies as seen from now: `3 min ago`, `in 2 h`."""
    away = now - at
    if abs(away) < 2:
        return "just now"
    return f"{tell_duration(away)} ago" if away > 0 else f"in {tell_duration(-away)}"


def left(until: float, now: float) -> str:
    """The time from now to a later one: `13 d`."""
    return tell_duration(max(0.0, until - now))


def sentence(text: str) -> Markup:
    """A reason as it stands by itself: with a capital letter, and what is between backticks as what is to be typed."""
    parts = (text[:1].upper() + text[1:]).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if odd % 2 else part for odd, part in enumerate(parts)
    )


def clock(at: float, now: float) -> str:
    """A time of day in UTC, with the date if that is another than today's."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M:%S}" if at // 86400 == now // 86400 else f"{moment:%Y-%m-%d %H:%M}"


def when(at: float | None, now: float) -> Markup:
    """A time in both ways."""
    if at is None:
        return Markup("–")
    return _TIME.format(show_time(at), ago(at, now), clock(at, now))


def name_file(kind: object, index: object) -> str:
    """What a rendition is called."""
    return f"{kind}" if index in (0, None) else f"{kind} {index}"


_SAID = {
    "generation.requested": "Asked for here",
    "generation.tracked": "Tracked from here on",
    "generation.rebuilt": "Taken from its manifest",
    "generation.linked": "Known to come of a submission",
    "callback.received": "Callback",
    "poll.answered": "Vendor asked",
    "verdict": "Verdict",
    "attempt.failed": "Attempt failed",
    "link.renewed": "New link",
    "rendition.stored": "Stored",
    "rendition.failed": "Given up",
    "rendition.unavailable": "Not available",
    "purchase.intended": "About to buy",
    "purchase.accepted": "Bought",
    "purchase.refused": "Refused, not bought",
    "purchase.uncertain": "Bought or not: uncertain",
    "purchase.billed": "The vendor's bill",
    "manifest.written": "Manifest written",
    "manifest.failed": "Manifest not written",
    "generation.at_risk": "At risk",
    "generation.complete": "Complete",
    "generation.failed": "Failed",
    "generation.lost": "Lost",
    "retry.asked": "Retry asked for",
    "event.delivered": "Your receiver was told",
    "event.postponed": "Your receiver was not reached",
    "event.dropped": "Your receiver was not told",
}
#: the tone of what is said, for a sign and a colour; the rest is neutral
_TONES = {
    "good": ("rendition.stored", "generation.complete", "purchase.accepted"),
    "bad": ("rendition.failed", "generation.failed", "generation.lost", "purchase.refused"),
    "warn": (
        "attempt.failed",
        "generation.at_risk",
        "purchase.uncertain",
        "manifest.failed",
        "rendition.unavailable",
        "event.dropped",
    ),
}
TONES = {name: tone for tone, names in _TONES.items() for name in names}


def headline_of(news: News) -> str:
    """What has happened, in two words."""
    return _SAID.get(news.name, news.name)


def details_of(news: News) -> str:
    """The rest of it, in a line."""
    facts = dict(news.facts)
    parts: list[str] = []
    kind, index = facts.pop("kind", None), facts.pop("index", None)
    if kind is not None:
        parts.append(name_file(kind, index))
    if facts.pop("duplicate", None):
        parts.append("a repeat")
    parts += [text for name, value in facts.items() if (text := _say(name, value))]
    if news.times > 1:
        parts.append(f"{news.times} times")
    return " · ".join(parts)


def _say(name: str, value: Fact) -> str:
    match name, value:
        case "credits", int() | float():
            return f"{credits(value)} credits"
        case "bytes", int():
            return size(value)
        case "seconds", int() | float():
            return f"{span(value)} after it was known"
        case "attempt", int():
            return f"attempt {value}"
        case "code", int():
            return f"code {value}" if value else ""
        case "source", str():
            return f"by {value}"
        case "until", int() | float():
            return f"lost at {clock(value, 0)} UTC unless it comes"
        case "route", str():
            return "" if value == "generation" else f"about the {value}"
        case "answer", OrderProgress.NOT_YET:
            return "not yet"
    return "" if value is None else str(value)
