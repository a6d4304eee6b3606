"""Events: what the user's receiver is told (docs/events.md), made from news, and the rules for bringing them there."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.generation import Generation
from app.domain.news import News
from app.domain.outbox import Event
from app.domain.policy import Policy
from app.domain.rendition import Rendition
from app.domain.submission import Submission
from app.domain.vendor import Progress
from app.domain.view import describe, show_time
from app.domain.work import Kind

STORED, FAILED, AT_RISK, TEST = "video.stored", "video.failed", "video.at_risk", "reelkeep.test"
TYPES: Mapping[str, str] = {
    "rendition.stored": STORED,
    "rendition.failed": FAILED,
    "rendition.unavailable": FAILED,
    "generation.failed": FAILED,
    "generation.lost": FAILED,
    "generation.at_risk": AT_RISK,
}
#: seconds for which an event is tried
LIFETIME = 86400.0
#: what an event says of a rendition (design 3.4)
FIELDS = (
    "kind",
    "index",
    "state",
    "key",
    "bytes",
    "sha256",
    "width",
    "height",
    "seconds",
    "attempts",
    "storedAt",
    "error",
)


def post(record: Generation | Submission, news: Iterable[News], now: float) -> bool:
    """Put into the outbox what the receiver is to be told. Gives whether there was anything."""
    return record.outbox.add([event for one in news if (event := _write(record, one)) is not None], now)


def write_test(now: float) -> Event:
    """An event that tells of nothing, to try a receiver with."""
    told = {"type": TEST, "timestamp": show_time(now), "data": {}}
    return Event(id=f"evt_{secrets.token_hex(16)}", type=TEST, at=now, body=json.dumps(told))


def claim_event(record: Generation | Submission, now: float, policy: Policy) -> tuple[int, Event] | None:
    """Claim the first event. None: there is none, it is not due, or somebody else has it."""
    if not record.outbox.events:
        record.outbox.work.put_back(None)
        return None
    fence = record.outbox.work.claim(now, policy.lease)
    return None if fence is None else (fence, record.outbox.events[0])


def finish_event(record: Generation | Submission, fence: int, event: Event, now: float) -> None:
    """The receiver has it."""
    if record.outbox.holds(fence, event):
        record.tell(now, "event.delivered")
        record.outbox.drop_first(now)


def postpone_event(
    record: Generation | Submission, fence: int, event: Event, error: str, now: float, policy: Policy, chance: float
) -> None:
    """The receiver did not take it: try again later, or drop it when that would be too late."""
    outbox = record.outbox
    if not outbox.holds(fence, event):
        return
    pause = policy.retry_pause(outbox.attempts + 1, chance)
    if now + pause >= event.at + LIFETIME:
        _drop(record, f"given up after {LIFETIME / 3600:g} h: {error}", now)
        return
    outbox.attempts, outbox.error = outbox.attempts + 1, error
    outbox.work.put_back(now + pause)
    record.tell(now, "event.postponed")


def stop_events(record: Generation | Submission, fence: int, event: Event, error: str, now: float) -> None:
    """The receiver wants no more: drop the event, and those that wait behind it."""
    if record.outbox.holds(fence, event):
        while record.outbox.events:
            _drop(record, error, now)


def _drop(record: Generation | Submission, reason: str, now: float) -> None:
    record.tell(now, "event.dropped", type=record.outbox.events[0].type, reason=reason)
    record.outbox.drop_first(now)


def _write(record: Generation | Submission, news: News) -> Event | None:
    """The event that news are, if they are one."""
    name = TYPES.get(news.name)
    if name is None:
        return None
    rendition, attempt = None, _count_attempt(record)
    if isinstance(record, Generation) and "kind" in news.facts:
        rendition = record.find(Kind(str(news.facts["kind"])), int(str(news.facts["index"])))
        if rendition is None or rendition.unasked:
            return None
        attempt = 0.0 if name is STORED else rendition.since
    elif isinstance(record, Generation) and name is FAILED and record.verdict is Progress.SUCCEEDED:
        return None  # it is lost because a rendition is, of which there is an event
    elif isinstance(record, Generation) and name is AT_RISK:
        attempt = float(str(news.facts["until"]))
        rendition = next((one for one in record.renditions if one.too_late_at == record.risk_until), None)
    data = _describe(record, rendition)
    if name is AT_RISK:
        data["until"] = show_time(attempt)
    told = {"type": name, "timestamp": show_time(news.at), "data": data}
    of = [data["taskId"] or data["id"], news.name, data["kind"], data["index"], attempt]
    return Event(
        id=f"evt_{hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]}",
        type=name,
        at=news.at,
        body=json.dumps(told, ensure_ascii=False, separators=(",", ":")),
    )


def _count_attempt(record: Generation | Submission) -> float:
    """Differs between two ends of one generation: one that was tried again may end a second time."""
    return record.waiting_since if isinstance(record, Generation) else record.sends


def _describe(record: Generation | Submission, rendition: Rendition | None) -> dict[str, Any]:
    shown = describe(record)
    about: Mapping[str, Any] = {"state": shown["state"], "error": shown["error"] or shown["msg"] or None}
    if rendition is not None:
        place = (rendition.kind, rendition.index)
        about = next(one for one in shown["renditions"] if (one["kind"], one["index"]) == place)
    named = {"taskId": shown["taskId"], "id": shown["id"], "labels": shown["labels"]}
    return named | {field: about.get(field) for field in FIELDS}
