"""A generation as users see it: the JSON of the API, of the command line and of the manifest (design 3.4).

No URL, token or key of the vendor's is in it.
"""

from datetime import UTC, datetime
from typing import Any

from app.domain.generation import Generation
from app.domain.rendition import Rendition


def describe(generation: Generation) -> dict[str, Any]:
    """The generation as JSON-ready values. Times are UTC, ISO 8601 with milliseconds and `Z`."""
    return {
        "taskId": generation.task_id,
        "state": str(generation.state),
        "code": generation.code or None,
        "msg": generation.msg,
        "error": generation.error or _lost_because(generation) or generation.manifest_error or None,
        "fallback": generation.fallback,
        "labels": generation.labels,
        "upgrades": [str(kind) for kind in generation.upgrades],
        "trackedAt": show_time(generation.tracked_at),
        "verdictAt": show_time(generation.verdict_at),
        "completeAt": show_time(generation.complete_at),
        "verdictFrom": generation.verdict_from or None,
        "callbacks": {"received": generation.received, "duplicates": generation.duplicates},
        "creditsConsumed": generation.credits,
        "renditions": [_describe_rendition(rendition) for rendition in generation.renditions],
    }


def _lost_because(generation: Generation) -> str:
    return next((rendition.error for rendition in generation.renditions if rendition.state == "failed"), "")


def _describe_rendition(rendition: Rendition) -> dict[str, Any]:
    return {
        "kind": str(rendition.kind),
        "index": rendition.index,
        "state": str(rendition.state),
        "key": rendition.key or None,
        "bytes": rendition.bytes,
        "sha256": rendition.sha256 or None,
        "width": rendition.width,
        "height": rendition.height,
        "seconds": rendition.seconds,
        "attempts": rendition.attempts,
        "storedAt": show_time(rendition.stored_at),
        "nextAt": None if rendition.ended else show_time(rendition.work.at),
        "error": rendition.error or None,
    }


def show_time(at: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
