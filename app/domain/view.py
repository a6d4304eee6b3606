"""A generation as users see it: the JSON of the API, of the command line and of the manifest (design 3.4).

No URL, token or key of the vendor's is in it. All that the ledger needs to go on from a manifest is: see `manifest_reading`.
"""

from datetime import UTC, datetime
from typing import overload

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.generation import Generation
from app.domain.rendition import Rendition
from app.domain.shapes import AskedView, GenerationView, RenditionView, UpgradeView
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.work import UPGRADES


def describe(record: Generation | Submission) -> GenerationView:
    """A generation, or a submission that none has come of yet, as JSON-ready values of the same names.

    Times are UTC, ISO 8601 with milliseconds and `Z`. `id` is ours, of the submission, `taskId` the vendor's.
    """
    return _describe_submission(record) if isinstance(record, Submission) else _describe_generation(record)


def tell_error(record: Generation | Submission) -> str:
    """What is wrong with it, or was; empty if nothing is."""
    if isinstance(record, Submission):
        return record.error
    failed = next((rendition.error for rendition in record.renditions if rendition.state == "failed"), "")
    return record.error or failed or record.manifest_error


def _describe_generation(generation: Generation) -> GenerationView:
    return {
        "id": generation.submission or None,
        "taskId": generation.task_id,
        "state": generation.state,
        "code": generation.code or None,
        "msg": generation.msg,
        "error": tell_error(generation) or None,
        "mismatch": generation.missing or None,
        "fallback": generation.fallback,
        "extends": generation.parent or None,
        "old": generation.old,
        "request": generation.request or None,
        "fingerprint": generation.fingerprint or None,
        "asked": _describe_asked(generation.asked),
        "labels": generation.labels,
        "upgrades": generation.upgrades,
        "trackedAt": show_time(generation.tracked_at),
        "verdictAt": show_time(generation.verdict_at),
        "completeAt": show_time(generation.complete_at),
        "verdictFrom": generation.verdict_from or None,
        "callbacks": {"received": generation.received, "duplicates": generation.duplicates},
        "heard": generation.heard,
        "creditsReserved": generation.price or None,
        "creditsConsumed": generation.credits,
        "renditions": [_describe_rendition(rendition) for rendition in generation.renditions],
    }


def _describe_submission(submission: Submission) -> GenerationView:
    return {
        "id": submission.id,
        "taskId": submission.task_id or None,
        "state": submission.state or State.WAITING,
        "code": submission.code or None,
        "msg": submission.msg,
        "error": tell_error(submission) or None,
        "mismatch": None,
        "fallback": False,
        "extends": submission.parent or None,
        "old": False,
        "request": submission.request.shown(),
        "fingerprint": submission.fingerprint,
        "asked": _describe_asked(submission.request.asked),
        "labels": submission.labels,
        "upgrades": submission.upgrades,
        "trackedAt": show_time(submission.tracked_at),
        "sentAt": show_time(submission.sent_at),
        "nextAt": show_time(submission.work.at),
        "verdictAt": None,
        "completeAt": None,
        "verdictFrom": None,
        "callbacks": {"received": 0, "duplicates": 0},
        "heard": [],
        "creditsReserved": submission.price or None,
        "creditsConsumed": None,
        "renditions": [],
    }


def _describe_asked(asked: Asked) -> AskedView | None:
    if asked == NOTHING_ASKED:
        return None
    return {
        "resolution": asked.resolution or None,
        "seconds": asked.seconds or None,
        "aspectRatio": asked.aspect_ratio or None,
    }


def _describe_rendition(rendition: Rendition) -> UpgradeView | RenditionView:
    shown: RenditionView = {
        "kind": rendition.kind,
        "index": rendition.index,
        "state": rendition.state,
        "key": rendition.key or None,
        "bytes": rendition.bytes,
        "sha256": rendition.sha256 or None,
        "width": rendition.width,
        "height": rendition.height,
        "seconds": rendition.seconds,
        "audio": rendition.audio,
        "mismatch": rendition.mismatch or None,
        "attempts": rendition.attempts,
        "storedAt": show_time(rendition.stored_at),
        "nextAt": None if rendition.ended else show_time(rendition.work.at),
        "error": rendition.error or None,
    }
    if rendition.kind not in UPGRADES:
        return shown
    order = rendition.order
    return {
        **shown,
        "creditsReserved": order.price if order else None,
        "creditsConsumed": order.credits if order else None,
        "orders": rendition.orders,
        "orderId": (order.alias or None) if order else None,
        "orderedAt": show_time(order.intended_at) if order else None,
        "askedAt": show_time(order.asked_at) if order and order.asks else None,
        "asks": order.asks if order else 0,
        "taken": order.taken if order else None,
        "confirmed": order.confirmed if order else None,
        "reopened": order.reopened if order else False,
        "formerOrders": rendition.former,
        "formerCredits": rendition.former_cost,
        "unasked": rendition.unasked,
    }


@overload
def show_time(at: float) -> str: ...
@overload
def show_time(at: None) -> None: ...
@overload
def show_time(at: float | None) -> str | None: ...
def show_time(at: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
