"""A generation brought from tracking to completion by the pipeline's own transitions, on any ledger."""

import json

from app.adapters.redis_ledger import RedisLedger
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.ledger import Draft, Entry, Route, Trust
from app.domain.policy import Policy
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline.settle import settle
from app.pipeline.track import track

POLICY = Policy(poll_rate=(1_000_000, 1.0))
MEDIA = Media("video/mp4", "mp4", 1280, 720, 8.0, True)
BYTES = 3_009_049


class Answers:
    """A vendor that gives the same verdict to every question."""

    repeats_are_questions = True

    def __init__(self, progress: Progress = Progress.SUCCEEDED) -> None:
        self.progress = progress

    def ask_details(self, task_id: str) -> Verdict:
        urls = Urls(result=(f"https://tempfile.aiquickdraw.com/v/{task_id}_1754555555.mp4",))
        if self.progress is not Progress.SUCCEEDED:
            return Verdict(self.progress, 501, "broken")
        return Verdict(self.progress, 200, "success", urls, credits=60.0)


def call_back(ledger: RedisLedger, task_id: str, trust: Trust = Trust.SIGNED) -> None:
    """Record a callback as the vendor sends it."""
    info = {"resultUrls": f'["https://tempfile.aiquickdraw.com/v/{task_id}_1754555555.mp4"]', "resolution": "1080p"}
    body = {"code": 200, "msg": "Veo3.1 video generated successfully.", "data": {"taskId": task_id, "info": info}}
    entry = Entry(at=ledger.now(), route=Route.GENERATION, trust=trust, raw=json.dumps(body))
    ledger.record(task_id, None, entry)


def settle_now(ledger: RedisLedger, task_id: str, progress: Progress = Progress.SUCCEEDED) -> None:
    """Have the vendor asked, whenever it would be time for it."""

    def hurry(draft: Draft) -> None:
        if draft.generation is not None:
            draft.generation.settle.put_back(draft.now)

    ledger.change(task_id, hurry)
    settle(Item(Step.SETTLE, task_id), ledger, Answers(progress), POLICY)  # type: ignore[arg-type]  # all that is asked here


def claim(ledger: RedisLedger, task_id: str) -> None:
    """Begin to mirror the result."""
    ledger.change(task_id, lambda draft: _of(draft).claim_mirror(_of(draft).renditions[0], draft.now, POLICY))


def fail(ledger: RedisLedger, task_id: str, reason: str = "HTTP 502") -> None:
    """An attempt to mirror the result fails."""
    claim(ledger, task_id)

    def write(draft: Draft) -> None:
        _of(draft).retry_later(_of(draft).renditions[0], reason, draft.now, POLICY, 0.0)

    ledger.change(task_id, write)


def store(ledger: RedisLedger, task_id: str) -> None:
    """Mirror the result."""
    claim(ledger, task_id)
    ledger.change(task_id, put, focus=Item(Step.MIRROR, task_id, Kind.RESULT, 0))


def put(draft: Draft) -> None:
    """The result is in the bucket."""
    generation, rendition = _of(draft), _of(draft).renditions[0]
    if not rendition.ended:
        key = f"veo/{generation.task_id}/result-0.mp4"
        generation.store(rendition, key, BYTES, "ab" * 32, MEDIA, draft.now)


def finish(ledger: RedisLedger, task_id: str) -> None:
    """Write the manifest."""
    item = Item(Step.MANIFEST, task_id)

    def begin(draft: Draft) -> tuple[int | None, int, float | None]:
        fence = _of(draft).claim_manifest(draft.now, POLICY)
        return fence, _of(draft).changes, _of(draft).completion(draft.now)

    fence, changes, complete_at = ledger.change(task_id, begin, focus=item)
    assert fence is not None
    ledger.change(task_id, lambda draft: _of(draft).finish_manifest(fence, changes, complete_at, draft.now), focus=item)


def complete(ledger: RedisLedger, task_id: str, labels: dict[str, str] | None = None, *, called: bool = True) -> None:
    """All of it. :param called: its callback comes"""
    track(task_id, [], labels or {}, ledger, POLICY)
    if called:
        call_back(ledger, task_id)
    settle_now(ledger, task_id)
    store(ledger, task_id)
    finish(ledger, task_id)


def _of(draft: Draft) -> Generation:
    assert draft.generation is not None
    return draft.generation
