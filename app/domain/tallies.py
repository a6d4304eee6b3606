"""Tallies: what is counted of news, for the whole fleet, by names that say it all: `<name>` or `<name>:<label>…`.

| tally | counts |
|---|---|
| `callbacks` | callbacks that the front door has recorded |
| `refused:<400, 401, 413>` | callbacks that the front door has refused, by its answer |
| `settled:<new, duplicate>` | callbacks that were taken in |
| `callbacks_missing` | verdicts that had to be asked for: no callback had come |
| `callbacks_late` | callbacks that came after such a verdict |
| `tracked`, `ended:<complete, failed, lost>`, `at_risk` | generations |
| `verdicts:<succeeded, failed>:<callback, poll>` | verdicts, by what brought them |
| `polls` | answers of the vendor's |
| `stored:<kind>`, `stored_bytes:<kind>`, `failed:<kind>`, `unavailable:<kind>` | renditions |
| `attempts_failed:<kind>`, `links_renewed:<kind>` | attempts to mirror one |
| `manifests_failed` | attempts to write a manifest |
| `purchases:<kind, generation, extension>:<intended, accepted, refused, uncertain>` | upgrades, submissions |
| `credits:<kind, generation, extension>` | what was accepted is reckoned to cost, put right when the vendor says what it took |
| `latency:<seconds>`, `latency_sum`, `latency_count` | seconds from a verdict to a stored file: see `BUCKETS` |
| `retries` | retries that users asked for |
| `events:<delivered, postponed, dropped>` | events: taken by the receiver, failed attempts, given up |
| `sweeps`, `rescued` | sweeps; messages that were lost and sent again |
| `archived` | generations whose record is in the bucket alone: falls when one comes back |
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from app.domain.news import News

#: upper bounds of the buckets that latencies are counted in, in seconds; each tally counts what is in its bucket alone
BUCKETS = (1, 2, 5, 10, 30, 60, 300, 900, 3600)
BEYOND = "+Inf"
LATENCIES = tuple(f"latency:{bound}" for bound in (*BUCKETS, BEYOND))


def tally(news: Iterable[News]) -> dict[str, float]:
    """What there is to be counted, and by how much."""
    found: Counter[str] = Counter()
    for one in news:
        for name, amount in _count(one):
            found[name] += amount  # type: ignore[assignment]  # credits are no whole numbers
    return {name: amount for name, amount in found.items() if amount}


def quantile(tallies: Mapping[str, float], share: float) -> float | None:
    """The latency that so large a share stayed under, as near as buckets tell; None: nothing was stored.

    Beyond the last bucket nothing is known: its bound is given.
    """
    counts = [tallies.get(name, 0.0) for name in LATENCIES]
    wanted, below, lower = share * sum(counts), 0.0, 0.0
    if not sum(counts):
        return None
    for count, upper in zip(counts, BUCKETS, strict=False):
        if count and below + count >= wanted:
            return lower + (upper - lower) * max(0.0, wanted - below) / count
        below, lower = below + count, float(upper)
    return lower


def _count(news: News) -> list[tuple[str, float]]:
    facts = news.facts
    kind = facts.get("kind") or facts.get("what")
    seconds = facts.get("seconds")
    match news.name:
        case "callback.received":
            late = [("callbacks_late", 1.0)] if facts.get("late") else []
            return [(f"settled:{'duplicate' if facts.get('duplicate') else 'new'}", 1), *late]
        case "poll.answered":
            return [("polls", 1)]
        case "verdict":
            missing = [("callbacks_missing", 1.0)] if facts.get("missing") else []
            return [(f"verdicts:{facts.get('outcome')}:{facts.get('source')}", 1), *missing]
        case "rendition.stored":
            stored = [(f"stored:{kind}", 1.0), (f"stored_bytes:{kind}", _number(facts.get("bytes")))]
            if seconds is None:
                return stored
            return [*stored, (_bucket(_number(seconds)), 1), ("latency_sum", _number(seconds)), ("latency_count", 1)]
        case "purchase.accepted":
            return [(f"purchases:{kind}:accepted", 1), (f"credits:{kind}", _number(facts.get("credits")))]
        case "purchase.billed":
            return [(f"credits:{kind}", _number(facts.get("more")))]
    plain = {
        "generation.tracked": "tracked",
        "generation.at_risk": "at_risk",
        "generation.complete": "ended:complete",
        "generation.failed": "ended:failed",
        "generation.lost": "ended:lost",
        "rendition.failed": f"failed:{kind}",
        "rendition.unavailable": f"unavailable:{kind}",
        "attempt.failed": f"attempts_failed:{kind}",
        "link.renewed": f"links_renewed:{kind}",
        "manifest.failed": "manifests_failed",
        "purchase.intended": f"purchases:{kind}:intended",
        "purchase.refused": f"purchases:{kind}:refused",
        "purchase.uncertain": f"purchases:{kind}:uncertain",
        "retry.asked": "retries",
        "event.delivered": "events:delivered",
        "event.postponed": "events:postponed",
        "event.dropped": "events:dropped",
    }
    return [(plain[news.name], 1)] if news.name in plain else []


def _bucket(seconds: float) -> str:
    bound = next((bound for bound in BUCKETS if seconds <= bound), BEYOND)
    return f"latency:{bound}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
